"""Keep an audience equal to the result of a query: every hour, send only what has changed."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator

# [START howto_custom_audience_sql_mirror]
with DAG(
    "example_custom_audience_sql_mirror",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
) as dag:
    SqlToCustomAudienceOperator(
        task_id="mirror",
        conn_id="warehouse",
        sql="SELECT customer_id FROM customers WHERE spent > 100",
        audience_name="vip",
        create_if_missing=True,
        mode="mirror",
        snapshot_path="{{ var.value.get('batch_snapshots', '/data/batch-snapshots') }}",
        max_shrink=0.2,
        max_changes=0.5,
        deferrable=True,
        poke_interval=5,
    )
# [END howto_custom_audience_sql_mirror]
