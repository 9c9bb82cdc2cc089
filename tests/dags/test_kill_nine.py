"""kill -9 on a whole Airflow: of a task in the middle of its push, and of the triggerer in the middle of a wait."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import local_airflow
import psutil
import pytest

from airflow_provider_batch.sandbox import Sandbox
from tests.dags.api import Run

DAGS = Path(__file__).parent / "kill_dags"
CHUNKS = 60
JOURNAL_EVERY = 5.0

pytestmark = pytest.mark.airflow_server


@contextmanager
def whole_airflow(home: Path, sandbox: Sandbox) -> Iterator[tuple[str, dict[str, str]]]:
    """An Airflow that soon notices that one of its parts is gone; gives its address and environment."""
    port = local_airflow.free_port()
    env = local_airflow.environment(home, DAGS, sandbox, port)
    env["AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC"] = "2"
    env["AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD"] = "6"
    with local_airflow.standalone(env, port, home / "standalone.log") as url:
        yield url, env


@pytest.mark.skipif(local_airflow.AIRFLOW_2, reason="Airflow before 3.3 keeps nothing between two tries of a task")
def test_the_retry_of_a_killed_task_sends_what_is_left(tmp_path: Path) -> None:
    with Sandbox(latency=0.5) as sandbox, whole_airflow(tmp_path, sandbox) as (url, _):
        run = Run(url, "push_many")
        wait_until(lambda: len(accepted(sandbox)) >= 0.7 * CHUNKS)
        kill_who_talks_to(sandbox.port)
        killed_at = time.time()
        run.wait()

        assert run.seen["push"][-1] == "success"
        assert sandbox.members("vip") == {f"id-{number}" for number in range(100 * CHUNKS)}
        twice = len(accepted(sandbox)) - CHUNKS
        # What was accepted since the journal was last written, and what was in flight over two connections.
        since = [at for at in accepted(sandbox) if killed_at - JOURNAL_EVERY - 1 <= at <= killed_at + 1]
        assert twice <= len(since) + 2
        assert twice < 0.7 * CHUNKS
        assert "are not sent again" in logs(tmp_path)

        before = len(accepted(sandbox))
        run.clear("push")
        wait_until(lambda: len(accepted(sandbox)) == before + CHUNKS)
        run.wait()
    assert run.seen["push"][-1] == "success"


def test_the_wait_of_a_killed_triggerer_goes_on_in_another(tmp_path: Path) -> None:
    apps = local_airflow.APPS.values()
    with (
        Sandbox(local_airflow.AUDIENCES, apps=apps, indexing_delay=25.0) as sandbox,
        whole_airflow(tmp_path, sandbox) as (url, env),
    ):
        run = Run(url, "wait_long")
        run.wait_for("push", "deferred")
        kill_triggerer()
        another = subprocess.Popen(
            [sys.executable, "-m", "airflow", "triggerer"],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            run.wait()
        finally:
            local_airflow.stop(another)
    assert run.seen["push"][-1] == "success", logs(tmp_path)[-6000:]
    assert len(accepted(sandbox)) == 1
    assert sandbox.members("newsletter") == {"id-1", "id-2"}


def accepted(sandbox: Sandbox) -> list[float]:
    """When each write was accepted."""
    return [call.at for call in sandbox.calls if call.method == "PATCH" and call.status == 201]


def kill_who_talks_to(port: int) -> None:
    """kill -9 whatever process of ours has a connection to *port*."""
    talking = [process for process in psutil.Process().children(recursive=True) if port in remote_ports(process)]
    assert talking
    for process in talking:
        process.kill()


def kill_triggerer() -> None:
    """kill -9 the triggerer among our processes, and its children."""
    killed = 0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "triggerer" in " ".join(process.cmdline()):
                for victim in (*process.children(recursive=True), process):
                    victim.kill()
                    killed += 1
    assert killed


def remote_ports(process: psutil.Process) -> set[int]:
    with suppress(psutil.Error):
        return {connection.raddr.port for connection in process.net_connections() if connection.raddr}
    return set()


def wait_until(done: Callable[[], bool], patience: float = 180.0) -> None:
    """Return once *done* returns True."""
    give_up = time.monotonic() + patience
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.2)


def logs(home: Path) -> str:
    """Everything that Airflow logged."""
    return "".join(path.read_text(errors="replace") for path in home.glob("logs/**/*.log"))
