"""
One effect in, one answer out, over the connections of a session of requests; safe to share between threads.

Connections. The session has the connections, with the proxy and the certificate authorities of the environment. A call
uses them as urllib3 does, and not as requests does: what requests prepares and records for each call costs twice the
CPU of the call itself.

Deadlines. The timeout of requests limits each wait for bytes; :mod:`~airflow_provider_batch.transport.deadline` limits
the whole call. Every call ends, and so does every push that is stopped: ``stopped`` is an event, not a flag, and wakes
a thread that waits.

Session. One session serves all threads, because its open connections make further calls cheap. It is safe to share, as
nothing in it changes once it is open: headers are fixed, cookies are not kept, redirects are not followed.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from airflow_provider_batch.exceptions import PushStoppedError
from airflow_provider_batch.protocol.flow import Answer, Effect
from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from airflow_provider_batch.transport import MAX_BODY, MAX_CONNECTIONS, environment, private_logs
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.deadline import Call, make_reachable
from airflow_provider_batch.transport.environment import Proxy
from airflow_provider_batch.transport.no_answer import no_answer
from airflow_provider_batch.transport.pace import Pace, Turn
from airflow_provider_batch.transport.retry_log import RetryLog
from airflow_provider_batch.transport.traffic import Traffic

#: Seconds of a wait after which its watch is called.
_WATCH_INTERVAL: Final = 30.0

#: Seconds that a call has left when the task is killed: Airflow 3 kills its process after five.
_LAST_SECONDS: Final = 3.0


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


class _Adapter(HTTPAdapter):
    """Connections that a deadline can end, with the environment's proxy and authorities instead of the library's."""

    def __init__(self, trusted: ssl.SSLContext, proxy: Proxy | None) -> None:
        self._trusted, self._proxy = trusted, proxy
        super().__init__(pool_maxsize=MAX_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        make_reachable(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if proxy not in self.proxy_manager:
            if proxy.startswith("https:"):
                kwargs["proxy_ssl_context"] = self._trusted
            make_reachable(super().proxy_manager_for(proxy, **kwargs))
        return self.proxy_manager[proxy]

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        if self._proxy is not None and proxy == parse_url(self._proxy.url).url:
            return self._proxy.headers
        return super().proxy_headers(proxy)  # another one, which a caller names, must not get the environment's login

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, pool = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {**pool, "ssl_context": self._trusted}

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Leave the context as it is: requests would add certifi's authorities to it."""


def open_session(credentials: Credentials, *, timeout: float) -> requests.Session:
    """
    Return a session with the credentials' headers.

    :param timeout: seconds to wait for a connection, and for each part of an answer.
    :raises BatchConfigurationError: if the environment's proxy or certificate authorities cannot be used.
    """
    session = bare_session(credentials.base_url, timeout=timeout)
    session.headers.update(credentials.headers)
    return session


def bare_session(address: str, *, timeout: float) -> requests.Session:
    """
    Return a session for the scheme and host of *address*, without the credentials.

    :raises BatchConfigurationError: as :func:`open_session`.
    """
    private_logs.install()
    trusted = environment.trusted(address)
    proxy = environment.proxy_to(address, socks_package="socks")
    session = _Session(timeout)
    session.trust_env = False
    session.proxies = {"https": proxy.url} if proxy else {}
    # No cookies: they are not part of the API, and threads must not share a jar.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # Only the scheme that was checked: with an https address, no plain http at all.
    session.adapters.clear()
    session.mount(address.partition("//")[0] + "//", _Adapter(trusted, proxy))
    return session


