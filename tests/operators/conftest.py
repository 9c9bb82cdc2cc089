"""What an operator meets when a worker runs it, as little of it as possible."""

from __future__ import annotations

from typing import Any

import pytest


class TaskInstance:
    """Where an operator pushes its XComs."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


@pytest.fixture
def ti() -> TaskInstance:
    return TaskInstance()


@pytest.fixture
def context(ti: TaskInstance) -> Any:
    return {"ti": ti, "params": {"segment": "vip"}}
