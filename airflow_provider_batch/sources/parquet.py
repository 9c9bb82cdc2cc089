"""Parquet, read by pyarrow: of its columns only the selected ones are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO, Final, TypeVar

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.rows import NumberedPlaces, Rows
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.paths import FoundFile, unreadable
from airflow_provider_batch.sources.plaintext import TextOptions

T = TypeVar("T")

#: Bytes that are requested at once, over all selected columns.
_BUFFERS: Final = 8 << 20
_SMALLEST_BUFFER: Final = 1 << 18

#: Types of text without saying so, as Impala and older writers use them.
_BYTES: Final = {"binary", "large_binary", "binary_view"}

#: Types whose values are ids.
_ID_TYPE: Final = re.compile(
    r"(dictionary<values=)?((large_)?(string|binary)(_view)?|u?int\d+|decimal\d+\(\d+, 0\)|null)(\W.*)?"
    r"|extension<arrow\.uuid>"
)


class ParquetFile:
    """The rows of one Parquet file, whose schema is read at once."""

    empty = False
    #: Next to nothing: the columns are read in turn, each through a buffer of its own, and lie far apart.
    read_ahead = 1 << 10

    def __init__(self, found: FoundFile, file: BinaryIO, options: TextOptions, columns: Columns) -> None:
        self._name = found.name
        if found.gzipped:
            raise SourceError(f"{self._name}: a Parquet file cannot be read through gzip. Decompress it.")
        try:
            from pyarrow.parquet import ParquetFile as Opened  # type: ignore[import-untyped]
        except ImportError as error:
            raise SourceError(
                f"{self._name}: Parquet needs pyarrow. Run pip install 'airflow-provider-batch[parquet]'."
            ) from error
        self._file: Any = self._run(lambda: Opened(file))
        schema = self._file.schema_arrow
        self._names: list[str] = schema.names
        self._selection = columns.select(self._names, self._name, nulls=options.nulls - {""})
        # Through small buffers; pre-buffering would load the selected columns of a whole row group into memory.
        buffer = max(_SMALLEST_BUFFER, _BUFFERS // len(self._selection.keys))
        metadata = self._file.metadata
        self._file = self._run(lambda: Opened(file, metadata=metadata, buffer_size=buffer, pre_buffer=False))
        kind = str(schema.types[self._selection.id])
        if not _ID_TYPE.fullmatch(kind):
            raise SourceError(
                f"{self._name}: the id's column is of type {kind.partition('<')[0]}, whose values are not valid ids. "
                "Write the column as text or as integers, with pandas as astype('string') or astype('Int64')."
            )

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the rows in blocks of at most *size*."""
        wanted = [self._names[position] for position in self._selection.keys]
        slices = self._file.iter_batches(size, columns=wanted, use_threads=False)
        first = 1
        while (part := self._run(lambda: next(slices, None))) is not None:
            values = self._selection.values(partial(self._cells, part))
            if values:
                yield Rows(values, NumberedPlaces(f"{self._name}, row ", range(first, first + len(values))))
            first += len(values)

    def _cells(self, part: Any, position: int) -> list[object]:
        column = part.column(part.schema.get_field_index(self._names[position]))
        if hasattr(column, "dictionary_decode"):  # to_pylist on the dictionary takes twenty times as long
            column = column.dictionary_decode()
        if str(column.type).startswith("timestamp[ns"):  # Python's own have microseconds
            import pyarrow  # type: ignore[import-untyped]

            column = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
        cells: list[object] = self._run(column.to_pylist)
        kind = str(column.type)
        if kind.startswith("decimal") and column.type.scale == 0:  # integers, as Snowflake writes them
            return [None if cell is None else int(cell) for cell in cells]  # type: ignore[call-overload]  # Decimal
        return list(map(_decoded, cells)) if kind in _BYTES else cells

    def _run(self, operation: Callable[[], T]) -> T:
        """Return the result of *operation*; errors of pyarrow and the storage become a SourceError."""
        from pyarrow import ArrowException

        try:
            return operation()
        except (ArrowException, UnicodeDecodeError, OverflowError) as error:
            kind = type(error).__name__
        except Exception as error:
            if type(error) is not OSError or error.errno is not None:  # Arrow's for a damaged file has no number
                raise unreadable(self._name, error) from error
            kind = type(error).__name__
        # Arrow's message may quote a value, so the error neither repeats it nor has it as its context.
        raise SourceError(f"{self._name}: the file is truncated, damaged or not Parquet ({kind}). Write it again.")


def _decoded(cell: Any) -> object:
    try:
        return None if cell is None else cell.decode()
    except UnicodeDecodeError:
        return cell
