"""What SqlToProfilesOperator does in mode `changed`, whose snapshot is in a folder or in tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sources.profile_columns import ProfileColumns
from airflow_provider_batch.sources.sql import SqlSource
from benchmarks.clients.warehouse import Hook
from benchmarks.measure import Meter, forget_peak, job, memory, peak_memory, report
from benchmarks.profiles import lift_limit


def main() -> None:
    """Send what has changed, without a limit of the calls."""
    todo = job()
    lift_limit()
    place: dict[str, Any] = {"snapshot_path": Path(todo["folder"])}
    if todo["store"] == "tables":
        place = {"snapshot_schema": todo["schema"], "snapshot_name": "customers"}
    source = SqlSource(Hook("psycopg2", todo["database"]), "SELECT * FROM customers", None, ProfileColumns())
    hook, before = BatchHook(), memory()
    forget_peak()
    with Meter() as meter:
        result = hook.mirror_profiles(source, max_concurrency=todo["connections"], **place)
    report(meter, growth=peak_memory() - before, accepted=result.accepted, unchanged=result.unchanged)


if __name__ == "__main__":
    main()
