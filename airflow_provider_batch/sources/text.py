"""Bytes of a file -> text in pieces that end where a line ends; and the format that is nothing but lines."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from typing import Any, BinaryIO, Final

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.rows import Rows
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.paths import FoundFile

#: Bytes that are decoded at once.
PIECE: Final = 1 << 20
#: Characters; a file that is no text, or whose cell or object is never closed, must not fill the memory.
_LONGEST_LINE: Final = 16 << 20
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Writing:
    """How text files are written; header and delimiter are those of CSV."""

    header: bool = True
    delimiter: str = ","
    encoding: str = "utf-8"


def pieces(found: FoundFile, file: BinaryIO, encoding: str, size: int = PIECE) -> Iterator[str]:
    """
    Yield the text of *file* in pieces of about *size* bytes, none empty, each of whole lines, without a BOM.

    :raises SourceError: if its bytes are no text in this encoding, or a line does not end.
    """
    decoder = _Decoder(found, encoding)
    rest = ""
    raw = found.read(file, size)
    while raw:
        # One ahead, so that a last line without a break is not a piece of its own.
        following = found.read(file, size)
        text = rest + decoder.decode(raw, final=not following)
        raw = following
        end = _end_of_lines(text) if following else len(text)
        if text[:end]:
            yield text[:end]
        rest = text[end:]
        if len(rest) > _LONGEST_LINE:
            raise SourceError(
                f"{found.name}: a line has more than {_LONGEST_LINE:,} characters; is this a text file, "
                "in the right format and encoding?"
            )


def lines_of(piece: str) -> list[str]:
    """Return the lines of a piece, without their breaks."""
    if "\r" in piece:
        piece = piece.replace("\r\n", "\n").replace("\r", "\n")
    lines = piece.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def without_blank(lines: list[str]) -> list[Any]:
    """Return the lines that hold something."""
    return list(filter(_holds_something, lines)) if any(map(str.isspace, lines)) else list(filter(None, lines))


def line_at(name: str, first: int, number: int = 0) -> str:
    """Say where the *number*-th line from line *first* on is."""
    return f"{name}, line {first + number:,}"


class LineOf:
    """Says on which line the n-th value of a block begins; *find*, which knows, is asked if somebody asks."""

    def __init__(self, name: str, find: Callable[[], Sequence[int]]) -> None:
        self._name = name
        self._lines = cache(find)

    def __call__(self, number: int) -> str:
        return line_at(self._name, self._lines()[number])


def numbers(first: int, lines: Sequence[str]) -> list[int]:
    """Return the numbers of the lines that are not blank, of *lines* from line *first* on."""
    return [number for number, line in enumerate(lines, first) if _holds_something(line)]


def blocks_of_lines(text: Iterable[str], size: int, name: str) -> Iterator[tuple[list[Any], LineOf]]:
    """Yield the lines of the file *name* that hold something, at most *size* at once, and where they stand."""
    before = 0
    for piece in text:
        lines = lines_of(piece)
        for start in range(0, len(lines), size):
            part = lines[start : start + size]
            if not_blank := without_blank(part):
                yield not_blank, LineOf(name, partial(numbers, before + start + 1, part))
        before += len(lines)


def _holds_something(line: str) -> bool:
    return bool(line) and not line.isspace()


class LinesFile:
    """A file with an id a line, as it is; blank lines are left out."""

    def __init__(
        self, found: FoundFile, file: BinaryIO, writing: Writing, columns: Columns, piece: int = PIECE
    ) -> None:
        self._name = found.name
        if not columns.only_id:
            raise SourceError(f"{self._name}: a file of lines has ids and no other columns; pass format= if it is none")
        text = pieces(found, file, writing.encoding, piece)
        first = next(text, "")
        #: Whether there is nothing in the file.
        self.empty = not first
        self._text = chain([first], text)

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the lines."""
        for lines, where in blocks_of_lines(self._text, size, self._name):
            yield Rows(lines, where)


def _end_of_lines(text: str) -> int:
    # A lone \r ends a line as well, unless the \n that belongs to it is still to come.
    return text.rfind("\n") + 1 or text.rfind("\r", 0, -1) + 1


class _Decoder:
    """Decodes the bytes of a file as they come, and knows where it is."""

    def __init__(self, found: FoundFile, encoding: str) -> None:
        self._found = found
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._bytes = 0
        self._lines = 0
        self._at_start = True

    def decode(self, raw: bytes, *, final: bool) -> str:
        waiting = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(raw, final)
        except UnicodeDecodeError as error:
            fault = self._fault(error, self._bytes - waiting)
        else:
            self._bytes += len(raw)
            self._lines += text.count("\n")
            if self._at_start and text:
                self._at_start = False
                text = text.removeprefix("\ufeff")
            return text
        # Not where the decoder's error is at hand, which holds the bytes: it would go along as the context.
        raise fault

    def _fault(self, error: UnicodeDecodeError, before: int) -> SourceError:
        good = error.object[: error.start]
        line = self._lines + good.decode(self._encoding, "ignore").count("\n") + 1
        zipped = before == 0 and error.object.startswith(_GZIP)
        advice = "it is a gzip file whose name should end in .gz" if zipped else "name its encoding"
        return SourceError(
            f"{self._found.name}, line {line:,}: byte {before + error.start + 1:,} is no {self._encoding}; {advice}"
        )
