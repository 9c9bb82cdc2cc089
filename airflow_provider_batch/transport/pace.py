"""
A rate limit: evenly spaced slots for sending, shared by all that one process sends to one app.

Batch documents no limit for audiences, though its CEP pages list a 429
(https://doc.batch.com/developer/api/cep/audiences/update); third parties report one call a second. So the spacing
adapts: each 429 doubles it, each success shrinks it a little, and time halves it, so that one burst does not slow a
task down for long. The user's ``requests_per_second`` sets the shortest spacing. After a 429 or 503 no slot is given
until that call's own wait is over: an overloaded service needs fewer calls of every kind. A 429 that does not state how
long that is stops everyone for the seconds that Batch recommends, as calls within them may renew the refusal.

Slots are reserved in advance. Threads that merely checked the time of the last call would all send at the same moment.
With a slot of its own each, the lock is held for some arithmetic and never during a wait. A slot is checked again when
its thread wakes: a 429 may have come meanwhile, and threads that wake late must not meet those that wake on time.

A call whose turn it is may first have to connect, and a slow handshake would bring it to Batch together with the next
one. So the first call of a connection counts once more when it is sent. Until then nobody waits for it: where Batch
cannot be reached, one call after the other would otherwise take all of its time.

For profiles Batch documents limits, and counts ids instead of calls. There a call also waits until its ids fit into the
quota: those of the calls before it count from the moment at which they were sent, and until then as sent just now.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Self
from weakref import WeakValueDictionary

from airflow_provider_batch.protocol import limits
from airflow_provider_batch.protocol.limits import Quota
from airflow_provider_batch.protocol.refusals import retry_after
from airflow_provider_batch.protocol.wire import Response

#: The factors by which the distance of slots and the time of a quota, and the second in which slots are counted, are
#: longer than the limit demands: a call may take longer to arrive than the next one, which is then closer behind it.
_MARGIN: Final = 1.04
_WINDOW: Final = 1.01

#: Seconds after which a server accepts a connection at the latest that its client already takes for open. The first
#: call of a connection may arrive that much later.
_ACCEPTING: Final = 0.05

#: The adapted spacing in seconds: after the first 429, and at most; the part of it that a success leaves; and the
#: seconds in which it halves.
_FIRST_SPACING: Final = 0.1
_LONGEST_SPACING: Final = 2.0
_SHRINKING: Final = 0.95
_HALF_LIFE: Final = 30.0

#: The most calls that are counted to keep a limit; a higher one is kept by the part of a second that they may take.
_MOST_COUNTED: Final = 1_000


@dataclass(slots=True)
class _Call:
    count: int
    at: float
    is_forgotten: bool = False


class _Spent:
    """
    What was sent within a window of time, ids or calls, with the moment of each call; and what is about to be sent.

    :param most: the most of them in any window.
    :param window: its seconds.
    """

    def __init__(self, most: int, window: float) -> None:
        self.limit(most, window)
        self._calls: deque[_Call] = deque()
        self._sent = self._unsent = 0

    def limit(self, most: int, window: float) -> None:
        self._most, self._window = most, window

    def free(self, count: int, now: float) -> float:
        """Return from when on so many may be sent: in every window, from any moment on, the limit is kept."""
        while self._calls and self._calls[0].at + self._window <= now:
            forgotten = self._calls.popleft()
            forgotten.is_forgotten = True
            self._sent -= forgotten.count
        count += self._sent + self._unsent
        moment = now
        for call in self._calls:
            if count <= self._most:
                return moment
            count -= call.count
            moment = max(moment, call.at + self._window)
        return max(moment, now + self._window) if self._unsent and count > self._most else moment

    def take(self, count: int) -> None:
        self._unsent += count

    def give_back(self, count: int) -> None:
        self._unsent -= count

    def add(self, count: int, at: float) -> _Call:
        self._calls.append(call := _Call(count, at))
        self._sent += count
        return call

    def move(self, call: _Call, at: float) -> None:
        """Count a call at another moment."""
        if call.is_forgotten:
            self.add(call.count, at)
        else:
            call.at = at


class Turn(Iterator[float]):
    """
    One call's turn: the seconds to wait for it; once more for each time that it was put off.

    It is entered for as long as the call takes, and notified when this is sent.
    """

    def __init__(self, pace: Pace, spent: _Spent | None, ids: int) -> None:
        self._pace = pace
        self._spent = spent
        self._ids = ids
        self._call: _Call | None = None
        self._is_reserved = self._is_taken = False

    def __next__(self) -> float:
        pace, spent = self._pace, self._spent
        with pace._lock:
            now = pace._clock()
            if not self._is_reserved:
                self._is_reserved = True
                return pace._reserve(now) - now
            if self._call is not None:
                raise StopIteration
            free = max(pace._held_until, pace._calls.free(1, now))
            if spent is not None:
                free = max(free, spent.free(self._ids, now))
            if free <= now:
                self._call = pace._calls.add(1, now)
                if spent is not None:
                    spent.take(self._ids)
                    self._is_taken = True
                raise StopIteration
            # If it is almost free, keep the place; if not, take a slot, or all that were put off would wake together.
            return (free if free - now < pace._spacing else pace._reserve(now, free)) - now

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Give back what the call has taken and not sent."""
        self._settle(None)

    def sent(self, *, is_new: bool = False) -> None:
        """
        Count the ids from now on; of a new connection, the call as well.

        :param is_new: whether the call is the first one of its connection.
        """
        self._settle(_ACCEPTING if is_new else 0.0)

    def _settle(self, late: float | None) -> None:
        """Give back what was taken, and count it as sent *late* seconds from now; None if it was not sent."""
        with self._pace._lock:
            at = self._pace._clock() + (late or 0.0)
            if late and self._call is not None:
                self._pace._calls.move(self._call, at)
            if self._spent is None or not self._is_taken:
                return
            self._is_taken = False
            self._spent.give_back(self._ids)
            if late is not None:
                self._spent.add(self._ids, at)


