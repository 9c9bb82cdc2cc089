"""
An Airflow with several workers on this machine, for `make cluster-demo`, the tests and the benchmarks.

It runs CeleryExecutor with Redis as the broker, PostgreSQL as the metadata database and result backend, and any number
of Celery workers. Everything listens on the loopback, uses temporary folders, and is stopped at the end.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import psutil
from airflow_api import VERSION, Run, ask
from local_airflow import (
    APPS,
    AUDIENCES,
    PROJECT,
    ROOT,
    airflow,
    environment,
    family,
    free_port,
    running,
    say,
    wait_until_healthy,
)
from local_airflow import stop as stop_process
from local_postgres import address, postgres_folder, running_postgres

from airflow_provider_batch.sandbox import Sandbox

#: The components that a cluster has once, besides the API server.
_PARTS = ("scheduler", "dag-processor", "triggerer")

#: Settings with which Airflow soon notices a dead worker: for its running tasks, and for a task that it had queued.
SOON = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
}


@dataclass
class Cluster:
    """A running Airflow at *url*, with its files in *home* and its workers by name."""

    url: str
    home: Path
    env: Mapping[str, str] = field(repr=False)
    slots: int
    ending: ExitStack = field(repr=False)
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_worker(self, name: str) -> None:
        """Start a worker and wait until it takes tasks; the hostname of its tasks is *name*."""
        # getpass.getuser exists everywhere, and returns what LOGNAME says.
        named = {"AIRFLOW__CORE__HOSTNAME_CALLABLE": "getpass.getuser", "LOGNAME": name}
        command = ["celery", "worker", "--celery-hostname", name, "--concurrency", str(self.slots)]
        command += [
            "--skip-serve-logs",
            "--without-gossip",
            "--without-mingle",
            "--pid",
            str(self.home / f"{name}.pid"),
        ]
        log = self.home / f"{name}.log"
        self.workers[name] = self.ending.enter_context(running(command, {**self.env, **named}, log))
        _wait_for_words(f"{name} ready", self.workers[name], log)

    def kill_worker(self, name: str) -> None:
        """Kill a worker with -9, before its tasks, so that it cannot report that they are gone."""
        for process in family(self.workers[name]):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def set_pool(self, name: str, slots: int) -> None:
        """Create a pool with *slots* slots, or change its slots."""
        pool = {"name": name, "slots": slots, "include_deferred": False}
        pools = f"{self.url}/api/{VERSION}/pools"
        if any(known["name"] == name for known in ask(pools)["pools"]):
            ask(f"{pools}/{name}?update_mask=slots", pool, method="PATCH")
        else:
            ask(pools, pool)

    def logs(self) -> str:
        """Return the logs of all tasks."""
        return "".join(path.read_text(errors="replace") for path in self.home.glob("logs/**/*.log"))


@contextmanager
def cluster(home: Path, env: Mapping[str, str], port: int, *, workers: int = 2, slots: int = 2) -> Iterator[Cluster]:
    """
    Run a cluster in *home*.

    :param env: the environment of an Airflow with its web server on *port*, see :func:`local_airflow.environment`.
    :param workers: the number of workers; they are named worker-1, worker-2, …
    :param slots: the number of tasks that each worker runs at once.
    """
    programs = postgres_folder()
    if programs is None or shutil.which("redis-server") is None:
        raise RuntimeError("needs PostgreSQL and Redis: apt-get install postgresql redis-server")
    with ExitStack() as ending:
        database, broker = free_port(), free_port()
        ending.enter_context(running_postgres(programs, database))
        ending.enter_context(_redis(broker))
        env = {**env, **_settings(database, broker)}
        airflow("db", "migrate", env=env)
        logs = {name: home / f"{name}.log" for name in ("api-server", *_PARTS)}
        parts = {name: ending.enter_context(running([name], env, log)) for name, log in logs.items()}
        found = Cluster(f"http://127.0.0.1:{port}", home, env, slots, ending)
        # Terminates all processes at once, which is faster than to stop them one after the other.
        ending.callback(lambda: _terminate([*parts.values(), *found.workers.values()]))
        for number in range(workers):
            found.start_worker(f"worker-{number + 1}")
        wait_until_healthy(found.url, parts["api-server"], logs["api-server"])
        yield found


def _settings(database: int, broker: int) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address(database),
        "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{broker}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{address(database)}",
        "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",
        "AIRFLOW__API__WORKERS": "1",
        # The components authenticate to each other with these.
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    }


@contextmanager
def _redis(port: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            give_up = time.monotonic() + 30
            while not _answers(port):
                if server.poll() is not None or time.monotonic() > give_up:
                    raise RuntimeError("Redis did not start")
                time.sleep(0.05)
            yield
        finally:
            stop_process(server)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _terminate(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()


def _wait_for_words(words: str, server: subprocess.Popen[bytes], log: Path, patience: float = 120.0) -> None:
    give_up = time.monotonic() + patience
    while words not in (text := log.read_text(errors="replace")):
        if server.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"a worker did not start; the end of its log:\n{text[-4000:]}")
        time.sleep(0.2)


def demo(home: Path) -> None:
    """Push the example's shards from two workers to a sandbox, and show what each worker sent."""
    shutil.copytree(ROOT / "example_dags", home / "dags")
    segments = home / "segments"
    customers, files = write_segments(home / "warehouse.sqlite", segments)
    port = free_port()
    with Sandbox(AUDIENCES, apps=APPS.values(), projects=[PROJECT], latency=0.1, indexing_delay=2.0) as sandbox:
        env = environment(home, home / "dags", sandbox, port)
        env["AIRFLOW_CONN_WAREHOUSE"] = json.dumps({"conn_type": "sqlite", "host": str(home / "warehouse.sqlite")})
        say(f"starting Airflow {version('apache-airflow')}, PostgreSQL, Redis and two Celery workers in {home}")
        with cluster(home, env, port) as airflow_cluster:
            say(f"Airflow is at {airflow_cluster.url}, the sandbox's page at {sandbox.url}; running the DAG")
            run = Run(airflow_cluster.url, "example_custom_audience_shards", "demo", folder=str(segments))
            state = run.wait()
            show(run)
        members = len(sandbox.members("vip"))
        say(f"the run ended as {state}; the audience 'vip' holds {members:,} ids of {customers + files:,}")
    if state != "success" or members != customers + files:
        sys.exit("the run failed, or the audience does not hold the expected ids")


