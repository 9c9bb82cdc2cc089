"""kill -9 on a whole Airflow: of a task in the middle of its push, alone or with its worker, and of the triggerer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import local_airflow
import psutil
import pytest

from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.dags.api import Run, WholeAirflow, wait_until

PROJECT = "project_sandbox"

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


@keeps_a_journal
@pytest.mark.parametrize("mode", ["update", "changed"])
def test_the_retry_of_a_killed_push_of_profiles_sends_what_is_left(whole_airflow: WholeAirflow, mode: str) -> None:
    with Sandbox(latency=LATENCY) as sandbox:
        sandbox.faults(*STUCK)
        run = whole_airflow.run(f"profiles_{mode}", f"profiles_{mode}_killed", sandbox, PROJECT)
        wait_until(lambda: len(accepted(sandbox)) == ANSWERED)
        stuck_at = accepted(sandbox)[-1]
        kill(who_talks_to(sandbox.port))
        check_what_was_sent_twice(run, sandbox, stuck_at)
        assert sandbox.profiles() == {f"id-{number}": {"number": number} for number in range(100 * CHUNKS)}
        assert "that an earlier try sent" in whole_airflow.logs(run)


def test_the_wait_of_a_killed_triggerer_goes_on_in_another(whole_airflow: WholeAirflow) -> None:
    with Sandbox(indexing_delay=12.0) as sandbox:
        run = whole_airflow.run("wait_long", "triggerer_killed", sandbox)
        run.wait_for("push", "deferred")
        kill(*triggerers())
        whole_airflow.another_triggerer()
        run.wait()
        assert run.seen["push"][-1] == "success", whole_airflow.logs(run)[-6000:]
        assert len(accepted(sandbox)) == 1
        assert sandbox.members("vip") == {"id-1", "id-2"}


RECORDS = [{"custom_id": f"c{number}"} for number in range(4)]


@pytest.fixture
def exports() -> Iterator[Sandbox]:
    """A sandbox with two files in an export that takes a while."""
    with Sandbox(export_delay=10.0, rows_per_part=2) as sandbox:
        sandbox.export_records(RECORDS)
        yield sandbox


@keeps_a_journal
def test_the_retry_of_a_task_killed_while_it_waits_takes_up_its_export(
    whole_airflow: WholeAirflow, exports: Sandbox
) -> None:
    run = whole_airflow.run("export_slowly", "export_waits", exports, PROJECT)
    wait_until(lambda: asked(exports, "view") >= 3)
    kill(who_talks_to(exports.port))
    check_the_export(run, whole_airflow, exports)
    assert "taken up" in whole_airflow.logs(run)


@keeps_a_journal
def test_the_retry_of_a_task_killed_while_it_downloads_an_export_has_its_parts(whole_airflow: WholeAirflow) -> None:
    with Sandbox(rows_per_part=2) as sandbox:
        sandbox.export_records(RECORDS)
        sandbox.faults(None, None, None, Fault(stall=3600))  # the request, its state, the first part, the second part
        run = whole_airflow.run("export_slowly", "export_downloads", sandbox, PROJECT)
        wait_until(lambda: len(results(whole_airflow, run)) == 1)
        assert [path.name for path in results(whole_airflow, run)] == [".attributes-00001.jsonl.tmp"]
        kill(who_talks_to(sandbox.port))
        check_the_export(run, whole_airflow, sandbox)
        assert asked(sandbox, "download") == 3  # the second part twice


def test_the_wait_for_an_export_goes_on_in_another_triggerer(whole_airflow: WholeAirflow, exports: Sandbox) -> None:
    run = whole_airflow.run("export_deferred", "export_triggerer", exports, PROJECT)
    run.wait_for("export", "deferred")
    kill(*triggerers())
    whole_airflow.another_triggerer()
    check_the_export(run, whole_airflow, exports)


def check_the_export(run: Run, airflow: WholeAirflow, sandbox: Sandbox) -> None:
    """One export was asked for, and its files are there, whole."""
    run.wait()
    assert run.seen["export"][-1] == "success", airflow.logs(run)[-6000:]
    assert asked(sandbox, "profiles/export") == 1
    found = results(airflow, run)
    assert [path.name for path in found] == ["attributes-00001.jsonl", "attributes-00002.jsonl"]
    assert [json.loads(line) for path in found for line in path.read_text().splitlines()] == RECORDS
    assert sandbox.leaks == 0


def asked(sandbox: Sandbox, verb: str) -> int:
    return sum(call.route.endswith(verb) for call in sandbox.calls)


def results(airflow: WholeAirflow, run: Run) -> list[Path]:
    folder = airflow.home / "results" / run.name
    return sorted(folder.iterdir()) if folder.exists() else []


def check_the_retry(run: Run, sandbox: Sandbox, stuck_at: float) -> None:
    """The retry completes the set, and repeats what was accepted since the journal was last written, or in flight."""
    check_what_was_sent_twice(run, sandbox, stuck_at)
    assert sandbox.members("vip") == {f"id-{number}" for number in range(100 * CHUNKS)}


def check_what_was_sent_twice(run: Run, sandbox: Sandbox, stuck_at: float) -> None:
    run.wait()
    assert run.seen["push"][-1] == "success"
    twice = len(accepted(sandbox)) - CHUNKS
    since = [at for at in accepted(sandbox) if stuck_at - LOST <= at <= stuck_at]
    assert twice <= len(since) + 2  # over two connections
    assert len(since) < ANSWERED


def accepted(sandbox: Sandbox) -> list[float]:
    """When each write was accepted."""
    return [call.at for call in sandbox.calls if call.adds and call.status in {201, 202}]


def who_talks_to(port: int) -> psutil.Process:
    """Return the one process of ours that has a connection to *port*."""
    (talking,) = [process for process in psutil.Process().children(recursive=True) if port in remote_ports(process)]
    return talking


def triggerers() -> list[psutil.Process]:
    """Return the triggerer among our processes, and its children."""
    found: list[psutil.Process] = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "triggerer" in process.cmdline():  # a task has the word in the name of its run
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
