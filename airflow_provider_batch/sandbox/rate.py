"""The rate limit of the API 2.x."""

from __future__ import annotations

from collections.abc import Callable


class RateLimit:
    """
    A token bucket for each project.

    Undocumented: the limit of the audience routes, whether a rejected request counts, and a header with the time to
    wait. In the sandbox a rejected request does not count, and no header is sent.

    :param rate: requests per second; the bucket holds one second's requests, but at least one.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        if not rate > 0:  # this form rejects NaN too
            raise ValueError("requests_per_second must be more than 0")
        self._rate = rate
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # requests left, and since when

    def admits(self, project: str) -> bool:
        """Take one request of *project* from its bucket; return False if none is left."""
        now, size = self._clock(), max(1.0, self._rate)
        left, since = self._buckets.get(project, (size, now))
        left = min(size, left + max(0.0, now - since) * self._rate)
        admitted = left >= 1
        self._buckets[project] = (left - 1 if admitted else left, now)
        return admitted
