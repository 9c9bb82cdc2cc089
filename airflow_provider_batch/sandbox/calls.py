"""The record of the API calls that the sandbox has received."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

LAST_CALLS = 200
#: How many bytes of a request, and of its response, the page shows.
SHOWN = 4_096


@dataclass(frozen=True)
class Call:
    """
    One API call; it is recorded before its response is sent, so a client that has the response finds the call.

    :param route: the path, with ``{api_key}`` in place of the app's key.
    :param status: the HTTP status; None if a fault broke the connection instead.
    :param reason: why the API rejected the request, without keys and ids; empty if a fault replaced its response.
    :param adds: how many elements add an id, even if a fault prevents the write; 0 if the request is malformed. The
        same holds for *removes*.
    :param at: when it was recorded, in Unix seconds.
    :param app: the key of the app or project, shortened.
    :param under_way: how many calls were open when this one arrived, itself included.
    :param body: the body of the request; kept only with `Sandbox(keep_bodies=True)`.
    :param size: the number of its bytes.
    :param beginning: the first of them, for the page.
    :param answer: the first bytes of the response's body; empty if a fault broke the connection instead.
    """

    method: str
    route: str
    status: int | None
    reason: str
    adds: int
    removes: int
    seconds: float
    at: float
    user_agent: str
    app: str
    under_way: int
    fault: bool
    body: bytes | None = field(default=None, repr=False)
    size: int = 0
    beginning: bytes = field(default=b"", repr=False)
    answer: bytes = field(default=b"", repr=False)

    @property
    def elements(self) -> int:
        """The number of adds and removes."""
        return self.adds + self.removes


class CallLog:
    """The last calls and the number of open ones; the server's thread writes it, any thread reads it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.under_way = 0
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=LAST_CALLS)
        self._count = 0

    def add(self, call: Call) -> None:
        """Append *call*; the oldest call beyond `LAST_CALLS` is dropped."""
        with self._lock:
            self._calls.append(call)
            self._count += 1

    def snapshot(self) -> list[Call]:
        """Return the calls, oldest first."""
        return list(self.numbered().values())

    def numbered(self) -> dict[int, Call]:
        """Return the calls by their numbers, which begin with 1, oldest first."""
        with self._lock:
            return dict(enumerate(self._calls, start=self._count - len(self._calls) + 1))


def shortened(key: str) -> str:
    """Return enough of *key* to distinguish one app or project from another."""
    return f"{key[:4]}…{key[-2:]}" if len(key) >= 12 else f"{key[:1]}…"
