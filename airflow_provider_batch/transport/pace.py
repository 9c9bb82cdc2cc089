"""Turns to send, shared by everything that one task sends over one connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

#: A turn may be taken late by the time that a thread needs to wake up, the next one on time; so that a second never
#: sees one call too many, 4 % of it is kept free.
_MARGIN: Final = 1.04

#: The spacing of turns, in seconds, after a first 429 and at most; between them it doubles with every further one and
#: shrinks by a few per cent with every success. Batch documents no limit; third parties speak of one call a second.
_FIRST_SPACING: Final = 0.1
_LONGEST_SPACING: Final = 2.0
_SHRINKING: Final = 0.95


class Pace:
    """
    Turns to send, evenly spaced; safe to share between threads.

    :param per_second: the most turns in any second; None for as many as the service takes.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._spacing = _MARGIN / per_second if per_second else 0.0
        self._learnt_spacing = 0.0
        self._clock = clock
        self._next_turn = float("-inf")
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take the next turn and return the seconds until then."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next_turn)
            self._next_turn = turn + max(self._spacing, self._learnt_spacing)
            return turn - now

    def hold(self, seconds: float) -> None:
        """Give no turn for so long: the service is overloaded, and whoever goes on sending makes it worse."""
        with self._lock:
            self._next_turn = max(self._next_turn, self._clock() + seconds)

    def learn(self, status: int) -> None:
        """Space the turns as the answers teach: a 429 says «too fast», a success «a little faster may do»."""
        with self._lock:
            if status == 429:
                self._learnt_spacing = min(max(2 * self._learnt_spacing, _FIRST_SPACING), _LONGEST_SPACING)
            elif status < 300:
                self._learnt_spacing *= _SHRINKING


_PACES: Final[WeakValueDictionary[tuple[str, float | None], Pace]] = WeakValueDictionary()
_PACES_LOCK: Final = threading.Lock()


def shared_pace(recipient: str, per_second: float | None) -> Pace:
    """
    Return the one pace of this process for *recipient*, such as for all waits in a triggerer.

    :param recipient: tells one app from another.
    """
    with _PACES_LOCK:
        # setdefault would drop the new one again before anybody holds it.
        pace = _PACES.get((recipient, per_second)) or Pace(per_second)
        _PACES[recipient, per_second] = pace
        return pace
