"""What OpenLineage's own provider writes of a DAG's run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.sandbox import Sandbox

DAG_FILE = Path(__file__).parent / "lineage_dags" / "tell_lineage.py"


@pytest.fixture(scope="module")
def ended(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The event of each task's end, by its name."""
    written = tmp_path_factory.mktemp("openlineage") / "events.jsonl"
    with Sandbox(audiences=("vip", "newsletter"), indexing_delay=0.5) as sandbox:
        sandbox.export_records([{"custom_id": "id-2"}, {"custom_id": "id-4"}])
        environment = {
            **os.environ,
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAG_FILE.parent),
            "AIRFLOW_CONN_BATCH_DEFAULT": sandbox.connection_json(),
            "AIRFLOW_CONN_BATCH_CEP": sandbox.connection_json("project_sandbox"),
            "AIRFLOW_VAR_BATCH_RESULTS": str(written.parent / "results"),
            # Decided as Airflow starts, so in a process of its own.
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(written), "append": True}
            ),
        }
        program = "import runpy, sys; run = runpy.run_path(sys.argv[1])['dag'].test(); sys.exit(run.state != 'success')"
        run = subprocess.run(
            [sys.executable, "-c", program, DAG_FILE], env=environment, capture_output=True, text=True, timeout=240
        )
    assert run.returncode == 0, (run.stdout + run.stderr)[-4000:]
    events = [json.loads(line) for line in written.read_text("utf-8").splitlines()]
    return {event["job"]["name"]: event for event in events if event["eventType"] == "COMPLETE"}


def test_a_push_has_its_source_as_input_and_the_audience_as_output(ended: dict[str, Any]) -> None:
    event = ended["tell_lineage.push"]
    assert named(event["inputs"]) == [("postgres://warehouse:5432", "crm.public.customers")]
    assert named(event["outputs"]) == [("batch://batch_default", "vip")]
    assert statistics(event) == 3


def test_the_sensor_tells_how_many_ids_there_are(ended: dict[str, Any]) -> None:
    event = ended["tell_lineage.indexed"]
    assert named(event["outputs"]) == [("batch://batch_default", "vip")]
    assert statistics(event) == 2


def test_a_push_by_the_hook_is_told_by_the_collector(ended: dict[str, Any]) -> None:
    event = ended["tell_lineage.by_hook"]
    assert named(event["outputs"]) == [("batch://batch_default", "newsletter")]


def test_an_export_has_its_files_as_outputs(ended: dict[str, Any]) -> None:
    event = ended["tell_lineage.export"]
    (name,) = [name for namespace, name in named(event["outputs"]) if namespace == "file"]
    assert name.endswith("/results/attributes-00001.jsonl.gz")
    counts = [output["outputFacets"].get("outputStatistics", {}).get("rowCount") for output in event["outputs"]]
    assert 2 in counts


def test_a_dry_run_has_no_output(ended: dict[str, Any]) -> None:
    assert ended["tell_lineage.dry"]["outputs"] == []


def test_neither_ids_nor_keys_are_told(ended: dict[str, Any]) -> None:
    assert {"tell_lineage.push", "tell_lineage.by_hook", "tell_lineage.export"} <= ended.keys()
    told = json.dumps(ended)
    assert "batch://batch_default" in told
    for private in ("sandbox-rest-key", "sandbox-app-key", "id-2", "id-4"):
        assert private not in told


def named(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def statistics(event: dict[str, Any]) -> int:
    (output,) = event["outputs"]
    rows: int = output["outputFacets"]["outputStatistics"]["rowCount"]
    return rows
