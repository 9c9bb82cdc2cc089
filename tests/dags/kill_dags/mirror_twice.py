"""Two tasks that mirror one audience at the same time, with its snapshot in the warehouse."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator

QUERY = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 4000)
SELECT 'id-' || n AS id FROM numbers
"""

with DAG("mirror_twice", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False):
    for name in ("one", "another"):
        SqlToCustomAudienceOperator(
            task_id=name,
            conn_id="warehouse",
            sql=QUERY,
            audience_name="vip",
            batch_conn_id="{{ run_id }}",
            mode="mirror",
            snapshot_schema="main",
            chunk_size=100,
            max_concurrency=1,
            retries=30,
            retry_delay=timedelta(seconds=2),
        )
