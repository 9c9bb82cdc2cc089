"""The base of every task about an audience."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_batch.tasks.batch import BatchTask
from airflow_provider_batch.tasks.failure import fail_without_retry
from airflow_provider_batch.tasks.outlets import check_not_shared, check_outlets, check_own_audience

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class AudienceTask(BatchTask):
    """An operator or sensor about one audience, or about their list."""

    #: Whether the task ends when the audience is indexed, as the event of an outlet promises.
    wait_for_indexing = False

    def pre_execute(self, context: Context) -> None:
        """Reject outlets whose events would be premature, and store the URL for the link."""
        with fail_without_retry():
            self.check_outlets(context)
        super().pre_execute(context)

    def check_outlets(self, context: Context) -> None:
        """
        Check that the events of the outlets keep their promises.

        :raises InvalidArgumentError: if one would be premature, or of something else than the task writes.
        """
        check_outlets(self, waits=self.wait_for_indexing)
        check_own_audience(self)
        remedy = (
            "Give it to one CustomAudienceIndexingSensor with the tokens of all, which waits until they are indexed."
        )
        check_not_shared(self, context, remedy)
