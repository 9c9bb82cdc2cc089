"""Files of ids in any of four formats, wherever they are."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, Protocol

from airflow_provider_batch.exceptions import InvalidArgumentError, SourceError
from airflow_provider_batch.protocol.arguments import check_choice
from airflow_provider_batch.protocol.rows import Rows
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.delimited import CsvFile
from airflow_provider_batch.sources.jsonlines import JsonLinesFile
from airflow_provider_batch.sources.parquet import ParquetFile
from airflow_provider_batch.sources.paths import FoundFile, find_files
from airflow_provider_batch.sources.source import Source
from airflow_provider_batch.sources.text import LinesFile, Writing

#: Bytes, enough for a header.
_LOOK: Final = 1 << 16


class OpenedFile(Protocol):
    """What each format makes of a file; it has looked at its header, or failed."""

    empty: bool

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the values in blocks of at most *size*, none of them empty."""


class Format(Protocol):
    """How to begin with a file that is open; *piece* is how many bytes are read at once."""

    def __call__(
        self, found: FoundFile, file: BinaryIO, writing: Writing, columns: Columns, piece: int = ..., /
    ) -> OpenedFile:
        """Look at the header."""


FORMATS: Final[dict[str, Format]] = {
    "txt": LinesFile,
    "csv": CsvFile,
    "jsonl": JsonLinesFile,
    "parquet": ParquetFile,
}
_SUFFIXES: Final = {".txt": "txt", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


class FileSource(Source):
    """
    What is in a file, in the files of a folder, or in those that match a glob, one after the other by their names.

    Which files there are is looked up once, and the header of each is looked at before the first value is given.
    Files of no bytes among others count as parts without rows.

    :param path: a pathlib.Path or another of its kind, such as Airflow's ObjectStoragePath.
    :param columns: which columns to read; by default the only one. A file of lines has ids alone.
    :param format: txt, csv, jsonl or parquet; by default what the suffix says. ``.gz`` behind it is always heeded.
    :param header: whether the first row of a CSV file names its columns; otherwise they are called 1, 2, …
    :param delimiter: one character between the cells of a CSV file.
    :param encoding: of the formats that are text; a byte order mark is left out.
    :param allow_empty: whether it is no fault if there is nothing in any of the files, not even a header.
    """

    rereadable = True

    def __init__(
        self,
        path: Any,
        columns: Columns | None = None,
        *,
        format: str | None = None,
        header: bool = True,
        delimiter: str = ",",
        encoding: str = "utf-8",
        allow_empty: bool = False,
    ) -> None:
        self._path = path
        self._columns = columns or Columns()
        self._format = None if format is None else _format(format)
        self._writing = Writing(header, _delimiter(delimiter), _encoding(encoding))
        self._allow_empty = allow_empty
        self._files: list[tuple[FoundFile, Format]] | None = None

    def check(self) -> None:
        """
        Find the files and look at the header of each, unless that was done before.

        :raises SourceError: if there is none, or one is not in its format or lacks a column.
        """
        if self._files is None:
            files = [(found, self._format or _format_of(found)) for found in find_files(self._path)]
            filled = sum(not self._is_empty(found, format_) for found, format_ in files)
            if not filled and not self._allow_empty:
                raise SourceError(f"{self._path}: there is nothing in {'the file' if len(files) == 1 else 'any file'}")
            self._files = files

    def blocks(self, size: int) -> Iterator[Rows]:
        """
        Yield the values of all files in blocks of at most *size*; a block is of one file.

        :raises SourceError: if one cannot be read.
        """
        self.check()
        for found, format_ in self._files or ():
            with found.open() as file:
                yield from format_(found, file, self._writing, self._columns).blocks(size)

    def _is_empty(self, found: FoundFile, format_: Format) -> bool:
        with found.open(_LOOK) as file:
            return format_(found, file, self._writing, self._columns, _LOOK).empty


def _format_of(found: FoundFile) -> Format:
    if found.suffix not in _SUFFIXES:
        said = f"the suffix {found.suffix!r} stands for no format" if found.suffix else "a name without suffix"
        raise SourceError(f"{found.name}: {said}; pass format=, one of {', '.join(FORMATS)}")
    return FORMATS[_SUFFIXES[found.suffix]]


def _format(name: str) -> Format:
    check_choice("format", name, FORMATS)
    return FORMATS[name]


def _delimiter(delimiter: str) -> str:
    try:
        csv.reader([], delimiter=delimiter)
        possible = delimiter not in '"\r\n'
    except (TypeError, ValueError):
        possible = False
    if not possible:
        raise InvalidArgumentError(f"delimiter: {delimiter!r:.80} is not one character that can part cells")
    return delimiter


def _encoding(encoding: str) -> str:
    try:
        codecs.getincrementaldecoder(encoding)
        "".encode(encoding)
    except (LookupError, TypeError):
        raise InvalidArgumentError(f"encoding: {encoding!r:.80} is no encoding that Python knows") from None
    return encoding
