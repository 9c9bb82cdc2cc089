"""BatchHook, with an iterator that cannot be read twice."""

from __future__ import annotations

from airflow_provider_batch.hooks.batch import BatchHook
from benchmarks.ids import made
from benchmarks.measure import Meter, forget_peak, job, memory, peak_memory, report


def main() -> None:
    """Push the job's number of *ids* of a *kind*, and of *removals*, over its number of *connections*."""
    todo = job()
    hook = BatchHook()
    # Before the clock starts: opens the session and imports what a push needs, as the imports and constructors of the
    # peers do.
    hook.get_conn()
    hook.update_custom_audience("vip", add_ids=["the first"], dry_run=True)
    if todo.get("warm"):
        hook.update_custom_audience("vip", add_ids=["the first"])
    forget_peak()
    baseline = memory()
    with Meter() as meter:
        hook.update_custom_audience(
            "vip",
            add_ids=made(todo.get("kind", "plain"), todo["ids"]),
            remove_ids=(f"left-{number:07d}" for number in range(todo.get("removals", 0))),
            chunk_size=todo.get("chunk_size", 10_000),
            max_concurrency=todo.get("connections"),
        )
    report(meter, growth=peak_memory() - baseline)


if __name__ == "__main__":
    main()
