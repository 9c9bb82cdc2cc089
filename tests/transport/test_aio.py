"""What only the asynchronous transport has: an event loop that it must not hold up, and many waits that share it."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from airflow_provider_batch.transport import MAX_CONNECTIONS
from airflow_provider_batch.transport.aio import _IN_USE, AsyncTransport, _proxy, open_transport
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.environment import Proxy
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


def test_a_socks_proxy_has_the_name_that_httpx_knows_and_its_login() -> None:
    context = ssl.create_default_context()
    proxy = _proxy(Proxy("socks5h://user:socks5h:@proxy.example:1080", {}), context)
    assert (str(proxy.url), proxy.raw_auth) == ("socks5://proxy.example:1080", (b"user", b"socks5h:"))
    assert proxy.ssl_context is None


def test_a_proxy_has_its_headers_and_behind_tls_the_authorities() -> None:
    context = ssl.create_default_context()
    for scheme, given in (("http", None), ("https", context)):
        proxy = _proxy(Proxy(f"{scheme}://proxy.example:3128", {"Proxy-Authorization": "Basic x"}), context)
        assert (str(proxy.url), proxy.ssl_context) == (f"{scheme}://proxy.example:3128", given)
        assert proxy.headers["proxy-authorization"] == "Basic x"


SHARED = replace(VIEW, query=(("indexing_token", "t"),), shareable=True)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


def with_transports(
    use: Callable[[list[AsyncTransport]], Coroutine[Any, Any, None]],
    *credentials: Credentials,
    pace: Pace | None = None,
) -> None:
    """Open a transport for each of *credentials*, all at once on one event loop."""

    async def converse() -> None:
        shared = pace or Pace(None)
        async with AsyncExitStack() as opened:
            await use(
                [
                    await opened.enter_async_context(open_transport(keys, timeout=10, pace=shared))
                    for keys in credentials
                ]
            )

    asyncio.run(converse())


def test_waits_for_one_app_share_their_connections(credentials: Make) -> None:
    async def use(transports: list[AsyncTransport]) -> None:
        for transport in transports:
            await transport.perform(VIEW)

    with RawServer(answer(200)) as server:
        with_transports(use, *[credentials(server.url)] * 5)
        assert (len(server.asked), server.connections) == (5, 1)


def test_the_keys_of_one_connection_are_not_those_of_another(credentials: Make) -> None:
    async def use(transports: list[AsyncTransport]) -> None:
        for transport in transports:
            await transport.perform(VIEW)

    with RawServer(answer(200)) as server:
        keys = credentials(server.url)
        with_transports(use, keys, replace(keys, rest_api_key="another"))
        assert [asked.headers["x-authorization"] for asked in server.asked] == [keys.rest_api_key, "another"]
        assert server.connections == 2


def test_the_last_one_closes_the_connections_and_the_next_one_opens_new_ones(credentials: Make) -> None:
    async def converse(keys: Credentials, pace: Pace) -> None:
        for connections in (1, 2):
            async with open_transport(keys, timeout=10, pace=pace) as first:
                async with open_transport(keys, timeout=10, pace=pace) as second:
                    assert first is second
                    await second.perform(VIEW)
                await first.perform(VIEW)
                assert server.connections == connections
            assert _IN_USE[asyncio.get_running_loop()] == {}

    with RawServer(answer(200)) as server:
        asyncio.run(converse(credentials(server.url), Pace(None)))


def test_the_connections_are_as_many_as_calls_may_be_in_flight(credentials: Make) -> None:
    async def use(transports: list[AsyncTransport]) -> None:
        answers = await asyncio.gather(*[transports[0].perform(VIEW) for _ in range(3 * MAX_CONNECTIONS)])
        assert [given.status for given in answers if isinstance(given, Response)] == [200] * (3 * MAX_CONNECTIONS)

    with RawServer(answer(200)) as server:
        with_transports(use, credentials(server.url))
        assert len(server.asked) == 3 * MAX_CONNECTIONS
        assert server.connections <= MAX_CONNECTIONS


def test_a_call_that_waits_for_a_connection_ends_in_time(credentials: Make) -> None:
    async def converse(keys: Credentials) -> list[object]:
        async with open_transport(keys, timeout=0.3, pace=Pace(None)) as transport:
            return list(await asyncio.gather(*[transport.perform(VIEW) for _ in range(MAX_CONNECTIONS + 1)]))

    with RawServer(STALL) as server:
        answers = asyncio.run(converse(credentials(server.url)))
    assert {str(given) for given in answers} == {f"{VIEW.route}: no answer: TimeoutError"}


@pytest.mark.parametrize(("request_", "calls"), [(SHARED, 1), (VIEW, 3)], ids=["of a token", "of the last write"])
def test_one_answer_serves_all_who_ask_the_same_at_once_if_it_can(
    request_: Request, calls: int, credentials: Make
) -> None:
    async def use(transports: list[AsyncTransport]) -> None:
        asked = [asyncio.ensure_future(transport.perform(request_)) for transport in transports]
        await until(lambda: len(server.asked) == calls)
        go_on.set()
        assert [await each for each in asked] == [await asked[0]] * 3 or calls == 3
        await transports[0].perform(request_)  # later, it is another question

    go_on = threading.Event()

    def reply() -> Iterator[bytes]:
        assert go_on.wait(10)
        yield answer(200)

    with RawServer(*[reply() for _ in range(calls)], answer(200)) as server:
        with_transports(use, *[credentials(server.url)] * 3)
        assert len(server.asked) == calls + 1


def test_another_token_is_another_question(credentials: Make) -> None:
    async def use(transports: list[AsyncTransport]) -> None:
        other = replace(SHARED, query=(("indexing_token", "u"),))
        await asyncio.gather(transports[0].perform(SHARED), transports[1].perform(other))

    with RawServer(answer(200)) as server:
        with_transports(use, *[credentials(server.url)] * 2)
        assert sorted(asked.target.partition("?")[2] for asked in server.asked) == [
            "indexing_token=t",
            "indexing_token=u",
        ]


def test_a_cancelled_wait_takes_no_answer_from_the_others(credentials: Make) -> None:
    async def use(transports: list[AsyncTransport]) -> None:
        first, second = (asyncio.ensure_future(transport.perform(SHARED)) for transport in transports)
        await until(lambda: server.asked)
        first.cancel()
        await asyncio.wait([first])
        go_on.set()
        answered = await second
        assert isinstance(answered, Response)
        assert (first.cancelled(), answered.status) == (True, 200)

    go_on = threading.Event()

    def reply() -> Iterator[bytes]:
        assert go_on.wait(10)
        yield answer(200)

    with RawServer(reply()) as server:
        with_transports(use, *[credentials(server.url)] * 2)
        assert len(server.asked) == 1
