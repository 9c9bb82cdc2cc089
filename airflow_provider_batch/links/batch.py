"""The link from a task to Batch's dashboard."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseOperatorLink, XCom

from airflow_provider_batch.exceptions import BatchError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

#: The XCom with the URL. The web server reads it, so that it needs neither the connection nor its keys.
_KEY: Final = "batch_dashboard"


def keep_dashboard_url(operator: Any, context: Context) -> None:
    """Store the connection's dashboard URL for the link; errors are ignored, as the task itself raises them."""
    if (ti := context.get("ti")) is not None:
        with suppress(BatchError, AirflowNotFoundException):
            ti.xcom_push(key=_KEY, value=operator.hook.dashboard_url)


class BatchDashboardLink(BaseOperatorLink):
    """A link to the dashboard that the connection names."""

    name = "Batch dashboard"
    # Airflow 3 reads this XCom itself, even while the task runs.
    xcom_key = _KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty str if the task has not started."""
        return XCom.get_value(ti_key=ti_key, key=_KEY) or ""
