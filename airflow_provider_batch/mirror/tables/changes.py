"""
What a database found changed -> the local files of a plan.

The database knows which rows are new, gone or different, and the product knows what a valid id is. So the rows to add
pass the ordinary checks on their way, as those of any source do: they are read as one, and what the checks leave out is
noted. A member whose row is not valid any more is removed.

Most rows differ from the next one in their id alone. So whatever else is known of a row is one number, rows of one
number stand together, and each step takes all of them at once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain, compress, groupby, repeat
from operator import eq, itemgetter, ne
from pathlib import Path
from typing import Any, Final, NamedTuple

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.lines import Lines, lines_with_text, with_texts
from airflow_provider_batch.mirror.spool import LineFile
from airflow_provider_batch.protocol.audiences.members import normalize
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.rows import Rows, in_blocks
from airflow_provider_batch.sources.columns import Selection, cells
from airflow_provider_batch.sources.source import Source

#: How many columns of a changed row stand before those of the source: its id, and the number of its kind.
FIRST: Final = 2

_NUMBER: Final = itemgetter(1)
_OPS: Final = "+-=!"

#: The number of a row's kind, in SQL; and of the same kind, were nothing known of what was sent.
KIND_IF_UNKNOWN: Final = "d.n * 16 + CASE d.op WHEN '+' THEN 0 WHEN '-' THEN 1 WHEN '=' THEN 2 ELSE 3 END"
KIND: Final = f"d.o * 8 + d.u * 4 + {KIND_IF_UNKNOWN}"


class Kind(NamedTuple):
    """
    What is known of a changed id.

    :param times: how often it is in the source.
    :param known: whether it was sent.
    :param uncertain: whether it may have been sent, or removed, since.
    :param op: what is to be done.
    """

    times: int
    known: bool
    uncertain: bool
    op: str

    def settled(self, is_valid: bool) -> Kind:
        """
        Return the kind, now that it is known whether the id is valid.

        :raises SourceError: if it is, but the database cannot hold it.
        """
        if self.op == "!" and is_valid:
            raise SourceError(
                "the query has an id with more characters than an indexed column of its database can hold. Pass "
                "snapshot_path instead of snapshot_schema."
            )
        if self.op == "+" and not is_valid:
            return self._replace(op="-" if self.known or self.uncertain else "!")
        return self


@lru_cache(1024)
def kind_of(number: int) -> Kind:
    """Return the kind with that number."""
    number = int(number)  # some drivers have a type of their own for what was computed
    return Kind(number >> 4, bool(number & 8), bool(number & 4), _OPS[number & 3])


@dataclass(slots=True)
class Given:
    """
    Ids that the checks have, but have not answered yet, and the numbers of their kinds.

    :param rows: the rows of the ids; empty if these have nothing else.
    """

    ids: list[Any] = field(default_factory=list, repr=False)
    numbers: list[int] = field(default_factory=list)
    rows: list[Sequence[Any]] = field(default_factory=list, repr=False)

    def add(self, number: int, ids: list[Any], rows: list[Sequence[Any]]) -> None:
        """Append rows of one kind."""
        self.ids += ids
        self.numbers += [number] * len(ids)
        self.rows += rows

    def drop(self, count: int) -> None:
        """Forget the first ones, which are settled."""
        for column in (self.ids, self.numbers, self.rows):
            del column[:count]


class ChangedRows(Source):
    """The rows to add, and those that are not valid, each as often as the source has it."""

    rereadable = False
    restartable = True

    def __init__(self) -> None:
        self._rows: Iterable[list[Sequence[Any]]] = ()
        self._selection: Selection[int] = Selection(id=0)
        self._has_flags = False
        self._others: list[tuple[Kind, list[Any]]] = []
        self.given = Given()

    def open(self, rows: Iterable[list[Sequence[Any]]], selection: Selection[int], *, has_flags: bool = False) -> None:
        """
        Set what is read: blocks of rows, and where the id and its attributes are in them.

        :param has_flags: whether the last column has the flags of what was set before; ids to remove get them.
        """
        self._rows, self._selection, self._has_flags = rows, selection, has_flags

    def removed(self, rows: list[Sequence[Any]]) -> list[Any]:
        """Return the ids of rows to remove."""
        ids = cells(rows, 0)
        if not self._has_flags:
            return ids
        return [AnnotatedId(str(id_), str(row[-1])) for id_, row in zip(ids, rows, strict=True)]

    def others(self) -> list[tuple[Kind, list[Any]]]:
        """Return the ids to keep or to remove that were read since the last time."""
        others, self._others = self._others, []
        return others

    def value(self, row: Sequence[Any]) -> object:
        """Return the value of a row, as the checks had it."""
        return self._selection.values(partial(cells, [row]))[0]

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the values of the rows in blocks of at most *size*."""
        before, keeps_rows = 0, self._has_flags or not self._selection.only_id
        for rows in self._rows:
            for number, alike in groupby(rows, _NUMBER):
                kind, found = kind_of(number), list(alike)
                ids = cells(found, 0)
                if kind.op in "-=":
                    self._others.append((kind, self.removed(found) if kind.op == "-" else ids))
                    continue
                values = self._selection.values(partial(cells, found))
                for taken, block in _repeated(values, kind.times, size):
                    self.given.add(number, ids[taken], found[taken] if keeps_rows else [])
                    yield Rows(block, partial(_place, before))
                    before += len(block)


