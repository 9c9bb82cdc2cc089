"""How a push scales beyond one task: the same shards through pools of several sizes, on two Celery workers."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.ids import CALL, made
from benchmarks.report import Part, Table, count
from benchmarks.stage import ROOT, Broken, Stage, open_stage

#: The same as in benchmarks/dags/push_shards.py; for a quick run: SCALING_IDS=400000.
IDS: Final = int(os.environ.get("SCALING_IDS", "2_000_000"))
_SHARDS: Final = 4
CONNECTIONS: Final = (1, 4)
SLOTS: Final = (1, 2, 4)
LATENCY: Final = 0.1


@dataclass(frozen=True)
class Scaled:
    """One run: its duration from the start of the first task, and from the first call to the last."""

    run: float
    calls: float
    hosts: int
    busy: float


def measure() -> Part:
    """Push the same ids through 1, 2 and 4 slots."""
    return part(scaled())


def scaled() -> dict[tuple[int, int], Scaled]:
    """Measure each number of connections with each number of slots."""
    sys.path.append(str(ROOT / "scripts"))
    with open_stage() as stage, _cluster(stage) as cluster:
        # The first tasks of a worker take longer than later ones.
        _run(stage, cluster, CONNECTIONS[-1], SLOTS[-1], "warm_up")
        return {
            (connections, slots): _run(stage, cluster, connections, slots, f"slots_{slots}")
            for connections in CONNECTIONS
            for slots in SLOTS
        }


def part(figures: Mapping[tuple[int, int], Scaled]) -> Part:
    """Make the report of the figures."""
    rows = []
    for (connections, slots), one in figures.items():
        alone = figures[connections, SLOTS[0]]
        row = [f"{connections}", f"{slots}", f"{one.hosts}", f"{one.run:.1f}", f"{alone.run / one.run:.2f}"]
        rows.append([*row, f"{one.calls:.1f}", count(IDS / one.run), f"{one.busy:.0%}"])
    walls = ("run s", "speed-up", "first call to last s", "ids/s")
    columns = ("connections of a task", "slots", "workers used", *walls, "CPU of the machine")
    cores = os.cpu_count()
    return Part(
        f"{IDS:,} ids in {_SHARDS} shards, by task slots",
        f"`SqlToCustomAudienceOperator.partial(…).expand(parameters=[…])` reads from SQLite: {_SHARDS} mapped tasks of "
        f"{IDS // _SHARDS // CALL} calls, with a latency of {LATENCY * 1000:.0f} ms. An Airflow pool has 1, 2 or 4 "
        "slots. CeleryExecutor, Redis, PostgreSQL, two workers with two slots each, and the server that counts all "
        f"share one machine with {cores} cores. Each row is one run, after one run that warms up. *Run* is the time "
        "from the start of the first task to the end of the last, including the start of the later tasks' processes. "
        "If there are fewer slots than shards, *first call to last* includes these starts too. *Speed-up* is relative "
        "to one slot. *CPU of the machine* covers all programs on the machine during the run. Where it is near 100 %, "
        f"the {cores} cores are the limit, and the figures tell little about more slots on more machines. They vary by "
        "a fifth or more if other programs use the machine.",
        [Table("Slots", columns, rows)],
    )


def _run(stage: Stage, cluster: Any, connections: int, slots: int, name: str) -> Scaled:
    from airflow_api import Run

    cluster.set_pool("batch_api", slots)
    stage.reset(latency=LATENCY, keep=False)
    psutil.cpu_percent()
    run = Run(cluster.url, f"push_over_{connections}", name)
    if (state := run.wait(patience=600)) != "success":
        raise Broken(f"the run ended as {state}: {cluster.logs()[-2000:]}")
    busy = psutil.cpu_percent() / 100
    stats = stage.stats()
    if stats["ids"] != IDS:
        raise Broken(f"delivered {stats['ids']:,} of {IDS:,} ids")
    tasks = run.tasks()
    started, ended = (sorted(datetime.fromisoformat(ti[date]) for ti in tasks) for date in ("start_date", "end_date"))
    arrivals = sorted(stats["arrivals"])
    hosts = len({ti["hostname"] for ti in tasks})
    return Scaled((ended[-1] - started[0]).total_seconds(), arrivals[-1] - arrivals[0], hosts, busy)


@contextmanager
def _cluster(stage: Stage) -> Iterator[Any]:
    from local_airflow import environment, free_port
    from local_cluster import cluster

    from airflow_provider_batch.sandbox import Sandbox

    with tempfile.TemporaryDirectory(prefix="bench-cluster-") as folder:
        home, port = Path(folder), free_port()
        warehouse = home / "warehouse.sqlite"
        with sqlite3.connect(warehouse) as connection:
            connection.execute("CREATE TABLE customers (number INTEGER PRIMARY KEY, id TEXT)")
            connection.executemany("INSERT INTO customers VALUES (?, ?)", enumerate(made("plain", IDS)))
        connection.close()
        env = environment(home, ROOT / "benchmarks" / "dags", Sandbox(), port) | {
            "SCALING_IDS": str(IDS),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(warehouse)}),
            "AIRFLOW_CONN_BATCH_DEFAULT": stage.connection_json(),
        }
        with cluster(home, env, port) as running:
            yield running
