"""kill -9 on a whole Airflow: of a task in the middle of its push, alone or with its worker, and of the triggerer."""

from __future__ import annotations

from contextlib import suppress

import local_airflow
import psutil
import pytest

from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.dags.api import Run, WholeAirflow, wait_until

#: As push_many.py has it.
CHUNKS = 80
#: Seconds of a call, and the most seconds of calls that are sent twice, with the time that a note takes.
LATENCY = 0.1
LOST = 1.5

#: So many calls are answered, and then those under way are not: the push goes on until somebody kills it.
ANSWERED = 60
STUCK = (*[None] * ANSWERED, *[Fault(stall=3600)] * 2)  # over two connections

pytestmark = pytest.mark.airflow_server

keeps_a_journal = pytest.mark.skipif(
    local_airflow.AIRFLOW_2, reason="Airflow before 3.3 keeps nothing between two tries of a task"
)


@keeps_a_journal
def test_the_retry_of_a_killed_task_sends_what_is_left(whole_airflow: WholeAirflow) -> None:
    with Sandbox(latency=LATENCY) as sandbox:
        sandbox.faults(*STUCK)
        run = whole_airflow.run("push_many", "killed", sandbox)
        wait_until(lambda: len(accepted(sandbox)) == ANSWERED)
        stuck_at = accepted(sandbox)[-1]
        kill(who_talks_to(sandbox.port))
        check_the_retry(run, sandbox, stuck_at)
        assert "that an earlier try sent" in whole_airflow.logs(run)

        before = len(accepted(sandbox))
        run.clear("push")
        wait_until(lambda: len(accepted(sandbox)) == before + CHUNKS)
        run.wait()
    assert run.seen["push"][-1] == "success"


@keeps_a_journal
def test_the_retry_of_a_task_killed_with_its_worker_sends_what_is_left(whole_airflow: WholeAirflow) -> None:
    with Sandbox(latency=LATENCY) as sandbox:
        sandbox.faults(*STUCK)
        run = whole_airflow.run("push_many", "killed_with_worker", sandbox)
        wait_until(lambda: len(accepted(sandbox)) == ANSWERED)
        stuck_at, task = accepted(sandbox)[-1], who_talks_to(sandbox.port)
        worker = task.parent()
        assert worker is not None
        # The worker first: it must not live to tell that its task is gone.
        kill(worker, task)
        check_the_retry(run, sandbox, stuck_at)
        assert "that an earlier try sent" in whole_airflow.logs(run)


@keeps_a_journal
def test_the_retry_of_a_killed_mirror_sends_what_is_left(whole_airflow: WholeAirflow) -> None:
    with Sandbox(latency=LATENCY) as sandbox:
        sandbox.faults(*STUCK)
        run = whole_airflow.run("mirror_many", "mirror_killed", sandbox)
        wait_until(lambda: len(accepted(sandbox)) == ANSWERED)
        stuck_at = accepted(sandbox)[-1]
        kill(who_talks_to(sandbox.port))
        check_the_retry(run, sandbox, stuck_at)
        assert "that an earlier try sent" in whole_airflow.logs(run)


def test_the_wait_of_a_killed_triggerer_goes_on_in_another(whole_airflow: WholeAirflow) -> None:
    with Sandbox(indexing_delay=25.0) as sandbox:
        run = whole_airflow.run("wait_long", "triggerer_killed", sandbox)
        run.wait_for("push", "deferred")
        kill(*triggerers())
        whole_airflow.another_triggerer()
        run.wait()
        assert run.seen["push"][-1] == "success", whole_airflow.logs(run)[-6000:]
        assert len(accepted(sandbox)) == 1
        assert sandbox.members("vip") == {"id-1", "id-2"}


def check_the_retry(run: Run, sandbox: Sandbox, stuck_at: float) -> None:
    """The retry completes the set, and repeats what was accepted since the journal was last written, or in flight."""
    run.wait()
    assert run.seen["push"][-1] == "success"
    assert sandbox.members("vip") == {f"id-{number}" for number in range(100 * CHUNKS)}
    twice = len(accepted(sandbox)) - CHUNKS
    since = [at for at in accepted(sandbox) if stuck_at - LOST <= at <= stuck_at]
    assert twice <= len(since) + 2  # over two connections
    assert len(since) < ANSWERED


def accepted(sandbox: Sandbox) -> list[float]:
    """When each write was accepted."""
    return [call.at for call in sandbox.calls if call.method == "PATCH" and call.status == 201]


def who_talks_to(port: int) -> psutil.Process:
    """Return the one process of ours that has a connection to *port*."""
    (talking,) = [process for process in psutil.Process().children(recursive=True) if port in remote_ports(process)]
    return talking


def triggerers() -> list[psutil.Process]:
    """Return the triggerer among our processes, and its children."""
    found: list[psutil.Process] = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "triggerer" in " ".join(process.cmdline()):
                found += [*process.children(recursive=True), process]
    return found


def kill(*victims: psutil.Process) -> None:
    """kill -9, in this order."""
    assert victims
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()


def remote_ports(process: psutil.Process) -> set[int]:
    with suppress(psutil.Error):
        return {connection.raddr.port for connection in process.net_connections() if connection.raddr}
    return set()
