"""The rate limit of apps and projects."""

from __future__ import annotations

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
