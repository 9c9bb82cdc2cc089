"""Permanent and transient errors, in Airflow's terms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_batch.exceptions import BatchError

if TYPE_CHECKING:
    from airflow_provider_batch.tasks.journal import TaskStateJournal


@contextmanager
def fail_without_retry(journal: TaskStateJournal | None = None) -> Iterator[None]:
    """
    Turn permanent errors into AirflowFailException, with their cause; leave transient ones to the task's retries.

    :param journal: cleared by a permanent error. The next try comes when a person clears the task; until then anything
        may be done to the audience, so that try must send everything again.
    """
    try:
        yield
    except BatchError as error:
        if error.retryable:
            raise
        if journal is not None:
            journal.clear()
        raise AirflowFailException(str(error)) from error
