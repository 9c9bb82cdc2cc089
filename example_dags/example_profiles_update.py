"""Set attributes of profiles: from an upstream task, and from a function that yields them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.operators.profiles import ProfilesUpdateOperator

# [START howto_profiles_update]
with DAG(
    "example_profiles_update",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
) as dag:

    @task(show_return_value_in_logs=False)
    def plans() -> list[dict[str, Any]]:
        return [
            {"custom_id": "customer-1001", "plan": "gold", "date__renewal": "2026-12-31"},
            {"custom_id": "customer-1002", "plan": "free", "date__renewal": None},
        ]

    ProfilesUpdateOperator(task_id="plans_to_batch", profiles=plans(), batch_conn_id="batch_cep")

    # What the function yields never becomes an XCom.
    @task.batch_profiles(batch_conn_id="batch_cep")
    def interests() -> Iterator[dict[str, Any]]:
        for number in range(1001, 1003):
            yield {"custom_id": f"customer-{number}", "interests": {"$add": ["sport"]}}

    interests()
# [END howto_profiles_update]
