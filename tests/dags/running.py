"""Running a DAG in this very process, and what Airflow has stored of it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import Any

#: What a table has of one run: by the name of the run, or by a task's attempt in it.
_OF_A_RUN = "SELECT * FROM {0} WHERE dag_id = ? AND run_id = ?"
_OF_AN_ATTEMPT = """
    SELECT attempt.task_id, {0}.* FROM {0} JOIN task_instance AS attempt ON attempt.id = {0}.{1}
    WHERE attempt.dag_id = ? AND attempt.run_id = ?
"""


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


def stored(dag_run: Any, *tasks: str) -> str:
    """All that Airflow has in its database about this run, as text, with rendered fields and a summary of *tasks*."""
    rows = _rows(dag_run)
    for task in tasks:
        own = [row for row in rows if row.get("task_id") == task]
        assert any("rendered_fields" in row for row in own), f"no rendered fields of {task} where they are looked for"
        assert any(row.get("key") == "summary" for row in own), f"no XCom of {task} where it is looked for"
    return repr(rows)


def rendered(dag_run: Any, task: str) -> str:
    """What Airflow has in its database of the fields that *task* rendered, of all its instances, as text."""
    rows = [row for row in _rows(dag_run) if row.get("task_id") == task and "rendered_fields" in row]
    assert rows, f"no rendered fields of {task} where they are looked for"
    return repr(rows)


def _rows(dag_run: Any) -> list[dict[str, object]]:
    """The rows of this run in whichever tables they stand: Airflow's versions name them differently."""
    path = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].removeprefix("sqlite:///")
    rows: list[dict[str, object]] = []
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = [table for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = {column["name"] for column in connection.execute(f"PRAGMA table_info({table})")}
            if query := _query(table, columns):
                rows += map(dict, connection.execute(query, (dag_run.dag_id, dag_run.run_id)))
    return rows


def _query(table: str, columns: set[str]) -> str | None:
    if {"dag_id", "run_id"} <= columns:
        return _OF_A_RUN.format(table)
    for attempt in {"task_instance_id", "ti_id"} & columns:
        return _OF_AN_ATTEMPT.format(table, attempt)
    return None


def xcoms(dag_run: Any, task: str) -> dict[str, Any]:
    """All that *task* has pushed, by key; of a mapped task that of its first instance."""
    tis = [ti for ti in dag_run.get_task_instances() if ti.task_id == task]
    keys = ("return_value", "summary")
    return {key: tis[0].xcom_pull(task_ids=task, key=key, map_indexes=tis[0].map_index) for key in keys}
