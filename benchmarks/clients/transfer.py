"""
A transfer operator that reads a database or a file, and what it is compared with: the bare loop that only reads the
same source, and a push of the same ids from a list. The sources are created before the clock starts.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import airflow.sdk.execution_time.task_runner  # noqa: F401  # what a task's process has imported

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.operators.modes import SourcePushOperator
from airflow_provider_batch.transfers.files_to_custom_audience import FilesToCustomAudienceOperator
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator
from benchmarks.ids import CALL, made
from benchmarks.measure import Meter, forget_peak, job, memory, peak_memory, report

_QUERY: Final = "SELECT id FROM customers"


def write_sqlite(path: Path, count: int) -> None:
    """Fill a table."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (id TEXT, city TEXT)")
        connection.executemany("INSERT INTO customers VALUES (?, 'Paris')", ((id_,) for id_ in made("plain", count)))
    connection.close()


def write_parquet(path: Path, count: int) -> None:
    """Write a file of two columns."""
    import pyarrow  # type: ignore[import-untyped]  # it ships no types
    import pyarrow.parquet  # type: ignore[import-untyped]  # it ships no types

    ids, rows = made("plain", count), 200_000
    schema = pyarrow.schema({"id": pyarrow.string(), "city": pyarrow.string()})
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, count, rows):
            part = [next(ids) for _ in range(min(rows, count - start))]
            writer.write_table(pyarrow.table({"id": part, "city": ["Paris"] * len(part)}, schema))


def write_csv(path: Path, count: int) -> None:
    """Write a file of two columns."""
    with path.open("w") as file:
        file.write("id,city\n")
        file.writelines(f"{id_},Paris\n" for id_ in made("plain", count))


def write_jsonl(path: Path, count: int) -> None:
    """Write a file of objects with two keys."""
    with path.open("w") as file:
        file.writelines(f'{{"id": "{id_}", "city": "Paris"}}\n' for id_ in made("plain", count))


def rows_of_sqlite(path: Path) -> Iterator[object]:
    """Read the rows in lists of the size of one call."""
    cursor = sqlite3.connect(path).execute(_QUERY)
    return iter(lambda: cursor.fetchmany(CALL), [])


def rows_of_parquet(path: Path) -> Iterator[object]:
    """Read the ids in lists of the size of one call."""
    import pyarrow.parquet

    slices = pyarrow.parquet.ParquetFile(path).iter_batches(CALL, columns=["id"], use_threads=False)
    return (part.column(0).to_pylist() for part in slices)


def rows_of_csv(path: Path) -> Iterator[object]:
    """Read the rows."""
    return csv.reader(path.open(newline=""))


def rows_of_jsonl(path: Path) -> Iterator[object]:
    """Read the objects."""
    return map(json.loads, path.open())


_WRITE: Final[dict[str, Callable[[Path, int], None]]] = {
    "sqlite": write_sqlite,
    "parquet": write_parquet,
    "csv": write_csv,
    "jsonl": write_jsonl,
}
_ROWS: Final[dict[str, Callable[[Path], Iterable[object]]]] = {
    "sqlite": rows_of_sqlite,
    "parquet": rows_of_parquet,
    "csv": rows_of_csv,
    "jsonl": rows_of_jsonl,
}


def operator(path: Path) -> SourcePushOperator:
    """Return the operator that pushes the ids at *path*."""
    options: dict[str, Any] = {"task_id": "push", "audience_name": "vip", "max_concurrency": 4}
    if path.suffix == ".sqlite":
        os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps({"conn_type": "sqlite", "host": str(path)})
        return SqlToCustomAudienceOperator(sql=_QUERY, conn_id="warehouse", **options)
    return FilesToCustomAudienceOperator(path=str(path), id_column="id", **options)


def main() -> None:
    """Create the source, push a few ids so that everything is imported, and then read or push all ids."""
    todo = job()
    source, count = todo["source"], todo["ids"]
    small, whole = (Path(todo["home"]) / f"{name}.{source}" for name in ("small", "whole"))
    _WRITE[source](small, 10)
    _WRITE[source](whole, count)
    operator(small).execute({})
    deque(_ROWS[source](small), maxlen=0)
    ids = list(made("plain", count)) if todo.get("way") == "list" else []
    meters = []
    for _ in range(todo.get("rounds", 1)):
        push = operator(whole)
        forget_peak()
        baseline = memory()
        with Meter() as meter:
            match todo.get("way", "operator"):
                case "bare":
                    deque(_ROWS[source](whole), maxlen=0)
                case "list":
                    BatchHook().update_custom_audience("vip", add_ids=ids, max_concurrency=4)
                case _:
                    push.execute({})
        meters.append(meter)
    report(min(meters, key=lambda meter: meter.cpu), growth=peak_memory() - baseline)


if __name__ == "__main__":
    main()
