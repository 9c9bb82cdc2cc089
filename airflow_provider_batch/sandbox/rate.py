from __future__ import annotations

from collections.abc import Callable


class RateLimit:
    """At most *rate* requests a second for each project, in a row no more than *rate*; *clock* gives Unix seconds.

    not documented: any figure, whether a refused request counts (here: no), and a header that says when to come back.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        if not rate > 0:  # so written, NaN is refused too
            raise ValueError("the requests per second must be more than 0")
        self._rate = rate
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def admits(self, project: str) -> bool:
        now, most = self._clock(), max(1.0, self._rate)
        left, since = self._left.get(project, (most, now))
        left = min(most, left + max(0.0, now - since) * self._rate)
        admitted = left >= 1
        self._left[project] = (left - 1 if admitted else left, now)
        return admitted
