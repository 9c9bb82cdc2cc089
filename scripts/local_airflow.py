"""
A complete Airflow and a sandbox on this machine, for `make demo`, `make airflow` and the tests.

All files are in one folder. The version of Airflow is the one installed for the interpreter that runs this script.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import psutil

from airflow_provider_batch.sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
AIRFLOW = (sys.executable, "-m", "airflow")
AIRFLOW_2 = version("apache-airflow").startswith("2.")

#: The apps that the example DAGs expect, one for each platform; the first is that of the default connection.
APPS = {"default": "sandbox-app-key", "ios": "sandbox-ios", "android": "sandbox-android", "web": "sandbox-web"}
#: The project behind the connection `batch_cep`, on the newer platform.
PROJECT = "project_sandbox"
AUDIENCES = ("vip", "newsletter")


def environment(home: Path, dags: Path, sandbox: Sandbox, port: int | None = None) -> dict[str, str]:
    """Return the environment of an Airflow in *home* with connections to *sandbox*; *port* is for its web server."""
    ours = {
        # `airflow standalone` starts its components with the first `airflow` on the path.
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor" if AIRFLOW_2 else "LocalExecutor",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.default",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "PYTHONWARNINGS": "ignore",
        **{f"AIRFLOW_CONN_BATCH_{name.upper()}": sandbox.connection_json(app) for name, app in APPS.items()},
        "AIRFLOW_CONN_BATCH_CEP": sandbox.connection_json(PROJECT),
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(home / "warehouse.db")}),
        "AIRFLOW_VAR_SEGMENTS": str(home / "segments"),
        "AIRFLOW_VAR_BATCH_SNAPSHOTS": str(home / "snapshots"),
        "AIRFLOW_VAR_BATCH_RESULTS": str(home / "results"),
    }
    if port is not None:
        ours |= {
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
            "AIRFLOW__WEBSERVER__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return inherited | ours


def put_sources(home: Path) -> None:
    """Create a warehouse with a table of customers and a folder with a partner's files in *home*; delete snapshots."""
    shutil.rmtree(home / "snapshots", ignore_errors=True)  # the sandbox starts empty, too
    with closing(sqlite3.connect(home / "warehouse.db")) as warehouse, warehouse:
        warehouse.execute("DROP TABLE IF EXISTS customers")
        warehouse.execute("CREATE TABLE customers (number INTEGER, customer_id TEXT PRIMARY KEY, spent INTEGER)")
        rows = ((number, f"customer-{number:04d}", 10 * number) for number in range(1, 26))
        warehouse.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows)
    (home / "segments").mkdir(exist_ok=True)
    for part in (1, 2):
        lines = ["customer_id", *(f"customer-{number:04d}" for number in range(10 * part, 10 * part + 10))]
        (home / "segments" / f"part-{part}.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def airflow(*arguments: str, env: Mapping[str, str]) -> None:
    """Run an Airflow command without its output; raise an error if it fails."""
    subprocess.run([*AIRFLOW, *arguments], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def standalone(env: Mapping[str, str], port: int, log: Path) -> Iterator[str]:
    """Run a complete Airflow (scheduler, triggerer, web server) and yield its URL once it answers."""
    if AIRFLOW_2:  # like SIMPLE_AUTH_MANAGER_ALL_ADMINS on Airflow 3: no login is needed
        Path(env["AIRFLOW_HOME"], "webserver_config.py").write_text("AUTH_ROLE_PUBLIC = 'Admin'\n")
    with running(["standalone"], env, log) as server:
        url = f"http://127.0.0.1:{port}"
        wait_until_healthy(url, server, log)
        yield url


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a long-running Airflow command; stop it, with all processes that it has started, at the end of the block."""
    with log.open("wb") as output:
        # In a new session, so that Ctrl+C reaches only this script, which then stops everything in order.
        server = subprocess.Popen(
            [*AIRFLOW, *command],
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield server
    finally:
        stop(server)


def wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path, patience: float = 180.0) -> None:
    """Wait until the web server answers."""
    page = url + ("/health" if AIRFLOW_2 else "/api/v2/monitor/health")
    give_up = time.monotonic() + patience
    while server.poll() is None and time.monotonic() < give_up:
        with suppress(OSError), urllib.request.urlopen(page, timeout=5):
            return
        time.sleep(0.5)
    raise RuntimeError(f"Airflow did not start; the end of its log:\n{log.read_text(errors='replace')[-4000:]}")


def stop(server: subprocess.Popen[bytes]) -> None:
    """Stop *server* and all processes that it has started; some of them have left its session."""
    processes = family(server)
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(timeout=20)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=20)
    server.wait()


def family(server: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return *server*, if it still runs, and all processes that it has started."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(server.pid)
        return [first, *first.children(recursive=True)]
    return []


def free_port() -> int:
    """Return a free port of the loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def demo(home: Path) -> None:
    """Run the first example DAG against a sandbox, and show the members of the audience."""
    dag = "example_custom_audience_update"
    with Sandbox(AUDIENCES, apps=APPS.values(), projects=[PROJECT], indexing_delay=2.0) as sandbox:
        say(f"the sandbox listens on {sandbox.url}; its audience 'vip' holds {len(sandbox.members('vip'))} ids")
        env = environment(home, ROOT / "example_dags", sandbox)
        log = home / "dag.log"
        say(f"running the DAG {dag} on Airflow {version('apache-airflow')}; its log is {log.relative_to(ROOT)}")
        airflow("db", "migrate", env=env)
        with log.open("w") as output:
            done = subprocess.run([*AIRFLOW, "dags", "test", dag], env=env, stdout=output, stderr=subprocess.STDOUT)
        for message in dict.fromkeys(re.findall(r"\bvip: .+?(?= +\[|$)", log.read_text("utf-8"), re.MULTILINE)):
            say(f"  {message}")
        done.check_returncode()
        members = sorted(sandbox.members("vip"))
        say(f"the audience 'vip' now holds {len(members)} ids: {', '.join(members)}")
        say(f"the sandbox received these calls ({len(sandbox.calls)}):")
        for call in sandbox.calls:
            say(f"  {call.status} {call.method} {call.route}")
    if not members:
        sys.exit("the DAG left the audience empty")


def serve(home: Path, port: int, sandbox_port: int) -> None:
    """Run Airflow with the example DAGs, and a sandbox, until interrupted."""
    with Sandbox(AUDIENCES, apps=APPS.values(), projects=[PROJECT], port=sandbox_port, indexing_delay=5.0) as sandbox:
        say(f"the sandbox's page is at {sandbox.url}")
        put_sources(home)
        env = environment(home, ROOT / "example_dags", sandbox, port)
        say(f"starting Airflow {version('apache-airflow')} in {home}; its log is {home / 'standalone.log'}")
        with standalone(env, port, home / "standalone.log") as url:
            say(f"Airflow is at {url}")
            say("stop with Ctrl+C")
            threading.Event().wait()


def say(text: str) -> None:
    """Print a line about the progress."""
    print(f"==> {text}", flush=True)


def main() -> None:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("demo", "serve"))
    parser.add_argument("--port", type=int, default=8080, help="Airflow's port (default: 8080)")
    parser.add_argument("--sandbox-port", type=int, default=8000, help="the sandbox's port (default: 8000)")
    options = parser.parse_args()
    home = ROOT / ".airflow" / options.command
    home.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with suppress(KeyboardInterrupt):
        if options.command == "demo":
            demo(home)
        else:
            serve(home, options.port, options.sandbox_port)


if __name__ == "__main__":
    main()
