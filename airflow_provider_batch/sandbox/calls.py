from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

LAST_CALLS = 200


@dataclass(frozen=True)
class Call:
    """One finished API call, recorded before its answer leaves, so whoever has the answer finds the call.

    *status* is None where the connection was broken instead. *at* is in Unix seconds, *seconds* how long it took,
    *under_way* how many calls (this one included) were open when it came in. *app* is the key of the app or project,
    shortened. *adds* and *removes* count elements of the request, also if a fault kept them from being written; they
    are 0 for a request that was not understood. *body* is what was sent, kept only by `Sandbox(keep_bodies=True)`.
    """

    method: str
    route: str
    status: int | None
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
        return self.adds + self.removes


class CallLog:
    """The last calls, and how many are open now. Written by the server's thread, read by any."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.under_way = 0
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=LAST_CALLS)

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def snapshot(self) -> list[Call]:
        with self._lock:
            return list(self._calls)


def shortened(key: str) -> str:
    """Enough of a key to tell one app from another."""
    return f"{key[:4]}…{key[-2:]}" if len(key) >= 12 else f"{key[:1]}…"
