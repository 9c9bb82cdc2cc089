"""The faults that can happen between a client and Batch, given one by one or drawn at random."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from airflow_provider_batch.sandbox.api import JSON_HEADERS, ApiResponse
from airflow_provider_batch.sandbox.errors import ErrorFormat

FaultBody = bytes | str | Mapping[str, object] | None


@dataclass(frozen=True)
class Fault:
    """
    What happens to one call.

    :param status: the HTTP status of a response that replaces the usual one; None to keep the usual response.
    :param headers: the headers of that response.
    :param body: the body of that response: bytes, text (sent as HTML) or a JSON object; None for the error that Batch
        documents with that status, or for an empty body if there is none.
    :param after_write: whether the call still writes with *status* or *reset*; without them it always writes.
    :param reset: break the TCP connection instead of sending a response.
    :param cut_body: announce the whole body, send half of it and close the connection.
    :param late: seconds added to the indexing delay of this write alone, so that later writes are applied before it;
        `math.inf` to wait for `Sandbox.apply_pending`.
    :param stall: seconds between the write and the response, so that a client that gives up cannot know the outcome.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: FaultBody = None
    after_write: bool = False
    reset: bool = False
    cut_body: bool = False
    stall: float = 0.0
    late: float = 0.0

    def __post_init__(self) -> None:
        if self.status is None and (self.headers or self.body is not None):
            raise ValueError("a fault with headers or a body needs a status")

    @property
    def writes(self) -> bool:
        """Whether the call still changes the audience."""
        return self.after_write or (self.status is None and not self.reset)

    def apply_to(self, response: ApiResponse, error_format: ErrorFormat) -> ApiResponse:
        """Return the response that takes the place of *response*."""
        if self.status is None:
            return replace(response, reason="") if self.reset else response
        content, headers = self._content(self.status, error_format)
        return replace(response, status=self.status, content=content, headers={**headers, **self.headers}, reason="")

    def _content(self, status: int, error_format: ErrorFormat) -> tuple[bytes, Mapping[str, str]]:
        match self.body:
            case bytes():
                return self.body, {}
            case str():
                return self.body.encode(), {"Content-Type": "text/html; charset=utf-8"}
            case None:
                error = error_format.with_status(status)
                return (error_format.encode(error)[1], JSON_HEADERS) if error else (b"", {})
            case _:
                return json.dumps(dict(self.body)).encode(), JSON_HEADERS


_PROXY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
# Undocumented: 502, Retry-After and HTML. Any proxy can send them.
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
    """Return the faults of a write that Batch accepts with *token_status* and an indexing token."""
    return (
        *ANY_CALL,
        Fault(token_status, body={}, after_write=True),
        Fault(token_status, body="<html><body>Please sign in to this network.</body></html>"),
    )


class FaultInjector:
    """The faults of the next calls: queued ones first, in order; then random ones, for *rate* (0 to 1) of the calls."""

    def __init__(self, rate: float, seed: int | None) -> None:
        if not 0 <= rate <= 1:
            raise ValueError("fault_rate must be between 0 and 1")
        self._rate = rate
        self._random = random.Random(seed)
        self._queue: deque[Fault | None] = deque()

    def add(self, *faults: Fault | None) -> None:
        """Queue one fault for each of the next calls; None for a call without a fault."""
        self._queue.extend(faults)

    def take(self, token_status: int | None) -> Fault | None:
        """Return the fault of the next call; *token_status* is its HTTP status if it returns an indexing token."""
        if self._queue:  # only the server's thread takes faults, so the queue cannot become empty in between
            return self._queue.popleft()
        if self._random.random() < self._rate:
            return self._random.choice(any_write(token_status) if token_status else ANY_CALL)
        return None
