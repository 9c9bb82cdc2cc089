"""A temporary PostgreSQL server, for the tests of SQL sources and as the metadata database of a complete Airflow."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local_airflow import free_port

ROOT = 0


def postgres_folder() -> Path | None:
    """Return the folder of PostgreSQL's server programs, from Debian's folders or the path; None without them."""
    on_path = [Path(found).parent for name in ("initdb", "postgres") if (found := shutil.which(name))]
    debians = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0)
    )
    folders = [*debians[::-1], *on_path]
    needed = ("initdb", "postgres", "pg_isready")
    return next((path for path in folders if all((path / name).exists() for name in needed)), None)


def somebody() -> str | None:
    """Return a user who can run PostgreSQL, which does not run as root; None for the current user."""
    if os.geteuid() != ROOT:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


@contextmanager
def running_postgres(programs: Path, port: int | None = None, parent: str = "/tmp") -> Iterator[Path]:
    """
    Run a server in a new folder, and yield that folder, which holds its socket; stop it at the end of the block.

    :param programs: see :func:`postgres_folder`.
    :param port: a port of the loopback to listen on as well; None for the socket only.
    :param parent: where that folder is made; its own path must be short, because that of a socket must be.
    """
    user = somebody()
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=parent))
    extra: dict[str, Any] = {}
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        extra = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    options = {**extra, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    server = None
    try:
        subprocess.run(
            [
                programs / "initdb",
                *("-D", folder / "db", "-U", "airflow", "-A", "trust", "-E", "UTF8"),
                "--no-locale",
                "-N",
            ],
            check=True,
            **options,
        )
        listen = ("listen_addresses=",) if port is None else ("listen_addresses=127.0.0.1", f"port={port}")
        settings = [part for each in (*listen, "fsync=off", "shared_buffers=16MB") for part in ("-c", each)]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", folder / "db", "-k", folder, *settings],
                # In a new session, so that Ctrl+C reaches only the caller, which then stops the server in order.
                **{**options, "stdout": log, "stderr": log, "start_new_session": True},
            )
        _wait_until_it_answers(programs / "pg_isready", folder, port or 5432, server)
        yield folder
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def address(port: int) -> str:
    """Return the URL of the database for SQLAlchemy."""
    return f"postgresql+psycopg2://airflow@127.0.0.1:{port}/postgres"


@contextmanager
def metadata_database(parent: str = "/tmp") -> Iterator[dict[str, str]]:
    """
    Run a metadata database for the time of the block, and yield Airflow's settings for it; without PostgreSQL, none.

    SQLite, Airflow's default, lets only one process write at a time; a process that has waited for five seconds fails.
    On a busy machine, this happens to any request now and then.

    :param parent: see :func:`running_postgres`.
    """
    programs = postgres_folder()
    if programs is None:
        yield {}
        return
    port = free_port()
    with running_postgres(programs, port, parent):
        yield {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address(port)}


def _wait_until_it_answers(pg_isready: Path, folder: Path, port: int, server: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while subprocess.run([pg_isready, "--quiet", "--host", folder, "--port", str(port)], check=False).returncode:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.05)
