"""Write yesterday's statistics to object storage every day, and load them into a table."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, BaseHook, ObjectStoragePath, task

from airflow_provider_batch.operators.statistics import OrchestrationStatsOperator

# [START howto_statistics]
with DAG(
    "example_statistics",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
) as dag:
    statistics = OrchestrationStatsOperator(
        task_id="statistics",
        batch_conn_id="batch_cep",
        # In object storage: s3://my_aws_connection@bucket/statistics/{{ ds }}.jsonl.gz
        path="{{ var.value.get('batch_results', '/data/batch') }}/statistics/{{ ds }}.jsonl.gz",
        # Figures grow for days after a message was sent: read the last week again.
        since="{{ macros.ds_add(ds, -6) }}",
        until="{{ ds }}",
        retries=3,
    )

    @task
    def load(paths: list[str], since: str, until: str) -> int:
        """Replace the days of the file in the table, so that a second run changes nothing."""
        rows: list[dict[str, Any]] = []
        for path in paths:
            with ObjectStoragePath(path).open("rb") as file:
                rows += map(json.loads, gzip.decompress(file.read()).splitlines())
        # Any database that has a DB-API hook: SQLite, PostgreSQL, Snowflake, ...
        warehouse: Any = BaseHook.get_connection("warehouse").get_hook()
        warehouse.run(
            "CREATE TABLE IF NOT EXISTS orchestration_stats"
            " (id VARCHAR(64), date VARCHAR(10), version VARCHAR(64), sent INTEGER, all_fields TEXT)"
        )
        days = f"{warehouse.placeholder} AND {warehouse.placeholder}"
        delete = f"DELETE FROM orchestration_stats WHERE date BETWEEN {days}"  # noqa: S608 - two placeholders
        warehouse.run(delete, parameters=(since, until))
        warehouse.insert_rows(
            "orchestration_stats",
            [(row["id"], row["date"], row["version"], row.get("sent"), json.dumps(row)) for row in rows],
            target_fields=("id", "date", "version", "sent", "all_fields"),
        )
        return len(rows)

    load(statistics.output, "{{ macros.ds_add(ds, -6) }}", "{{ ds }}")
# [END howto_statistics]
