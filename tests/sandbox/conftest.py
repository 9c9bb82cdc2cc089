from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_batch.sandbox import Sandbox
from tests.clock import Clock
from tests.sandbox.client import DOCUMENTED


@pytest.fixture
def clock() -> Clock:
    return Clock(DOCUMENTED)


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock) as running:
        yield running
