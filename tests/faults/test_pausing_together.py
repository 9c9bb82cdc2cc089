"""When Batch says that it is overloaded, all calls of a push wait, not only the one that was told."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_batch.transport.pace import Pace
from tests.faults.conftest import Connect, Push
from tests.faults.service import Service
from tests.transport.servers import Asked, RawServer, answer

WORKERS = 8


class Overloaded:
    """Tells the last of the first calls to come back in a second, and answers the others once all are to pause."""

    def __init__(self, status: int) -> None:
        self.service = Service()
        self.told_at = 0.0
        self.arrivals: list[float] = []
        self._refusal = answer(status, Retry_After="1")
        self._lock = threading.Lock()
        self.are_held = threading.Event()

    def __call__(self, asked: Asked) -> bytes:
        with self._lock:
            self.arrivals.append(time.monotonic())
            turn = len(self.arrivals)
        if turn == WORKERS:
            self.told_at = time.monotonic()
            return self._refusal
        if turn < WORKERS:  # only the pause keeps these workers from going on
            self.are_held.wait(10)
        return self.service(asked)


@pytest.mark.parametrize("status", [429, 503])
def test_all_workers_keep_the_pause_that_one_of_them_was_asked_for(
    status: int, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Push(before=(), chunk_size=1)
    overloaded = Overloaded(status)
    hold = Pace.hold

    def held(pace: Pace, seconds: float) -> None:
        hold(pace, seconds)
        overloaded.are_held.set()

    monkeypatch.setattr(Pace, "hold", held)
    with RawServer(overloaded) as server:
        result = push.run(connect(server, max_concurrency=WORKERS))
    push.assert_done(overloaded.service.members, result)
    later = [arrival - overloaded.told_at for arrival in overloaded.arrivals[WORKERS:]]
    assert len(later) == push.calls - WORKERS + 1
    assert min(later) >= 1.0
