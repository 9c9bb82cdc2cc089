"""One effect in, one answer out, with httpx, for the triggerer's event loop."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from airflow_provider_batch.protocol.flow import Answer, Effect
from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from airflow_provider_batch.transport import MAX_BODY, environment, private_logs
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.environment import Proxy
from airflow_provider_batch.transport.no_answer import no_answer
from airflow_provider_batch.transport.pace import Pace
from airflow_provider_batch.transport.retry_log import RetryLog


class AsyncTransport:
    """Performs the effects of flows; :func:`open_transport` closes the client."""

    def __init__(self, client: httpx.AsyncClient, credentials: Credentials, pace: Pace, *, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._credentials = credentials
        self._pace = pace
        self._retry_log = RetryLog()

    async def perform(self, effect: Effect) -> Answer:
        """Perform *effect* and return its result."""
        if isinstance(effect, Sleep):
            self._retry_log.record(effect)
            if effect.everyone:
                self._pace.hold(effect.seconds)
            await asyncio.sleep(effect.seconds)
            return None
        for seconds in self._pace.turn():
            await asyncio.sleep(seconds)
        return await self._send(effect)

    async def _send(self, request: Request) -> Answer:
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream(
                    request.method, self._credentials.url(request), params=request.query, content=request.body
                ) as answer,
            ):
                body = await _read(answer)
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


@asynccontextmanager
async def open_transport(credentials: Credentials, *, timeout: float, pace: Pace) -> AsyncIterator[AsyncTransport]:
    """
    Open a transport on the running event loop.

    :param timeout: the most seconds that a call may take in all.
    :raises BatchConfigurationError: if the environment's proxy or certificate authorities cannot be used.
    """
    private_logs.install()
    trusted = environment.trusted(credentials.base_url)
    proxy = environment.proxy_to(credentials.base_url, socks_package="socksio")
    async with httpx.AsyncClient(
        headers=credentials.headers,
        # No cookies: they are not part of the API.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=timeout,
        follow_redirects=False,
        trust_env=False,
        verify=trusted,
        proxy=_proxy(proxy, trusted) if proxy else None,
    ) as client:
        yield AsyncTransport(client, credentials, pace, timeout=timeout)


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
