"""From files to profiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from airflow_provider_batch.operators.profile_parameters import ProfileParameters
from airflow_provider_batch.operators.profiles import ProfilesPushOperator
from airflow_provider_batch.protocol.arguments import FileFormat
from airflow_provider_batch.transfers.files import FileRows

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath


class FilesToProfilesOperator(FileRows, ProfilesPushOperator, takes=ProfileParameters):
    """
    Set attributes of Batch's profiles from the rows of files: one column is the id, the others are attributes.

    JSON lines and Parquet keep the types of their values; a line of JSON is a row as ``profiles`` of
    :class:`~airflow_provider_batch.operators.profiles.ProfilesUpdateOperator`, whose summary this operator returns. A
    CSV file has text alone. An error names the file and the line of a bad row.

    :param path: a file, a folder, or a glob such as ``s3://bucket/profiles/part-*.parquet``; local, or any storage that
        Airflow's ObjectStoragePath supports. (templated)
    :param path_conn_id: the connection to the storage, where the path does not name it
        (``s3://my_conn@bucket/…``). (templated)
    :param format: ``csv``, ``jsonl`` or ``parquet`` (extra ``parquet``); by default the suffix decides. ``csv`` and
        ``jsonl`` may be followed by ``.gz``.
    :param header: whether the first row of a CSV file names its columns; otherwise they are called 1, 2, …
    :param delimiter: one character between the cells of a CSV file.
    :param encoding: the encoding of CSV files and JSON lines.
    :param null_values: the texts of cells that mean a missing value, such as ``["", "NULL", "#N/A"]``. JSON lines and
        Parquet take ``""`` as it is.
    """

    template_fields: Sequence[str] = ("path", "path_conn_id", *ProfilesPushOperator.template_fields)

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
        **kwargs: Unpack[ProfileParameters],
    ) -> None:
        self.path = path
        self.path_conn_id = path_conn_id
        self.format = format
        self.header = header
        self.delimiter = delimiter
        self.encoding = encoding
        self.null_values = null_values
        super().__init__(**kwargs)
