"""Time that passes when a test says so, and waiting for what another thread or process is about to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from airflow_provider_batch.protocol.retry import Backoff
from airflow_provider_batch.transport import settings


@pytest.fixture(autouse=True)
def waits_between_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Are next to none, but for those that Batch asks for; a module about them has a fixture of this name, too."""
    monkeypatch.setattr(settings, "Backoff", partial(Backoff, first=0.001, shortest=0.0))


class Clock:
    """Seconds; stands until it is moved."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def eventually(holds: Callable[[], object], within: float = 30) -> None:
    """Wait until *holds* does, for so many seconds at most."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def as_soon_as(holds: Callable[[], object], then: Callable[[], object]) -> threading.Thread:
    """Call *then* in a thread of its own, which this returns, once *holds* does."""

    def wait() -> None:
        eventually(holds)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@contextmanager
def local_zone(name: str) -> Iterator[None]:
    """Let this machine stand in the time zone *name*."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()
