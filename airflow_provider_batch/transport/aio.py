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
            async with self._client.stream(
                request.method, self._credentials.url(request), params=request.query, content=request.body
            ) as answer:
                async with asyncio.timeout(self._timeout):
                    body = await _read(answer)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # Not chained: the library's error holds the request, and its URL holds the app's key.
            return BatchConnectionError(f"{request.route}: no answer: {type(error).__name__}")
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

    :param timeout: seconds to wait for a connection, for each part of an answer, and for its body in all.
    """
    private_logs.install()
    async with httpx.AsyncClient(
        headers=credentials.headers,
        # No cookies: they are not part of the API.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=timeout,
        follow_redirects=False,
        # Over plain http, which is for this machine alone, a proxy of the environment would read the keys.
        trust_env=credentials.encrypted,
        # requests reads these variables, httpx does not. Both transports must trust the same authorities.
        verify=_ssl_context(os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")),
    ) as client:
        yield AsyncTransport(client, credentials, pace, timeout=timeout)


@lru_cache(maxsize=1)
def _ssl_context(bundle: str | None) -> ssl.SSLContext:
    """Return the context that trusts *bundle*; made once a process, as it blocks the event loop for some 20 ms."""
    if not bundle:
        return httpx.create_ssl_context()
    is_folder = os.path.isdir(bundle)
    return ssl.create_default_context(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)


async def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) >= MAX_BODY:
            break
    return bytes(body[:MAX_BODY])
