"""What is reported about the files of exports and statistics: to outlets, to OpenLineage, to the collector."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, ObjectStoragePath

from airflow_provider_batch.hooks import lineage
from airflow_provider_batch.operators.exports import ProfilesExportOperator
from airflow_provider_batch.operators.statistics import OrchestrationStatsOperator
from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.tasks.files import file_dataset

ROWS = [{"custom_id": "jane@example.com"}, {"custom_id": "b"}]
TODAY = datetime.now(UTC).date()


class Events:
    """One for each outlet, by its URI: in Airflow 3.0, an outlet has no hash."""

    def __init__(self) -> None:
        self._events: defaultdict[str, Any] = defaultdict(lambda: SimpleNamespace(extra={}))

    def __getitem__(self, outlet: Any) -> Any:
        return self._events[outlet.uri]


@pytest.fixture
def events(context: Any) -> Events:
    context["outlet_events"] = Events()
    return context["outlet_events"]  # type: ignore[no-any-return]


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the collector is told, as if a plugin read it."""
    calls: list[dict[str, Any]] = []
    collector = SimpleNamespace(add_output_asset=lambda **given: calls.append(given))
    monkeypatch.setattr(lineage, "_is_read", lambda: True)
    monkeypatch.setattr("airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", lambda: collector)
    return calls


def test_the_files_of_an_export_are_reported_with_their_rows(
    batch_sandbox: Sandbox, context: Any, events: Events, reported: list[dict[str, Any]], tmp_path: Path
) -> None:
    batch_sandbox.export_records(ROWS)
    asset = Asset("s3://bucket/profiles")
    operator = ProfilesExportOperator(task_id="export", path=str(tmp_path), batch_conn_id="batch_cep", outlets=[asset])
    operator.execute(context)
    file = tmp_path / "attributes-00001.jsonl.gz"
    assert {name: events[asset].extra[name] for name in ("rows", "parts")} == {"rows": 2, "parts": 1}
    (output,) = operator.get_openlineage_facets_on_complete(None).outputs
    assert (output.namespace, output.name) == ("file", str(file))
    assert output.outputFacets["outputStatistics"].rowCount == 2
    assert [(given["context"], given["uri"]) for given in reported] == [(operator.hook, f"file://{file}")]
    assert "jane" not in json.dumps([events[asset].extra, reported[0]["uri"]])


def test_the_file_of_statistics_is_reported_with_its_rows(
    batch_sandbox: Sandbox, context: Any, events: Events, reported: list[dict[str, Any]], tmp_path: Path
) -> None:
    asset = Asset("s3://bucket/statistics")
    arguments: dict[str, Any] = {"batch_conn_id": "batch_cep", "since": TODAY, "outlets": [asset]}
    operator = OrchestrationStatsOperator(task_id="stats", path=f"{tmp_path}/day.jsonl", **arguments)
    operator.execute(context)
    (output,) = operator.get_openlineage_facets_on_complete(None).outputs
    assert (output.name, output.outputFacets["outputStatistics"].rowCount) == (str(tmp_path / "day.jsonl"), 5)
    assert [given["uri"] for given in reported] == [f"file://{tmp_path}/day.jsonl"]
    assert events[asset].extra["rows"] == 5

    rows_alone = OrchestrationStatsOperator(task_id="stats", **arguments)
    rows_alone.execute(context)
    assert rows_alone.get_openlineage_facets_on_complete(None).outputs == []
    assert len(reported) == 1


def test_a_reader_that_breaks_does_not_break_the_task(
    batch_sandbox: Sandbox, context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken() -> bool:
        raise RuntimeError("a plugin of somebody")

    monkeypatch.setattr(lineage, "_is_read", broken)
    batch_sandbox.export_records(ROWS)
    operator = ProfilesExportOperator(task_id="export", path=str(tmp_path), batch_conn_id="batch_cep")
    assert len(operator.execute(context)) == 1


def test_a_file_in_a_store_is_named_without_its_connection(s3: Any) -> None:
    path = ObjectStoragePath("s3://aws_default@bucket/profiles/attributes-00001.jsonl.gz")
    assert file_dataset(path) == ("s3://bucket", "profiles/attributes-00001.jsonl.gz")
