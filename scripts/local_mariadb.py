"""A temporary MariaDB server, for the tests of a mirror in its tables."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local_postgres import ROOT


def mariadb_programs() -> tuple[str, str] | None:
    """Return the programs that make a database and serve it, from the path or Debian's folder; None without them."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    install, serve = shutil.which("mariadb-install-db", path=path), shutil.which("mariadbd", path=path)
    return (install, serve) if install and serve else None


@contextmanager
def running_mariadb(install: str, serve: str, parent: str = "/tmp") -> Iterator[Path]:
    """
    Run a server in a new folder, and yield its socket, on which root needs no password; stop it at the end.

    :param parent: where that folder is made; its own path must be short, because that of a socket must be.
    """
    folder = Path(tempfile.mkdtemp(prefix="mariadb-", dir=parent))
    options: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if os.geteuid() == ROOT:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        options |= {"user": "nobody", "group": nobody.pw_gid, "extra_groups": []}
    data, socket = folder / "db", folder / "socket"
    server = None
    try:
        subprocess.run(
            [
                *(install, "--no-defaults", f"--datadir={data}", f"--tmpdir={folder}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
            ],
            check=True,
            **options,
        )
        server = subprocess.Popen(
            [
                *(serve, "--no-defaults", f"--datadir={data}", f"--socket={socket}", f"--tmpdir={folder}"),
                *("--skip-networking", f"--pid-file={folder / 'pid'}"),
                # What is in it need not survive the machine.
                *("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=OFF"),
            ],
            # In a new session, so that Ctrl+C reaches only the caller, which then stops the server in order.
            **options,
            start_new_session=True,
        )
        _wait_until_it_listens(socket, server)
        yield socket
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_it_listens(socket: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not socket.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("MariaDB did not start")
        time.sleep(0.05)
