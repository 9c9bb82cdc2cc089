"""The base of every task of this provider: its connection, its parameters, its link, and how it is stopped."""

from __future__ import annotations

from functools import cached_property
from inspect import signature
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_batch.links.batch import BatchDashboardLink, keep_dashboard_url
from airflow_provider_batch.tasks import parameters
from airflow_provider_batch.tasks.failure import fail_without_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_batch.hooks.batch import BatchHook


class BatchTask(BaseOperator):
    """An operator or sensor with a connection to Batch."""

    batch_conn_id: str
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
        """Check the outlets, and store the URL for the link."""
        with fail_without_retry():
            self.check_outlets(context)
        super().pre_execute(context)
        keep_dashboard_url(self, context)

    def check_outlets(self, context: Context) -> None:
        """
        Check that the events of the outlets keep their promises; those of most tasks promise nothing.

        :raises InvalidArgumentError: if one would be premature, or of something else than the task writes.
        """

    @cached_property
    def hook(self) -> BatchHook:
        """The hook of the connection; imported here, so that parsing a DAG file does not import it."""
        from airflow_provider_batch.hooks.batch import BatchHook

        return BatchHook(self.batch_conn_id)

    def on_kill(self) -> None:
        """Send no further call, and end any wait and any reading; what Batch has accepted stays."""
        self.hook.stop()


def is_mapped(context: Context) -> bool:
    """Return whether the task is one of several mapped ones, or may be."""
    return getattr(context.get("ti"), "map_index", -1) >= 0
