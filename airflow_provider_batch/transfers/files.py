"""The rows of files, which the transfers from files push."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_batch.protocol.arguments import FileFormat, read_switch
from airflow_provider_batch.tasks.storage import storage_path

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_provider_batch.sources.files import FileSource


class FileRows(BaseOperator):
    """The part of an operator that reads files in any storage that Airflow supports."""

    template_fields: Sequence[str] = ("path", "path_conn_id")

    path: str | ObjectStoragePath
    path_conn_id: str | None
    format: FileFormat | None
    header: bool
    delimiter: str
    encoding: str
    null_values: Sequence[str]
    allow_empty: bool | str
    columns: Callable[[], Any]

    def __init__(self, **kwargs: Any) -> None:
        self.path = kwargs.pop("path")
        self.path_conn_id = kwargs.pop("path_conn_id")
        self.format = kwargs.pop("format")
        self.header = kwargs.pop("header")
        self.delimiter = kwargs.pop("delimiter")
        self.encoding = kwargs.pop("encoding")
        self.null_values = kwargs.pop("null_values")
        super().__init__(**kwargs)

    @contextmanager
    def source(self, context: Context) -> Iterator[FileSource]:
        """Open the rows of the files."""
        from airflow_provider_batch.sources.files import FileSource

        yield FileSource(
            storage_path(self.path, self.path_conn_id),
            self.columns(),
            format=self.format,
            header=self.header,
            delimiter=self.delimiter,
            encoding=self.encoding,
            null_values=self.null_values,
            allow_empty=read_switch("allow_empty", self.allow_empty),
        )

    def openlineage_inputs(self) -> list[Any]:
        """Return the path, named as OpenLineage names files."""
        from airflow.providers.common.compat.openlineage.facet import Dataset

        from airflow_provider_batch.tasks.files import file_dataset

        namespace, name = file_dataset(storage_path(self.path, self.path_conn_id))
        return [Dataset(namespace=namespace, name=name)]
