"""From files to an audience."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from airflow_provider_batch.operators.parameters import RowsParameters
from airflow_provider_batch.protocol.arguments import FileFormat
from airflow_provider_batch.transfers.files import FileRows
from airflow_provider_batch.transfers.rows import RowsToCustomAudienceOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath


class FilesToCustomAudienceOperator(FileRows, RowsToCustomAudienceOperator, takes=RowsParameters):
    """
    Push the ids in files to a custom audience of Batch, row by row and never held.

    The files are read once. Every row is checked before the first call; meanwhile, the ids are put aside in a local
    temporary file. An error names the file and the line of a bad row. Returns tokens and summary as
    :class:`~airflow_provider_batch.operators.custom_audience.CustomAudienceUpdateOperator`.

    :param path: a file, a folder, or a glob such as ``s3://bucket/segments/part-*.csv.gz``; local, or any storage that
        Airflow's ObjectStoragePath supports. (templated)
    :param path_conn_id: the connection to the storage, where the path does not name it
        (``s3://my_conn@bucket/…``). (templated)
    :param format: ``txt`` (one id a line), ``csv``, ``jsonl`` or ``parquet`` (extra ``parquet``); by default the
        suffix decides. All but ``parquet`` may be followed by ``.gz``.
    :param header: whether the first row of a CSV file names its columns; otherwise they are called 1, 2, …
    :param delimiter: one character between the cells of a CSV file.
    :param encoding: the encoding of txt, csv and jsonl files.
    :param null_values: the texts of cells that mean a missing value, such as ``["", "NULL", "#N/A"]``: it is not a
        valid id, and not sent as an attribute. JSON lines and Parquet take ``""`` as it is.
    """

    template_fields: Sequence[str] = ("path", "path_conn_id", *RowsToCustomAudienceOperator.template_fields)

    def __init__(
        self,
        *,
        path: str | ObjectStoragePath,
        path_conn_id: str | None = None,
        format: FileFormat | None = None,
        header: bool = True,
        delimiter: str = ",",
        encoding: str = "utf-8",
        null_values: Sequence[str] = ("",),
        **kwargs: Unpack[RowsParameters],
    ) -> None:
        self.path = path
        self.path_conn_id = path_conn_id
        self.format = format
        self.header = header
        self.delimiter = delimiter
        self.encoding = encoding
        self.null_values = null_values
        super().__init__(**kwargs)
