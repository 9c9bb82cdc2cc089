"""What a task reports about the files that it has written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.tasks.batch import is_mapped

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage


def check_own_path(context: Context) -> None:
    """
    Check that the task is not one of several mapped ones that write to the same path.

    :raises InvalidArgumentError: if it is.
    """
    if not is_mapped(context):
        return
    from airflow_provider_batch.tasks.mapped import Expansion

    if Expansion.of(context).shares("path"):
        raise InvalidArgumentError(
            "path: each of these mapped tasks would overwrite the files of the others. Give each task a path of its "
            "own, with {{ ti.map_index }} in it."
        )


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file and how many rows it has; ``path`` is Airflow's ObjectStoragePath."""

    path: Any
    rows: int


def file_dataset(path: Any) -> tuple[str, str]:
    """Return namespace and name as OpenLineage names files: https://openlineage.io/docs/spec/naming"""
    if path.protocol in ("", "file"):
        return "file", path.path
    return f"{path.protocol}://{path.bucket.rpartition('@')[2]}", path.key or "/"


def files_lineage(files: Sequence[WrittenFile]) -> OperatorLineage[Any, Any]:
    """Return the files as outputs, with the number of their rows."""
    from airflow.providers.common.compat.openlineage.facet import OutputDataset, OutputStatisticsOutputDatasetFacet
    from airflow.providers.openlineage.extractors import OperatorLineage

    outputs = []
    for file in files:
        namespace, name = file_dataset(file.path)
        statistics: dict[str, Any] = {"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=file.rows)}
        outputs.append(OutputDataset(namespace=namespace, name=name, outputFacets=statistics))
    return OperatorLineage(outputs=outputs)


def report_files(operator: Any, context: Context, files: Sequence[WrittenFile], summary: Mapping[str, Any]) -> None:
    """
    Report the files to Airflow's collector of lineage, and add the counts to the events of the task's outlets.

    :param summary: the counts.
    """
    from airflow_provider_batch.hooks.lineage import report_file

    for file in files:
        namespace, name = file_dataset(file.path)
        report_file(operator.hook, f"file://{name}" if namespace == "file" else f"{namespace}/{name}")
    events: Any = context.get("outlet_events")
    for outlet in operator.outlets or () if events is not None else ():
        events[outlet].extra.update(summary)
