"""Push the same ids to the iOS, Android and web apps: in Batch, each is a separate app with its own key."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator

# [START howto_custom_audience_apps]
with DAG(
    "example_custom_audience_apps",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
) as dag:

    @task(show_return_value_in_logs=False)
    def big_spenders() -> list[str]:
        return ["customer-1001", "customer-1002", "customer-1003"]

    CustomAudienceUpdateOperator.partial(
        task_id="update",
        audience_name="vip",
        add_ids=big_spenders(),
        wait_for_indexing=True,
        poke_interval=5,
    ).expand(batch_conn_id=["batch_ios", "batch_android", "batch_web"])
# [END howto_custom_audience_apps]
