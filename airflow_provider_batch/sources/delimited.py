"""CSV: rows of cells, with or without a header."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from io import StringIO
from itertools import accumulate, chain, islice
from typing import BinaryIO

from airflow_provider_batch.exceptions import SourceError, counted
from airflow_provider_batch.protocol.rows import BadRow, Rows
from airflow_provider_batch.sources.columns import Columns, Selection, cells
from airflow_provider_batch.sources.paths import FoundFile
from airflow_provider_batch.sources.plaintext import READ_SIZE, LineLookup, TextOptions, line_place, pieces


# Line numbers. A row spans one line and one more for each break in its quoted cells; a blank line is a row without
# cells. Counting this for every row takes about as long as parsing it, so a block is read at once and its lines are
# counted only when a place is needed: from ``_lines_before``, which is csv's own line_num at the end of the block
# before. Where a block has as many lines as rows, no row spans two, and the n-th row is on the n-th line. After a row
# that csv cannot parse, line_num is still exact, so that counting continues behind it.
class CsvFile:
    """The rows of one CSV file, whose header is read at once; without a header its columns are called 1, 2, …"""

    def __init__(
        self, found: FoundFile, file: BinaryIO, options: TextOptions, columns: Columns, read_size: int = READ_SIZE
    ) -> None:
        self._name = found.name
        text = pieces(found, file, options.encoding, read_size)
        lines = chain.from_iterable(StringIO(piece, newline="") for piece in text)
        # Strict: otherwise a quote that is never closed would silently swallow the rows that follow.
        self._reader = csv.reader(lines, delimiter=options.delimiter, strict=True)
        self._rows: Iterator[list[str]] = self._reader
        self._lines_before = 0
        first = self._first_row()
        #: Whether the file has neither header nor rows.
        self.empty = not first
        self._width = len(first)
        self._selection: Selection[int] | None = None
        if first and options.header:
            self._lines_before = self._reader.line_num
            self._selection = columns.select(first, self._name, empty_is_null=True)
        elif first:
            self._lines_before = self._reader.line_num - _lines_in(first)
            self._rows = chain([first], self._reader)
            numbers = [str(number) for number in range(1, self._width + 1)]
            self._selection = columns.select(numbers, self._name, empty_is_null=True)

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the rows below the header in blocks of at most *size*."""
        while self._selection is not None:
            rows, fault = self._take(size)
            if rows and (block := self._block(rows, self._selection)).values:
                yield block
            if fault:
                yield Rows([BadRow(fault)], partial(line_place, self._name, self._line_after(rows)))
            elif not rows:
                return
            self._lines_before = self._reader.line_num

    def _first_row(self) -> list[str]:
        while True:
            rows, fault = self._take(1)
            if fault:
                raise SourceError(f"{line_place(self._name, self._line_after(rows))}: {fault}")
            if not rows or rows[0]:
                return rows[0] if rows else []
            self._lines_before += 1

    def _take(self, size: int) -> tuple[list[list[str]], str | None]:
        """Return the next rows, and what is wrong with the row after them if csv cannot parse it."""
        rows: list[list[str]] = []
        try:
            rows.extend(islice(self._rows, size))  # the rows before an error stay in the list
        except csv.Error as error:
            reason = str(error)
        else:
            return rows, None
        if "expected after" in reason:  # csv drops the rest of this line and continues with the next one
            return rows, "text follows the closing quote of a cell. Double each quote inside a quoted cell."
        raise SourceError(
            f"{line_place(self._name, self._line_after(rows))}: the rows from here on cannot be separated ({reason}). "
            "Check that every quote is closed."
        )

    def _line_after(self, rows: list[list[str]]) -> int:
        return self._lines_before + sum(map(_lines_in, rows)) + 1

    def _block(self, rows: list[list[str]], selection: Selection[int]) -> Rows:
        if set(map(len, rows)) == {self._width}:
            values = selection.values(partial(cells, rows))
            if self._reader.line_num - self._lines_before == len(rows):
                return Rows(values, partial(line_place, self._name, self._lines_before + 1))
        else:
            values = [self._value(row, selection) for row in rows if row]
        return Rows(values, LineLookup(self._name, partial(_line_numbers, self._lines_before + 1, rows)))

    def _value(self, row: list[str], selection: Selection[int]) -> object:
        if len(row) < self._width or any(row[self._width :]):
            count = counted(len(row), "cell")
            return BadRow(f"the row has {count}, the first row of the file {self._width}. Correct the row.")
        return selection.values(partial(cells, [row]))[0]


def _line_numbers(first: int, rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the number of the line on which each row begins; blank rows are left out, but counted."""
    numbers = accumulate(map(_lines_in, rows), initial=first)
    return [number for number, row in zip(numbers, rows, strict=False) if row]


def _lines_in(row: Sequence[str]) -> int:
    return 1 + sum(cell.count("\n") + cell.count("\r") - cell.count("\r\n") for cell in row)
