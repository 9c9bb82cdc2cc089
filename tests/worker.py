"""What an operator meets when a worker runs it, as little of it as possible."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_batch.tasks.memory import Memory


class TaskInstance:
    """Where an operator pushes its XComs, and whose it is."""

    dag_id = "dag"
    run_id = "run"
    task_id = "task"
    map_index = -1
    try_number = 1
    max_tries = 2

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


class Store:
    """JSON values by key, as Airflow keeps them; counts the writes."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.writes = 0

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        self.writes += 1
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def ti() -> TaskInstance:
    return TaskInstance()


def next_try(context: Any) -> Any:
    """What Airflow's own next try of the same task instance meets."""
    context["ti"].try_number += 1
    return context


def clear(context: Any) -> Any:
    """What the try meets that follows when a person clears the task, which has ended, and with it the run."""
    ti = context["ti"]
    ti.max_tries = ti.try_number + TaskInstance.max_tries
    return next_try(context)


def memory(store: Any, try_number: int = 1, *cleared: int) -> Memory:
    """The memory of a task in *store* that so many tries have written, or read."""
    return Memory(store, try_number, list(cleared))


@pytest.fixture
def context(ti: TaskInstance) -> Any:
    return {"ti": ti, "params": {"segment": "vip"}}
