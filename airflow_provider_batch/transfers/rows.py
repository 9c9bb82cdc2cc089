"""What the transfers share: rows whose columns say what is to be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_batch.operators.modes import SourcePushOperator

if TYPE_CHECKING:
    from airflow_provider_batch.sources.columns import Columns


class RowsToCustomAudienceOperator(SourcePushOperator):
    """
    An operator that pushes the rows of a source with columns.

    :param id_column: the column with the ids; may be left out where it is the only one. In a file that may have no
        header it has to be called like one: ``id``, ``customer_id``, ``userId``, …
    :param action_column: for ``mode="actions"``: the column that says ``add`` or ``remove``.
    :param attribute_columns: the columns with attributes (API 1.1 and 2.x), or these and the attributes' names. NULL
        and, in a file, an empty cell are left out.
    :param tags_column: the column with tags (API 1.1): a list, a JSON array, or text with commas.

    The other parameters are those of :class:`~airflow_provider_batch.operators.modes.SourcePushOperator` and
    :class:`~airflow_provider_batch.operators.push.PushOperator`.
    """

    def __init__(
        self,
        *,
        id_column: str | int | None = None,
        action_column: str | int | None = None,
        attribute_columns: Sequence[str | int] | Mapping[str | int, str] | None = None,
        tags_column: str | int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (self.mode == "actions") is not (action_column is not None):
            raise ValueError("action_column: mode='actions' needs one, and no other mode has a use for it")
        self.id_column = id_column
        self.action_column = action_column
        self.attribute_columns = attribute_columns
        self.tags_column = tags_column

    def columns(self) -> Columns:
        """Return which columns are read."""
        from airflow_provider_batch.sources.columns import Columns

        return Columns(self.id_column, self.action_column, self.attribute_columns, self.tags_column)
