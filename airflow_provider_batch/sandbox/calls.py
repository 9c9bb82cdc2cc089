"""The record of the API calls that the sandbox has received."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

LAST_CALLS = 200


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

    def add(self, call: Call) -> None:
        """Append *call*; the oldest call beyond `LAST_CALLS` is dropped."""
        with self._lock:
            self._calls.append(call)

    def snapshot(self) -> list[Call]:
        """Return the calls, oldest first."""
        with self._lock:
            return list(self._calls)


def shortened(key: str) -> str:
    """Return enough of *key* to distinguish one app or project from another."""
    return f"{key[:4]}…{key[-2:]}" if len(key) >= 12 else f"{key[:1]}…"
