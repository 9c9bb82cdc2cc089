"""A mirror of a query: its snapshot in a folder, where the worker compares, or in tables, where the database does."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import ROOT, Broken, run

sys.path.insert(0, str(ROOT / "scripts"))

from local_airflow import free_port
from local_postgres import postgres_folder, running_postgres

#: For a quick run: WAREHOUSE_IDS=500000.
_IDS: Final = int(os.environ.get("WAREHOUSE_IDS", "5_000_000"))
_STORES: Final = ("folder", "tables")
_LINK: Final = 100_000_000 / 8  # bytes a second

#: Bytes that a run scans and writes in the database for each id, on average; docs/warehouse-mirror.md has their parts.
_SCANNED, _WRITTEN = 91, 12
_RUNS_A_MONTH: Final = 730

_FILL: Final = """
CREATE TABLE {table} AS
SELECT CAST(CAST(md5(CAST(i AS VARCHAR)) AS UUID) AS VARCHAR) || CASE WHEN i > {ids} THEN 'x' ELSE '' END AS id
FROM {series} WHERE {condition}
"""


def measure() -> Part:
    """Run both stores in turns, on PostgreSQL and on DuckDB."""
    with tempfile.TemporaryDirectory(prefix="bench-warehouse-") as folder:
        postgres = _postgres(Path(folder) / "postgres")
        duckdb = _duckdb(Path(folder) / "duckdb")
    rows = [
        [
            database,
            store,
            f"{one['wall']:.1f}",
            f"{one['cpu']:.2f}",
            count(one["growth"]),
            _mb(one.get("bytes")),
            _seconds(one.get("link")),
            _mb(one.get("wal")),
        ]
        for database, figures in (("PostgreSQL", postgres), ("DuckDB", duckdb))
        for store, one in figures.items()
        if store in _STORES
    ]
    columns = (
        "database",
        "snapshot in",
        "wall s",
        "worker's CPU s",
        "growth MB",
        "MB to the worker",
        "wall s, 100 Mbit/s",
        "WAL MB",
    )
    return Part(
        "Mirror of a query",
        f"The query has {_IDS:,} ids (UUIDs as text); 1 % are gone since the last run, and 1 % are new. In a folder, "
        "all rows travel to the worker, sorted; in tables, what changed does. Nothing is sent to Batch. Of four runs "
        "in turns, the least time and CPU, and the most memory and WAL; bytes and the slow link by a proxy in a fifth.",
        [Table("One run", columns, rows), _on_paper(postgres["tables"], duckdb["tables"])],
        _goals(postgres, duckdb),
    )


def _on_paper(postgres: dict[str, float], duckdb: dict[str, float]) -> Table:
    """Compute what larger sets take: bytes to the worker from PostgreSQL's run, seconds from DuckDB's."""
    columns = (
        "ids, a run every hour",
        "GB scanned a run",
        "TiB scanned a month",
        "TiB written a month",
        "MB to the worker a run",
        "core seconds a run",
    )
    rows = [
        [
            f"{ids:,}",
            f"{ids * _SCANNED / 1e9:.1f}",
            *(f"{ids * bytes_ * _RUNS_A_MONTH / 2**40:.1f}" for bytes_ in (_SCANNED, _WRITTEN)),
            f"{ids / _IDS * postgres['bytes'] / 1e6:,.0f}",
            f"{ids / _IDS * duckdb['cpu']:,.0f}",
        ]
        for ids in (100_000_000, 1_000_000_000)
    ]
    return Table("On paper", columns, rows)


def _postgres(folder: Path) -> dict[str, dict[str, float]]:
    programs = postgres_folder()
    if programs is None:
        raise Broken("PostgreSQL is not installed")
    port = free_port()
    with running_postgres(programs, port):
        place: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": "airflow", "dbname": "postgres"}
        with closing(_connect(place)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("CREATE SCHEMA analytics_batch")
            for statement in _fill("generate_series(1, {most}) AS s (i)"):
                cursor.execute(statement)

            def ask(query: str) -> float:
                cursor.execute(query)
                return float(cursor.fetchone()[0])

            work = {
                "driver": "psycopg2",
                "database": place,
                "schema": "analytics_batch",
                "folder": str(folder),
                "collation": ' COLLATE "C"',
            }
            figures = _in_turns(work, lambda: ask("SELECT pg_current_wal_lsn() - '0/0'"))
            for store in _STORES:
                with _proxy(port, _LINK) as (shown, seen):
                    reported = _run({**work, "database": {**place, "port": shown}}, store, "today")
                figures[store] |= {"link": reported["wall"], "bytes": seen[0]}
            before = ask("SELECT pg_current_wal_lsn() - '0/0'")
            cursor.execute("CREATE TABLE rewritten AS SELECT id FROM today")
            figures["rewritten"] = {"wal": ask("SELECT pg_current_wal_lsn() - '0/0'") - before}
            return figures


def _duckdb(folder: Path) -> dict[str, dict[str, float]]:
    import duckdb

    folder.mkdir()
    path = str(folder / "warehouse.duckdb")
    with duckdb.connect(path) as connection:
        for statement in _fill("range(1, {most} + 1) AS s (i)"):
            connection.execute(statement)
    place = {"database": path}
    work = {"driver": "duckdb", "database": place, "schema": "main", "folder": str(folder), "collation": ""}
    return _in_turns(work, lambda: 0.0)


def _fill(series: str) -> Iterator[str]:
    new = _IDS + _IDS // 100
    for table, most, condition in (("yesterday", _IDS, "1 = 1"), ("today", new, f"i % 100 <> 7 OR i > {_IDS}")):
        yield _FILL.format(table=table, ids=_IDS, series=series.format(most=most), condition=condition)


def _connect(place: dict[str, Any]) -> Any:
    import psycopg2  # type: ignore[import-untyped]

    return psycopg2.connect(**place)


def _in_turns(work: dict[str, Any], written: Any) -> dict[str, dict[str, float]]:
    """Measure both stores in turns, from yesterday's set to today's and back; what else the machine does costs time."""
    runs: dict[str, list[dict[str, float]]] = {store: [] for store in _STORES}
    for store in _STORES:
        _run(work, store, "yesterday", first=True)
    for table in ("today", "yesterday", "today", "yesterday"):
        for store in _STORES:
            before = written()
            reported = _run(work, store, table)
            growth = reported["peak"] - reported["before"]
            runs[store].append({**reported, "growth": growth, "wal": written() - before})
    shown = {"wall": min, "cpu": min, "growth": max, "wal": max}
    return {
        store: {name: choose(one[name] for one in runs_) for name, choose in shown.items()}
        for store, runs_ in runs.items()
    }


def _run(work: dict[str, Any], store: str, table: str, *, first: bool = False) -> dict[str, Any]:
    os.sync()  # no run waits for what others have left to write
    reported = run("warehouse", {**work, "store": store, "table": table})
    if not first and (reported["adds"], reported["removes"]) != (_IDS // 100, _IDS // 100):
        raise Broken(f"{store} found {reported['adds']:,} ids to add and {reported['removes']:,} to remove")
    return reported


@contextmanager
def _proxy(port: int, rate: float) -> Iterator[tuple[int, list[int]]]:
    """Pass connections on to *port*; count the bytes that come back, of which *rate* come in a second."""
    seen, turn = [0], threading.Lock()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def pump(source: socket.socket, target: socket.socket, counts: bool) -> None:
            with suppress(OSError):
                while part := source.recv(1 << 16):
                    if counts:
                        with turn:
                            seen[0] += len(part)
                            time.sleep(len(part) / rate)
                    target.sendall(part)
            for end in (source, target):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    upstream = socket.create_connection(("127.0.0.1", port))
                    for ends in ((client, upstream, False), (upstream, client, True)):
                        threading.Thread(target=pump, args=ends, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], seen
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def _goals(postgres: dict[str, dict[str, float]], duckdb: dict[str, dict[str, float]]) -> list[Goal]:
    folder, tables = (postgres[store] for store in _STORES)
    goals = [
        ("PostgreSQL: at least 50 times less CPU of the worker", folder["cpu"] / tables["cpu"], 50.0, True),
        ("PostgreSQL: at least 30 times fewer bytes to the worker", folder["bytes"] / tables["bytes"], 30.0, True),
        ("PostgreSQL: no more wall time than with a folder", tables["wall"] / folder["wall"], 1.0, False),
        ("PostgreSQL over 100 Mbit/s: at most half the wall time", tables["link"] / folder["link"], 0.5, False),
        (
            "PostgreSQL: WAL of at most a tenth of the snapshot, rewritten",
            tables["wal"] / postgres["rewritten"]["wal"],
            0.1,
            False,
        ),
        ("PostgreSQL: growth of the worker's memory, at most 32 MB", tables["growth"], 32.0, False),
        ("DuckDB: at most a third of the wall time", duckdb["tables"]["wall"] / duckdb["folder"]["wall"], 1 / 3, False),
    ]
    reason = (
        f"Of {tables['wall']:.1f} s on PostgreSQL, the worker takes {tables['cpu']:.2f}, and of "
        f"{duckdb['tables']['wall']:.1f} s on DuckDB nearly all is its query: the database compares all ids"
    )
    return [
        Goal(name, f"{value:.2f}", value >= bound if at_least else value <= bound, reason if "wall" in name else "")
        for name, value, bound, at_least in goals
    ]


def _mb(number: float | None) -> str:
    return "" if not number else f"{number / 1e6:,.1f}"


def _seconds(number: float | None) -> str:
    return "" if number is None else f"{number:.1f}"
