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

#: The spacing of turns, in seconds, after a first 429 and at most; between them it doubles with every further one. It
#: shrinks by a few per cent with every success, and by half in so many seconds. Batch documents no limit; third parties
#: speak of one call a second.
_FIRST_SPACING: Final = 0.1
_LONGEST_SPACING: Final = 2.0
_SHRINKING: Final = 0.95
_HALF_LIFE: Final = 30.0


class Pace:
    """
    Turns to send, evenly spaced; safe to share between threads.

    :param per_second: the most turns in any second; None for as many as the service takes.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._spacing = _MARGIN / per_second if per_second else 0.0
        self._learnt_spacing = 0.0
        self._learnt_at = clock()
        self._clock = clock
        self._next_turn = float("-inf")
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take the next turn and return the seconds until then."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next_turn)
            self._next_turn = turn + max(self._spacing, self._remembered(now))
            return turn - now

    def hold(self, seconds: float) -> None:
        """Give no turn for so long: the service is overloaded, and whoever goes on sending makes it worse."""
        with self._lock:
            self._next_turn = max(self._next_turn, self._clock() + seconds)

    def learn(self, status: int) -> None:
        """Space the turns as the answers teach: a 429 says «too fast», a success «a little faster may do»."""
        with self._lock:
            now = self._clock()
            spacing = self._remembered(now)
            if status == 429:
                spacing = min(max(2 * spacing, _FIRST_SPACING), _LONGEST_SPACING)
            elif status < 300:
                spacing *= _SHRINKING
            self._learnt_spacing, self._learnt_at = spacing, now

    def _remembered(self, now: float) -> float:
        return self._learnt_spacing * float(0.5 ** ((now - self._learnt_at) / _HALF_LIFE))


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
