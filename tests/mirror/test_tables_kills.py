"""A process that is killed at one moment of a run after the other: at each statement, each commit and each call."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from urllib3.connectionpool import HTTPConnectionPool

from airflow_provider_batch.sandbox import Sandbox
from tests.connections import connect_once
from tests.mirror.mortal import Lives, mortal
from tests.mirror.stores import Connections, Mortal
from tests.mirror.test_tables import fill, log_of, mirror, ours
from tests.mirror.test_tables_tries import members

BASE = [f"base-{number}" for number in range(20)]
INVALID = "in\tvalid"

#: Every second moment: what comes after one operation is what comes before the next one. On databases that start
#: slowly, or take long for a table, a sample; with EVERY_KILL=1, they have all of them.
EVERY: Final = 2
STEPS: Final = {"sqlite3": EVERY, "duckdb": 22, "psycopg2": 18, "pymysql": 58}


class Fate(Lives):
    """Kills this very process when its lives are used up."""

    def take(self) -> None:
        assert self.left is not None
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(["vip"]) as sandbox:
        connect_once(sandbox, monkeypatch)
        yield sandbox


@pytest.fixture
def tables_in_duckdb(tmp_path: Path) -> Connections:
    """A file, as one process opens it after the other."""
    import duckdb

    return Connections(lambda: duckdb.connect(str(tmp_path / "tables.duckdb")), "duckdb", "main")


def run(connections: Connections, hook: Any = None) -> None:
    mirror(
        connections,
        hook=hook or connections,
        chunk_size=2,
        max_concurrency=1,
        on_invalid_id="skip",
        keep_changes=3,
        indexing_timeout=20,
    )


def is_killed(connections: Connections, moment: int) -> bool:
    """Run in a process that is killed at that moment; return whether the run lasted so long."""
    child = os.fork()
    if not child:
        try:
            fate = Fate(moment)
            HTTPConnectionPool.urlopen = mortal(HTTPConnectionPool.urlopen, fate)  # type: ignore[method-assign]
            run(connections, Mortal(connections, fate))
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


def test_whenever_a_process_is_killed_the_next_run_is_exact(connections: Connections, sandbox: Sandbox) -> None:
    step = EVERY if os.environ.get("EVERY_KILL") else STEPS[connections.driver]
    fill(connections, [(each,) for each in [*BASE, INVALID]])
    run(connections)
    moment, was_killed = 0, True
    while was_killed:
        ids = [*BASE[moment // step % 7 :], f"new-{moment}"]
        members(connections, [*ids, INVALID])
        if was_killed := is_killed(connections, moment):
            if moment // step % 2:  # the source has changed since
                members(connections, [*ids[1:-1], INVALID])
                ids = ids[1:-1]
            run(connections)
        assert sandbox.members("vip") == {*ids}, moment
        run(connections)  # the echo, so that uncertain ids do not pile up
        moment += step
    assert moment > 60
    assert ours(connections) in (["b", "head", "log"], ["b", "e", "head", "log"])
    assert {id_ for (id_,) in connections.run(f"SELECT id FROM {known(connections)}")} == {*ids}
    check_log(connections)


def check_log(connections: Connections) -> None:
    """Each run that has committed is in it once, with what it changed and what it refused."""
    log = f"{connections.schema}.{log_of(connections)}"
    rows = [tuple(row) for row in connections.run(f"SELECT changes, id, op FROM {log}")]
    assert len({*rows}) == len(rows)
    committed = {changes for changes, _, op in rows if op in "+-"}
    assert len(committed) == connections.head()["generation"]  # type: ignore[index]
    assert {changes for changes, id_, op in rows if (id_, op) == (INVALID, "!")} >= committed


def known(connections: Connections) -> str:
    """What was sent, as a query for whoever wants to join it."""
    state = connections.head()
    assert state is not None
    (head,) = (name for name in connections.tables() if name.endswith("_head"))
    prefix = f"{connections.schema}.{head[: -len('_head')]}_"
    text = {"pymysql": "CONVERT({} USING utf8mb4)", "duckdb": "decode({})"}.get(connections.driver, "{}")
    query = f"SELECT {text.format('b.id')} AS id FROM {prefix}{state['base']} b"
    if state["net"]:
        net = f"{prefix}{state['net']}"
        query += (
            f" LEFT JOIN {net} e ON e.id = b.id WHERE e.op IS NULL "
            f"UNION ALL SELECT {text.format('e.id')} FROM {net} e WHERE e.op = '+'"
        )
    return f"({query}) k"
