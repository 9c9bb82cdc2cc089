"""What can go wrong between a client and Batch, as values: scripted, or drawn at random."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .api import JSON_HEADERS, Answer
from .errors import ErrorStyle

FaultBody = bytes | str | Mapping[str, object] | None


@dataclass(frozen=True)
class Fault:
    """What happens to one call.

    Without *status* the call is answered as ever (late with *stall*, torn with *cut_body*). With a *status* this answer
    takes its place, and nothing is written unless *after_write*. A *body* may be bytes, text (sent as HTML) or a JSON
    object; left out, a status that Batch documents comes with its documented error, any other with nothing.

    *reset* breaks the TCP connection instead of answering, *cut_body* announces the whole body, sends half and closes,
    *stall* is in seconds; a write is done before them, as a client that gives up waiting can't know.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: FaultBody = None
    after_write: bool = False
    reset: bool = False
    cut_body: bool = False
    stall: float = 0.0

    def __post_init__(self) -> None:
        if self.status is None and (self.headers or self.body is not None):
            raise ValueError("a fault with headers or a body needs a status")

    @property
    def writes(self) -> bool:
        return self.after_write or (self.status is None and not self.reset)

    def instead_of(self, answer: Answer, style: ErrorStyle) -> Answer:
        if self.status is None:
            return answer
        content, headers = self._content(self.status, style)
        return replace(answer, status=self.status, content=content, headers={**headers, **self.headers})

    def _content(self, status: int, style: ErrorStyle) -> tuple[bytes, Mapping[str, str]]:
        match self.body:
            case bytes():
                return self.body, {}
            case str():
                return self.body.encode(), {"Content-Type": "text/html; charset=utf-8"}
            case None:
                error = style.of_status(status)
                return (style.answer(error)[1], JSON_HEADERS) if error else (b"", {})
            case _:
                return json.dumps(dict(self.body)).encode(), JSON_HEADERS


_PROXY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
# not documented: 502, Retry-After and HTML, and 429 in the older API; any service behind a proxy may send them.
ANY_CALL = (
    Fault(500),
    Fault(502, body=_PROXY_PAGE),
    Fault(503),
    Fault(503, headers={"Retry-After": "1"}),
    Fault(429),
    Fault(429, headers={"Retry-After": "1"}),
    Fault(reset=True),
    Fault(reset=True, after_write=True),
)


def any_write(token_status: int) -> tuple[Fault, ...]:
    """What can go wrong where a write is answered with *token_status* and an indexing token."""
    return (
        *ANY_CALL,
        Fault(token_status, body={}, after_write=True),
        Fault(token_status, body="<html><body>Please sign in to this network.</body></html>"),
    )


class FaultScript:
    """Scripted faults first, in order; then random ones, *rate* of all calls, the same again for the same *seed*."""

    def __init__(self, rate: float, seed: int | None) -> None:
        if not 0 <= rate <= 1:
            raise ValueError("the fault rate must be between 0 and 1")
        self._rate = rate
        self._random = random.Random(seed)
        self._queue: deque[Fault | None] = deque()

    def add(self, *faults: Fault | None) -> None:
        self._queue.extend(faults)

    def take(self, token_status: int | None) -> Fault | None:
        """The fault of the next call, which promises a token with *token_status*, or none at all."""
        if self._queue:  # only the server's thread takes, so nobody empties it in between
            return self._queue.popleft()
        if self._random.random() < self._rate:
            return self._random.choice(any_write(token_status) if token_status else ANY_CALL)
        return None
