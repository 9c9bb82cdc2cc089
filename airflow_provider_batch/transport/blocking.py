"""One effect in, one answer out, with requests; safe to share between the threads of one push."""

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
    """A session for the keys of one app: no redirect takes them elsewhere, no call waits for ever."""

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
    Return a session that carries the credentials' headers.

    :param timeout: seconds to wait for a connection, and for each part of an answer.
    """
    private_logs.install()
    session = _Session(timeout)
    # Without an auth of its own, requests would put one from ~/.netrc in place of the key's header.
    session.auth = lambda prepared: prepared
    session.headers.update(credentials.headers)
    # Over plain http a proxy of the environment would read the keys, though they are meant for this machine alone.
    session.trust_env = credentials.encrypted
    # No cookies: they are not part of the API, and a session's jar is the one thing that threads must not share.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # Nothing but the scheme that was checked: over https, plain http is not even spoken.
    session.adapters.clear()
    session.mount(
        credentials.base_url.partition("//")[0] + "//", HTTPAdapter(pool_connections=1, pool_maxsize=MAX_CONNECTIONS)
    )
    return session


class BlockingTransport:
    """
    Performs what a flow asks for.

    :param timeout: seconds that the body of an answer may take in all.

    Once ``stopped`` is set, nothing more is sent and no wait goes on.
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
        Do *effect* and return what came of it.

        :raises PushStoppedError: if the push was stopped.
        """
        if isinstance(effect, Sleep):
            self._retry_log.tell(effect)
            if effect.everyone:
                self._pace.hold(effect.seconds)
            self._sleep(effect.seconds)
            return None
        self._sleep(self._pace.reserve())
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
            # Not chained: the libraries' errors quote the address, and the address holds the app's key.
            return BatchConnectionError(f"no answer: {request.route}: {_cause(error)}")
        self._pace.learn(answer.status_code)
        return Response(
            answer.status_code,
            {name.lower(): value for name, value in answer.headers.items()},
            body if 200 <= answer.status_code < 300 else self._credentials.blot_out(body),
            time.time(),
        )


def _read(raw: BaseHTTPResponse, give_up: float) -> bytes:
    """Read an answer's body, as much of it as is of use, for as long as is reasonable."""
    body = bytearray()
    while len(body) < MAX_BODY and (piece := raw.read1(MAX_BODY - len(body), decode_content=True)):
        body += piece
        if time.monotonic() > give_up:  # each piece came in time, but there is no end to them
            raise TimeoutError(errno.ETIMEDOUT, "the answer takes too long")
    return bytes(body)


def _cause(error: BaseException) -> str:
    """Name what broke, as deep as it is known, without the address that the libraries' texts quote."""
    names = [type(error).__name__]
    while (inner := _inner(error)) is not None and len(names) < 5:
        error = inner
        names.append(type(error).__name__)
    told = error.strerror if isinstance(error, OSError) and error.errno is not None else None
    return " < ".join(names) + (f" ({told})" if told else "")


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    candidates = (reason, *error.args, error.__cause__, error.__context__)
    return next((candidate for candidate in candidates if isinstance(candidate, BaseException)), None)