class BlockingTransport:
    """
    Performs the effects of flows. Once ``stopped`` is set, it sends nothing more and ends every wait.

    :param timeout: the most seconds that a call may take in all.
    """

    def __init__(self, session: requests.Session, credentials: Credentials, pace: Pace, *, timeout: float) -> None:
        self.stopped = threading.Event()
        self.traffic = Traffic()
        self._timeout = timeout
        self._session = session
        self._credentials = credentials
        self._headers = credentials.headers
        self._pace = pace
        self._retry_log = RetryLog()
        self._under_way: set[Call] = set()
        self._watch: Callable[[], object] = lambda: None

    @contextmanager
    def watched(self, watch: Callable[[], object]) -> Iterator[None]:
        """
        Call *watch* right before each call, and twice a minute during each wait; any thread may do so.

        What it raises takes the place of the call.
        """
        self._watch = watch
        try:
            yield
        finally:
            self._watch = lambda: None

    def stop(self) -> None:
        """Send nothing more, and end every call under way soon; it may still be answered."""
        self.stopped.set()
        for call in tuple(self._under_way):
            call.shorten(_LAST_SECONDS)

    def interrupt(self) -> None:
        """Send nothing more, and end every call under way at once."""
        self.stopped.set()
        for call in tuple(self._under_way):
            call.end()

    def perform(self, effect: Effect) -> Answer:
        """
        Perform *effect* and return its result.

        :raises PushStoppedError: if the push was stopped.
        """
        if isinstance(effect, Sleep):
            self._retry_log.record(effect)
            if effect.retries is not None:
                self.traffic.retried()
            if effect.everyone:
                self._pace.hold(effect.seconds)
            self._sleep(effect.seconds)
            return None
        with self._pace.turn(effect.quota, effect.ids) as turn:
            for seconds in turn:
                self.traffic.paced(seconds)
                self._sleep(seconds)
            self._watch()
            answer = self._send(effect, turn)
        self.traffic.attempted(answer.status if isinstance(answer, Response) else None)
        return answer

    def check(self) -> None:
        """
        Do nothing, unless the push was stopped.

        :raises PushStoppedError: if it was.
        """
        self._sleep(0.0)

    def _sleep(self, seconds: float) -> None:
        while seconds > _WATCH_INTERVAL and not self.stopped.wait(_WATCH_INTERVAL):
            seconds -= _WATCH_INTERVAL
            self._watch()
        if self.stopped.wait(seconds) if seconds > 0 else self.stopped.is_set():
            raise PushStoppedError

    @cached_property
    def _connections(self) -> HTTPConnectionPool:
        address = self._session.prepare_request(requests.Request("GET", self._credentials.base_url))
        adapter = self._session.get_adapter(self._credentials.base_url)
        assert isinstance(adapter, HTTPAdapter)  # noqa: S101 - for mypy: the session has no other
        connections: Any = adapter.get_connection_with_tls_context(address, True, proxies=self._session.proxies)
        return cast(HTTPConnectionPool, connections)

    def _send(self, request: Request, turn: Turn) -> Answer:
        with Call(self._timeout, turn) as call:
            self._under_way.add(call)
            if self.stopped.is_set():  # meanwhile
                call.shorten(_LAST_SECONDS)
            try:
                answer = self._connections.urlopen(
                    request.method,
                    self._credentials.target(request),
                    request.body,
                    self._headers,
                    retries=False,
                    redirect=False,
                    timeout=self._timeout,
                    preload_content=False,
                )
                try:
                    body = _read(answer)
                finally:
                    answer.close()
                if call.ended:  # an end between two headers looks like the end of them all
                    raise TimeoutError
            except (requests.RequestException, HTTPError, OSError) as error:
                # The socket's own timeout may wake this thread before the one that ends the call.
                is_late = call.ended or time.monotonic() >= call.deadline
                return no_answer(request.route, TimeoutError() if is_late else error)
            finally:
                self._under_way.discard(call)
        response = Response(
            answer.status,
            {name.lower(): value for name, value in answer.headers.items()},
            body if 200 <= answer.status < 300 else self._credentials.redact(body),
            time.time(),
        )
        self._pace.adapt(response)
        return response


def _read(raw: BaseHTTPResponse) -> bytes:
    """Read the body of an answer, up to the limit."""
    body = bytearray()
    # read1 returns what has arrived; read would wait for all of it.
    while len(body) < MAX_BODY and (piece := raw.read1(MAX_BODY - len(body))):
        body += piece
    return bytes(body)
