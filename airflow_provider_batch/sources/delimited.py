"""CSV: rows of cells, with or without a header."""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from io import StringIO
from itertools import accumulate, chain, compress, islice
from typing import BinaryIO

from airflow_provider_batch.exceptions import SourceError, counted
from airflow_provider_batch.protocol.rows import BadRow, Rows, with_more
from airflow_provider_batch.sources.columns import EXCEL, HEADER, ID_NAME, Columns, Selection, cells
from airflow_provider_batch.sources.paths import READ_AHEAD, FoundFile
from airflow_provider_batch.sources.plaintext import TextOptions, in_lines, pieces
from airflow_provider_batch.sources.source import FEW


# Line numbers. A row spans one line and one more for each break in its quoted cells; a blank line is a row without
# cells. Counting this for every row takes about as long as parsing it, so the lines of a few rows are counted together:
# from ``_lines_before``, which is csv's own line_num at the end of the rows before. If there are as many lines as rows,
# no row spans two, and the n-th row is on the n-th line. After a row that csv cannot parse, line_num is still exact, so
# that counting continues behind it.
class CsvFile:
    """The rows of one CSV file, whose header is read at once; without a header its columns are called 1, 2, …"""

    read_ahead = READ_AHEAD

    def __init__(self, found: FoundFile, file: BinaryIO, options: TextOptions, columns: Columns) -> None:
        self._name = found.name
        text = pieces(found, file, options.encoding)
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
        if self.empty:
            return
        names, remedy = first, _remedy(first, options)
        if options.header:
            self._lines_before = self._reader.line_num
        else:
            self._lines_before = self._reader.line_num - _lines_in(first)
            self._rows = chain([first], self._reader)
            names = [str(number) for number in range(1, self._width + 1)]
        self._selection = columns.select(names, self._name, nulls=options.nulls, remedy=remedy)
        if fault := _fault(first, self._selection.id, options, guessed=columns.id_column is None):
            raise SourceError(f"{self._name}: {fault}. {remedy}")

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the rows below the header in blocks of at most *size*."""
        while self._selection is not None:
            values, lines = self._block(size, self._selection)
            if not values:
                return
            yield Rows(values, in_lines(self._name, lines))

    def _block(self, size: int, selection: Selection[int]) -> tuple[list[object], Sequence[int]]:
        """Return the values of the next rows, and the line on which each begins; nothing at the end."""
        values: list[object] = []
        lines: Sequence[int] = ()
        rows, fault = None, None
        while len(values) < size and (rows is None or rows or fault):
            rows, fault = self._take(min(FEW, size - len(values)))
            few = self._values(rows, selection)
            values = [*values, *few] if values or fault else few  # those that come alone stay what they are
            lines = with_more(lines, self._line_numbers(rows))
            if fault:
                values.append(BadRow(fault))
                lines = with_more(lines, [self._line_after(rows)])
            self._lines_before = self._reader.line_num
        return values, lines

    def _first_row(self) -> list[str]:
        while True:
            rows, fault = self._take(1)
            if fault:
                raise SourceError(f"{self._name}, line {self._line_after(rows):,}: {fault}")
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
            f"{self._name}, line {self._line_after(rows):,}: the rows from here on cannot be separated ({reason}). "
            "Check that every quote is closed."
        )

    def _line_after(self, rows: list[list[str]]) -> int:
        return self._lines_before + sum(map(_lines_in, rows)) + 1

    def _values(self, rows: list[list[str]], selection: Selection[int]) -> list[object]:
        if set(map(len, rows)) == {self._width}:
            return selection.values(partial(cells, rows))
        return [self._value(row, selection) for row in rows if row]

    def _line_numbers(self, rows: list[list[str]]) -> Sequence[int]:
        first = self._lines_before + 1
        if self._reader.line_num - self._lines_before == len(rows) and all(rows):
            return range(first, first + len(rows))
        return _line_numbers(first, rows)

    def _value(self, row: list[str], selection: Selection[int]) -> object:
        if len(row) < self._width or any(row[self._width :]):
            count = counted(len(row), "cell")
            return BadRow(f"the row has {count}, the first row of the file {self._width}. Correct the row.")
        return selection.values(partial(cells, [row]))[0]


# A file whose delimiter is another one has a single cell in each row, and would be sent row by row, e-mail addresses
# included; one that has no header would lose its first id. So without id_column a single cell has to look like what it
# is taken for. No message quotes a cell, which may be an id.
def _fault(first: Sequence[str], id_: int, options: TextOptions, *, guessed: bool) -> str | None:
    """Return why the *first* row of a file contradicts its options; *id_* is the position of the id."""
    if EXCEL.fullmatch("".join(first)):
        return "the first line is neither a header nor an id"
    if not options.header:
        if HEADER.fullmatch(first[id_]):
            return "the first line is a header"
        return "the only cell of the first line holds a delimiter" if guessed and _delimiter_in(first) else None
    if guessed and len(first) == 1 and not ID_NAME.fullmatch(first[0]):
        return "the only cell of the first line is not the name of an id's column"
    return None


def _remedy(first: Sequence[str], options: TextOptions) -> str:
    """Return what helps with a file by what its *first* row looks like."""
    line = options.delimiter.join(first)
    if excel := EXCEL.fullmatch("".join(first)):
        return f"Delete Excel's line sep= from the file, and pass delimiter={excel[1] or options.delimiter!r}."
    if "\0" in line:
        return "Pass encoding=: the text looks like UTF-16."
    other = _delimiter_in(first)
    if not options.header:
        if any(map(HEADER.fullmatch, line.split(other or options.delimiter))):
            return "Leave out header=False."
        if other:
            return f"Pass delimiter={other!r}, or id_column=1 if it is part of the ids."
        return f"Pass id_column=: without a header, the columns are called 1 to {len(first)}."
    name = "id_column= with the name of the id's column"
    is_named = not re.search(r"[\d@]", line)  # as few ids are
    if other:
        return f"Pass delimiter={other!r}, and {name if is_named else 'header=False with id_column=1, 2, …'}."
    if is_named:
        return f"Pass {name}, or header=False if the first line is not a header."
    return f"Pass header=False if the first line is not a header, or {name}."


def _delimiter_in(first: Sequence[str]) -> str | None:
    """Return which other delimiter the only cell of a row holds."""
    return next((sign for sign in ";\t|," if len(first) == 1 and sign in first[0]), None)


def _line_numbers(first: int, rows: Sequence[Sequence[str]]) -> Sequence[int]:
    """Return the number of the line on which each row begins; blank rows are left out, but counted."""
    numbers = accumulate(map(_lines_in, rows), initial=first)
    return array("Q", compress(numbers, rows))


def _lines_in(row: Sequence[str]) -> int:
    text = "\0".join(row)
    return 1 + text.count("\n") + text.count("\r") - text.count("\r\n")
