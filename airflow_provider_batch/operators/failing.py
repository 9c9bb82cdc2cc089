"""Which errors Airflow's retries can mend, said in Airflow's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_batch.exceptions import BatchError

if TYPE_CHECKING:
    from airflow_provider_batch.operators.journal import TaskStateJournal


@contextmanager
def hopeless_fails(journal: TaskStateJournal | None = None) -> Iterator[None]:
    """
    Turn what a retry cannot mend into AirflowFailException, with its cause; let the rest be retried.

    :param journal: forgotten in the first case: nobody knows what is done to the audience before a person clears the
        task, so that everything is sent again then.
    """
    try:
        yield
    except BatchError as error:
        if error.retryable:
            raise
        if journal is not None:
            journal.clear()
        raise AirflowFailException(str(error)) from error
