"""CSV: rows of cells, with or without a header."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from io import StringIO
from itertools import accumulate, chain, islice
from typing import BinaryIO

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.rows import BadRow, Rows
from airflow_provider_batch.sources.columns import Columns, Picks, cells
from airflow_provider_batch.sources.paths import FoundFile
from airflow_provider_batch.sources.text import PIECE, LineOf, Writing, line_at, pieces


class CsvFile:
    """The rows of one CSV file, whose header is read at once; without one its columns are called 1, 2, …"""

    def __init__(
        self, found: FoundFile, file: BinaryIO, writing: Writing, columns: Columns, piece: int = PIECE
    ) -> None:
        self._name = found.name
        text = pieces(found, file, writing.encoding, piece)
        lines = chain.from_iterable(StringIO(part, newline="") for part in text)
        # Strict: a quote that is opened and never closed would swallow the rows behind it.
        self._reader = csv.reader(lines, delimiter=writing.delimiter, strict=True)
        self._rows: Iterator[list[str]] = self._reader
        self._before = 0
        first = self._first_row()
        #: Whether there is nothing in the file, not even a header.
        self.empty = not first
        self._width = len(first)
        self._picks: Picks[int] | None = None
        if first and writing.header:
            self._before = self._reader.line_num
            self._picks = columns.pick(first, self._name, blank=True)
        elif first:
            self._before = self._reader.line_num - _lines_in(first)
            self._rows = chain([first], self._reader)
            numbers = [str(number) for number in range(1, self._width + 1)]
            self._picks = columns.pick(numbers, self._name, blank=True)

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the rows below the header."""
        while self._picks is not None:
            rows, reason = self._take(size)
            if rows and (block := self._block(rows, self._picks)).values:
                yield block
            if reason:
                yield Rows([BadRow(reason)], partial(line_at, self._name, self._line_after(rows)))
            elif not rows:
                return
            self._before = self._reader.line_num

    def _first_row(self) -> list[str]:
        while True:
            rows, reason = self._take(1)
            if reason:
                raise SourceError(f"{line_at(self._name, self._line_after(rows))}: {reason}")
            if not rows or rows[0]:
                return rows[0] if rows else []
            self._before += 1

    def _take(self, size: int) -> tuple[list[list[str]], str | None]:
        """Return the next rows, and why the one after them cannot be read, if so."""
        rows: list[list[str]] = []
        try:
            rows.extend(islice(self._rows, size))  # what came before an error stays in the list
        except csv.Error as error:
            reason = str(error)
        else:
            return rows, None
        if "expected after" in reason:  # the rest of this line is lost, and nothing else
            return rows, "a quoted cell goes on behind its closing quote"
        raise SourceError(
            f"{line_at(self._name, self._line_after(rows))}: the rows from here on cannot be told apart ({reason}); "
            "is a quote opened and not closed?"
        )

    def _line_after(self, rows: list[list[str]]) -> int:
        return self._before + sum(map(_lines_in, rows)) + 1

    def _block(self, rows: list[list[str]], picks: Picks[int]) -> Rows:
        if set(map(len, rows)) == {self._width}:
            values = picks.values(partial(cells, rows))
            if self._reader.line_num - self._before == len(rows):
                return Rows(values, partial(line_at, self._name, self._before + 1))
        else:
            values = [self._value(row, picks) for row in rows if row]
        return Rows(values, LineOf(self._name, partial(_numbers, self._before + 1, rows)))

    def _value(self, row: list[str], picks: Picks[int]) -> object:
        if len(row) < self._width or any(row[self._width :]):
            return BadRow(f"the row has {len(row)} cells, the first row of the file {self._width}")
        return picks.values(partial(cells, [row]))[0]


def _numbers(first: int, rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the number of the line on which each row begins that is not blank."""
    numbers = accumulate(map(_lines_in, rows), initial=first)
    return [number for number, row in zip(numbers, rows, strict=False) if row]


def _lines_in(row: Sequence[str]) -> int:
    return 1 + sum(cell.count("\n") + cell.count("\r") - cell.count("\r\n") for cell in row)