def _repeated(values: list[object], times: int, size: int) -> Iterator[tuple[slice, list[object]]]:
    """Yield blocks of the values, each value so many times, with which of them are there for the first time."""
    if times == 1:
        for start in range(0, len(values), size):
            yield slice(start, start + size), values[start : start + size]
        return
    each = chain.from_iterable(map(repeat, values, repeat(times)))
    before = 0
    for number, block in enumerate(in_blocks(each, size), 1):
        begun = min(len(values), -(-number * size // times))
        yield slice(before, begun), block
        before = begun


def _place(before: int, number: int) -> str:
    return f"changed row {before + number + 1:,} of the query"


class Invalid(NamedTuple):
    """An id to add that is not valid: what is done instead, and why."""

    id: str
    op: str
    why: str


class ChangeFiles:
    """The local files of a plan: the ids to add, and those to remove."""

    def __init__(self, local: Path) -> None:
        self.adds = LineFile(local / "adds.txt")
        self.removes = LineFile(local / "removes.txt")
        self.counts = Counts()
        self.invalid: list[Invalid] = []
        self.has_invalid = False
        self.known_moves = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The digest of both."""
        return self._digest.hexdigest()

    def fill(self, blocks: Iterable[list[str]], changed: ChangedRows, rules: MemberRules) -> None:
        """
        Write what is to be sent.

        :param blocks: what the checks make of the values of *changed*: some are left out, the others keep their order.
        """
        last = ""
        for block in blocks:
            ids = list(block)
            (lines,) = with_texts([block])
            before = [last, *ids]
            if any(map(eq, ids, before)):  # repetitions stand together
                first = list(map(ne, ids, before))
                ids, lines = list(compress(ids, first)), lines_with_text(list(compress(lines.lines, first)))
            last = block[-1]
            self._write(self.adds, lines)
            self._settle(changed, ids, rules)
        self._settle(changed, None, rules)

    def close(self) -> None:
        """Write what is buffered."""
        with ExitStack() as stack:
            for file in (self.adds, self.removes):
                stack.callback(file.close)

    def _settle(self, changed: ChangedRows, valid: list[str] | None, rules: MemberRules) -> None:
        """
        Count the rows up to the last valid id.

        :param valid: the next ids that passed the checks; None if there are no more.
        """
        for kind, ids in changed.others():
            self._count(kind, len(ids))
            if kind.op == "-":
                self._remove(ids)
        given, number = changed.given, len(valid or ())
        kinds = [(kind_of(each), count) for each, count in Counter(given.numbers[:number]).items()]
        if valid and given.ids[:number] == valid and all(kind.op == "+" for kind, _ in kinds):
            for kind, count in kinds:
                self._count(kind, count)
            given.drop(number)
        elif valid != []:  # repetitions alone
            self._settle_each(changed, valid, rules)

    def _settle_each(self, changed: ChangedRows, valid: list[str] | None, rules: MemberRules) -> None:
        """Count one row after the other."""
        given, removed, found, done = changed.given, [], 0, 0
        rows = given.rows or list(zip(given.ids))  # an id alone is its row
        for id_, number, row in zip(given.ids, given.numbers, rows, strict=True):
            if valid is not None and found == len(valid):
                break
            is_valid = valid is not None and id_ == valid[found]
            found += is_valid
            kind = kind_of(number)
            settled = kind.settled(is_valid)
            self._count(settled, 1)
            if settled != kind:
                self.invalid.append(Invalid(str(id_), settled.op, _reason(changed.value(row), rules)))
            if settled.op == "-":
                removed += changed.removed([(str(id_), *row[1:])])
            done += 1
        given.drop(done)
        self._remove(removed)

    def _count(self, kind: Kind, number: int) -> None:
        """Count *number* ids of one kind."""
        counts = self.counts
        if kind.op in "+=":
            counts.duplicates += (kind.times - 1) * number
        if kind.op == "+":
            counts.given += number
            if not kind.known:
                counts.added += number
            elif kind.uncertain:
                counts.resent += number
            else:
                counts.changed += number
        elif kind.op == "-":
            counts.removed += number * kind.known
            counts.withdrawn += number * (not kind.known)
        self.has_invalid |= kind.op == "!"
        self.known_moves += number * (kind.known and kind.op in "+-")

    def _remove(self, ids: list[str]) -> None:
        for lines in with_texts([ids]):
            self._write(self.removes, lines)

    def _write(self, file: LineFile, lines: Lines) -> None:
        file.write_text(lines.text, len(lines.lines))
        self._digest.update(b"+" if file is self.adds else b"-")
        self._digest.update(lines.text)


def _reason(value: object, rules: MemberRules) -> str:
    try:
        normalize(value, rules)
    except ValueError as error:
        return str(error)
    return ""
