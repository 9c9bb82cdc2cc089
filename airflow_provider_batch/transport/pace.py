"""
A rate limit: evenly spaced slots for sending, shared by all that one process sends to one app.

Batch documents no limit for audiences, though its CEP pages list a 429
(https://doc.batch.com/developer/api/cep/audiences/update); third parties report one call a second. So the spacing
adapts: each 429 doubles it, each success shrinks it a little, and time halves it, so that one burst does not slow a
task down for long. The user's ``requests_per_second`` sets the shortest spacing. After a 429 or 503 no slot is given
until that call's own wait is over: an overloaded service needs fewer calls of every kind.

Slots are reserved in advance. Threads that merely checked the time of the last call would all send at the same moment.
With a slot of its own each, the lock is held for some arithmetic and never during a wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

#: A thread may wake up late for its slot, and the next one on time. 4 % of each second stay free, so that no second has
#: a call too many.
_MARGIN: Final = 1.04

#: The adapted spacing in seconds: after the first 429, and at most; the part of it that a success leaves; and the
#: seconds in which it halves.
_FIRST_SPACING: Final = 0.1
_LONGEST_SPACING: Final = 2.0
_SHRINKING: Final = 0.95
_HALF_LIFE: Final = 30.0


class Pace:
    """
    Evenly spaced slots for sending; safe to share between threads.

    :param per_second: the most slots in any second; None for as many as Batch accepts.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._spacing = _MARGIN / per_second if per_second else 0.0
        self._adapted_spacing = 0.0
        self._adapted_at = clock()
        self._clock = clock
        self._next_slot = float("-inf")
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Reserve the next slot and return the seconds until then."""
        with self._lock:
            now = self._clock()
            slot = max(now, self._next_slot)
            self._next_slot = slot + max(self._spacing, self._adapted(now))
            return slot - now

    def hold(self, seconds: float) -> None:
        """Give no slot for that long."""
        with self._lock:
            self._next_slot = max(self._next_slot, self._clock() + seconds)

    def adapt(self, status: int) -> None:
        """Adapt the spacing to the status of an answer."""
        with self._lock:
            now = self._clock()
            spacing = self._adapted(now)
            if status == 429:
                spacing = min(max(2 * spacing, _FIRST_SPACING), _LONGEST_SPACING)
            elif status < 300:
                spacing *= _SHRINKING
            self._adapted_spacing, self._adapted_at = spacing, now

    def _adapted(self, now: float) -> float:
        return self._adapted_spacing * float(0.5 ** ((now - self._adapted_at) / _HALF_LIFE))


_PACES: Final[WeakValueDictionary[tuple[str, float | None], Pace]] = WeakValueDictionary()
_PACES_LOCK: Final = threading.Lock()


def shared_pace(recipient: str, per_second: float | None) -> Pace:
    """
    Return this process's one pace for *recipient*, which all waits in a triggerer share.

    :param recipient: identifies the app.
    """
    with _PACES_LOCK:
        # setdefault would drop a new pace again before the caller holds it.
        pace = _PACES.get((recipient, per_second)) or Pace(per_second)
        _PACES[recipient, per_second] = pace
        return pace
