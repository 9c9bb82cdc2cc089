"""An export that takes a while, in the worker and in the triggerer, for somebody to kill."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_batch.operators.exports import ProfilesExportOperator

for name, deferrable in (("export_slowly", False), ("export_deferred", True)):
    with DAG(name, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False) as dag:
        ProfilesExportOperator(
            task_id="export",
            path="{{ var.value.batch_results }}/{{ run_id }}",
            batch_conn_id="{{ run_id }}",
            compression=None,
            deferrable=deferrable,
            poke_interval=1,
            retries=3,
            retry_delay=timedelta(seconds=1),
        )
    globals()[name] = dag
