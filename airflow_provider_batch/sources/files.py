"""Files of ids in any of four formats, local or in object storage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

#: Bytes that are read to check a file's header.
_HEADER_SIZE: Final = 1 << 16


class OpenedFile(Protocol):
    """An open file of one format, whose header is valid."""

    empty: bool

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the values in blocks of at most *size*, none of them empty."""


class Format(Protocol):
    """The constructor of an :class:`OpenedFile`; *read_size* is the number of bytes to read at once."""

    def __call__(
        self, found: FoundFile, file: BinaryIO, options: TextOptions, columns: Columns, read_size: int = ..., /
    ) -> OpenedFile:
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

    The files are listed once, and every header is checked before the first value is yielded. An empty file among
    others counts as a part without rows.

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
        self._files: list[tuple[FoundFile, Format]] | None = None

    def check(self) -> None:
        """
        Find the files and check the header of each, on the first call only.

        :raises SourceError: if there is no file, or one does not have its format or lacks a column.
        """
        if self._files is None:
            files = [(found, self._format or _format_of(found)) for found in find_files(self._path)]
            filled = sum(not self._is_empty(found, format_) for found, format_ in files)
            if not filled and not self._allow_empty:
                fault = "the file is empty" if len(files) == 1 else "all files are empty"
                raise SourceError(f"{self._path}: {fault}. Check their export, or pass allow_empty=True.")
            self._files = files

    def blocks(self, size: int) -> Iterator[Rows]:
        """
        Yield the values of all files in blocks of at most *size*; no block spans two files.

        :raises SourceError: if a file cannot be read.
        """
        self.check()
        size = size if self._columns.only_id else min(size, FEW)
        for found, format_ in self._files or ():
            with found.open() as file:
                yield from format_(found, file, self._options, self._columns).blocks(size)

    def _is_empty(self, found: FoundFile, format_: Format) -> bool:
        with found.open(_HEADER_SIZE) as file:
            return format_(found, file, self._options, self._columns, _HEADER_SIZE).empty


def _format_of(found: FoundFile) -> Format:
    if found.suffix not in _SUFFIXES:
        fault = f"the suffix {found.suffix!r} is unknown" if found.suffix else "the name has no suffix"
        raise SourceError(f"{found.name}: {fault}. Pass format=, one of {', '.join(FORMATS)}.")
    return FORMATS[_SUFFIXES[found.suffix]]
