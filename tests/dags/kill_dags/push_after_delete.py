"""An audience that each run makes anew, for somebody to clear the run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_batch.operators.custom_audience import (
    CustomAudienceCreateOperator,
    CustomAudienceDeleteOperator,
    CustomAudienceUpdateOperator,
)

IDS = [f"id-{number}" for number in range(60)]
AUDIENCE: dict[str, Any] = {"audience_name": "vip", "batch_conn_id": "{{ run_id }}"}

WAITING: dict[str, Any] = {"wait_for_indexing": True, "poke_interval": 0.1, "indexing_timeout": 1}

#: Long enough for somebody to clear other tasks before the next try.
PATIENT: dict[str, Any] = {"retries": 1, "retry_delay": timedelta(seconds=10)}

for name, others in (
    ("push_after_delete", dict[str, Any]()),
    ("wait_after_delete", WAITING),
    ("retry_after_delete", PATIENT),
):
    with DAG(name, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None, catchup=False):
        (
            CustomAudienceDeleteOperator(task_id="delete", if_missing="skip", **AUDIENCE)
            >> CustomAudienceCreateOperator(task_id="create", **AUDIENCE)
            >> CustomAudienceUpdateOperator(
                task_id="push",
                add_ids=IDS,
                chunk_size=10,
                max_concurrency=1,
                **{"retries": 0, **AUDIENCE, **others},
            )
        )
