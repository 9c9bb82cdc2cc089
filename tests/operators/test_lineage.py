"""What an operator answers OpenLineage's provider, without a whole DAG; tests/dags/test_lineage.py has one."""

from __future__ import annotations

from typing import Any

import pytest

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
    counts = {"added": 5, "removed": 2}
    operator.execute_complete(context, IndexingEvent("finished", "vip", ("t",), counts=counts).to_payload())
    assert rows(operator) == 7


@pytest.mark.parametrize("dry_run", [True, False])
def test_nothing_is_told_of_what_was_not_sent(dry_run: bool, batch_sandbox: Sandbox, context: Any) -> None:
    operator = update(add_ids=["a"], dry_run=dry_run)
    if dry_run:
        operator.execute(context)
    assert rows(operator) is None  # of a task that failed, too, OpenLineage's provider asks this
