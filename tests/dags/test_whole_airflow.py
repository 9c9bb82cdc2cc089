"""The deferred wait on a whole Airflow: scheduler, worker processes, triggerer and API server."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import local_airflow
import pytest

from airflow_provider_batch.sandbox import Sandbox
from tests.conftest import EXAMPLE_DAGS

API = "/api/v1" if local_airflow.AIRFLOW_2 else "/api/v2"
DAG = "example_custom_audience_wait"


@pytest.mark.airflow_server
def test_a_deferred_wait_ends_when_the_audience_is_indexed(tmp_path: Path) -> None:
    port = local_airflow.free_port()
    with Sandbox(local_airflow.AUDIENCES, apps=local_airflow.APPS.values(), indexing_delay=10.0) as sandbox:
        env = local_airflow.environment(tmp_path, EXAMPLE_DAGS, sandbox, port)
        with local_airflow.standalone(env, port, tmp_path / "standalone.log") as url:
            trigger(url)
            seen = states_until_the_end(url)
        log = "".join(path.read_text(errors="replace") for path in tmp_path.glob("logs/**/*.log"))

    assert seen["update"][-1] == "success", log[-8000:]
    assert "deferred" in seen["update"]
    assert sandbox.members("newsletter") == {"customer-2001", "customer-2002"}
    assert "2 added, 2 removed, 1 not needed" in log
    for private in ("sandbox-rest-key", "sandbox-app-key"):
        assert private not in log


def trigger(url: str) -> None:
    """Start the DAG as soon as the scheduler knows it."""
    run: dict[str, Any] = (
        {"dag_run_id": "r1"} if local_airflow.AIRFLOW_2 else {"dag_run_id": "r1", "logical_date": None}
    )
    give_up = time.monotonic() + 120
    while True:
        try:
            ask(f"{url}{API}/dags/{DAG}/dagRuns", run)
            return
        except OSError:
            if time.monotonic() > give_up:
                raise
        time.sleep(1)


def states_until_the_end(url: str) -> dict[str, list[str]]:
    """Return the states that each task was seen in, until the run has ended."""
    seen: dict[str, list[str]] = {}
    give_up = time.monotonic() + 240
    while time.monotonic() < give_up:
        for ti in ask(f"{url}{API}/dags/{DAG}/dagRuns/r1/taskInstances")["task_instances"]:
            states = seen.setdefault(ti["task_id"], [])
            if ti["state"] not in states[-1:]:
                states.append(ti["state"])
        if ask(f"{url}{API}/dags/{DAG}/dagRuns/r1")["state"] in ("success", "failed"):
            return seen
        time.sleep(0.5)
    raise AssertionError(f"the run did not end: {seen}")


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON behind *url*; a body makes it a POST."""
    encoded = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, encoded, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
