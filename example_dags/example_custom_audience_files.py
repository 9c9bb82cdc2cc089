"""Replace the members of an audience with the ids in files that a partner has uploaded to object storage."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_batch.transfers.files_to_custom_audience import FilesToCustomAudienceOperator

# [START howto_custom_audience_files]
with DAG(
    "example_custom_audience_files",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
) as dag:
    FilesToCustomAudienceOperator(
        task_id="push",
        # In object storage: s3://my_aws_connection@bucket/segments/*.csv.gz
        path="{{ var.value.get('segments', '/data/segments') }}/*.csv.gz",
        id_column="customer_id",
        audience_name="vip",
        mode="replace",
        max_shrink=0.5,
        on_invalid_id="skip",
        max_rejected=0.01,
        rejects_path="{{ var.value.get('segments', '/data/segments') }}/rejected.jsonl",
        wait_for_indexing=True,
        poke_interval=5,
    )
# [END howto_custom_audience_files]
