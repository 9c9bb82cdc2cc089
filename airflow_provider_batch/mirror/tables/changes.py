"""
What a database found changed -> the local files of a plan.

The database knows which rows are new, gone or different, and the product knows what a valid id is. So the rows to add
pass the ordinary checks on their way, as those of any source do: they are read as one, and what the checks leave out is
noted. A member whose row is not valid any more is removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final, NamedTuple

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.lines import as_lines, id_part, line_of, text_of
from airflow_provider_batch.mirror.spool import LineFile
from airflow_provider_batch.protocol.audiences.intake import in_blocks
from airflow_provider_batch.protocol.audiences.members import normalize
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.protocol.rows import Rows
from airflow_provider_batch.sources.columns import Selection, cells
from airflow_provider_batch.sources.source import Source

#: How many columns of the changes stand before those of the source.
FIRST: Final = 5


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
        self._others: list[Row] = []
        self._taken: list[tuple[Row, object]] = []

    def open(self, rows: Iterable[list[Sequence[Any]]], selection: Selection[int]) -> None:
        """Set what is read: blocks of rows, and where the id and its attributes are in them."""
        self._rows, self._selection = rows, selection

    def taken(self) -> tuple[list[tuple[Row, object]], list[Row]]:
        """Return the rows that were read since the last time, each with its value; then those to keep or to remove."""
        taken, others = self._taken, self._others
        self._taken, self._others = [], []
        return taken, others

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the values of the rows in blocks of at most *size*."""
        before = 0
        for rows in self._rows:
            given = [row for row in rows if row[FIRST - 1] in "+!"]
            self._others += [Row.of(row) for row in rows if row[FIRST - 1] not in "+!"]
            values = self._selection.values(partial(cells, given))
            pairs = zip(map(Row.of, given), values, strict=True)
            each = chain.from_iterable(repeat(pair, pair[0].times) for pair in pairs)
            last: tuple[Row, object] | None = None
            for block in in_blocks(each, size):
                for pair in block:
                    if pair is not last:
                        self._taken.append(pair)
                    last = pair
                yield Rows([value for _, value in block], partial(_place, before))
                before += len(block)


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
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The digest of both."""
        return self._digest.hexdigest()

    def fill(self, blocks: Iterable[list[str]], changed: ChangedRows, rules: MemberRules) -> None:
        """
        Write what is to be sent.

        :param blocks: what the checks make of the values of *changed*.
        """
        last = ""
        for block in blocks:
            self._settle(changed, set(block), rules)
            lines = []
            for line in chain.from_iterable(as_lines([block])):
                if (id_ := id_part(line)) != last:
                    lines.append(line)
                    last = id_
            self._write(self.adds, lines)
        self._settle(changed, set(), rules)

    def close(self) -> None:
        """Write what is buffered."""
        with ExitStack() as stack:
            for file in (self.adds, self.removes):
                stack.callback(file.close)

    def _settle(self, changed: ChangedRows, valid: set[str], rules: MemberRules) -> None:
        taken, others = changed.taken()
        removed = []
        for row, value in chain(taken, zip(others, repeat(None))):
            op = row.settled(row.id in valid)
            self._count(row, op)
            if op == "-":
                removed.append(line_of(str(row.id)))
            if op != row.op:
                self.refused.append(Refused(str(row.id), op, _reason(value, rules)))
        self._write(self.removes, removed)

    def _count(self, row: Row, op: str) -> None:
        counts = self.counts
        if op == "=":
            counts.duplicates += row.times - 1
            return
        if op == "+":
            counts.given += 1
            counts.duplicates += row.times - 1
            if not row.known:
                counts.added += 1
            elif row.uncertain:
                counts.resent += 1
            else:
                counts.changed += 1
        elif op == "-":
            counts.removed += row.known
            counts.withdrawn += not row.known
        self.known_moves += row.known and op in "+-"

    def _write(self, file: LineFile, lines: list[str]) -> None:
        if lines:
            file.write(lines)
            self._digest.update(b"+" if file is self.adds else b"-")
            self._digest.update(text_of(lines).encode())


def _reason(value: object, rules: MemberRules) -> str:
    try:
        normalize(value, rules)
    except ValueError as error:
        return str(error)
    return ""
