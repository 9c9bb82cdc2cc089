"""From a query to an audience."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack, cast

from airflow_provider_batch.operators.parameters import QueryParameters, RowsParameters
from airflow_provider_batch.transfers.query import QueryRows
from airflow_provider_batch.transfers.rows import RowsToCustomAudienceOperator


class SqlToCustomAudienceOperator(QueryRows, RowsToCustomAudienceOperator, takes=QueryParameters):
    """
    Push what a query returns to a custom audience of Batch, row by row and never held.

    The query runs over any connection of Airflow that has a DB-API hook (extra ``sql``), with a cursor on the server
    where the driver has one. A retry runs it again: on Airflow 3.3 and later only what is left is sent, if the rows
    come in the same order (``ORDER BY``); a replace starts again. Returns tokens and summary as
    :class:`~airflow_provider_batch.operators.custom_audience.CustomAudienceUpdateOperator`.

    :param sql: one query, or the path of a ``.sql`` file. (templated)
    :param conn_id: the connection to the database. (templated)
    :param parameters: values for the query's placeholders, which have the driver's own style. (templated)
    :param hook_params: passed on to the database's hook.
    """

    template_fields: Sequence[str] = (
        *("sql", "conn_id", "parameters", "snapshot_schema"),
        *RowsToCustomAudienceOperator.template_fields,
    )

    def __init__(
        self,
        *,
        sql: str,
        conn_id: str,
        parameters: Iterable[Any] | Mapping[str, Any] | None = None,
        hook_params: Mapping[str, Any] | None = None,
        **kwargs: Unpack[QueryParameters],
    ) -> None:
        self.sql = sql
        self.conn_id = conn_id
        self.parameters = parameters
        self.hook_params = hook_params
        self.snapshot_schema = kwargs.pop("snapshot_schema")
        self.keep_changes = kwargs.pop("keep_changes")
        super().__init__(**cast(RowsParameters, kwargs))

    def snapshot_arguments(self) -> dict[str, Any]:
        """Return the hook's arguments that choose where a mirror keeps its snapshot."""
        if not self.snapshot_schema:
            return super().snapshot_arguments()
        return {"snapshot_schema": self.snapshot_schema, "keep_changes": self.keep_changes}

    def confirmation_arguments(self) -> dict[str, Any]:
        """Return those that find it again."""
        from airflow_provider_batch.transfers.databases import database_hook

        if not self.snapshot_schema:
            return super().confirmation_arguments()
        return {"snapshot_schema": self.snapshot_schema, "database": database_hook(self.conn_id, self.hook_params)}
