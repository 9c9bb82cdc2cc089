"""Start a campaign when its audiences are indexed: they are assets, and the campaign's DAG runs on their events."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_batch.assets.custom_audience import custom_audience_asset
from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor

# [START howto_custom_audience_asset]
VIP = custom_audience_asset("vip")
NEWSLETTER = custom_audience_asset("newsletter")

with DAG(
    "example_custom_audience_asset",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
) as audiences:
    # This operator waits for indexing, so it can have the audience as its outlet.
    CustomAudienceUpdateOperator(
        task_id="update_vip",
        audience_name="vip",
        add_ids=["customer-1001", "customer-1002"],
        wait_for_indexing=True,
        deferrable=True,
        outlets=[VIP],
    )

    # This one does not wait, so the audience is an outlet of the sensor that follows.
    update_newsletter = CustomAudienceUpdateOperator(
        task_id="update_newsletter", audience_name="newsletter", add_ids=["customer-2001"]
    )
    CustomAudienceIndexingSensor(
        task_id="newsletter_is_indexed",
        audience_name="newsletter",
        indexing_tokens=update_newsletter.output,
        poke_interval=5,
        outlets=[NEWSLETTER],
    )

with DAG(
    "example_custom_audience_asset_campaign",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=[VIP, NEWSLETTER],
    catchup=False,
) as campaign:

    @task(inlets=[VIP, NEWSLETTER])
    def start_campaign(inlet_events: Any = None) -> int:
        reached: int = sum(inlet_events[audience][-1].extra["nb_ids"] for audience in (VIP, NEWSLETTER))
        print(f"the campaign reaches {reached} customers")
        return reached

    start_campaign()
# [END howto_custom_audience_asset]
