"""
What a database found changed -> the local files of a plan.

The database knows which rows are new, gone or different, and the product knows what a valid id is. So the rows to add
pass the ordinary checks on their way, as those of any source do: they are read as one, and what the checks leave out is
noted. A member whose row is not valid any more is removed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain, compress, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.lines import as_lines, line_of, text_of
from airflow_provider_batch.mirror.spool import LineFile
from airflow_provider_batch.protocol.audiences.intake import in_blocks
from airflow_provider_batch.protocol.audiences.members import normalize
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.protocol.rows import Rows
from airflow_provider_batch.sources.columns import Selection, cells
from airflow_provider_batch.sources.source import Source

#: How many columns of the changes stand before those of the source.
FIRST: Final = 5


_TIMES, _OP = 1, FIRST - 1
#: Whether it was sent, whether it is uncertain, and what is to be done.
_KIND = itemgetter(2, 3, _OP)

#: A row of the changes, and its value for the checks.
Pair: TypeAlias = tuple[Sequence[Any], object]


class Row(NamedTuple):
    """
    A changed id.

    :param times: how often it is in the source.
    :param known: whether it was sent.
    :param uncertain: whether it may have been sent, or removed, since.
    """

    id: str | None
    times: int
    known: bool
    uncertain: bool
    op: str

    @classmethod
    def of(cls, row: Sequence[Any]) -> Row:
        """Return the first columns of a row of the changes."""
        id_, times, known, uncertain, op = row[:FIRST]
        return cls(id_, int(times), bool(known), bool(uncertain), op)

    def settled(self, is_valid: bool) -> str:
        """
        Return what is to be done, now that it is known whether the id is valid.

        :raises SourceError: if it is, but the database cannot hold it.
        """
        if self.op == "!" and is_valid:
            raise SourceError(
                "the query has an id with more characters than an indexed column of its database can hold. Pass "
                "snapshot_path instead of snapshot_schema."
            )
        if self.op == "+" and not is_valid:
            return "-" if self.known or self.uncertain else "!"
        return self.op


class ChangedRows(Source):
    """The rows to add, and those that are not valid, each as often as the source has it."""

    rereadable = False
    restartable = True

    def __init__(self) -> None:
        self._rows: Iterable[list[Sequence[Any]]] = ()
        self._selection: Selection[int] = Selection(id=0)
        self._others: list[Sequence[Any]] = []
        self._taken: list[Pair] = []

    def open(self, rows: Iterable[list[Sequence[Any]]], selection: Selection[int]) -> None:
        """Set what is read: blocks of rows, and where the id and its attributes are in them."""
        self._rows, self._selection = rows, selection

    def taken(self) -> tuple[list[Pair], list[Sequence[Any]]]:
        """Return the rows that were read since the last time, each with its value; then those to keep or to remove."""
        taken, others = self._taken, self._others
        self._taken, self._others = [], []
        return taken, others

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the values of the rows in blocks of at most *size*."""
        before = 0
        for rows in self._rows:
            given = [row for row in rows if row[_OP] in "+!"]
            self._others += [row for row in rows if row[_OP] not in "+!"]
            pairs = zip(given, self._selection.values(partial(cells, given)), strict=True)
            for taken, values in _repeated(pairs, size):
                self._taken += taken
                yield Rows(values, partial(_place, before))
                before += len(values)


def _repeated(pairs: Iterable[Pair], size: int) -> Iterator[tuple[list[Pair], list[object]]]:
    """Yield blocks of values, each as often as the source has it, with those pairs of which it is the first value."""
    each = chain.from_iterable([pair] if pair[0][_TIMES] == 1 else repeat(pair, pair[0][_TIMES]) for pair in pairs)
    last: Pair | None = None
    for block in in_blocks(each, size):
        yield (
            [pair for pair, earlier in zip(block, [last, *block], strict=False) if pair is not earlier],
            [value for _, value in block],
        )
        last = block[-1]


def _place(before: int, number: int) -> str:
    return f"changed row {before + number + 1:,} of the query"


class Refused(NamedTuple):
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
        self.refused: list[Refused] = []
        self.known_moves = 0
        #: Rows whose values the checks have, but have not answered yet.
        self._open: list[Pair] = []
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
            ids, lines = list(block), [line for each in as_lines([block]) for line in each]
            if len(set(ids)) < len(ids) or ids[0] == last:
                first = [id_ != before for id_, before in zip(ids, [last, *ids], strict=False)]
                ids, lines = list(compress(ids, first)), list(compress(lines, first))
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
        taken, others = changed.taken()
        self._open += taken
        removed = [line_of(row[0]) for row in others if row[_OP] == "-"]
        self._count_all(others)
        whole = [row for row, _ in self._open[: len(valid or ())]]
        if valid and [row[0] for row in whole] == valid and all(row[_OP] == "+" for row in whole):
            self._count_all(whole)
            del self._open[: len(whole)]
        elif valid != []:  # repetitions alone
            removed += self._settle_each(valid, rules)
        self._write(self.removes, removed)

    def _settle_each(self, valid: list[str] | None, rules: MemberRules) -> list[str]:
        """Count one row after the other, and return the lines of those to remove."""
        removed, found, done = [], 0, 0
        for each, value in self._open:
            row = Row.of(each)
            is_valid = valid is not None and row.id == valid[found]
            found += is_valid
            op = row.settled(is_valid)
            self._count(op, row.known, row.uncertain, row.times, 1)
            if op == "-":
                removed.append(line_of(str(row.id)))
            if op != row.op:
                self.refused.append(Refused(str(row.id), op, _reason(value, rules)))
            done += 1
            if valid is not None and found == len(valid):
                break
        del self._open[:done]
        return removed

    def _count_all(self, rows: list[Sequence[Any]]) -> None:
        times = Counter[tuple[Any, ...]]()
        kinds = Counter(map(_KIND, rows))
        for row in rows if set(map(itemgetter(_TIMES), rows)) - {0, 1} else ():
            times[_KIND(row)] += int(row[_TIMES]) - 1
        for (known, uncertain, op), number in kinds.items():
            self._count(op, bool(known), bool(uncertain), number + times[known, uncertain, op], number)

    def _count(self, op: str, known: bool, uncertain: bool, times: int, number: int) -> None:
        """Count *number* ids of one kind, which the source has *times* times together."""
        counts = self.counts
        if op in "+=":
            counts.duplicates += times - number
        if op == "+":
            counts.given += number
            if not known:
                counts.added += number
            elif uncertain:
                counts.resent += number
            else:
                counts.changed += number
        elif op == "-":
            counts.removed += number * known
            counts.withdrawn += number * (not known)
        self.known_moves += number * (known and op in "+-")

    def _write(self, file: LineFile, lines: list[str]) -> None:
        if lines:
            file.write(lines)
            self._digest.update(("+" if file is self.adds else "-").encode() + text_of(lines).encode())


def _reason(value: object, rules: MemberRules) -> str:
    try:
        normalize(value, rules)
    except ValueError as error:
        return str(error)
    return ""
