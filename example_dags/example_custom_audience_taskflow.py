"""Push the ids that a function yields straight to an audience, without an XCom."""

from __future__ import annotations

from collections.abc import Iterator

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

# [START howto_custom_audience_taskflow]
with DAG(
    "example_custom_audience_taskflow",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
) as dag:

    @task.custom_audience(audience_name="vip", mode="add", wait_for_indexing=True, poke_interval=5)
    def lottery_winners(tickets: int) -> Iterator[str]:
        for ticket in range(tickets):
            yield f"customer-{ticket:04d}"

    lottery_winners(tickets=25)
# [END howto_custom_audience_taskflow]
