"""A deferred wait that takes a while, for somebody to kill its triggerer."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator

with DAG("wait_long", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False) as dag:
    CustomAudienceUpdateOperator(
        task_id="push",
        audience_name="vip",
        batch_conn_id="{{ run_id }}",
        add_ids=["id-1", "id-2"],
        wait_for_indexing=True,
        deferrable=True,
        poke_interval=2,
    )
