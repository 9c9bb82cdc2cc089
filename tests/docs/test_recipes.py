"""The recipes when things go wrong: that they alert, stop, skip or ask is what they are for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.docs.pages import blocks
from tests.docs.running import run_dags, states
from tests.docs.test_blocks import sandbox, with_data  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("airflow_db")

Run = Callable[..., Any]


def recipe(dag_id: str) -> str:
    """Return the one block of code with this DAG."""
    (code,) = (block.code for block in blocks() if block.language == "python" and f'"{dag_id}"' in block.code)
    return code


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a recipe, and return its DAG run."""

    def run(dag_id: str, **options: str) -> Any:
        (dag_run,) = run_dags(with_data(recipe(dag_id), tmp_path), tmp_path, **options)
        return dag_run

    return run


@pytest.fixture
def warehouse(sandbox: Sandbox, tmp_path: Path) -> Callable[[str], None]:  # noqa: F811
    """Change the warehouse of the pages."""

    def execute(statement: str) -> None:
        with closing(sqlite3.connect(tmp_path / "warehouse.db")) as database, database:
            database.execute(statement)

    return execute


def test_too_many_rejects_call(run: Run, warehouse: Callable[[str], None], sandbox: Sandbox, tmp_path: Path) -> None:  # noqa: F811
    warehouse("UPDATE customers SET customer_id = '' WHERE customer_id = 'c-3'")
    assert str(run("alert_on_failure").state) == "failed"
    assert sandbox.members("vip") == {"c-1", "c-2"}
    (alert,) = (tmp_path / "data" / "alerts.txt").read_text().splitlines()
    assert alert.startswith("alert_on_failure.push failed: vip: 1 of 3 ")
    (rejected,) = (tmp_path / "data").glob("rejects-*.jsonl")
    assert "row 3" in rejected.read_text()


def test_a_permanent_error_calls_the_notifier_at_once(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:  # noqa: F811
    sandbox.faults(Fault(401))
    assert str(run("alert_by_notifier").state) == "failed"
    assert "401" in (tmp_path / "data" / "alerts.txt").read_text()
    assert len(sandbox.calls) == 1


def test_a_share_of_rejects_fails_the_judging_task_alone(run: Run, warehouse: Callable[[str], None]) -> None:
    warehouse("UPDATE customers SET customer_id = '' WHERE customer_id = 'c-3'")
    assert states(run("alert_on_rejects")) == {"push": "success", "few_rejects": "failed"}


def test_the_campaign_is_skipped_if_nothing_has_changed(run: Run, warehouse: Callable[[str], None]) -> None:
    assert states(run("campaign_if_changed")) == {"mirror": "success", "start_campaign": "success"}
    assert states(run("campaign_if_changed")) == {"mirror": "skipped", "start_campaign": "skipped"}
    warehouse("DELETE FROM customers")
    assert states(run("campaign_if_changed")) == {"mirror": "failed", "start_campaign": "upstream_failed"}


def test_a_country_that_breaks_stops_no_other(run: Run, warehouse: Callable[[str], None], sandbox: Sandbox) -> None:  # noqa: F811
    assert str(run("one_audience_a_country").state) == "success"
    warehouse("DELETE FROM customers WHERE country = 'FR'")
    warehouse("INSERT INTO customers VALUES ('c-4', 500, NULL, 'DE', '2026-02-01')")
    assert str(run("one_audience_a_country").state) == "failed"
    assert sandbox.members("vip-fr") == {"c-1"}
    assert sandbox.members("vip-de") == {"c-2", "c-4"}


@pytest.mark.skipif(Version(version("apache-airflow")) < Version("3.1"), reason="needs Airflow 3.1")
def test_what_is_not_approved_is_not_sent(run: Run, sandbox: Sandbox) -> None:  # noqa: F811
    ended = states(run("approve_then_push", choice="Reject"))
    assert ended == {"count": "success", "approve": "success", "push": "skipped"}
    assert [call.method for call in sandbox.calls if call.method != "GET"] == []
