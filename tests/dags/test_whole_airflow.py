"""The deferred wait on a whole Airflow: scheduler, worker processes, triggerer and API server."""

from __future__ import annotations

from pathlib import Path

import local_airflow
import pytest

from airflow_provider_batch.sandbox import Sandbox
from tests.conftest import EXAMPLE_DAGS
from tests.dags.api import Run


@pytest.mark.airflow_server
def test_a_deferred_wait_ends_when_the_audience_is_indexed(tmp_path: Path) -> None:
    port = local_airflow.free_port()
    with Sandbox(local_airflow.AUDIENCES, apps=local_airflow.APPS.values(), indexing_delay=10.0) as sandbox:
        env = local_airflow.environment(tmp_path, EXAMPLE_DAGS, sandbox, port)
        with local_airflow.standalone(env, port, tmp_path / "standalone.log") as url:
            run = Run(url, "example_custom_audience_wait")
            run.wait()
        log = "".join(path.read_text(errors="replace") for path in tmp_path.glob("logs/**/*.log"))

    assert run.seen["update"][-1] == "success", log[-8000:]
    assert "deferred" in run.seen["update"]
    assert sandbox.members("newsletter") == {"customer-2001", "customer-2002"}
    assert "2 added, 2 removed, 1 not needed" in log
    for private in ("sandbox-rest-key", "sandbox-app-key"):
        assert private not in log
