"""Files of ids in any of four formats, local or in object storage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, BinaryIO, Final, Protocol

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.arguments import check_choice, check_delimiter, check_encoding, check_null_values
from airflow_provider_batch.protocol.rows import Rows
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.delimited import CsvFile
from airflow_provider_batch.sources.jsonlines import JsonLinesFile
from airflow_provider_batch.sources.parquet import ParquetFile
from airflow_provider_batch.sources.paths import FoundFile, find_files
from airflow_provider_batch.sources.plaintext import LinesFile, TextOptions
from airflow_provider_batch.sources.source import FEW, Source


class OpenedFile(Protocol):
    """An open file of one format, whose header is valid."""

    empty: bool

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the values in blocks of at most *size*, none of them empty."""


class Format(Protocol):
    """The constructor of an :class:`OpenedFile`."""

    #: Bytes to request from an object storage beyond what is read.
    read_ahead: int

    def __call__(self, found: FoundFile, file: BinaryIO, options: TextOptions, columns: Columns, /) -> OpenedFile:
        """Read and check the header."""


FORMATS: Final[dict[str, Format]] = {
    "txt": LinesFile,
    "csv": CsvFile,
    "jsonl": JsonLinesFile,
    "parquet": ParquetFile,
}
_SUFFIXES: Final = {".txt": "txt", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


class FileSource(Source):
    """
    The rows of a file, of the files in a folder, or of those that match a glob; files are read in order of their names.

    The files are listed once. An empty file among others counts as a part without rows.

    :param path: a pathlib.Path, or a path with the same methods, such as Airflow's ObjectStoragePath.
    :param columns: the columns to read; by default the only one. A txt file holds ids only.
    :param format: txt, csv, jsonl or parquet; None to go by the suffix. Files in ``.gz`` are always decompressed.
    :param header: whether the first row of a CSV file names its columns; otherwise they are called 1, 2, …
    :param delimiter: the character between the cells of a CSV file.
    :param encoding: the encoding of txt, csv and jsonl files; a byte order mark is dropped.
    :param null_values: the texts of cells that mean a missing value; JSON lines and Parquet take ``""`` as it is.
    :param allow_empty: accept that all files are empty, without even a header.
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
        null_values: Sequence[str] = ("",),
        allow_empty: bool = False,
    ) -> None:
        self._path = path
        self._columns = columns or Columns()
        if format is not None:
            check_choice("format", format)
        check_delimiter("delimiter", delimiter)
        check_encoding("encoding", encoding)
        check_null_values("null_values", null_values)
        self._format = None if format is None else FORMATS[format]
        self._options = TextOptions(header, delimiter, encoding, frozenset(null_values))
        self._allow_empty = allow_empty

    def blocks(self, size: int) -> Iterator[Rows]:
        """
        Yield the values of all files in blocks of at most *size*; no block spans two files.

        :raises SourceError: if there is no file, if one cannot be read or does not have a column, or if all of them are
            empty, which is known at the end.
        """
        are_empty = True
        size = size if self._columns.only_id else min(size, FEW)
        for found, format_ in self._files:
            with found.open(format_.read_ahead) as file:
                opened = format_(found, file, self._options, self._columns)
                are_empty = are_empty and opened.empty
                yield from opened.blocks(size)
        if are_empty and not self._allow_empty:
            fault = "the file is empty" if len(self._files) == 1 else "all files are empty"
            raise SourceError(f"{self._path}: {fault}. Check their export, or pass allow_empty=True.")

    @cached_property
    def _files(self) -> list[tuple[FoundFile, Format]]:
        return [(found, self._format or _format_of(found)) for found in find_files(self._path)]


def _format_of(found: FoundFile) -> Format:
    if found.suffix not in _SUFFIXES:
        fault = f"the suffix {found.suffix!r} is unknown" if found.suffix else "the name has no suffix"
        raise SourceError(f"{found.name}: {fault}. Pass format=, one of {', '.join(FORMATS)}.")
    return FORMATS[_SUFFIXES[found.suffix]]
