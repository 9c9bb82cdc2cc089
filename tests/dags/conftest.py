"""One whole Airflow for all tests that need one: it takes half a minute to start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import local_airflow
import pytest
from local_postgres import metadata_database
from packaging.version import Version

from airflow_provider_batch.sandbox import Sandbox
from tests.conftest import EXAMPLE_DAGS, FAST_FOLDER
from tests.dags.api import WholeAirflow
from tests.docs.pages import blocks
from tests.transport.udp import UdpServer

OWN_DAGS = Path(__file__).parent / "kill_dags"

HAS_DEADLINES = Version(version("apache-airflow")) >= Version("3.1")

#: Seconds, of the sandbox behind the example DAGs.
INDEXING_DELAY = 6.0

#: Airflow soon notices that one of its parts is gone, and a task that was killed together with its worker.
_SOON = {
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
}

#: The DAG files stay as they are, and the tests ask for one thing after the other.
_SPARING = {
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "100",
    "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "100",  # Airflow 2
    "AIRFLOW__WEBSERVER__WORKERS": "1",
    # The example DAGs with a schedule would all run at once; on Airflow 2, one task after the other.
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
}


@pytest.fixture(scope="package")
def default_sandbox() -> Iterator[Sandbox]:
    """The sandbox behind the connections of the example DAGs."""
    with Sandbox(local_airflow.AUDIENCES, apps=local_airflow.APPS.values(), indexing_delay=INDEXING_DELAY) as sandbox:
        yield sandbox


@pytest.fixture(scope="package")
def statsd() -> Iterator[UdpServer]:
    """Where the metrics go that are ours."""
    with UdpServer() as server:
        yield server


@pytest.fixture(scope="package")
def whole_airflow(
    tmp_path_factory: pytest.TempPathFactory, default_sandbox: Sandbox, statsd: UdpServer
) -> Iterator[WholeAirflow]:
    """A whole Airflow with the example DAGs, and those of the tests, whose runs name a connection of their own."""
    home, port = tmp_path_factory.mktemp("airflow"), local_airflow.free_port()
    for folder in (EXAMPLE_DAGS, OWN_DAGS):
        shutil.copytree(folder, home / "dags", dirs_exist_ok=True)
    if HAS_DEADLINES:
        _put_deadline(home)
    with ExitStack() as ending:
        database = ending.enter_context(metadata_database(FAST_FOLDER))
        env = local_airflow.environment(home, home / "dags", default_sandbox, port) | database
        env |= _SOON | _SPARING | _metrics(statsd)
        url = ending.enter_context(local_airflow.standalone(env, port, home / "standalone.log"))
        yield WholeAirflow(url, home, env, ending)


def _put_deadline(home: Path) -> None:
    """Put the recipe for a late audience into *home*, with a deadline that is soon over and a connection of its own."""
    codes = [block.code for block in blocks() if block.page.name == "recipes-alerts.md" and "page_me" in block.code]
    for place, code in zip(("plugins/pager.py", "dags/alert_if_late.py"), codes, strict=True):
        path = home / place
        path.parent.mkdir(exist_ok=True)
        for shown, ours in (
            ('"/data', f'"{home}/data'),
            ("minutes=30", "seconds=1"),
            ('audience_name="vip"', 'audience_name="vip", batch_conn_id="{{ run_id }}"'),
        ):
            code = code.replace(shown, ours)
        path.write_text(code)
    (home / "data").mkdir()


def _metrics(statsd: UdpServer) -> dict[str, str]:
    settings = {"statsd_on": True, "statsd_host": "127.0.0.1", "statsd_port": statsd.port}
    settings |= {"statsd_influxdb_enabled": True, "metrics_allow_list": "batch"}
    return {f"AIRFLOW__METRICS__{name.upper()}": str(value) for name, value in settings.items()}
