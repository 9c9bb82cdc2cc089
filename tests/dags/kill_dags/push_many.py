"""A push that takes a while, for somebody to kill."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator

with DAG("push_many", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False) as dag:

    @task
    def many() -> list[str]:
        return [f"id-{number}" for number in range(4000)]

    CustomAudienceUpdateOperator(
        task_id="push",
        audience_name="vip",
        batch_conn_id="{{ run_id }}",
        add_ids=many(),
        chunk_size=100,
        max_concurrency=2,
        retries=3,
        retry_delay=timedelta(seconds=1),
    )