class Pace:
    """
    Evenly spaced slots for sending; safe to share between threads.

    :param per_second: the most slots in any second; None for as many as Batch accepts.
    :param spent: what was sent of each quota before.
    """

    def __init__(
        self,
        per_second: float | None,
        clock: Callable[[], float] = time.monotonic,
        spent: dict[Quota, _Spent] | None = None,
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spacing = self._adapted_spacing = 0.0
        self._adapted_at = clock()
        self._next_slot = self._held_until = -math.inf
        self._calls = _Spent(limits.NO_LIMIT, _WINDOW)
        self._spent: dict[Quota, _Spent] = {} if spent is None else spent
        self.limit(per_second)

    def limit(self, per_second: float | None) -> None:
        """Give at most that many slots in any second, if these are fewer than before."""
        with self._lock:
            if per_second and _MARGIN / per_second > self._spacing:
                self._spacing = _MARGIN / per_second
                slots = min(math.ceil(per_second), _MOST_COUNTED)
                self._calls.limit(slots, _WINDOW * slots / per_second)

    def turn(self, quota: Quota | None = None, ids: int = 0) -> Turn:
        """
        Return the turn of one call; it reserves a slot when it is asked for the first wait.

        :param quota: a limit that the call has to keep besides, of which it takes so many *ids*.
        """
        if quota is None:
            return Turn(self, None, ids)
        return Turn(self, self._spent.setdefault(quota, _Spent(quota.ids, _MARGIN * quota.seconds)), ids)

    def _reserve(self, now: float, free: float = -math.inf) -> float:
        slot = max(now, free, self._next_slot)
        self._next_slot = slot + max(self._spacing, self._adapted(now))
        return slot

    def hold(self, seconds: float) -> None:
        """Give no slot for that long."""
        with self._lock:
            self._hold(seconds)

    def _hold(self, seconds: float) -> None:
        self._held_until = max(self._held_until, self._clock() + seconds)
        self._next_slot = max(self._next_slot, self._held_until)

    def adapt(self, response: Response) -> None:
        """Adapt to an answer: the spacing, and after a 429 without a time to wait, hold everyone."""
        with self._lock:
            now = self._clock()
            spacing = self._adapted(now)
            if response.status == 429:
                if now >= self._held_until:  # otherwise it was sent before, and is part of the same burst
                    spacing = min(max(2 * spacing, _FIRST_SPACING), _LONGEST_SPACING)
                if retry_after(response) is None:
                    self._hold(limits.RATE_LIMIT_WAIT)
            elif response.status < 300:
                spacing *= _SHRINKING
            self._adapted_spacing, self._adapted_at = spacing, now

    def _adapted(self, now: float) -> float:
        return self._adapted_spacing * float(0.5 ** ((now - self._adapted_at) / _HALF_LIFE))


_PACES: Final[WeakValueDictionary[str, Pace]] = WeakValueDictionary()
_PACES_LOCK: Final = threading.Lock()

#: What was sent to each recipient outlives its pace: Batch counts the ids of one push also for the next one.
_SPENT: Final[dict[str, dict[Quota, _Spent]]] = {}


def shared_pace(recipient: str, per_second: float | None) -> Pace:
    """
    Return this process's one pace for *recipient*, which all waits in a triggerer share.

    :param recipient: identifies the app.
    :param per_second: of all that use the pace at the same time, the lowest limit applies.
    """
    with _PACES_LOCK:
        # setdefault would drop a new pace again before the caller holds it.
        pace = _PACES.get(recipient) or Pace(None, spent=_SPENT.setdefault(recipient, {}))
        pace.limit(per_second)
        _PACES[recipient] = pace
        return pace
