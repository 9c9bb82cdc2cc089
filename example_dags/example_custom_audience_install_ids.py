"""Push install ids with attributes and tags, which API 1.1 of the Mobile Engagement Platform accepts."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator

# [START howto_custom_audience_install_ids]
with DAG(
    "example_custom_audience_install_ids",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
) as dag:

    @task(show_return_value_in_logs=False)
    def lapsed_installs() -> list[dict[str, Any]]:
        return [
            {
                "id": "4b1f6f4e-0d3e-4d53-8cb5-6dd3ad3f6a11",
                "attributes": {
                    "plan": "gold",
                    "visits": 12,
                    "date(last_visit)": "2026-10-31T09:30:00",
                },
                "tags": ["lapsed", "ios"],
            },
            {"id": "9a1f30f0-6f5b-4f8a-9a57-0f6d1c1f7c22", "attributes": {"plan": "free"}},
        ]

    CustomAudienceUpdateOperator(
        task_id="update",
        audience_name="lapsed-installs",
        audience_type="install_ids",
        add_ids=lapsed_installs(),
        create_if_missing=True,
        wait_for_indexing=True,
        poke_interval=5,
    )
# [END howto_custom_audience_install_ids]
