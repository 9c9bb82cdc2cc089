"""From a query to an audience."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from airflow_provider_batch.operators.parameters import QueryRowsParameters
from airflow_provider_batch.transfers.query import QueryRows
from airflow_provider_batch.transfers.rows import RowsToCustomAudienceOperator


class SqlToCustomAudienceOperator(QueryRows, RowsToCustomAudienceOperator, takes=QueryRowsParameters):
    """
    Push what a query returns to a custom audience of Batch, row by row and never held.

    The query runs over any connection of Airflow that has a DB-API hook (extra ``sql``), with a cursor on the server
    where the driver has one. A retry runs it again: on Airflow 3.3 and later only what is left is sent, if the rows
    come in the same order (``ORDER BY``); a replace starts again. Returns tokens and summary as
    :class:`~airflow_provider_batch.operators.custom_audience.CustomAudienceUpdateOperator`.
    """

    template_fields: Sequence[str] = (*QueryRows.template_fields, *RowsToCustomAudienceOperator.template_fields)

    def __init__(self, **kwargs: Unpack[QueryRowsParameters]) -> None:
        self.keep_changes = kwargs.pop("keep_changes")
        super().__init__(**kwargs)

    def snapshot_arguments(self) -> dict[str, Any]:
        """Return the hook's arguments that choose where a mirror keeps its snapshot."""
        if self.snapshot_schema is None:
            return super().snapshot_arguments()
        return {"snapshot_schema": self.snapshot_schema, "keep_changes": self.keep_changes}

    def confirmation_arguments(self) -> dict[str, Any]:
        """Return the hook's arguments that find the snapshot again, once its writes are indexed."""
        from airflow_provider_batch.transfers.databases import database_hook

        if self.snapshot_schema is None:
            return super().confirmation_arguments()
        return {"snapshot_schema": self.snapshot_schema, "database": database_hook(self.conn_id, self.hook_params)}
