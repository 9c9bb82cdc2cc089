"""Add and remove ids in one push, and wait in the triggerer until both are indexed."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator

# [START howto_custom_audience_wait]
with DAG(
    "example_custom_audience_wait",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
) as dag:

    @task(show_return_value_in_logs=False)
    def new_subscribers() -> list[str]:
        return ["customer-2001", "customer-2002", "customer-2003"]

    @task(show_return_value_in_logs=False)
    def unsubscribed() -> list[str]:
        return ["customer-2003", "customer-1001"]

    @task
    def report(summary: dict[str, object]) -> None:
        print(f"{summary['added']} added, {summary['removed']} removed")

    update = CustomAudienceUpdateOperator(
        task_id="update",
        audience_name="newsletter",
        add_ids=new_subscribers(),
        remove_ids=unsubscribed(),  # an id that is in both lists is removed
        wait_for_indexing=True,
        deferrable=True,
        poke_interval=5,
        indexing_timeout=1800,
    )
    report(update.output["summary"])
# [END howto_custom_audience_wait]
