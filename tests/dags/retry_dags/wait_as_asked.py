"""One push whose retry would take an hour, were it not for what Batch asks."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator
from airflow_provider_batch.retries import batch_retry_policy

with DAG("wait_as_asked", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False) as dag:
    CustomAudienceUpdateOperator(
        task_id="push",
        audience_name="vip",
        add_ids=["id-1"],
        retries=1,
        retry_delay=timedelta(hours=1),
        retry_policy=batch_retry_policy(),
    )
