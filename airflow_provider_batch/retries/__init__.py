"""For DAG authors on Airflow 3.3 and later: when a failed task is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_batch.retries.policy import BatchRetryPolicy


def batch_retry_policy() -> BatchRetryPolicy:
    """
    Return a value for ``retry_policy=`` of any task that speaks with Batch, such as one that uses the hook.

    What no retry can mend fails at once; after a 429 or 503 the task waits as long as Batch asked, at most a day; for
    everything else, also errors that are not this package's, the task's own ``retry_delay`` counts. More tries than the
    task's ``retries`` there are in no case. The operators and the sensor need it for the waiting alone.

    :raises RuntimeError: before Airflow 3.3, which knows no retry policies.
    """
    try:
        from airflow_provider_batch.retries.policy import BatchRetryPolicy
    except ImportError:
        from airflow import __version__

        raise RuntimeError(
            f"batch_retry_policy() needs Airflow 3.3 or later, and this is {__version__}; leave retry_policy off: the "
            "operators fail without retries where none can help, and retry_delay says how long to wait for the others"
        ) from None
    return BatchRetryPolicy()
