"""The base of every task about an audience: its connection, its link, and how it is stopped."""

from __future__ import annotations

from functools import cached_property
from inspect import signature
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_batch.links.batch import BatchDashboardLink, keep_dashboard_url
from airflow_provider_batch.tasks import parameters
from airflow_provider_batch.tasks.failure import fail_without_retry
from airflow_provider_batch.tasks.outlets import check_not_shared, check_outlets, check_own_audience

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_batch.hooks.batch import BatchHook


class AudienceTask(BaseOperator):
    """An operator or sensor with a connection to Batch."""

    batch_conn_id: str
    #: Whether the task ends when the audience is indexed, as the event of an outlet promises.
    wait_for_indexing = False
    operator_extra_links = (BatchDashboardLink(),)
    ui_color = "#d8efe6"

    def __init_subclass__(cls, *, takes: Any = None, **kwargs: Any) -> None:
        """Declare the parameters of the constructor; *takes* is the typed dictionary of its keyword arguments."""
        super().__init_subclass__(**kwargs)
        if takes is not None:
            parameters.declare(cls, takes)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Check what mapped tasks share when the DAG file is parsed, as no task is constructed then."""
        parameters.check(cls, signature(cls.__init__).parameters, kwargs)
        return super().partial(**kwargs)

    def pre_execute(self, context: Context) -> None:
        """Reject outlets whose events would be premature, and store the URL for the link."""
        super().pre_execute(context)
        with fail_without_retry():
            check_outlets(self, waits=self.wait_for_indexing)
            check_own_audience(self)
            check_not_shared(self, context)
        keep_dashboard_url(self, context)

    @cached_property
    def hook(self) -> BatchHook:
        """The hook of the connection; imported here, so that parsing a DAG file does not import it."""
        from airflow_provider_batch.hooks.batch import BatchHook

        return BatchHook(self.batch_conn_id)

    def on_kill(self) -> None:
        """Send no further call, and end any wait and any reading; what Batch has accepted stays."""
        self.hook.stop()
