"""From a query to profiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack, cast

from airflow_provider_batch.operators.profile_parameters import ProfileParameters, ProfileQueryParameters
from airflow_provider_batch.operators.profiles import ProfilesPushOperator
from airflow_provider_batch.transfers.query import QueryRows


class SqlToProfilesOperator(QueryRows, ProfilesPushOperator, takes=ProfileQueryParameters):
    """
    Set attributes of Batch's profiles from the rows of a query: one column is the id, the others are attributes.

    The query runs over any connection of Airflow that has a DB-API hook (extra ``sql``), with a cursor on the server
    where the driver has one. Returns the summary as
    :class:`~airflow_provider_batch.operators.profiles.ProfilesUpdateOperator`.

    :param sql: one query, or the path of a ``.sql`` file. (templated)
    :param conn_id: the connection to the database. (templated)
    :param parameters: values for the query's placeholders, which have the driver's own style. (templated)
    :param hook_params: passed on to the database's hook.
    """

    template_fields: Sequence[str] = (
        *("sql", "conn_id", "parameters", "snapshot_schema"),
        *ProfilesPushOperator.template_fields,
    )

    def __init__(
        self,
        *,
        sql: str,
        conn_id: str,
        parameters: Iterable[Any] | Mapping[str, Any] | None = None,
        hook_params: Mapping[str, Any] | None = None,
        **kwargs: Unpack[ProfileQueryParameters],
    ) -> None:
        self.sql = sql
        self.conn_id = conn_id
        self.parameters = parameters
        self.hook_params = hook_params
        self.snapshot_schema = kwargs.pop("snapshot_schema")
        super().__init__(**cast(ProfileParameters, kwargs))

    def snapshot_arguments(self) -> dict[str, Any]:
        """Return the hook's arguments that choose where the snapshot is kept."""
        if not self.snapshot_schema:
            return super().snapshot_arguments()
        return {"snapshot_schema": self.snapshot_schema, "snapshot_name": f"{self.dag_id}.{self.task_id}"}
