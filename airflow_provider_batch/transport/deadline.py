"""
Ends a call of requests from another thread: at its deadline, or when the task is interrupted.

A socket's timeout starts anew with every byte. A server that sends one now and then would hold a call for ever: in a
header, in the size of a chunk, with one ``100 Continue`` after the other. So a thread shuts the call's connection down,
which wakes whoever connects, reads or writes there, whether in plain, in TLS, or in TLS within a proxy's TLS.

So that it is known while it connects, the connection is opened here: urllib3 would, besides, wait for its timeout at
each of the host's addresses. Only a SOCKS proxy is connected to by its own package, and a name is looked up by the
system, which has time limits of its own.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Self

from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from airflow_provider_batch.transport.pace import Turn

_under_way = threading.local()


class _Deadlines:
    """One thread that ends all calls in time: a timer of its own for each would cost as much CPU as the call."""

    _next_look: float  #: when the thread looks again, while there is one

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """Forget everything: a forked process has neither the thread nor the calls."""
        self._calls: set[Call] = set()
        # Not a condition: an exception that a signal raises while it is entered, such as Airflow's timeout, would leave
        # it locked, and all calls with it.
        self._lock = threading.Lock()
        self._earlier: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.add(call)
            if self._thread is None:
                self._next_look = call.deadline
                thread = threading.Thread(target=self._watch, name="batch-deadlines", daemon=True)
                thread.start()
                self._thread = thread
            elif call.deadline < self._next_look:
                self._earlier.put(None)

    def discard(self, call: Call) -> None:
        # Wakes nobody: when the thread looks the next time, the call is gone.
        with self._lock:
            self._calls.discard(call)

    def _watch(self) -> None:
        while True:
            with self._lock:
                now = time.monotonic()
                late = [call for call in self._calls if call.deadline <= now]
                self._calls.difference_update(late)
                if not (late or self._calls):
                    self._thread = None
                    return
                self._next_look = min((call.deadline for call in self._calls), default=now)
            for call in late:
                call.end()
            with suppress(Empty):
                self._earlier.get(timeout=max(0.0, self._next_look - time.monotonic()))


_deadlines = _Deadlines()
os.register_at_fork(after_in_child=_deadlines.start_over)


class Call:
    """
    The call that this thread makes inside of ``with``.

    :param seconds: the most that it may take in all.
    :param turn: notified when the call is sent.
    """

    def __init__(self, seconds: float, turn: Turn | None = None) -> None:
        self.turn = turn
        self.ended = False
        self.deadline = time.monotonic() + seconds
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        _under_way.call = self
        _deadlines.add(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _under_way.call = None
        _deadlines.discard(self)
        self._keep(None)

    def end(self) -> None:
        """End the call now, from any thread."""
        with self._lock:
            self.ended = True
            self._shut_down()

    def check(self, address: str) -> None:
        """Check an address that the call is about to connect to: any will do, unless a subclass is more particular."""

    def shorten(self, seconds: float) -> None:
        """Let the call take so many seconds more, at most; from any thread, or a signal."""
        self.deadline = min(self.deadline, time.monotonic() + seconds)
        _deadlines.add(self)

    def hold(self, connected: socket.socket) -> None:
        """Note that the call uses this connection."""
        # A duplicate, as TLS takes the descriptor away from its socket, and the last bytes are read from a closed one.
        self._keep(socket.socket(fileno=os.dup(connected.fileno())))

    def _keep(self, held: socket.socket | None) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = held
            if self.ended:
                self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the other side may have been quicker
                self._socket.shutdown(socket.SHUT_RDWR)


def make_reachable(opener: Any) -> None:
    """Make each connection that *opener*, a pool manager of urllib3, will open known to the call that uses it."""
    pools = {}
    for scheme, pool in opener.pool_classes_by_scheme.items():
        connection = type(pool.ConnectionCls.__name__, (_Reachable, pool.ConnectionCls), {})
        pools[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": connection})
    opener.pool_classes_by_scheme = pools


class _Reachable:
    sock: Any
    _is_new = False
    _head = b""
    _body_follows = False

    def _new_conn(self) -> Any:
        self._is_new = True
        call: Call | None = getattr(_under_way, "call", None)
        if call is None or hasattr(self, "_socks_options"):
            connected = super()._new_conn()  # type: ignore[misc]  # mixed into urllib3's connections
            _hold(connected)
            return connected
        try:
            return _connected(call, self)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[attr-defined, arg-type]
        except OSError as error:
            raise NewConnectionError(self, "not connected") from error  # type: ignore[arg-type]

    def request(self, method: str, url: str, body: Any = None, **kwargs: Any) -> None:
        if self.sock is not None:
            _hold(self.sock)
        else:  # otherwise the call would count as sent while it connects, which may take a while
            self.connect()  # type: ignore[attr-defined]
        call: Call | None = getattr(_under_way, "call", None)
        if call is not None and call.turn is not None:
            call.turn.sent(is_new=self._is_new)
        self._is_new = False
        self._body_follows = isinstance(body, bytes) and body != b""
        super().request(method, url, body, **kwargs)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        # Head and body are sent at once: between them, the thread that encodes would take its turn, for milliseconds.
        if self._body_follows:
            self._body_follows, self._head = False, data
            return
        head, self._head = self._head, b""
        super().send(head + data)  # type: ignore[misc]


def _hold(connected: Any) -> None:
    if (call := getattr(_under_way, "call", None)) is not None:
        call.hold(connected)


def _connected(call: Call, connection: Any) -> socket.socket:
    """Return a connection to the first of the host's addresses that accepts one before the call ends."""
    failure = OSError()  # if the host has no address
    family = allowed_gai_family()
    for address in socket.getaddrinfo(connection._dns_host.strip("[]"), connection.port, family, socket.SOCK_STREAM):
        call.check(str(address[4][0]))
        opened = socket.socket(*address[:3])
        try:
            for option in connection.socket_options or ():
                opened.setsockopt(*option)
            opened.settimeout(connection.timeout)
            call.hold(opened)
            opened.connect(address[4])
            if not call.ended:
                return opened
            failure = TimeoutError()
        except OSError as error:
            failure = error
        opened.close()
        if call.ended:
            break
    raise failure
