"""The parameters that several operators share: name, type and default of each, and below them what they mean."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, Any, Final, Required

from airflow.providers.common.compat.sdk import conf

from airflow_provider_batch.protocol.arguments import (
    FileFormat,
    FirstRun,
    MappedBy,
    Mode,
    OnDrift,
    OnInvalidId,
    OnRejectedChunk,
)
from airflow_provider_batch.tasks.airflow_arguments import AirflowArguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

_REQUIRED: Final = Parameter.empty
_DEFERRABLE: Final = conf.getboolean("operators", "default_deferrable", fallback=False)


class PushParameters(AirflowArguments, total=False):
    """
    The parameters of every operator that pushes ids to one audience.

    :param audience_name: an existing audience: letters, digits, ``_`` and ``-``, at most 255. (templated)
    :param audience_type: ``custom_ids``; on the Mobile Engagement Platform also ``advertising_ids`` or
        ``install_ids``. (templated)
    :param batch_conn_id: the Airflow connection. (templated)
    :param create_if_missing: create the audience first if the list of audiences does not have it.
    :param chunk_size: ids in one call, at most 10,000.
    :param max_concurrency: calls in flight, at most 64; None for the connection's setting.
    :param on_invalid_id: ``fail`` before anything is sent, or ``skip`` what is not a valid id and report it.
    :param trim_ids: remove the blanks around every id. Otherwise they belong to it, and a warning counts such ids.
    :param on_rejected_chunk: ``fail`` when Batch rejects a call (400), or ``bisect``: send it in ever smaller parts
        until the rejected ids stand alone, send the rest, and report their positions.
    :param max_rejected: how many skipped or rejected values are tolerated: a count (int) or a share of all (float).
        With more the task fails, after everything else was sent. None for any number.
    :param skip_on_empty: skip the task when there is nothing to send, instead of succeeding.
    :param deferrable: wait for the indexing in the triggerer instead of the worker.
    :param poke_interval: the longest pause between two views of the state, in seconds or as a timedelta; the first
        takes one second, and each twice as long as the one before.
    :param indexing_timeout: how long to wait before the task fails, in seconds or as a timedelta.
    :param wait_for_indexing: wait until Batch has indexed every call; in mode ``mirror`` this is the default.
    :param dry_run: check and count everything, and send nothing.
    :param mapped_by: for mapped tasks that add and remove: ``id`` promises that all rows of an id are in one of them,
        ``audience`` that no two push to the same audience over the same connection, which needs no promise where the
        tasks are mapped over nothing else. Without a promise they are refused.
    """

    audience_name: Annotated[Required[str], _REQUIRED]
    audience_type: Annotated[str, "custom_ids"]
    batch_conn_id: Annotated[str, "batch_default"]
    create_if_missing: Annotated[bool, False]
    chunk_size: Annotated[int, 10_000]
    max_concurrency: Annotated[int | None, None]
    on_invalid_id: Annotated[OnInvalidId, "fail"]
    trim_ids: Annotated[bool, False]
    on_rejected_chunk: Annotated[OnRejectedChunk, "fail"]
    max_rejected: Annotated[float | None, None]
    skip_on_empty: Annotated[bool, False]
    deferrable: Annotated[bool, _DEFERRABLE]
    poke_interval: Annotated[float | timedelta, 10]
    indexing_timeout: Annotated[float | timedelta, 3600]
    dry_run: Annotated[bool, False]
    mapped_by: Annotated[MappedBy | None, None]


class ReplaceParameters(PushParameters, total=False):
    """
    The further parameters of an operator that makes ids the only members of an audience.

    :param rejects_path: a file for rejected rows, as JSON lines with place, reason and value: with
        ``on_invalid_id="skip"`` or ``on_rejected_chunk="bisect"``. The file holds ids. Each of several mapped tasks
        needs one of its own: ``{{ ti.map_index }}``. (templated)
    :param allow_empty: accept a source without ids in the modes ``replace`` and ``mirror``, which then removes all
        members, and files without a single byte in every mode; otherwise the task fails. (templated)
    :param max_shrink: how much smaller the modes ``replace`` and ``mirror`` may make the audience: a share of it
        (float, 0.0 to 1.0) or a count (int). None for any. (templated)
    """

    rejects_path: Annotated["str | ObjectStoragePath | None", None]
    allow_empty: Annotated[bool | str, False]
    max_shrink: Annotated[float | str | None, None]


class MirrorParameters(ReplaceParameters, total=False):
    """
    The further parameters of an operator that mirrors ids to an audience.

    :param first_run: mode ``mirror`` without a snapshot: ``add``, so that members that Batch already has stay, or
        ``replace``.
    :param full_refresh: mode ``mirror``: replace the audience as a whole and begin the snapshot anew. (templated)
    :param is_sorted: mode ``mirror``: promise that the ids ascend in the order of their code points (in SQL
        ``ORDER BY id COLLATE "C"``, or as your database calls it); they are then merged as a stream. More than a
        million ids that are not sorted are sorted by DuckDB (extra ``mirror``).
    :param max_changes: mode ``mirror``: how many ids may be sent, a share of the last set (float) or a count (int);
        not for a first run. None for any. (templated)
    :param on_drift: mode ``mirror``, after a wait: ``warn``, ``fail`` or ``ignore`` if Batch has another number of ids
        than the snapshot.
    """

    first_run: Annotated[FirstRun, "add"]
    full_refresh: Annotated[bool | str, False]
    is_sorted: Annotated[bool, False]
    max_changes: Annotated[float | str | None, None]
    on_drift: Annotated[OnDrift, "warn"]


class SourceParameters(MirrorParameters, total=False):
    """
    The further parameters of an operator that pushes what a source yields, in any mode.

    :param mode: ``add``, ``remove``, ``actions``, ``replace`` or ``mirror``.
    :param snapshot_path: mode ``mirror``: a folder, local or in any storage that Airflow's ObjectStoragePath supports,
        that all workers can reach. (templated)
    """

    mode: Annotated[Mode, "add"]
    snapshot_path: Annotated["str | ObjectStoragePath | None", None]
    wait_for_indexing: Annotated[bool | None, None]


class RowsParameters(SourceParameters, total=False):
    """
    The further parameters of an operator that pushes rows with columns.

    :param id_column: the column with the ids; may be left out if no other parameter leaves more than one column. In a
        file that may have no header, its name must then look like one: ``id``, ``customer_id``, ``userId``, …
    :param action_column: mode ``actions``: the column that holds ``add`` or ``remove``.
    :param attribute_columns: the columns with attributes (API 1.1 and 2.x), or a dict from these columns to the
        attributes' names. NULL and, in a file, an empty cell are left out.
    :param tags_column: the column with tags (API 1.1): a list, a JSON array, or text with commas between the tags.
    """

    id_column: Annotated[str | int | None, None]
    action_column: Annotated[str | int | None, None]
    attribute_columns: Annotated[Sequence[str | int] | Mapping[str | int, str] | None, None]
    tags_column: Annotated[str | int | None, None]


class FileParameters(AirflowArguments, total=False):
    """
    The parameters of every operator that reads files.

    :param path: a file, a folder, or a glob such as ``s3://bucket/segments/part-*.csv.gz``; local, or any storage that
        Airflow's ObjectStoragePath supports. (templated)
    :param path_conn_id: the connection to the storage, where the path does not name it
        (``s3://my_conn@bucket/…``). (templated)
    :param format: ``csv``, ``jsonl`` or ``parquet`` (extra ``parquet``), for an audience also ``txt`` (one id a line);
        by default the suffix decides. All but ``parquet`` may be followed by ``.gz``.
    :param header: whether the first row of a CSV file names its columns; otherwise they are called 1, 2, …
    :param delimiter: one character between the cells of a CSV file.
    :param encoding: the encoding of all files but Parquet.
    :param null_values: the texts of cells that mean a missing value, such as ``["", "NULL", "#N/A"]``. JSON lines and
        Parquet take ``""`` as it is.
    """

    path: Annotated[Required["str | ObjectStoragePath"], _REQUIRED]
    path_conn_id: Annotated[str | None, None]
    format: Annotated[FileFormat | None, None]
    header: Annotated[bool, True]
    delimiter: Annotated[str, ","]
    encoding: Annotated[str, "utf-8"]
    null_values: Annotated[Sequence[str], ("",)]


class FileRowsParameters(FileParameters, RowsParameters, total=False):
    """The parameters of an operator that pushes the rows of files."""


class QueryParameters(AirflowArguments, total=False):
    """
    The parameters of every operator that runs a query.

    :param sql: one query, or the path of a ``.sql`` file. (templated)
    :param conn_id: the connection to the database. (templated)
    :param parameters: values for the query's placeholders, which have the driver's own style. (templated)
    :param hook_params: passed on to the database's hook.
    """

    sql: Annotated[Required[str], _REQUIRED]
    conn_id: Annotated[Required[str], _REQUIRED]
    parameters: Annotated[Iterable[Any] | Mapping[str, Any] | None, None]
    hook_params: Annotated[Mapping[str, Any] | None, None]


class QueryRowsParameters(QueryParameters, RowsParameters, total=False):
    """
    The further parameters of an operator that pushes the rows of a query.

    :param snapshot_schema: mode ``mirror``, instead of ``snapshot_path``: a schema of the query's database, such as
        ``analytics_batch`` or ``catalog.schema``, in which the connection may create tables. The snapshot is kept and
        compared there, and only what changed is read. (templated)
    :param keep_changes: with ``snapshot_schema``: for how many days a table there keeps who entered, left or was
        rejected in each run; 0 for no such table.
    """

    snapshot_schema: Annotated[str | None, None]
    keep_changes: Annotated[int, 0]
