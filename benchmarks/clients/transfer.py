"""A transfer operator that reads a database or a file; these are created before the clock starts."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from airflow_provider_batch.operators.modes import SourcePushOperator
from airflow_provider_batch.transfers.files_to_custom_audience import FilesToCustomAudienceOperator
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator
from benchmarks.ids import made
from benchmarks.measure import Meter, forget_peak, job, memory, peak_memory, report


def sqlite_operator(folder: Path, count: int, options: dict[str, Any]) -> SourcePushOperator:
    """Fill a table, and return the operator that reads its ids."""
    database = folder / "ids.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE customers (id TEXT, city TEXT)")
        connection.executemany("INSERT INTO customers VALUES (?, 'Paris')", ((id_,) for id_ in made("plain", count)))
    connection.close()
    os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps({"conn_type": "sqlite", "host": str(database)})
    return SqlToCustomAudienceOperator(task_id="push", sql="SELECT id FROM customers", conn_id="warehouse", **options)


def parquet_operator(folder: Path, count: int, options: dict[str, Any]) -> SourcePushOperator:
    """Write a file of two columns, and return the operator that reads its ids."""
    import pyarrow  # type: ignore[import-untyped]  # it ships no types
    import pyarrow.parquet  # type: ignore[import-untyped]  # it ships no types

    path, ids, rows = folder / "ids.parquet", made("plain", count), 200_000
    schema = pyarrow.schema({"id": pyarrow.string(), "city": pyarrow.string()})
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, count, rows):
            part = [next(ids) for _ in range(min(rows, count - start))]
            writer.write_table(pyarrow.table({"id": part, "city": ["Paris"] * len(part)}, schema))
    return FilesToCustomAudienceOperator(task_id="push", path=str(path), id_column="id", **options)


def csv_operator(folder: Path, count: int, options: dict[str, Any]) -> SourcePushOperator:
    """Write a file of two columns, and return the operator that reads its ids."""
    path = folder / "ids.csv"
    with path.open("w") as file:
        file.write("id,city\n")
        file.writelines(f"{id_},Paris\n" for id_ in made("plain", count))
    return FilesToCustomAudienceOperator(task_id="push", path=str(path), id_column="id", **options)


_OPERATORS = {"sqlite": sqlite_operator, "parquet": parquet_operator, "csv": csv_operator}


def main() -> None:
    """Create the source, push a few ids so that everything is imported, and then push all ids."""
    todo = job()
    home = Path(todo["home"])
    options = {"audience_name": "vip", "max_concurrency": 4}
    small, whole = home / "small", home / "whole"
    for folder in (small, whole):
        folder.mkdir()
    make = _OPERATORS[todo["source"]]
    make(small, 10, options).execute({})
    operator = make(whole, todo["ids"], options)
    forget_peak()
    baseline = memory()
    with Meter() as meter:
        operator.execute({})
    report(meter, growth=peak_memory() - baseline)


if __name__ == "__main__":
    main()
