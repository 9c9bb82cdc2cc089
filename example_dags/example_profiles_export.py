"""Bring the profiles of a project back every day, as JSON lines in object storage."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_batch.operators.exports import ProfilesExportOperator

# [START howto_profiles_export]
with DAG(
    "example_profiles_export",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule="@daily",
    catchup=False,
) as dag:
    ProfilesExportOperator(
        task_id="export",
        batch_conn_id="batch_cep",
        # In object storage: s3://my_aws_connection@bucket/profiles/{{ ds }}/
        path="{{ var.value.get('batch_results', '/data/batch') }}/profiles/{{ ds }}/",
        attributes=["$language", "plan"],
        identifiers=["custom_id"],
        overwrite=True,
        deferrable=True,
        poke_interval=30,
        export_timeout=7200,
        retries=3,
    )
# [END howto_profiles_export]
