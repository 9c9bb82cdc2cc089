"""From a query to profiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from airflow_provider_batch.operators.profile_parameters import ProfileQueryParameters
from airflow_provider_batch.operators.profiles import ProfilesPushOperator
from airflow_provider_batch.transfers.query import QueryRows


class SqlToProfilesOperator(QueryRows, ProfilesPushOperator, takes=ProfileQueryParameters):
    """
    Set attributes of Batch's profiles from the rows of a query: one column is the id, the others are attributes.

    The query runs over any connection of Airflow that has a DB-API hook (extra ``sql``), with a cursor on the server
    where the driver has one. Returns the summary as
    :class:`~airflow_provider_batch.operators.profiles.ProfilesUpdateOperator`.
    """

    template_fields: Sequence[str] = (*QueryRows.template_fields, *ProfilesPushOperator.template_fields)

    def __init__(self, **kwargs: Unpack[ProfileQueryParameters]) -> None:
        super().__init__(**kwargs)

    def snapshot_arguments(self) -> dict[str, Any]:
        """Return the hook's arguments that choose where the snapshot is kept."""
        if self.snapshot_schema is None:
            return super().snapshot_arguments()
        return {"snapshot_schema": self.snapshot_schema, "snapshot_name": f"{self.dag_id}.{self.task_id}"}
