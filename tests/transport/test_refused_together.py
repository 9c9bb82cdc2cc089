"""Many calls to a server that renews its refusal: played on a clock, and against the sandbox."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Generator, Iterator

import pytest

from airflow_provider_batch.protocol import limits
from airflow_provider_batch.protocol.audiences import encode
from airflow_provider_batch.protocol.audiences.chunk import Chunk
from airflow_provider_batch.protocol.audiences.conversations import write
from airflow_provider_batch.protocol.dialect import MEP_1_0
from airflow_provider_batch.protocol.flow import Answer, Done, Effect, advance
from airflow_provider_batch.protocol.retry import Backoff
from airflow_provider_batch.protocol.wire import Response, Sleep
from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.sandbox.rate import RateLimit
from airflow_provider_batch.transport.pace import Pace
from tests.clock import Clock
from tests.connections import Connect

UPDATE = encode.update_custom_audience(MEP_1_0, "vip", "custom_ids", Chunk(1, ["a"], []))
ACCEPTED = Response(201, {}, b'{"indexing_token": "t"}')


class World:
    """Workers that share a pace, and a server with a rate limit; an answer takes a tenth of a second."""

    def __init__(self, rate: float, seed: int) -> None:
        self.clock = Clock(0.0)
        self.server = RateLimit(rate, self.clock, wait=5.0)
        self.pace = Pace(None, self.clock)
        draw = random.Random(seed)
        self.delay = Backoff(lambda most: draw.uniform(0, most))
        self.arrivals: list[tuple[float, bool]] = []
        self.accepted = 0

    def worker(self, calls: Iterator[int]) -> Generator[float, None, None]:
        for _ in calls:
            flow = write(UPDATE, self.delay)
            answer: Answer = None
            while not isinstance(step := advance(flow, answer), Done):
                answer = yield from self.perform(step)
            self.accepted += 1

    def perform(self, effect: Effect) -> Generator[float, None, Answer]:
        if isinstance(effect, Sleep):
            yield effect.seconds
            return None
        yield from self.pace.turn()
        yield 0.05
        admitted = self.server.admits("key")
        self.arrivals.append((self.clock.now, admitted))
        yield 0.05
        answer = ACCEPTED if admitted else Response(429)
        self.pace.adapt(answer)
        return answer

    def run(self, calls: int, workers: int) -> None:
        todo = iter(range(calls))
        waking = [(0.0, number, self.worker(todo)) for number in range(workers)]
        while waking:
            self.clock.now, number, worker = heapq.heappop(waking)
            if (wait := next(worker, None)) is not None:
                heapq.heappush(waking, (self.clock.now + wait, number, worker))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("rate", "workers"), [(1, 1), (1, 4), (0.1, 4), (3, 16)])
def test_a_server_that_renews_its_five_seconds_accepts_every_call(rate: float, workers: int, seed: int) -> None:
    world = World(rate, seed)
    world.run(20, workers)
    assert world.accepted == 20


@pytest.mark.parametrize("seed", range(20))
def test_nobody_sends_within_five_seconds_of_a_refusal(seed: int) -> None:
    world = World(1, seed)
    world.run(20, 4)
    refused = [when for when, admitted in world.arrivals if not admitted]
    assert refused
    # Calls that were on their way when the refusal arrived cannot be called back.
    too_early = [when for when, _ in world.arrivals for other in refused if other + 0.1 < when < other + 5]
    assert too_early == []


def test_the_defaults_push_everything_past_a_server_that_renews_its_wait(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RATE_LIMIT_WAIT", 0.4)
    ids = [f"customer-{number}" for number in range(20)]
    with Sandbox(requests_per_second=10, rate_limit_wait=0.3) as sandbox:
        hook = connect(**json.loads(sandbox.connection_json()))
        result = hook.update_custom_audience("vip", add_ids=ids, chunk_size=1)
        assert len(result.indexing_tokens) == 20
        assert sandbox.members("vip") == set(ids)
        assert 429 in {call.status for call in sandbox.calls}
