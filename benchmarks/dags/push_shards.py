"""The measured push in four shards; the part ``scaling`` provides the warehouse and sets the size of the pool."""

from __future__ import annotations

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator

SHARDS = 4
IDS = int(os.environ.get("SCALING_IDS", "2_000_000"))

for connections in (1, 4):
    with DAG(
        f"push_over_{connections}", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False
    ):
        SqlToCustomAudienceOperator.partial(
            task_id="push",
            conn_id="warehouse",
            sql="SELECT id FROM customers WHERE number >= :first AND number < :first + :count",
            audience_name="vip",
            max_concurrency=connections,
            pool="batch_api",
        ).expand(parameters=[{"first": IDS // SHARDS * shard, "count": IDS // SHARDS} for shard in range(SHARDS)])
