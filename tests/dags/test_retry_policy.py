"""A real retry by the policy: Batch's wait takes the place of the task's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.dags.running import run
from tests.dags.test_example_dags import load
from tests.retries.test_policy import needs_policies

DAG_FILE = Path(__file__).parent / "retry_dags" / "wait_as_asked.py"


@needs_policies
@pytest.mark.usefixtures("airflow_db")
def test_the_retry_comes_when_batch_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox() as sandbox:
        connection = json.loads(sandbox.connection_json())
        connection["extra"] = {"max_attempts": 1}  # or the hook itself would wait
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", json.dumps(connection))
        sandbox.faults(Fault(429, {"Retry-After": "3"}))
        run(load(DAG_FILE))

    refused, accepted = sandbox.calls
    assert (refused.status, accepted.status) == (429, 201)
    assert 3 <= accepted.at - refused.at < 600
