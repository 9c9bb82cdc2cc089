"""Which errors Airflow's retries can mend, said in Airflow's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_batch.exceptions import BatchError


@contextmanager
def hopeless_fails() -> Iterator[None]:
    """Turn what a retry cannot mend into AirflowFailException, with its cause; let the rest be retried."""
    try:
        yield
    except BatchError as error:
        if error.retryable:
            raise
        raise AirflowFailException(str(error)) from error
