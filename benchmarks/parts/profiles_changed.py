"""Attributes of profiles of which few have changed: the worker compares with a folder, or the database with tables."""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from typing import Any, Final

from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import ROOT, Broken, Stage, open_stage

sys.path.insert(0, str(ROOT / "scripts"))

from local_airflow import free_port
from local_postgres import postgres_folder, running_postgres

#: Fewer than elsewhere, as the first runs send all of them.
IDS: Final = 250_000
_CONNECTIONS: Final = 4
_STORES: Final = ("folder", "tables")
_SCHEMA: Final = "analytics_batch"
#: One profile in so many changes between two runs.
_ONE_IN: Final = 100

_FILL: Final = f"""
CREATE TABLE customers AS
SELECT 'user-' || lpad(i::text, 7, '0') AS custom_id, (ARRAY['free', 'silver', 'gold'])[1 + i % 3] AS plan,
    (ARRAY['Paris', 'Lyon', 'Marseille', 'Besançon', 'Lille'])[1 + i % 5] AS city, i % 1000 AS score,
    i % 2 = 0 AS vip, TIMESTAMPTZ '2026-01-01 00:00:00Z' + i * INTERVAL '1 second' AS date__last_order
FROM generate_series(1, {IDS}) AS s (i)
"""
_CHANGE: Final = f"UPDATE customers SET score = score + 1000 WHERE score %% {_ONE_IN} = %s"
_RATIO: Final = 5.0


def measure() -> Part:
    """Run both stores in turns, on PostgreSQL."""
    if (programs := postgres_folder()) is None:
        raise Broken("PostgreSQL is not installed")
    port = free_port()
    with running_postgres(programs, port), open_stage() as stage, tempfile.TemporaryDirectory() as folder:
        place = {"host": "127.0.0.1", "port": port, "user": "airflow", "dbname": "postgres"}
        found = _in_turns(stage, place, folder)
    rows = [[name, f"{one['wall']:.1f}", f"{one['cpu']:.2f}", count(one["growth"])] for name, one in found.items()]
    ratio = found["folder"]["cpu"] / found["tables"]["cpu"]
    return Part(
        f"{count(IDS)} profiles, of which 1 % have changed",
        f"A query of PostgreSQL with the id and 5 attributes; {count(IDS // _ONE_IN)} profiles are sent. In a folder, "
        "all rows travel to the worker, which compares them; in tables, what changed does. CPU is that of the worker, "
        "without the database; the better of two runs in turns.",
        [Table("One run", ("snapshot in", "wall s", "worker's CPU s", "growth MB"), rows)],
        [
            Goal(
                f"CPU of the worker with a folder at least {_RATIO:.0f} times that with tables",
                f"{ratio:.1f} times",
                ratio >= _RATIO,
                "What a run costs however little has changed counts on both sides",
            )
        ],
    )


def _in_turns(stage: Stage, place: dict[str, Any], folder: str) -> dict[str, dict[str, float]]:
    import psycopg2  # type: ignore[import-untyped]

    found: dict[str, dict[str, float]] = {}
    with closing(psycopg2.connect(**place)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE SCHEMA {_SCHEMA}")
        cursor.execute(_FILL)
        job = {"database": place, "schema": _SCHEMA, "folder": folder, "connections": _CONNECTIONS}
        job |= {"extra": {"platform": "cep"}}
        for number in range(3):
            if number:
                cursor.execute(_CHANGE, (number,))
            for store in _STORES:
                stage.reset(keep=False)
                one = stage.run("profiles_changed", {**job, "store": store})
                wanted = IDS // _ONE_IN if number else IDS
                if not one["accepted"] == stage.stats()["ids"] == wanted:
                    raise Broken(f"{store} sent {one['accepted']:,} of {wanted:,} profiles")
                if number and (store not in found or one["wall"] < found[store]["wall"]):
                    found[store] = one
    return found
