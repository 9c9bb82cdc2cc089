"""
A stand-in for Batch that only counts: an HTTP server that is so fast that it never slows a client down.

It answers every write with 201 and a token, after a latency. It answers every view with a state, which becomes APPLIED
after a given number of views. It keeps bodies as they arrive, and counts their ids when /stats is requested.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import resource
import socket
import time
from collections import Counter
from typing import cast

from benchmarks.measure import cpu_seconds

_END = b"\r\n\r\n"


class Ledger:
    """The requests since the last reset, and the settings for the answers."""

    def __init__(self, latency: float = 0.0, applied_after: int = 1, keep: bool = True) -> None:
        self.latency = latency
        self.applied_after = applied_after
        self.keep = keep
        self.bodies: list[bytearray] = []
        self.bytes = 0
        self.ids = 0
        self.arrivals: list[float] = []
        self.connections = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.views: Counter[bytes] = Counter()
        self.tokens = itertools.count()
        self.cpu_then = cpu_seconds()

    def take(self, body: bytearray) -> None:
        """Record the arrival of a write."""
        self.arrivals.append(time.monotonic())
        self.bytes += len(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.keep:
            self.bodies.append(body)
        else:
            self.ids += _ids_in(body)

    def state(self, target: bytes) -> bytes:
        """Record a view of *target*, and return the state of its write."""
        self.views[target] += 1
        return b"APPLIED" if self.views[target] >= self.applied_after else b"IN_PROGRESS"

    def stats(self) -> dict[str, object]:
        """Return the statistics since the last reset."""
        cpu = cpu_seconds() - self.cpu_then
        return {
            "requests": len(self.arrivals),
            "views": self.views.total(),
            "bytes": self.bytes,
            "ids": self.ids + sum(map(_ids_in, self.bodies)),
            "connections": self.connections,
            "most_in_flight": self.most_in_flight,
            "arrivals": self.arrivals,
            "cpu": cpu,
        }


def _ids_in(body: bytearray) -> int:
    """Count the ids of an audience, or of profiles."""
    return body.count(b'"id"') + body.count(b'"custom_id"')


class Server:
    """The current ledger, which a reset replaces."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    def control(self, target: bytes) -> bytes:
        """Answer /stats, or /reset/<latency>/<views until applied>/<keep bodies: 0 or 1>."""
        if target.startswith(b"/reset/"):
            latency, applied_after, keep = target.decode().split("/")[2:]
            self.ledger = Ledger(float(latency), int(applied_after), keep == "1")
        return json.dumps(self.ledger.stats()).encode()


class Connection(asyncio.BufferedProtocol):
    """One client's connection; reads each body straight into the buffer that keeps it."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._head = bytearray(1 << 16)
        self._body: bytearray | None = None
        self._filled = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, and disable Nagle's algorithm on it."""
        self.transport = cast(asyncio.Transport, transport)
        self._server.ledger.connections += 1
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next bytes."""
        return memoryview(self._head if self._body is None else self._body)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Check whether a head or a body is complete."""
        self._filled += nbytes
        if self._body is None and (end := self._head.find(_END, 0, self._filled)) >= 0:
            self._head_is_complete(end)
        if self._body is not None and self._filled == len(self._body):
            body, self._body, self._filled = self._body, None, 0
            self._answer(body)

    def _head_is_complete(self, end: int) -> None:
        head = bytes(self._head[:end])
        self._method, self._target, _ = head.split(b" ", 2)
        _, named, length = head.lower().partition(b"\r\ncontent-length:")
        begun = self._head[end + len(_END) : self._filled]
        self._body = bytearray(int(length.split(b"\r\n", 1)[0]) if named else 0)
        self._body[: len(begun)] = begun
        self._filled = len(begun)

    def _answer(self, body: bytearray) -> None:
        if self._method != b"GET":
            self._take(body)
        elif self._target.startswith((b"/stats", b"/reset")):
            self._write(b"200 OK", self._server.control(self._target))
        else:
            state = self._server.ledger.state(self._target)
            self._write(b"200 OK", b'{"name":"vip","indexing_state":"%s"}' % state)

    def _take(self, body: bytearray) -> None:
        ledger = self._server.ledger
        ledger.take(body)
        token = b'{"indexing_token":"%032x"}' % next(ledger.tokens)

        def accept() -> None:
            ledger.in_flight -= 1
            self._write(b"201 Created", token)

        if ledger.latency:
            asyncio.get_running_loop().call_later(ledger.latency, accept)
        else:
            accept()

    def _write(self, status: bytes, body: bytes) -> None:
        if not self.transport.is_closing():
            head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
            self.transport.write(head + body)


async def serve() -> None:
    """Listen on a free port of the loopback, print it, and answer until killed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = Server()
    listener = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=2048)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
