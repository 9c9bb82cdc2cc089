"""The recipe for an audience that is late, on a whole Airflow: nothing smaller has deadlines."""

from __future__ import annotations

import pytest

from airflow_provider_batch.sandbox import Sandbox
from tests.dags.api import WholeAirflow, wait_until
from tests.dags.conftest import HAS_DEADLINES

pytestmark = [
    pytest.mark.airflow_server,
    pytest.mark.skipif(not HAS_DEADLINES, reason="needs Airflow 3.1"),
]


def test_an_audience_that_is_late_calls_while_the_task_still_waits(whole_airflow: WholeAirflow) -> None:
    alerts = whole_airflow.home / "data" / "alerts.txt"
    with Sandbox(indexing_delay=3600.0) as sandbox:
        run = whole_airflow.run("alert_if_late", "late", sandbox)
        wait_until(lambda: alerts.exists() and alerts.read_text().endswith("\n"))
        assert alerts.read_text() == "vip is late: alert_if_late, late\n"
        run.wait_for("push", "deferred")
        run.mark_failed("push")
        run.wait()