def write_segments(database: Path, folder: Path, customers: int = 100_000) -> tuple[int, int]:
    """Write the sources of the shards example; return the numbers of ids of customers and of partners."""
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE customers (number INTEGER PRIMARY KEY, customer_id TEXT, spent INTEGER)")
        rows = ((number, f"customer-{number:07d}", 101) for number in range(customers))
        connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows)
    connection.close()
    folder.mkdir()
    names = ("europe-1", "europe-2", "asia-1")
    for name in names:
        with gzip.open(folder / f"{name}.csv.gz", "wt") as file:
            file.write("customer_id\n" + "".join(f"partner-{name}-{number}\n" for number in range(1000)))
    return customers, 1000 * len(names)


def show(run: Run) -> None:
    """Print what each task did, and what each worker sent."""
    pushed: dict[str, list[dict[str, int]]] = {}
    for ti in sorted(run.tasks(), key=lambda ti: (ti["start_date"] or "", ti["map_index"])):
        name = ti["task_id"] + (f"[{ti['map_index']}]" if ti["map_index"] >= 0 else "")
        line = f"  {name:13} {ti['state']} on {ti['hostname']}"
        if ti["map_index"] >= 0 and ti["state"] == "success":
            summary = run.xcom(ti["task_id"], "summary", ti["map_index"])
            pushed.setdefault(ti["hostname"], []).append(summary)
            line += f", {summary['added']:,} ids in {summary['calls']} call{'s' if summary['calls'] != 1 else ''}"
        say(line)
    for worker, summaries in sorted(pushed.items()):
        added, calls = (sum(summary[count] for summary in summaries) for count in ("added", "calls"))
        say(f"{worker} sent {added:,} ids in {calls} call{'s' if calls != 1 else ''}")


def main() -> None:
    """Run the demo in a temporary folder."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="airflow-cluster-") as home:
        demo(Path(home))


if __name__ == "__main__":
    main()
