"""The link to the dashboard: what the task stores, and what the web server shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from airflow.serialization import serialized_objects

from airflow_provider_batch.links.batch import BatchDashboardLink
from airflow_provider_batch.operators.custom_audience import CustomAudienceListOperator, CustomAudienceUpdateOperator
from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor
from tests.worker import TaskInstance

OTHER_URL = "https://dashboard.example.com/apps/7?tab=audiences"


@pytest.fixture
def other_dashboard(batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection with a dashboard of its own."""
    connection = json.loads(batch_sandbox.connection_json())
    connection["extra"] = {**(connection.get("extra") or {}), "dashboard_url": OTHER_URL}
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", json.dumps(connection))


def tasks() -> list[Any]:
    return [
        CustomAudienceUpdateOperator(task_id="update", audience_name="vip", add_ids=["a"]),
        CustomAudienceIndexingSensor(task_id="indexed", audience_name="vip", indexing_tokens=["t"]),
        CustomAudienceListOperator(task_id="list"),
    ]


def test_every_task_stores_the_url_when_it_starts(batch_sandbox: Sandbox) -> None:
    for task in tasks():
        ti = TaskInstance()
        task.pre_execute({"ti": ti})
        assert ti.pushed == {"batch_dashboard": "https://dashboard.batch.com"}
    assert batch_sandbox.calls == []


def test_the_connection_can_name_another_dashboard(other_dashboard: None) -> None:
    ti = TaskInstance()
    tasks()[0].pre_execute({"ti": ti})
    assert ti.pushed == {"batch_dashboard": OTHER_URL}


@pytest.mark.parametrize("connection", [None, '{"conn_type": "batch"}', '{"conn_type": "batch", "extra": {"a": 1}}'])
def test_an_unusable_connection_is_left_to_the_task(connection: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_NOWHERE", connection)
    ti = TaskInstance()
    task: Any = CustomAudienceListOperator(task_id="list", batch_conn_id="batch_nowhere")
    task.pre_execute({"ti": ti})
    assert ti.pushed == {}


def test_the_web_server_restores_the_link_from_a_serialized_dag() -> None:
    serialization: Any = serialized_objects
    stored = getattr(serialization, "DagSerialization", None) or serialization.SerializedDAG
    with DAG("linked", schedule=None) as dag:
        tasks()
    written = json.dumps(stored.to_dict(dag))
    assert "hooks.batch" not in written
    restored = stored.from_dict(json.loads(written))
    for task_id in ("update", "indexed", "list"):
        (link,) = restored.get_task(task_id).operator_extra_links
        assert link.name == "Batch dashboard"
        assert getattr(link, "xcom_key", BatchDashboardLink.xcom_key) == "batch_dashboard"
