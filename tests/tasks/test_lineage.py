"""What an operator answers OpenLineage's provider, without a whole DAG; tests/dags/test_lineage.py has one."""

from __future__ import annotations

from typing import Any

from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator
from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.triggers.custom_audience import IndexingEvent


def update(**arguments: Any) -> CustomAudienceUpdateOperator:
    return CustomAudienceUpdateOperator(task_id="update", audience_name="vip", **arguments)


def rows(operator: CustomAudienceUpdateOperator) -> int | None:
    (output,) = operator.get_openlineage_facets_on_complete(None).outputs
    assert (output.namespace, output.name) == ("batch://batch_default", "vip")
    statistics = output.outputFacets.get("outputStatistics")
    return statistics.rowCount if statistics else None


def test_rows_are_what_was_added_and_removed(batch_sandbox: Sandbox, context: Any) -> None:
    operator = update(add_ids=["a", "b", "a"], remove_ids=["c"])
    operator.execute(context)
    assert rows(operator) == 3
    assert operator.get_openlineage_facets_on_complete(None).inputs == []


def test_they_are_known_after_a_deferral(context: Any) -> None:
    operator = update(add_ids=["a"])
    counts = {"audience": "vip", "added": 5, "removed": 2, "duplicates": 0, "rejected": 0, "calls": 1}
    operator.execute_complete(context, IndexingEvent("finished", "vip", ("t",), counts=counts).to_payload())
    assert rows(operator) == 7


def test_what_was_not_sent_has_no_number() -> None:
    assert rows(update(add_ids=["a"])) is None  # of a task that failed, too, OpenLineage's provider asks this


def test_a_dry_run_has_no_output(batch_sandbox: Sandbox, context: Any) -> None:
    operator = update(add_ids=["a"], dry_run=True)
    operator.execute(context)
    assert operator.get_openlineage_facets_on_complete(None).outputs == []
