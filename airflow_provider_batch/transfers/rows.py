"""What the transfers share: the columns of their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, cast

from airflow_provider_batch.operators.modes import SourcePushOperator
from airflow_provider_batch.operators.parameters import RowsParameters, SourceParameters

if TYPE_CHECKING:
    from airflow_provider_batch.sources.columns import Columns


class RowsToCustomAudienceOperator(SourcePushOperator, takes=RowsParameters):
    """
    An operator that pushes the rows of a source with columns.
    """

    def __init__(self, **kwargs: Unpack[RowsParameters]) -> None:
        self.id_column = kwargs.pop("id_column")
        self.action_column = kwargs.pop("action_column")
        self.attribute_columns = kwargs.pop("attribute_columns")
        self.tags_column = kwargs.pop("tags_column")
        super().__init__(**cast(SourceParameters, kwargs))

    def columns(self) -> Columns:
        """Return the names of the columns to read."""
        from airflow_provider_batch.sources.columns import Columns

        return Columns(self.id_column, self.action_column, self.attribute_columns, self.tags_column)
