"""A push by the hook in a task of somebody's own, a push that knows its source, and the wait for it."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator
from airflow_provider_batch.operators.exports import ProfilesExportOperator
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor


class PushFromWarehouse(CustomAudienceUpdateOperator):
    """As a transfer does."""

    def openlineage_inputs(self) -> list[Any]:
        from airflow.providers.common.compat.openlineage.facet import Dataset

        return [Dataset(namespace="postgres://warehouse:5432", name="crm.public.customers")]


with DAG("tell_lineage", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False) as dag:

    @task
    def by_hook() -> None:
        BatchHook().update_custom_audience("newsletter", add_ids=["id-4"])

    push = PushFromWarehouse(task_id="push", audience_name="vip", add_ids=["id-1", "id-2"], remove_ids=["id-3"])

    CustomAudienceIndexingSensor(task_id="indexed", audience_name="vip", indexing_tokens=push.output, poke_interval=0.5)

    dry = CustomAudienceUpdateOperator(task_id="dry", audience_name="vip", add_ids=["id-5"], dry_run=True)

    export = ProfilesExportOperator(task_id="export", path="{{ var.value.batch_results }}", batch_conn_id="batch_cep")

    # In this order, since the collector knows all that its process has written, and here all tasks share one.
    dry >> by_hook() >> push >> export
