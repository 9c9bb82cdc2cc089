"""
What every test shares: an Airflow home of its own, made before anything imports Airflow.

Most tests need no database of Airflow's; those that do ask for the fixture ``airflow_db``. Under pytest-xdist every
worker has a home, in that of the run.
"""

from __future__ import annotations

import base64
import fcntl
import gc
import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import settings

# What is imported and collected stays: looking through it for garbage would take longer than most tests.
gc.disable()

# On a busy machine an example may take any time.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")

pytest_plugins = [
    "airflow_provider_batch.sandbox.fixture",
    "tests.clock",
    "tests.connections",
    "tests.real_servers",
    "tests.stages",
    "tests.worker",
]

# Some environments have no browser to drive, and most no Celery to have workers.
collect_ignore = [
    folder for package, folder in (("playwright", "browser"), ("celery", "cluster")) if not find_spec(package)
]

EXAMPLE_DAGS = Path(__file__).parent.parent / "example_dags"


def _fast_folder() -> str:
    """Return a folder in memory, if this machine has one with room: nothing that tests write need survive it."""
    with suppress(OSError):
        memory = os.statvfs("/dev/shm")
        if memory.f_bavail * memory.f_frsize > 2 << 30 and not memory.f_flag & os.ST_NOEXEC:
            return "/dev/shm"
    return "/tmp"


#: SQLite allows Airflow 2 no other executor.
_EXECUTOR = "SequentialExecutor" if version("apache-airflow").startswith("2.") else "LocalExecutor"
#: The home of the whole run, if this is one of its workers.
_WHOLE_RUN = os.environ["AIRFLOW_HOME"] if "PYTEST_XDIST_WORKER" in os.environ else None
#: Where everything is that tests write.
FAST_FOLDER = _fast_folder()
# A short name: the path of a socket has at most 107 characters.
_HOME = tempfile.TemporaryDirectory(prefix="batch-tests-", dir=_WHOLE_RUN or FAST_FOLDER)
tempfile.tempdir = f"{_HOME.name}/tmp"
os.mkdir(tempfile.tempdir)
os.environ.update(
    TMPDIR=tempfile.tempdir,
    AIRFLOW_HOME=_HOME.name,
    # In its test mode Airflow makes a new key in every process; ours have to read each other's connections.
    AIRFLOW__CORE__FERNET_KEY=base64.urlsafe_b64encode(os.urandom(32)).decode(),
    AIRFLOW__CORE__EXECUTOR=_EXECUTOR,
    AIRFLOW__CORE__DAGS_FOLDER=str(EXAMPLE_DAGS),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME.name}/airflow.db",
)

#: What takes long to make: all tests that use one of these run in the same worker, in this order, and before the rest.
_MADE_ONCE = (
    *("whole_airflow", "ended", "airflow_db", "mariadb_server", "postgres_server", "s3_server", "gcs", "added"),
)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep together what shares something; `--dist loadgroup` deals out everything else one by one."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        # Only the first: two groups would be a third one, in a worker of its own.
        needed = (name for name in _MADE_ONCE if name in getattr(item, "fixturenames", ()))
        for name in islice(needed, 1):
            item.add_marker(pytest.mark.xdist_group(name))
    groups = [item.get_closest_marker("xdist_group") for item in items]
    places = {item: _MADE_ONCE.index(group.args[0]) for item, group in zip(items, groups, strict=True) if group}
    items.sort(key=lambda item: places.get(item, len(_MADE_ONCE)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a whole Airflow go before what other workers do: it has time limits of its own, and takes the longest."""
    if _WHOLE_RUN and "whole_airflow" not in getattr(item, "fixturenames", ()) and os.nice(0) == 0:
        os.nice(5)


def hook_logs_a_line() -> str:
    """Log a line as a hook of ours does, and return it: where it does not arrive, no other line was looked for."""
    from airflow_provider_batch.hooks.batch import BatchHook

    line = "a line as a hook of ours logs it"
    BatchHook().log.info(line)
    return line


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """All that was logged since the last time somebody asked: what Airflow 3 logs by itself it prints."""
    caplog.set_level(logging.DEBUG)

    def text() -> str:
        printed = capsys.readouterr()
        logged = caplog.text
        caplog.clear()
        return logged + printed.out + printed.err

    return text


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Airflow's database in SQLite, empty. Whoever comes first makes it, and every worker has a copy."""
    empty = Path(_WHOLE_RUN or _HOME.name, "empty.db")
    with open(f"{empty}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not empty.exists():
            env = {**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{empty}"}
            subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"], env=env, check=True, stdout=subprocess.DEVNULL
            )
    # Not as a file: from 3.4 on, Airflow's databases may have a part of their content in a log beside them.
    with closing(sqlite3.connect(empty)) as source, closing(sqlite3.connect(Path(_HOME.name, "airflow.db"))) as copy:
        source.backup(copy)
