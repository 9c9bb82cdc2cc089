"""A push in shards from several workers, through a pool; each shard takes a while."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor

SHARDS = 6
IDS = 6000

with DAG("push_shards", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False) as dag:

    @task.custom_audience(
        audience_name="vip",
        batch_conn_id="{{ run_id }}",
        chunk_size=100,
        max_concurrency=2,
        pool="batch_api",
        retries=3,
        retry_delay=timedelta(seconds=1),
    )
    def push(shard: int) -> Iterator[str]:
        yield from (f"id-{number}" for number in range(shard, IDS, SHARDS))

    CustomAudienceIndexingSensor(
        task_id="indexed",
        audience_name="vip",
        batch_conn_id="{{ run_id }}",
        indexing_tokens=push.expand(shard=list(range(SHARDS))),
        deferrable=True,
        poke_interval=2,
    )
