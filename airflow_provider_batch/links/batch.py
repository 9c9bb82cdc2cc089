"""The link from a task to Batch's dashboard."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseOperatorLink, XCom

from airflow_provider_batch.exceptions import BatchError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

#: The XCom with the address. The web server reads it, and knows neither the connection nor its keys.
_KEY: Final = "batch_dashboard"


def keep_dashboard_url(operator: Any, context: Context) -> None:
    """Keep the address that the connection has, for the link; what is wrong with a connection the task itself tells."""
    if (ti := context.get("ti")) is not None:
        with suppress(BatchError, AirflowNotFoundException):
            ti.xcom_push(key=_KEY, value=operator.hook.dashboard_url)


class BatchDashboardLink(BaseOperatorLink):
    """Leads to the dashboard whose address the connection has."""

    name = "Batch dashboard"
    # Airflow 3 reads the XCom of this key by itself, also while the task runs.
    xcom_key = _KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or nothing if the task has not begun."""
        return XCom.get_value(ti_key=ti_key, key=_KEY) or ""
