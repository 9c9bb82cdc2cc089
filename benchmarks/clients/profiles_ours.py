"""What SqlToProfilesOperator does with its rows."""

from __future__ import annotations

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sources.profile_columns import ProfileColumns
from airflow_provider_batch.sources.sql import SqlSource
from benchmarks.measure import Meter, forget_peak, job, memory, peak_memory, report
from benchmarks.profiles import Cursor, lift_limit, rows


def main() -> None:
    """Push the profiles, after a few that warm up."""
    todo = job()
    if not todo["is_paced"]:
        lift_limit()
    few, many = Cursor(rows(10)), Cursor(rows(todo["ids"]))
    hook = BatchHook()
    hook.update_profiles(SqlSource(few, "SELECT …", None, ProfileColumns()), route="update")
    before = memory()
    forget_peak()
    with Meter() as meter:
        result = hook.update_profiles(
            SqlSource(many, "SELECT …", None, ProfileColumns()), max_concurrency=todo["connections"]
        )
    assert result.accepted == todo["ids"]
    report(meter, growth=peak_memory() - before)


if __name__ == "__main__":
    main()
