"""When to attempt a call again: pure decisions. The clock and the random numbers are passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_batch.exceptions import BatchAPIError, BatchError, BatchRateLimitError
from airflow_provider_batch.protocol import limits


class Delay(Protocol):
    """Decides whether and when a failed call is attempted again."""

    def __call__(self, attempt: int, error: BatchError, waited: float) -> float | None:
        """Return the seconds to wait after attempt number *attempt* failed, or None to give up."""


def lacks_retry_after(error: BatchError) -> bool:
    """Whether *error* is a 429 without a time to wait."""
    return isinstance(error, BatchRateLimitError) and error.retry_after is None


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    Exponential waits with full jitter, or as long as ``Retry-After`` requires if that is longer.

    A 429 without that header adds the wait that Batch recommends. It grows with all that the call has waited: processes
    that wait alike would renew each other's refusal for ever.

    :param jitter: draws the wait between 0 and its argument, such as ``lambda most: random.uniform(0, most)``.
    :param attempts: the most attempts of one call.
    :param first: the longest wait after the first attempt, in seconds; it doubles with every further one.
    :param longest: the longest wait, in seconds.
    :param shortest: the shortest one: a ``Retry-After`` may be 0, or a date in the past.
    :param total: the most seconds that one call waits in all. A longer ``Retry-After`` gives up at once: Airflow's own
        retries take over, and no worker sleeps for hours.
    """

    jitter: Callable[[float], float]
    attempts: int = 5
    first: float = 1.0
    longest: float = 60.0
    shortest: float = 0.5
    total: float = 600.0

    def __call__(self, attempt: int, error: BatchError, waited: float) -> float | None:
        used_up = attempt >= self.attempts and (self.attempts == 1 or not lacks_retry_after(error))
        if used_up or not error.retryable:
            return None
        # The exponent is bounded, as a poll may fail a thousand times and the power would overflow.
        most = self.first * 2 ** min(attempt - 1, 30)
        if lacks_retry_after(error):
            pause = limits.RATE_LIMIT_WAIT + self.jitter(min(self.longest, max(most, waited)))
        else:
            asked = error.retry_after if isinstance(error, BatchAPIError) else None
            pause = max(asked or 0.0, self.shortest, self.jitter(min(self.longest, most)))
        return pause if waited + pause <= self.total else None


@dataclass(frozen=True, slots=True)
class Spacing:
    """
    The pauses between two polls of the same state: short at first, doubling up to a limit.

    Most writes are indexed at once, a few take long. A fifth of each pause is random, so that a thousand waits that
    began together spread out.

    :param longest: the user's poke interval, in seconds.
    """

    jitter: Callable[[float], float]
    longest: float
    first: float = 1.0

    def __call__(self, poll: int) -> float:
        """Return the seconds to wait after poll number *poll* was answered "in progress"."""
        most = min(self.longest, self.first * 2.0 ** min(poll - 1, 30))
        return 0.8 * most + self.jitter(0.2 * most)


@dataclass(frozen=True, slots=True)
class Patience:
    """
    How long the user is willing to wait for indexing.

    :param poke_interval: the most seconds between two polls.
    :param timeout: seconds after which the wait ends.
    """

    poke_interval: float = 10.0
    timeout: float = 3600.0


@dataclass(frozen=True, slots=True)
class Polling:
    """
    How a state is polled until it is final or the deadline has passed.

    :param delay: the wait after a poll that failed.
    :param spacing: the wait after so many polls that were answered "in progress".
    :param deadline: on the clock *now*.
    """

    delay: Delay
    spacing: Callable[[int], float]
    deadline: float
    now: Callable[[], float]
