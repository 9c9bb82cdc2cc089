"""The base of every task about an audience."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_batch.tasks.batch import BatchTask
from airflow_provider_batch.tasks.outlets import check_not_shared, check_outlets, check_own_audience

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class AudienceTask(BatchTask):
    """An operator or sensor about one audience, or about their list."""

    #: Whether the task ends when the audience is indexed, as the event of an outlet promises.
    wait_for_indexing = False

    def check_outlets(self, context: Context) -> None:
        """Check that an outlet's event comes when this audience, and no other, is indexed."""
        check_outlets(self, waits=self.wait_for_indexing)
        check_own_audience(self)
        remedy = (
            "Give it to one CustomAudienceIndexingSensor with the tokens of all, which waits until they are indexed."
        )
        check_not_shared(self, context, remedy)
