"""Push a table and a partner's files in shards, from several workers, and wait for all of them with one sensor."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor
from airflow_provider_batch.transfers.files_to_custom_audience import FilesToCustomAudienceOperator
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator

# [START howto_custom_audience_shards]
SHARDS = 4

with DAG(
    "example_custom_audience_shards",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
    params={"folder": "/data/segments"},
) as dag:
    # Each task reads every fourth customer. Without abs(), negative numbers would be in no shard.
    # (:shard is a placeholder for SQLite; your driver may need %(shard)s.)
    customers = SqlToCustomAudienceOperator.partial(
        task_id="customers",
        conn_id="warehouse",
        sql="SELECT customer_id FROM customers WHERE spent > 100 AND abs(number % 4) = :shard ORDER BY number",
        audience_name="vip",
        # pool="batch_api",  # limits the calls of all tasks together
    ).expand(parameters=[{"shard": shard} for shard in range(SHARDS)])

    # Each task reads the files that its glob matches.
    partners = FilesToCustomAudienceOperator.partial(
        task_id="partners", id_column="customer_id", audience_name="vip"
    ).expand(path=["{{ params.folder }}/europe-*.csv.gz", "{{ params.folder }}/asia-*.csv.gz"])

    CustomAudienceIndexingSensor(
        task_id="indexed",
        audience_name="vip",
        indexing_tokens=[customers.output, partners.output],
        deferrable=True,
        poke_interval=5,
    )
# [END howto_custom_audience_shards]
