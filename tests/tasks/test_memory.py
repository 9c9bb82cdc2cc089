"""What one try leaves to the next: whether a task before it has run again in between."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_batch.tasks.memory import Memory
from tests.worker import Store, TaskInstance, next_try


class WithTasks(TaskInstance):
    """A task instance that knows what has ended in its run, and how long that took."""

    def __init__(self, **took: float | None) -> None:
        super().__init__()
        self.took = took

    def get_task_breadcrumbs(self, dag_id: str, run_id: str) -> Any:
        assert (dag_id, run_id) == (self.dag_id, self.run_id)
        return iter({"task_id": task, "map_index": -1, "duration": seconds} for task, seconds in self.took.items())


@pytest.fixture
def tries(store: Store) -> Any:
    task = SimpleNamespace(get_flat_relative_ids=lambda upstream: {"delete", "create"} if upstream else set())
    return {"ti": WithTasks(delete=0.25, create=1.5, beside=3.0), "task": task, "task_state_store": store}


def recalled(tries: Any) -> bool:
    memory = Memory.of(next_try(tries))
    assert memory is not None
    return memory.recall("push") == {"chunks": 3, "try": 1, "cleared": memory._cleared}


@pytest.fixture(autouse=True)
def _noted(tries: Any) -> None:
    memory = Memory.of(tries)
    assert memory is not None
    assert memory.keep("push", {"chunks": 3})


def test_the_next_try_recalls_what_was_noted(tries: Any) -> None:
    assert recalled(tries)


@pytest.mark.parametrize("again", [{"create": 1.500001}, {"delete": None}, {"create": 0.25, "delete": 1.5}])
def test_not_if_a_task_before_it_has_run_again(tries: Any, again: dict[str, float | None]) -> None:
    tries["ti"].took |= again
    assert not recalled(tries)


def test_what_does_not_come_before_it_may_go_on(tries: Any) -> None:
    tries["ti"].took |= {"beside": 4.0, "after": 1.0}
    assert recalled(tries)


def test_what_ran_before_it_may_not_be_known(tries: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("no answer")

    tries["ti"].get_task_breadcrumbs = fail
    assert not recalled(tries)
    assert [record.getMessage() for record in caplog.records] == [
        "Airflow's state store does not work, so a retry may repeat calls: RuntimeError"
    ]


def test_a_task_with_none_before_it_asks_nothing(tries: Any) -> None:
    del tries["task"], tries["ti"].took
    first = Memory.of(tries)
    assert first is not None
    first.keep("push", {"chunks": 3})
    assert recalled(tries)
