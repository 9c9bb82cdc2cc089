"""A Batch behind a server that answers byte for byte: first what a test wrote, then as the sandbox does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from airflow_provider_batch.sandbox.api import Api, ApiResponse
from airflow_provider_batch.sandbox.audience import NO_TRAITS, Change
from airflow_provider_batch.sandbox.request import ApiRequest
from airflow_provider_batch.sandbox.state import State
from tests.transport.servers import KEY, REST_KEY, Asked, answer


class Service:
    """What a ``RawServer`` needs to answer like the sandbox, and what came of it."""

    def __init__(self) -> None:
        self._state = State([KEY], ["vip"], indexing_delay=0, clock=time.time)
        self._api = Api(self._state, REST_KEY, ("code", "message"))

    def add(self, ids: Iterable[str]) -> None:
        self._state.write(KEY, "vip", Change(dict.fromkeys(ids, NO_TRAITS)))

    @property
    def members(self) -> frozenset[str]:
        return self._state.members(KEY, "vip")

    def __call__(self, asked: Asked) -> bytes:
        """Do what is asked and say so."""
        given = self._do(asked)
        return answer(given.status, given.content, Content_Type="application/json")

    def then(self, reply: Callable[[bytes], bytes]) -> Callable[[Asked], bytes]:
        """Do what is asked, and say what *reply* makes of the answer's body."""
        return lambda asked: reply(self._do(asked).content)

    def _do(self, asked: Asked) -> ApiResponse:
        path, _, query = asked.target.partition("?")
        return self._api.respond(ApiRequest(asked.method, path, query, asked.headers, asked.body))


def announced(body: bytes, length: int) -> bytes:
    """An answer of 201 that announces a body of *length*."""
    return b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % length + body


def in_pieces(head: bytes, piece: bytes, pause: Callable[[], object], count: int) -> Iterator[bytes]:
    """An answer that goes on and on: a head and, with a pause before each, so many pieces."""
    yield head
    for _ in range(count):
        pause()
        yield piece
