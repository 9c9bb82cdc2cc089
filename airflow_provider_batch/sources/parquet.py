"""Parquet, by pyarrow: columns in row groups, of which only those asked for are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO, Final, TypeVar

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.rows import Rows
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.paths import FoundFile, unreadable
from airflow_provider_batch.sources.text import PIECE, Writing

T = TypeVar("T")

_BUFFER: Final = 1 << 20


class ParquetFile:
    """The rows of one Parquet file, whose schema is read at once."""

    empty = False

    def __init__(
        self, found: FoundFile, file: BinaryIO, writing: Writing, columns: Columns, piece: int = PIECE
    ) -> None:
        del writing, piece  # the file itself says how it is written
        self._name = found.name
        if found.gzipped:
            raise SourceError(f"{self._name}: a Parquet file is compressed in itself; unzip it")
        try:
            from pyarrow.parquet import ParquetFile as Opened  # type: ignore[import-untyped]
        except ImportError as error:
            raise SourceError(
                f"{self._name}: Parquet needs pyarrow: pip install 'airflow-provider-batch[parquet]'"
            ) from error
        # In pieces, or the memory would have to hold the columns of a whole row group.
        self._file: Any = self._asked(lambda: Opened(file, buffer_size=_BUFFER, pre_buffer=False))
        self._names: list[str] = self._file.schema_arrow.names
        self._picks = columns.pick(self._names, self._name)

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the rows; of those columns only that are asked for."""
        wanted = [self._names[place] for place in self._picks.keys]
        slices = self._file.iter_batches(size, columns=wanted, use_threads=False)
        before = 0
        while (part := self._asked(lambda: next(slices, None))) is not None:
            values = self._picks.values(partial(self._cells, part))
            if values:
                yield Rows(values, partial(_row_at, self._name, before))
            before += len(values)

    def _cells(self, part: Any, place: int) -> list[object]:
        column = part.column(part.schema.get_field_index(self._names[place]))
        if hasattr(column, "dictionary_decode"):  # value by value it takes twenty times as long
            column = column.dictionary_decode()
        cells: list[object] = self._asked(column.to_pylist)
        return cells

    def _asked(self, ask: Callable[[], T]) -> T:
        from pyarrow import ArrowException  # type: ignore[import-untyped]

        try:
            return ask()
        except OSError as error:
            if error.errno is not None:  # otherwise it is Arrow's word for a damaged file
                raise unreadable(self._name, error) from error
            kind = type(error).__name__
        except (ArrowException, UnicodeDecodeError) as error:
            kind = type(error).__name__
        # Without what Arrow says, which may quote a value.
        raise SourceError(f"{self._name}: the file is no Parquet file, cut off or damaged ({kind})")


def _row_at(name: str, before: int, number: int) -> str:
    return f"{name}, row {before + number + 1:,}"
