"""Create an audience, replace its members, wait until they are indexed, list all audiences, and delete it again."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.operators.custom_audience import (
    CustomAudienceCreateOperator,
    CustomAudienceDeleteOperator,
    CustomAudienceListOperator,
    CustomAudienceReplaceOperator,
)
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor

# [START howto_custom_audience_lifecycle]
with DAG(
    "example_custom_audience_lifecycle",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
) as dag:

    @task(show_return_value_in_logs=False)
    def winners() -> list[str]:
        return ["customer-3001", "customer-3002", "customer-3003"]

    create = CustomAudienceCreateOperator(
        task_id="create",
        audience_name="winners",
        description="Winners of the week",
        if_exists="skip",
    )
    replace = CustomAudienceReplaceOperator(task_id="replace", audience_name="winners", ids=winners(), max_shrink=0.5)
    indexed = CustomAudienceIndexingSensor(
        task_id="indexed",
        audience_name="winners",
        indexing_tokens=replace.output,
        poke_interval=5,
        timeout=1800,
    )
    audiences = CustomAudienceListOperator(task_id="audiences")
    delete = CustomAudienceDeleteOperator(task_id="delete", audience_name="winners", if_missing="skip")

    create >> replace >> indexed >> audiences >> delete
# [END howto_custom_audience_lifecycle]
