"""Write yesterday's statistics of the campaigns of each app (Mobile Engagement Platform) to object storage."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_batch.operators.statistics import CampaignStatsOperator, TransactionalStatsOperator

# [START howto_campaign_statistics]
with DAG(
    "example_campaign_statistics",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule="@daily",
    catchup=False,
    default_args={"since": "{{ ds }}", "until": "{{ ds }}", "on_missing": "skip", "retries": 3},
) as dag:
    for app in ("ios", "android"):
        CampaignStatsOperator(
            task_id=f"campaigns_{app}",
            batch_conn_id=f"batch_{app}",
            path=f"{{{{ var.value.get('batch_results', '/data/batch') }}}}/campaigns/{app}/{{{{ ds }}}}.jsonl.gz",
        )
        TransactionalStatsOperator(
            task_id=f"transactional_{app}",
            batch_conn_id=f"batch_{app}",
            group_ids=["welcome", "receipt"],
            path=f"{{{{ var.value.get('batch_results', '/data/batch') }}}}/transactional/{app}/{{{{ ds }}}}.jsonl.gz",
        )
# [END howto_campaign_statistics]
