"""One effect in, one answer out, with httpx, for the triggerer's event loop."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from airflow_provider_batch.exceptions import BatchConnectionError
from airflow_provider_batch.protocol.flow import Answer, Effect
from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from airflow_provider_batch.transport import MAX_BODY, private_logs
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.pace import Pace
from airflow_provider_batch.transport.retry_log import RetryLog


class AsyncTransport:
    """Performs what a flow asks for; the client is closed by :func:`open_transport`."""

    def __init__(self, client: httpx.AsyncClient, credentials: Credentials, pace: Pace, *, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._credentials = credentials
        self._pace = pace
        self._retry_log = RetryLog()

    async def perform(self, effect: Effect) -> Answer:
        """Do *effect* and return what came of it."""
        if isinstance(effect, Sleep):
            self._retry_log.tell(effect)
            if effect.everyone:
                self._pace.hold(effect.seconds)
            await asyncio.sleep(effect.seconds)
            return None
        await asyncio.sleep(self._pace.reserve())
        return await self._send(effect)

    async def _send(self, request: Request) -> Answer:
        try:
            async with self._client.stream(
                request.method, self._credentials.url(request), params=request.query, content=request.body
            ) as answer:
                async with asyncio.timeout(self._timeout):
                    body = await _read(answer)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # Not chained: the library's error holds the request, and its address holds the app's key.
            return BatchConnectionError(f"no answer: {request.route}: {type(error).__name__}")
        self._pace.learn(answer.status_code)
        return Response(
            answer.status_code,
            {name.lower(): value for name, value in answer.headers.items()},
            body if answer.is_success else self._credentials.blot_out(body),
            time.time(),
        )


@asynccontextmanager
async def open_transport(credentials: Credentials, *, timeout: float, pace: Pace) -> AsyncIterator[AsyncTransport]:
    """
    Open a transport on the running event loop.

    :param timeout: seconds to wait for a connection, for each part of an answer, and for its body in all.
    """
    private_logs.install()
    async with httpx.AsyncClient(
        headers=credentials.headers,
        # No cookies: they are not part of the API.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=timeout,
        follow_redirects=False,
        # Over plain http a proxy of the environment would read the keys, though they are meant for this machine alone.
        trust_env=credentials.encrypted,
        # requests reads these variables, httpx does not: both transports shall trust the same.
        verify=_trusted(os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")),
    ) as client:
        yield AsyncTransport(client, credentials, pace, timeout=timeout)


@lru_cache(maxsize=1)
def _trusted(bundle: str | None) -> ssl.SSLContext:
    """Trust whom *bundle* names; made once a process, since it holds up the event loop for some 20 ms."""
    if not bundle:
        return httpx.create_ssl_context()
    return (
        ssl.create_default_context(capath=bundle)
        if os.path.isdir(bundle)
        else ssl.create_default_context(cafile=bundle)
    )


async def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) >= MAX_BODY:
            break
    return bytes(body[:MAX_BODY])
