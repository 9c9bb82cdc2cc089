"""What is called before each call and during each wait, such as a look at a mirror's claim."""

from __future__ import annotations

import pytest

from airflow_provider_batch.exceptions import MirrorConflictError
from airflow_provider_batch.protocol.wire import Request, Sleep
from airflow_provider_batch.sandbox import Sandbox
from tests.connections import Connect


class Hurried:
    """A stop that never comes; what waits for it waits for no time."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False

    def is_set(self) -> bool:
        return False


def test_a_watch_is_called_before_each_call_and_twice_a_minute_in_each_wait(connect: Connect) -> None:
    with Sandbox(["vip"]) as sandbox, connect(sandbox.connection_json())._line() as line:
        transport, stopped = line.transport, Hurried()
        transport.stopped = stopped  # type: ignore[assignment]
        seen: list[int] = []
        with transport.watched(lambda: seen.append(len(sandbox.calls))):
            transport.perform(Sleep(100.0))
            assert (seen, stopped.waits) == ([0, 0, 0], [30.0, 30.0, 30.0, 10.0])
            stopped.waits.clear()
            for seconds in (30.0, 0.5, 60.5):
                transport.perform(Sleep(seconds))
            assert (len(seen), stopped.waits) == (5, [30.0, 0.5, 30.0, 30.0, 0.5])
            for _ in range(2):
                transport.perform(Request("GET", "/list"))
            assert seen[5:] == [0, 1]
        transport.perform(Request("GET", "/list"))
        assert len(seen) == 7


def test_what_a_watch_raises_takes_the_place_of_the_call(connect: Connect) -> None:
    def taken_over() -> None:
        raise MirrorConflictError("taken over")

    with Sandbox(["vip"]) as sandbox, connect(sandbox.connection_json())._line() as line:
        with line.transport.watched(taken_over):
            for effect in (Request("GET", "/list"), Sleep(60.0)):
                if isinstance(effect, Sleep):
                    line.transport.stopped = Hurried()  # type: ignore[assignment]
                with pytest.raises(MirrorConflictError):
                    line.transport.perform(effect)
        assert sandbox.calls == []
