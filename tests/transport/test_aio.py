"""What only the asynchronous transport has: an event loop that it must not hold up."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from airflow_provider_batch.transport.aio import open_transport
from airflow_provider_batch.transport.pace import Pace
from tests.transport.conftest import Make
from tests.transport.servers import STALL, RawServer, answer

VIEW = Request("GET", "/1.0/{api_key}/custom-audience/vip")


def test_calls_on_one_loop_are_in_flight_together(credentials: Make) -> None:
    async def converse(url: str) -> list[object]:
        async with open_transport(credentials(url), timeout=10, pace=Pace(None)) as transport:
            stalled = asyncio.ensure_future(transport.perform(VIEW))
            while not server.asked:
                await asyncio.sleep(0.001)
            answered = [await transport.perform(VIEW) for _ in range(3)]
            stalled.cancel()
            return list(answered)

    with RawServer(STALL, answer(200)) as server:
        answers = asyncio.run(converse(server.url))
    assert [given.status for given in answers if isinstance(given, Response)] == [200] * 3


@pytest.mark.parametrize("effect", [VIEW, Sleep(3600)], ids=["call", "wait"])
def test_a_cancelled_task_ends_what_is_under_way(effect: Request | Sleep, credentials: Make) -> None:
    async def converse(url: str) -> None:
        async with open_transport(credentials(url), timeout=3600, pace=Pace(None)) as transport:
            task = asyncio.ensure_future(transport.perform(effect))
            await asyncio.sleep(0)  # it begins
            while isinstance(effect, Request) and not server.asked:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with RawServer(STALL) as server:
        asyncio.run(converse(server.url))
