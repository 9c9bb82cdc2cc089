"""Running a DAG in this very process, and what Airflow has stored of it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import Any

#: Tables with the rows of one run.
_TABLES = ("xcom", "rendered_task_instance_fields", "task_instance", "task_state_store", "log", "task_map")


def run(dag: Any, state: str = "success") -> Any:
    """Run *dag*, which need not be in a file, and return its DAG run, which has ended in *state*."""
    _put_into_the_database(dag)
    dag_run = dag.test()
    assert str(dag_run.state) == state, {ti.task_id: ti.state for ti in dag_run.get_task_instances()}
    return dag_run


def _put_into_the_database(dag: Any) -> None:
    try:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:
        try:
            from airflow.models.dagbag import DagBag, sync_bag_to_db  # type: ignore[no-redef]  # 3.1
        except ImportError:  # Airflow 2 and 3.0 ask for nothing of the kind
            return
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)


def stored(dag_run: Any, *tables: str) -> str:
    """All that Airflow has in its database about this run, as text; or what is in these tables."""
    path = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        rows: list[object] = []
        for table in set(tables or _TABLES) & known:
            rows += connection.execute(f"SELECT * FROM {table} WHERE dag_id = ?", (dag_run.dag_id,)).fetchall()
    return repr(rows)


def xcoms(dag_run: Any, task: str) -> dict[str, Any]:
    """All that *task* has pushed, by key; of a mapped task that of its first instance."""
    tis = [ti for ti in dag_run.get_task_instances() if ti.task_id == task]
    keys = ("return_value", "summary")
    return {key: tis[0].xcom_pull(task_ids=task, key=key, map_indexes=tis[0].map_index) for key in keys}
