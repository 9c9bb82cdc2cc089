"""
One effect in, one answer out, with requests; safe to share between the threads of one push.

Deadlines. The timeout of requests limits each wait for bytes, not the whole answer: a server that sends a byte a minute
would hold its thread for ever. So the body is read as it arrives, and the clock is checked after each piece. Every call
ends, and so does every push that is stopped: ``stopped`` is an event, not a flag, and wakes a thread that waits.

Session. One session serves all threads, because its open connections make further calls cheap. It is safe to share, as
nothing in it changes once it is open: headers are fixed, cookies are not kept, redirects are not followed.
"""

from __future__ import annotations

import errno
import threading
import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from airflow_provider_batch.exceptions import BatchConnectionError, PushStoppedError
from airflow_provider_batch.protocol.flow import Answer, Effect
from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from airflow_provider_batch.transport import MAX_BODY, MAX_CONNECTIONS, private_logs
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.pace import Pace
from airflow_provider_batch.transport.retry_log import RetryLog


class _Session(requests.Session):
    """A session with a default timeout that does not follow redirects, which would take the keys to another host."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = timeout

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self._timeout
        return super().send(request, **kwargs)


def open_session(credentials: Credentials, *, timeout: float) -> requests.Session:
    """
    Return a session with the credentials' headers.

    :param timeout: seconds to wait for a connection, and for each part of an answer.
    """
    private_logs.install()
    session = _Session(timeout)
    # Without this, requests would replace the key's header by credentials from ~/.netrc.
    session.auth = lambda prepared: prepared
    session.headers.update(credentials.headers)
    # Over plain http, which is for this machine alone, a proxy of the environment would read the keys.
    session.trust_env = credentials.encrypted
    # No cookies: they are not part of the API, and threads must not share a jar.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # Only the scheme that was checked: with an https address, no plain http at all.
    session.adapters.clear()
    session.mount(
        credentials.base_url.partition("//")[0] + "//", HTTPAdapter(pool_connections=1, pool_maxsize=MAX_CONNECTIONS)
    )
    return session


class BlockingTransport:
    """
    Performs the effects of flows. Once ``stopped`` is set, it sends nothing more and ends every wait.

    :param timeout: the most seconds that the body of an answer may take in all.
    """

    def __init__(self, session: requests.Session, credentials: Credentials, pace: Pace, *, timeout: float) -> None:
        self.stopped = threading.Event()
        self._timeout = timeout
        self._session = session
        self._credentials = credentials
        self._pace = pace
        self._retry_log = RetryLog()

    def perform(self, effect: Effect) -> Answer:
        """
        Perform *effect* and return its result.

        :raises PushStoppedError: if the push was stopped.
        """
        if isinstance(effect, Sleep):
            self._retry_log.record(effect)
            if effect.everyone:
                self._pace.hold(effect.seconds)
            self._sleep(effect.seconds)
            return None
        for seconds in self._pace.turn():
            self._sleep(seconds)
        return self._send(effect)

    def _sleep(self, seconds: float) -> None:
        if self.stopped.wait(seconds) if seconds > 0 else self.stopped.is_set():
            raise PushStoppedError("stopped before the next call")

    def _send(self, request: Request) -> Answer:
        try:
            with self._session.request(
                request.method,
                self._credentials.url(request),
                params=request.query,
                data=request.body,
                stream=True,
            ) as answer:
                body = _read(answer.raw, time.monotonic() + self._timeout)
        except (requests.RequestException, HTTPError, OSError) as error:
            # Not chained: the libraries' errors quote the URL, and the URL holds the app's key.
            return BatchConnectionError(f"{request.route}: no answer: {_cause(error)}")
        response = Response(
            answer.status_code,
            {name.lower(): value for name, value in answer.headers.items()},
            body if 200 <= answer.status_code < 300 else self._credentials.redact(body),
            time.time(),
        )
        self._pace.adapt(response)
        return response


def _read(raw: BaseHTTPResponse, deadline: float) -> bytes:
    """Read the body of an answer, up to the limit, and until *deadline*."""
    body = bytearray()
    # read1 returns what has arrived; read would wait for all of it.
    while len(body) < MAX_BODY and (piece := raw.read1(MAX_BODY - len(body), decode_content=True)):
        body += piece
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "the answer takes too long")
    return bytes(body)


def _cause(error: BaseException) -> str:
    """Name the error and its causes by type alone: the libraries' texts quote the URL."""
    names = [type(error).__name__]
    while (inner := _inner(error)) is not None and len(names) < 5:
        error = inner
        names.append(type(error).__name__)
    reason = error.strerror if isinstance(error, OSError) and error.errno is not None else None
    return " < ".join(names) + (f" ({reason})" if reason else "")


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    candidates = (reason, *error.args, error.__cause__, error.__context__)
    return next((candidate for candidate in candidates if isinstance(candidate, BaseException)), None)
