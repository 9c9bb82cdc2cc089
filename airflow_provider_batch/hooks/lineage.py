"""Reports to Airflow's collector of hook lineage, if any plugin reads it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_batch.hooks.base import BatchBaseHook


def report_profiles(hook: BatchBaseHook) -> None:
    """Report that attributes of profiles were written."""
    from airflow_provider_batch.assets.custom_audience import ATTRIBUTES

    report_audience(hook, ATTRIBUTES)


def report_audience(hook: BatchBaseHook, audience_name: str) -> None:
    """Report that *audience_name* was written. An error here does not fail the task, as Batch has the ids."""
    try:
        if not _is_read():
            return
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        get_hook_lineage_collector().add_output_asset(
            context=hook,
            scheme="batch",
            asset_kwargs={"audience_name": audience_name, "batch_conn_id": hook.batch_conn_id},
        )
    except Exception as error:  # noqa: BLE001 - readers and factories are plugins, of any quality
        hook.log.warning("%s: lineage could not be reported: %s", audience_name, type(error).__name__)


def report_file(hook: BatchBaseHook, uri: str) -> None:
    """Report that the file at *uri* was written; an error here does not fail the task, as the file is there."""
    try:
        if not _is_read():
            return
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        get_hook_lineage_collector().add_output_asset(context=hook, uri=uri)
    except Exception as error:  # noqa: BLE001 - as above
        hook.log.warning("%s: lineage could not be reported: %s", uri, type(error).__name__)


def _is_read() -> bool:
    # Checked first: even a collector that collects nothing imports every provider's assets, for a second or two.
    try:
        plugins = import_module("airflow.sdk.plugins_manager")
    except ImportError:  # before Airflow 3.2
        plugins = import_module("airflow.plugins_manager")
        plugins.initialize_hook_lineage_readers_plugins()
        return bool(plugins.hook_lineage_reader_classes)
    return bool(plugins.get_hook_lineage_readers_plugins())
