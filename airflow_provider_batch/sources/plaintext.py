"""Plain text: bytes decoded into pieces of whole lines, and the format that holds one id per line."""

from __future__ import annotations

import codecs
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, Final

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.rows import NumberedPlaces, Rows
from airflow_provider_batch.sources.columns import EXCEL, HEADER, Columns, without
from airflow_provider_batch.sources.paths import READ_AHEAD, FoundFile

#: Bytes that are read and decoded at once.
_READ_SIZE: Final = 1 << 20
#: Characters; a binary file, or a cell or object that is never closed, must not fill the memory.
_LONGEST_LINE: Final = 16 << 20
_GZIP_MAGIC: Final = b"\x1f\x8b"
#: What Python counts as whitespace, but is never part of a blank line: it is kept, so that the check of ids finds it.
_CONTROLS: Final = frozenset("\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029")


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How a file is written; header and delimiter apply to CSV only, and Parquet takes the nulls alone."""

    header: bool = True
    delimiter: str = ","
    encoding: str = "utf-8"
    nulls: Set[str] = frozenset({""})


# Reading is one piece ahead of decoding, because two decisions depend on whether a piece is the last one: only then is
# an incomplete character at its end an error, and only then does the text behind the last line break go out with the
# piece instead of waiting for the next one. So memory holds two pieces and one line, whatever the size of the file.
def pieces(found: FoundFile, file: BinaryIO, encoding: str, size: int = _READ_SIZE) -> Iterator[str]:
    """
    Yield the text of *file* in pieces of about *size* bytes; each has whole lines, none is empty, a BOM is dropped.

    :raises SourceError: if the bytes are not valid in this encoding, or a line is too long.
    """
    decoder = _Decoder(found, encoding)
    rest = ""
    raw = found.read(file, size)
    while raw:
        following = found.read(file, size)
        text = rest + decoder.decode(raw, final=not following)
        raw = following
        end = _end_of_lines(text) if following else len(text)
        if text[:end]:
            yield text[:end]
        rest = text[end:]
        if len(rest) > _LONGEST_LINE:
            raise SourceError(
                f"{found.name}: a line has more than {_LONGEST_LINE:,} characters. Check that the file is text, and "
                "its format and encoding."
            )


def split_lines(piece: str) -> list[str]:
    """Return the lines of a piece, without their breaks."""
    if "\r" in piece:
        piece = piece.replace("\r\n", "\n").replace("\r", "\n")
    lines = piece.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def without_blank(lines: list[str]) -> list[Any]:
    """Return the lines that are not blank."""
    return list(filter(_is_not_blank, lines)) if any(map(str.isspace, lines)) else list(filter(None, lines))


def in_lines(name: str, numbers: Sequence[int]) -> NumberedPlaces:
    """Return the places of values that stand in lines of the file *name*."""
    return NumberedPlaces(f"{name}, line ", numbers)


def blocks_of_lines(text: Iterable[str], size: int, name: str) -> Iterator[tuple[list[Any], NumberedPlaces]]:
    """Yield the lines of the file *name* that are not blank, at most *size* at once, with their places."""
    first = 1
    for part in _parts_of_lines(text, size):
        if not_blank := without_blank(part):
            yield not_blank, in_lines(name, _line_numbers(first, part, len(not_blank)))
        first += len(part)


def _parts_of_lines(text: Iterable[str], size: int) -> Iterator[list[str]]:
    # Full to the last part of all, so that each can be sent as it is.
    lines: list[str] = []
    for piece in text:
        lines += split_lines(piece)
        full = len(lines) - len(lines) % size
        for start in range(0, full, size):
            yield lines[start : start + size]
        del lines[:full]
    if lines:
        yield lines


def _line_numbers(first: int, lines: Sequence[str], not_blank: int) -> Sequence[int]:
    """Return the numbers of the *lines* that are not blank, of which there are so many; the first has *first*."""
    if not_blank == len(lines):
        return range(first, first + len(lines))
    return array("Q", (number for number, line in enumerate(lines, first) if _is_not_blank(line)))


def _is_not_blank(line: str) -> bool:
    return bool(line) and not (line.isspace() and _CONTROLS.isdisjoint(line))


class LinesFile:
    """A file with one id per line, taken as it is; blank lines are left out."""

    read_ahead = READ_AHEAD

    def __init__(self, found: FoundFile, file: BinaryIO, options: TextOptions, columns: Columns) -> None:
        self._name = found.name
        if not columns.only_id:
            raise SourceError(
                f"{self._name}: a txt file holds ids only, without actions, attributes or tags. Pass format= if the "
                "file has another format."
            )
        text = pieces(found, file, options.encoding)
        first = next(text, "")
        #: Whether the file has no text at all.
        self.empty = not first
        self._text = chain([first], text)
        self._nulls = options.nulls
        _check_first_line(re.split(r"[\r\n]", first.lstrip(), maxsplit=1)[0], self._name)

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the lines in blocks of at most *size*."""
        for lines, place in blocks_of_lines(self._text, size, self._name):
            yield Rows(without(lines, self._nulls), place)


def _check_first_line(line: str, name: str) -> None:
    """Raise if *line* is a header or Excel's, or has several cells with an e-mail address among them."""
    is_header = EXCEL.fullmatch(line) or any(map(HEADER.fullmatch, re.split(r'[,;|\t"]', line)))
    if is_header or ("@" in line and re.search(r"[,;\t]", line)):
        raise SourceError(
            f"{name}: a txt file holds one id per line, but the first line looks like one of a CSV file. Pass "
            "format='csv', and delimiter= or header=False where they apply."
        )


def _end_of_lines(text: str) -> int:
    # A lone \r ends a line as well, unless it is the last character: the next piece may begin with its \n.
    return text.rfind("\n") + 1 or text.rfind("\r", 0, -1) + 1


class _Decoder:
    """Decodes a file piece by piece and counts bytes and lines, so that an error can name its place."""

    def __init__(self, found: FoundFile, encoding: str) -> None:
        self._found = found
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._bytes = 0
        self._lines = 0
        self._at_start = True

    def decode(self, raw: bytes, *, final: bool) -> str:
        pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(raw, final)
        except UnicodeDecodeError as error:
            source_error = self._source_error(error, self._bytes - pending)
        else:
            self._bytes += len(raw)
            self._lines += text.count("\n")
            if self._at_start and text:
                self._at_start = False
                text = text.removeprefix("\ufeff")
            return text
        # Raised outside the except block: as its context, the decoder's error would keep the bytes, which hold ids.
        raise source_error

    def _source_error(self, error: UnicodeDecodeError, bytes_before: int) -> SourceError:
        valid = error.object[: error.start]
        line = self._lines + valid.decode(self._encoding, "ignore").count("\n") + 1
        is_gzip = bytes_before == 0 and error.object.startswith(_GZIP_MAGIC)
        remedy = "Add .gz to the name of this gzip file." if is_gzip else "Pass the file's encoding with encoding=."
        return SourceError(
            f"{self._found.name}, line {line:,}: byte {bytes_before + error.start + 1:,} is not valid "
            f"{self._encoding}. {remedy}"
        )
