"""Push the ids of an upstream task to a custom audience, then wait until Batch has indexed them."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor

# [START howto_custom_audience_update]
with DAG(
    "example_custom_audience_update",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
) as dag:

    @task(show_return_value_in_logs=False)
    def big_spenders() -> list[str]:
        return ["customer-1001", "customer-1002", "customer-1003"]

    update = CustomAudienceUpdateOperator(task_id="update", audience_name="vip", add_ids=big_spenders())

    CustomAudienceIndexingSensor(
        task_id="wait_until_indexed",
        audience_name="vip",
        indexing_tokens=update.output,
        poke_interval=5,
        timeout=1800,
    )
# [END howto_custom_audience_update]
