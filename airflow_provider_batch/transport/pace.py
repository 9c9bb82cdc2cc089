"""Turns to send, shared by everything that one task sends over one connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: A turn may be taken late by the time that a thread needs to wake up, the next one on time; so that a second never
#: sees one call too many, 4 % of it is kept free.
_MARGIN = 1.04


class Pace:
    """At most so many turns in any second, evenly spaced; None means no limit. Safe to share between threads."""

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = _MARGIN / per_second if per_second else 0.0
        self._clock = clock
        self._next_turn = float("-inf")
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take the next turn and return the seconds until then."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next_turn)
            self._next_turn = turn + self._interval
            return turn - now
