"""One table of the warehouse fills an audience and the attributes of its profiles; then the campaign starts."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.assets.custom_audience import custom_audience_asset
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator
from airflow_provider_batch.transfers.sql_to_profiles import SqlToProfilesOperator

# [START howto_profiles_warehouse]
SNAPSHOTS = "{{ var.value.get('batch_snapshots', '/data/batch-snapshots') }}"
VIP = custom_audience_asset("vip", "batch_cep")

with DAG(
    "example_profiles_warehouse",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule="@hourly",  # or the asset of the dbt model
    catchup=False,
    max_active_runs=1,
) as dag:
    attributes = SqlToProfilesOperator(
        task_id="attributes",
        conn_id="warehouse",
        sql="""
            SELECT customer_id AS custom_id, spent AS spent_in_euro,
                CASE WHEN spent > 500 THEN 'gold' ELSE 'free' END AS plan
            FROM customers
        """,
        batch_conn_id="batch_cep",
        mode="changed",
        snapshot_path=SNAPSHOTS + "/customers",
        max_changes=0.5,
    )
    audience = SqlToCustomAudienceOperator(
        task_id="audience",
        conn_id="warehouse",
        sql="SELECT customer_id FROM customers WHERE spent > 500",
        audience_name="vip",
        batch_conn_id="batch_cep",
        mode="mirror",
        snapshot_path=SNAPSHOTS,
        max_shrink=0.2,
        outlets=[VIP],
    )
    # The audience comes last: its event means that the attributes were accepted, too.
    attributes >> audience

with DAG(
    "example_profiles_warehouse_campaign",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=[VIP],
    catchup=False,
) as campaign:

    @task
    def start_campaign() -> None:
        print("the audience is indexed, and its profiles have their attributes")

    start_campaign()
# [END howto_profiles_warehouse]
