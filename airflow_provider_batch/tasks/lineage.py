"""What OpenLineage is told of an audience; imported only where its provider asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


def audience_lineage(
    batch_conn_id: str, audience_name: str, *, rows: int | None, inputs: Sequence[Any] = (), written: bool = True
) -> OperatorLineage[Any, Any]:
    """
    Return the audience as the one output, unless it was not *written*.

    :param rows: how many were written, or are there; None if nobody knows.
    :param inputs: OpenLineage's datasets that the ids come from.
    """
    from airflow.providers.common.compat.openlineage.facet import OutputDataset, OutputStatisticsOutputDatasetFacet
    from airflow.providers.openlineage.extractors import OperatorLineage

    statistics: dict[str, Any] = (
        {} if rows is None else {"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=rows)}
    )
    # The same names as convert_asset_to_openlineage gives, so that a task and an asset are one dataset.
    audience = OutputDataset(namespace=f"batch://{batch_conn_id}", name=audience_name, outputFacets=statistics)
    return OperatorLineage(inputs=list(inputs), outputs=[audience] if written else [])
