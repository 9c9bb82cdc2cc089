"""A person clears a whole run, which deletes and creates its audience: the push sends everything again."""

from __future__ import annotations

import local_airflow
import pytest

from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.dags.api import WholeAirflow, wait_until

#: As push_after_delete.py has it.
IDS = {f"id-{number}" for number in range(60)}
CHUNKS = 6

#: The default of a connection.
ATTEMPTS = 5

#: The list of audiences, the deletion, the list, the creation.
BEFORE = [None] * 4
DOWN = Fault(503, headers={"Retry-After": "0"})

pytestmark = pytest.mark.airflow_server


def test_after_a_push_that_failed(whole_airflow: WholeAirflow) -> None:
    with Sandbox() as sandbox:
        sandbox.faults(*BEFORE, *[None] * 3, *[DOWN] * ATTEMPTS)
        run = whole_airflow.run("push_after_delete", "failed", sandbox)
        assert run.wait() == "failed"
        assert accepted(sandbox) == 3
        run.clear()
        assert run.wait() == "success", whole_airflow.logs(run)[-8000:]
        assert accepted(sandbox) == 3 + CHUNKS
        assert sandbox.members("vip") == IDS


def test_after_a_wait_that_timed_out(whole_airflow: WholeAirflow) -> None:
    with Sandbox(indexing_delay=3.0) as sandbox:
        run = whole_airflow.run("wait_after_delete", "timed_out", sandbox)
        assert run.wait() == "failed"
        assert accepted(sandbox) == CHUNKS
        run.clear()
        wait_until(lambda: accepted(sandbox) == 2 * CHUNKS)
        assert run.wait() == "failed"
        wait_until(lambda: sandbox.members("vip") == IDS)


@pytest.mark.skipif(
    local_airflow.AIRFLOW_2,
    reason="Airflow 2 lets a running task that is cleared go on, or fails it",
)
def test_while_it_pushes(whole_airflow: WholeAirflow) -> None:
    with Sandbox() as sandbox:
        # The call after these has no answer until Airflow has ended the task.
        sandbox.faults(*BEFORE, *[None] * (CHUNKS - 2), Fault(stall=60.0))
        run = whole_airflow.run("push_after_delete", "running", sandbox)
        wait_until(lambda: accepted(sandbox) >= CHUNKS - 2)
        run.clear()
        assert run.wait() == "success", whole_airflow.logs(run)[-8000:]
        assert accepted(sandbox) >= CHUNKS - 2 + CHUNKS
        assert sandbox.members("vip") == IDS


def test_when_only_the_tasks_before_it_are_cleared(whole_airflow: WholeAirflow) -> None:
    """By a request that leaves the number alone that Airflow raises when a run is cleared."""
    with Sandbox() as sandbox:
        sandbox.faults(*BEFORE, *[None] * 3, *[DOWN] * ATTEMPTS)
        run = whole_airflow.run("retry_after_delete", "before", sandbox)
        run.wait_for("push", "up_for_retry")
        run.clear("delete", "create", reset_dag_runs=False)
        assert run.wait() == "success", whole_airflow.logs(run)[-8000:]
        assert accepted(sandbox) == 3 + CHUNKS
        assert sandbox.members("vip") == IDS


def accepted(sandbox: Sandbox) -> int:
    return sum(call.method == "PATCH" and call.status == 201 for call in sandbox.calls)
