"""The lineage of an audience for OpenLineage; imported only if its provider is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


def audience_lineage(
    batch_conn_id: str, audience_name: str, *, rows: int | None, inputs: Sequence[Any] = (), written: bool = True
) -> OperatorLineage[Any, Any]:
    """
    Return the audience as the one output, or no output if it was not *written*.

    :param rows: the number of ids that were written, or that the audience has; None if unknown.
    :param inputs: the datasets of OpenLineage that the ids come from.
    """
    from airflow.providers.common.compat.openlineage.facet import OutputDataset, OutputStatisticsOutputDatasetFacet
    from airflow.providers.openlineage.extractors import OperatorLineage

    statistics: dict[str, Any] = (
        {} if rows is None else {"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=rows)}
    )
    # The same names as in convert_asset_to_openlineage, so that a task and an asset name the same dataset.
    audience = OutputDataset(namespace=f"batch://{batch_conn_id}", name=audience_name, outputFacets=statistics)
    return OperatorLineage(inputs=list(inputs), outputs=[audience] if written else [])
