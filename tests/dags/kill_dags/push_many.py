"""Pushes and mirrors that take a while, for somebody to kill."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.operators.custom_audience import CustomAudienceMirrorOperator, CustomAudienceUpdateOperator
from airflow_provider_batch.operators.profiles import ProfilesUpdateOperator

COMMON: dict[str, Any] = {
    "task_id": "push",
    "batch_conn_id": "{{ run_id }}",
    "chunk_size": 100,
    "max_concurrency": 2,
    "retries": 3,
    "retry_delay": timedelta(seconds=1),
}
ARGUMENTS: dict[str, Any] = {"audience_name": "vip", **COMMON}
SNAPSHOTS = f"file://{os.environ['AIRFLOW_HOME']}/mirrors"


@task
def many() -> list[str]:
    return [f"id-{number}" for number in range(8000)]


@task
def many_profiles() -> list[dict[str, Any]]:
    return [{"custom_id": f"id-{number}", "number": number} for number in range(8000)]


with DAG("push_many", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False):
    CustomAudienceUpdateOperator(add_ids=many(), **ARGUMENTS)

with DAG("mirror_many", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False):
    CustomAudienceMirrorOperator(ids=many(), snapshot_path=SNAPSHOTS, **ARGUMENTS)

mode: Any
for mode in ("update", "changed"):
    with DAG(f"profiles_{mode}", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False):
        kept: dict[str, Any] = {"snapshot_path": f"{SNAPSHOTS}/profiles"} if mode == "changed" else {}
        ProfilesUpdateOperator(profiles=many_profiles(), mode=mode, **kept, **COMMON)
