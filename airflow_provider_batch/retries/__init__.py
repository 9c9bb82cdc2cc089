"""A retry policy for tasks that call Batch, on Airflow 3.3 and later."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_batch.retries.policy import BatchRetryPolicy


def batch_retry_policy() -> BatchRetryPolicy:
    """
    Return the value for ``retry_policy=`` of a task that calls Batch, such as one that uses the hook.

    Permanent errors fail at once. After a 429 or 503 the task waits as long as Batch's answer requires, at most a day;
    after all other errors, those of other packages included, it waits for its own ``retry_delay``. The task's
    ``retries`` stay the limit. The operators and the sensor need the policy only for the wait after a 429 or 503.

    :raises RuntimeError: before Airflow 3.3, which has no retry policies.
    """
    try:
        from airflow_provider_batch.retries.policy import BatchRetryPolicy
    except ImportError:
        from airflow import __version__

        raise RuntimeError(
            f"batch_retry_policy() needs Airflow 3.3 or later, but this is {__version__}. Leave retry_policy off: the "
            "operators fail at once on permanent errors, and retry_delay sets the wait after the others."
        ) from None
    return BatchRetryPolicy()
