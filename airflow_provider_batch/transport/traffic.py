"""What one transport has sent, in numbers, for whoever reports them."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

from airflow_provider_batch.protocol.flow import Answer, Effect
from airflow_provider_batch.protocol.wire import Response, Sleep


class Traffic:
    """
    Counts the calls of one transport; safe to share between threads.

    ``attempts`` are all requests, ``retries`` the waits before another attempt of the same call, ``rate_limited`` the
    answers with the status 429, and ``pace_seconds`` what all threads together have waited for the pace.
    """

    def __init__(self) -> None:
        self.attempts = 0
        self.retries = 0
        self.rate_limited = 0
        self.pace_seconds = 0.0
        self._lock = threading.Lock()

    @property
    def calls(self) -> int:
        """How many calls were made, however often each was attempted."""
        return self.attempts - self.retries

    def counts(self) -> dict[str, int]:
        """Return the counts in JSON's types, by the names of their metrics."""
        return {"calls": self.calls, "attempts": self.attempts, "rate_limited": self.rate_limited}

    def attempted(self, status: int | None) -> None:
        """Count an attempt; None as its *status* means that there was no answer."""
        with self._lock:
            self.attempts += 1
            self.rate_limited += status == 429

    def retried(self) -> None:
        """Count a wait before another attempt."""
        with self._lock:
            self.retries += 1

    def paced(self, seconds: float) -> None:
        """Count a wait for the pace."""
        with self._lock:
            self.pace_seconds += seconds

    def of(self, perform: Callable[[Effect], Awaitable[Answer]]) -> Callable[[Effect], Awaitable[Answer]]:
        """Return *perform*, counted here: for one wait of many that share a transport."""

        async def performed(effect: Effect) -> Answer:
            answer = await perform(effect)
            if not isinstance(effect, Sleep):
                self.attempted(answer.status if isinstance(answer, Response) else None)
            elif effect.retries is not None:
                self.retried()
            return answer

        return performed
