"""The rate limit of apps and projects."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class RateLimit:
    """
    A token bucket for each key.

    Undocumented: the limit of the audience routes, and a header with the time to wait. The sandbox sends no header.
    https://doc.batch.com/developer/api/mep/campaigns/get: wait 5 seconds or more; further requests may get a 429 again.

    :param rate: requests per second; the bucket holds one second's requests, but at least one.
    :param wait: seconds after a 429 in which the next request gets a 429 too, which starts the wait anew.
    """

    def __init__(self, rate: float, clock: Callable[[], float], wait: float = 0.0) -> None:
        if not (rate > 0 and wait >= 0):  # this form rejects NaN too
            raise ValueError("requests_per_second must be more than 0, and rate_limit_wait 0 seconds or more")
        self._rate = rate
        self._clock = clock
        self._wait = wait
        self._buckets: dict[str, tuple[float, float, bool]] = {}  # requests left, the last request, if it was admitted

    def admits(self, key: str) -> bool:
        """Take one request of *key* from its bucket; return False if none is left or it must wait."""
        now, size = self._clock(), max(1.0, self._rate)
        left, last, admitted = self._buckets.get(key, (size, now, True))
        left = min(size, left + max(0.0, now - last) * self._rate)
        admitted = left >= 1 and (admitted or now - last >= self._wait)
        self._buckets[key] = (left - 1 if admitted else left, now, admitted)
        return admitted


class ProfileLimits:
    """
    How many custom ids each project may write; ids are counted, not calls.

    https://doc.batch.com/developer/api/cep/profiles: 300 a second over update, with a burst of 1,000; 10,000 a second
    over mass-update, without a burst. Undocumented: how Batch counts. The sandbox counts the ids of the last second for
    mass-update, and gives update a bucket of 1,000 that is filled with 300 a second.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._recent: dict[str, deque[tuple[float, int]]] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    def admits(self, key: str, verb: str, ids: int, arrived: float) -> bool:
        """Count a call of the project *key*; return False, and do not count it, if it has too many ids."""
        return (self._admits_mass if verb == "profiles/mass-update" else self._admits_few)(key, ids, arrived)

    def _admits_mass(self, key: str, ids: int, now: float) -> bool:
        recent = self._recent.setdefault(key, deque())
        while recent and recent[0][0] <= now - 1.0:
            recent.popleft()
        if sum(count for _, count in recent) + ids > 10_000:
            return False
        recent.append((now, ids))
        return True

    def _admits_few(self, key: str, ids: int, now: float) -> bool:
        left, last = self._buckets.get(key, (1_000.0, now))
        left = min(1_000.0, left + 300 * max(0.0, now - last))
        admitted = left >= ids
        self._buckets[key] = (left - ids * admitted, now)
        return admitted
