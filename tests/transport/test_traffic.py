from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_provider_batch.exceptions import BatchConnectionError
from airflow_provider_batch.protocol.flow import Answer, Effect
from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from airflow_provider_batch.transport.blocking import BlockingTransport, open_session
from airflow_provider_batch.transport.pace import Pace, Turn
from airflow_provider_batch.transport.traffic import Traffic
from tests.transport.conftest import Make
from tests.transport.servers import HANG_UP, RawServer, answer

VIEW = Request("GET", "/1.0/{api_key}/custom-audience/vip")


class SlowPace(Pace):
    """Puts each call off once."""

    def turn(self, *_: Any) -> Turn:
        return SlowTurn(self, None, 0)


class SlowTurn(Turn):
    def __init__(self, *pace: Any) -> None:
        super().__init__(*pace)
        self._left = [0.002, 0.001]

    def __next__(self) -> float:
        if not self._left:
            raise StopIteration
        return self._left.pop()


def test_every_attempt_and_every_wait_is_counted(credentials: Make) -> None:
    script = (answer(429, {}, **{"Retry-After": "0"}), HANG_UP, answer(200, {}), answer(200, {}))
    with RawServer(*script) as server, open_session(credentials(server.url), timeout=5) as session:
        transport = BlockingTransport(session, credentials(server.url), SlowPace(None), timeout=5)
        retry, wait = Sleep(0.0, retries=BatchConnectionError("none")), Sleep(0.0)
        for effect in (VIEW, retry, VIEW, wait, wait, VIEW, VIEW):
            transport.perform(effect)
    traffic = transport.traffic
    assert (traffic.attempts, traffic.retries, traffic.calls, traffic.rate_limited) == (4, 1, 3, 1)
    assert round(traffic.pace_seconds, 6) == 0.012


def test_a_wait_among_many_counts_its_own_calls() -> None:
    answers: list[Answer] = [Response(429), None, BatchConnectionError("none"), None, None, Response(200)]
    waits = (Sleep(0.0, retries=BatchConnectionError("none")), Sleep(0.0))
    effects = (VIEW, waits[0], VIEW, waits[0], waits[1], VIEW)

    async def answered(effect: Effect) -> Answer:
        assert effect is effects[-len(answers)]
        return answers.pop(0)

    async def performed() -> list[Answer]:
        return [await counted(effect) for effect in effects]

    traffic = Traffic()
    counted = traffic.of(answered)
    expected = list(answers)
    assert asyncio.run(performed()) == expected
    assert traffic.counts() == {"calls": 1, "attempts": 3, "rate_limited": 1}


def test_many_threads_may_count() -> None:
    traffic = Traffic()

    def count(_: int) -> None:
        for _ in range(1_000):
            traffic.attempted(429)
            traffic.retried()
            traffic.paced(0.5)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))
    assert (traffic.attempts, traffic.rate_limited, traffic.retries, traffic.pace_seconds) == (
        8_000,
        8_000,
        8_000,
        4_000,
    )
