"""The retry policy; importable on Airflow 3.3 and later only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy

from airflow_provider_batch.exceptions import BatchAPIError, BatchError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Seconds; Airflow's own limit for growing waits. A Retry-After may be any number, or any date.
_LONGEST_WAIT: Final = 24 * 3600.0


class BatchRetryPolicy(RetryPolicy):
    """Fails permanent errors at once, obeys Retry-After, and leaves all other errors to the task's settings."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide by the first ``BatchError`` among *exception* and its causes."""
        error = next((error for error in _causes(exception) if isinstance(error, BatchError)), None)
        if error is None:
            return RetryDecision.default()
        name = type(error).__name__
        if not error.retryable:
            return RetryDecision.fail(f"{name}: a permanent error, which no retry can fix")
        if isinstance(error, BatchAPIError) and error.retry_after is not None:
            delay = timedelta(seconds=min(error.retry_after, _LONGEST_WAIT))
            return RetryDecision.retry(delay, f"{name}: Batch requires a wait of {delay.total_seconds():,.0f} s")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the name of the class; the policy has no settings."""
        return {"__type": f"{type(self).__module__}.{type(self).__qualname__}"}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> BatchRetryPolicy:
        """Return the policy."""
        return cls()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return "batch_retry_policy()"


def _causes(exception: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    error: BaseException | None = exception
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__
