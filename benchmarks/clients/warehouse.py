"""One run of a mirror of a query, whose snapshot is in a folder or in tables; nothing is sent to Batch."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from airflow_provider_batch.mirror.plan import FolderMirror
from airflow_provider_batch.mirror.tables.database import Database
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.mirror import TableMirror
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.dialect import MEP_1_0
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.sql import SqlSource
from benchmarks.measure import Meter, forget_peak, job, memory, report

_TARGET = Target("vip", "custom_ids", "benchmark")


class Hook:
    """Opens connections as an Airflow hook does, whose driver is imported when it is made."""

    def __init__(self, driver: str, place: dict[str, Any]) -> None:
        self._driver = import_module(driver)
        self._place = place

    def get_conn(self) -> Any:
        """Return a new connection."""
        return self._driver.connect(**self._place)


def main() -> None:
    """Plan a run and commit it, as the job says."""
    todo = job()
    hook = Hook(todo["driver"], todo["database"])
    in_tables = todo["store"] == "tables"
    order = "" if in_tables else f" ORDER BY id{todo['collation']}"
    source = SqlSource(hook, f"SELECT id FROM {todo['table']}{order}", None, Columns("id"))
    forget_peak()
    before = memory()
    with Meter() as meter:
        rules = MEP_1_0.members
        if in_tables:
            keeper = Keeper(todo["schema"], "batch_vip_0")
            tables = TableMirror(Database(hook.get_conn), keeper, _TARGET, rules, source, owner="benchmark")
            mirror: Any = tables
            values: Any = tables.changed
        else:
            mirror = FolderMirror(Path(todo["folder"]) / "snapshots", _TARGET)
            values = source
        ids = MemberIntake(values, "ids", name="vip", rules=rules, block_size=10_000)
        with mirror.plan(ids.blocks(), is_sorted=not in_tables) as plan:
            found = len(plan.adds), len(plan.removes)
            with plan.begin("benchmark") as transaction:
                transaction.commit([])
    report(meter, before=before, adds=found[0], removes=found[1])


if __name__ == "__main__":
    main()
