"""The hook of the connection type ``batch``: all that Batch's API can do, as Python calls."""

from __future__ import annotations

from typing import Any

from airflow_provider_batch import get_provider_info
from airflow_provider_batch.hooks.exports import ExportHook
from airflow_provider_batch.hooks.mirrors import MirrorHook
from airflow_provider_batch.hooks.profiles import ProfileHook
from airflow_provider_batch.hooks.statistics import StatisticsHook


class BatchHook(MirrorHook, ProfileHook, ExportHook, StatisticsHook):
    """
    Batch's audiences (create, fill, mirror, view, list and delete them), profiles, exports and statistics.

    The connection (type ``batch``) stands for one app of the Mobile Engagement Platform (login: its Batch API key), or,
    with ``platform`` = ``cep`` in extra, for one project of the Customer Engagement Platform (login: its project key).
    The password is the company's REST API key, the host is the base URL (empty: the public one), and extra may also
    have ``api_version`` (cep only), ``timeout``, ``max_attempts``, ``max_concurrency``, ``requests_per_second`` and
    ``dashboard_url``. The connection is looked up on first use. Threads may share one hook.

    :param batch_conn_id: id of the Airflow connection.
    """

    conn_name_attr = "batch_conn_id"
    default_conn_name = "batch_default"
    conn_type = "batch"
    hook_name = "Batch"

    def __init__(self, batch_conn_id: str = default_conn_name) -> None:
        super().__init__(batch_conn_id)

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the declared fields for Airflow 2's connection form; Airflow 3 reads the declaration itself."""
        from airflow_provider_batch.hooks.connection_form import widgets

        return widgets(_declared_form()["conn-fields"])

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return which standard fields of Airflow 2's connection form are hidden or relabelled."""
        return {name.replace("-", "_"): value for name, value in _declared_form()["ui-field-behaviour"].items()}


def _declared_form() -> dict[str, Any]:
    form: dict[str, Any] = get_provider_info()["connection-types"][0]
    return form
