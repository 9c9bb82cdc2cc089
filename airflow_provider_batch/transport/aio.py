"""
One effect in, one answer out, with httpx, for the triggerer's event loop.

A triggerer runs a thousand waits at once. All those for one app share the connections; of these, there are as many as
calls are in flight, and each is a transport of its own. A client of httpx would keep them all in one pool, and that
compares each connection with all others, for each call.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

import httpx

from airflow_provider_batch.protocol.flow import Answer, Effect
from airflow_provider_batch.protocol.wire import Request, Response
from airflow_provider_batch.transport import MAX_BODY, MAX_CONNECTIONS, environment, private_logs
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.environment import Proxy
from airflow_provider_batch.transport.no_answer import no_answer
from airflow_provider_batch.transport.pace import Pace, Turn
from airflow_provider_batch.transport.retry_log import RetryLog


class AsyncTransport:
    """
    Performs the effects of flows; :func:`open_transport` opens and closes it.

    ``users`` is the number of those who have it open.
    """

    def __init__(self, credentials: Credentials, pace: Pace, *, timeout: float) -> None:
        self._timeout = timeout
        self._credentials = credentials
        self._headers = httpx.Headers(credentials.headers)
        self._pace = pace
        self._retry_log = RetryLog()
        self._trusted = environment.trusted(credentials.base_url)
        self._proxy = environment.proxy_to(credentials.base_url, socks_package="socksio")
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[httpx.AsyncHTTPTransport] = []
        self._under_way: dict[Request, asyncio.Task[Answer]] = {}
        self.users = 0

    async def perform(self, effect: Effect) -> Answer:
        """Perform *effect* and return its result."""
        if isinstance(effect, Request):
            return await (self._share(effect) if effect.shareable else self._take_turn(effect))
        self._retry_log.record(effect)
        if effect.everyone:
            self._pace.hold(effect.seconds)
        await asyncio.sleep(effect.seconds)
        return None

    async def close(self) -> None:
        """Close the connections."""
        for call in self._under_way.values():
            call.cancel()  # everybody who waited for it is gone
        for connection in self._idle:
            await connection.aclose()

    async def _share(self, request: Request) -> Answer:
        """Perform *request*, or wait for the answer to the same one that another wait has made."""
        if (call := self._under_way.get(request)) is None:
            call = self._under_way[request] = asyncio.create_task(self._take_turn(request))
            call.add_done_callback(lambda _: self._under_way.pop(request))
        return await asyncio.shield(call)  # if one who waits is cancelled, the others go on

    async def _take_turn(self, request: Request) -> Answer:
        with self._pace.turn() as turn:
            for seconds in turn:
                await asyncio.sleep(seconds)
            return await self._send(request, turn)

    async def _send(self, request: Request, turn: Turn) -> Answer:
        try:
            async with asyncio.timeout(self._timeout), self._connection() as connection:
                answer = await connection.handle_async_request(self._prepared(request, turn))
                try:
                    body = await _read(answer)
                finally:
                    await answer.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return no_answer(request.route, error)
        response = Response(
            answer.status_code,
            {name.lower(): value for name, value in answer.headers.items()},
            body if answer.is_success else self._credentials.redact(body),
            time.time(),
        )
        self._pace.adapt(response)
        return response

    def _prepared(self, request: Request, turn: Turn) -> httpx.Request:
        is_new = False

        async def trace(event: str, what: dict[str, Any]) -> None:
            nonlocal is_new
            is_new |= event.startswith(("connection.", "socks."))
            # Not with the request to a proxy for a connection through it.
            if event == "http11.send_request_headers.started" and what["request"].method != b"CONNECT":
                turn.sent(is_new=is_new)

        return httpx.Request(
            request.method,
            self._credentials.url(request),
            params=request.query or None,
            headers=self._headers,
            content=request.body,
            extensions={"trace": trace},
        )

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[httpx.AsyncHTTPTransport]:
        async with self._free:
            connection = self._idle.pop() if self._idle else self._open()
            try:
                yield connection
            finally:
                self._idle.append(connection)

    def _open(self) -> httpx.AsyncHTTPTransport:
        proxy = _proxy(self._proxy, self._trusted) if self._proxy else None
        return httpx.AsyncHTTPTransport(verify=self._trusted, trust_env=False, proxy=proxy)


#: The transports in use: one for each app on each event loop, as an open client costs more than a wait.
_IN_USE: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, AsyncTransport]]] = WeakKeyDictionary()


@asynccontextmanager
async def open_transport(credentials: Credentials, *, timeout: float, pace: Pace) -> AsyncIterator[AsyncTransport]:
    """
    Open a transport on the running event loop, or share the one that is open for the same arguments.

    :param timeout: the most seconds that a call may take in all.
    :raises BatchConfigurationError: if the environment's proxy or certificate authorities cannot be used.
    """
    in_use = _IN_USE.setdefault(asyncio.get_running_loop(), {})
    key = (credentials, timeout, pace)
    if (transport := in_use.get(key)) is None:
        private_logs.install()
        transport = in_use[key] = AsyncTransport(credentials, pace, timeout=timeout)
    transport.users += 1
    try:
        yield transport
    finally:
        transport.users -= 1
        if not transport.users:
            del in_use[key]
            await transport.close()


def _proxy(proxy: Proxy, trusted: ssl.SSLContext) -> httpx.Proxy:
    # httpx leaves all names to a SOCKS proxy, and calls that socks5. For a proxy without TLS, it refuses the context.
    url = proxy.url.replace("socks5h:", "socks5:", 1)
    return httpx.Proxy(url, headers=proxy.headers, ssl_context=trusted if proxy.encrypted else None)


async def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) >= MAX_BODY:
            break
    return bytes(body[:MAX_BODY])
