"""(attempt, error, seconds waited so far) -> seconds to wait, or None to give up. Pure: the jitter is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_batch.exceptions import BatchAPIError, BatchError


class Delay(Protocol):
    """Decides whether and when a failed call is tried again."""

    def __call__(self, attempt: int, error: BatchError, waited: float) -> float | None:
        """Return the seconds to wait after the *attempt*-th try failed, or None to give up."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    Exponential waits with full jitter; what Batch asks for in ``Retry-After`` wins.

    :param jitter: draws the wait between 0 and its argument, such as ``lambda most: random.uniform(0, most)``.
    :param attempts: how often a call is tried at most.
    :param first: the longest wait after the first try, in seconds; it doubles with every further one.
    :param longest: the longest such wait, in seconds.
    :param total: the most seconds that one call waits in all; a longer Retry-After gives up at once, so that
        Airflow's own retries take over instead of a worker that sleeps.
    """

    jitter: Callable[[float], float]
    attempts: int = 5
    first: float = 1.0
    longest: float = 60.0
    total: float = 600.0

    def __call__(self, attempt: int, error: BatchError, waited: float) -> float | None:
        if attempt >= self.attempts or not error.retryable:
            return None
        asked = error.retry_after if isinstance(error, BatchAPIError) else None
        # The exponent is bounded so that a patient caller's thousandth attempt does not overflow.
        pause = self.jitter(min(self.longest, self.first * 2 ** min(attempt - 1, 30))) if asked is None else asked
        return pause if waited + pause <= self.total else None


@dataclass(frozen=True, slots=True)
class Spacing:
    """
    The seconds between two questions for the same state: few at first, twice as many each time, up to a limit.

    Most writes are indexed at once, a few take long. A fifth of each wait is left to *jitter*, so that a thousand
    waits that began together do not stay together.

    :param longest: the poke interval that was asked for, in seconds.
    """

    jitter: Callable[[float], float]
    longest: float
    first: float = 1.0

    def __call__(self, question: int) -> float:
        """Return the seconds to wait after the *question*-th answer «not yet»."""
        most = min(self.longest, self.first * 2.0 ** min(question - 1, 30))
        return 0.8 * most + self.jitter(0.2 * most)
