"""The parameters that the operators for profiles share: name, type and default of each, and what they mean."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from airflow_provider_batch.operators.parameters import FileParameters, QueryParameters
from airflow_provider_batch.protocol.arguments import Nulls, OnGone, OnInvalidId, ProfileMode, RouteName
from airflow_provider_batch.tasks.airflow_arguments import AirflowArguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath


class ProfileParameters(AirflowArguments, total=False):
    """
    The parameters of every operator that writes attributes of profiles.

    :param mode: ``update`` sends every row, ``changed`` only those that differ from what was sent before.
    :param id_column: the column, or the field of a row, with the custom id.
    :param attribute_columns: the columns to send, or a dict from these columns to the attributes' names; None for all.
        ``date__x`` becomes ``date(x)``, ``url__x`` ``url(x)`` and ``batch__email_address`` ``$email_address``, unless a
        dict names the attribute; ``last_updated_at`` is never sent.
    :param nulls: ``keep`` leaves a missing value out, ``clear`` sends null, which deletes the attribute at Batch.
    :param batch_conn_id: the Airflow connection to a project of the Customer Engagement Platform. (templated)
    :param route: ``update``, ``mass-update``, or ``auto``: the latter for more than 1,000 profiles.
    :param chunk_size: profiles in one call; None for as many as the route takes, 200 or 10,000.
    :param max_concurrency: calls in flight, at most 64; None for the connection's setting.
    :param on_invalid_id: ``fail`` before anything is sent, or ``skip`` the rows that are not valid and report them.
    :param rejects_path: a file for rejected rows, as JSON lines with place, reason and row: those that are skipped, and
        those that Batch rejects in part. The file holds ids and values. Each of several mapped tasks needs one of its
        own: ``{{ ti.map_index }}``. (templated)
    :param max_rejected: how many rows may be skipped or rejected in part: a count (int) or a share of all (float). With
        more the task fails, after everything else was sent. None for any number.
    :param skip_on_empty: skip the task when there is nothing to send, instead of succeeding.
    :param snapshot_path: mode ``changed``: a folder for what was sent, local or in any storage that Airflow's
        ObjectStoragePath supports, that all workers can reach. Another table needs another one. (templated)
    :param on_gone: mode ``changed``: ``keep`` leaves a profile as it is whose row has gone, ``clear`` deletes from it
        the attributes that this mirror has set on it.
    :param full_refresh: mode ``changed``: send every row, and begin the snapshot anew. (templated)
    :param allow_empty: accept a source without rows in mode ``changed``, and files without a single byte in any mode;
        otherwise the task fails. (templated)
    :param max_shrink: mode ``changed``: how much fewer profiles there may be, a share of the last ones (float, 0.0 to
        1.0) or a count (int). None for any. (templated)
    :param max_changes: mode ``changed``: how many profiles may be sent, a share of the last ones (float) or a count
        (int); not for a first run. None for any. (templated)
    :param dry_run: check and count everything, and send nothing.
    """

    mode: Annotated[ProfileMode, "update"]
    id_column: Annotated[str | int, "custom_id"]
    attribute_columns: Annotated[Sequence[str | int] | Mapping[str | int, str] | None, None]
    nulls: Annotated[Nulls, "keep"]
    batch_conn_id: Annotated[str, "batch_default"]
    route: Annotated[RouteName, "auto"]
    chunk_size: Annotated[int | None, None]
    max_concurrency: Annotated[int | None, None]
    on_invalid_id: Annotated[OnInvalidId, "fail"]
    rejects_path: Annotated["str | ObjectStoragePath | None", None]
    max_rejected: Annotated[float | None, None]
    skip_on_empty: Annotated[bool, False]
    snapshot_path: Annotated["str | ObjectStoragePath | None", None]
    on_gone: Annotated[OnGone, "keep"]
    full_refresh: Annotated[bool | str, False]
    allow_empty: Annotated[bool | str, False]
    max_shrink: Annotated[float | str | None, None]
    max_changes: Annotated[float | str | None, None]
    dry_run: Annotated[bool, False]


class ProfileFileParameters(FileParameters, ProfileParameters, total=False):
    """The parameters of an operator that writes attributes of profiles from the rows of files."""


class ProfileQueryParameters(QueryParameters, ProfileParameters, total=False):
    """
    The further parameters of an operator that writes attributes of profiles from the rows of a query.

    :param snapshot_schema: mode ``changed``, instead of ``snapshot_path``: a schema of the query's database, such as
        ``analytics_batch`` or ``catalog.schema``, in which the connection may create tables. The snapshot is kept and
        compared there, and only the rows that differ are read. Each task has tables of its own, named by the ids of its
        DAG and of the task. (templated)
    """

    snapshot_schema: Annotated[str | None, None]
