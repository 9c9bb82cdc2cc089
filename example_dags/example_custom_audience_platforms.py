"""Push the same ids to both of Batch's platforms: the connection selects the platform."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator

# [START howto_custom_audience_platforms]
with DAG(
    "example_custom_audience_platforms",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
) as dag:

    @task(show_return_value_in_logs=False)
    def big_spenders() -> list[str]:
        return ["customer-1001", "customer-1002", "customer-1003"]

    # batch_default is an app of the Mobile Engagement Platform. batch_cep is a project of the
    # Customer Engagement Platform: its extra is {"platform": "cep"}, its login the project's key.
    CustomAudienceUpdateOperator.partial(
        task_id="update",
        audience_name="vip",
        add_ids=big_spenders(),
        create_if_missing=True,
        wait_for_indexing=True,
        poke_interval=5,
    ).expand(batch_conn_id=["batch_default", "batch_cep"])
# [END howto_custom_audience_platforms]
