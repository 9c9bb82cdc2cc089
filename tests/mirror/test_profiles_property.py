"""Any sequence of tables of profiles, with crashes in between: the profiles are the last table that succeeded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.tables import run
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sources.profile_columns import ProfileColumns
from airflow_provider_batch.sources.sql import SqlSource
from airflow_provider_batch.tasks.journal import TaskStateJournal
from tests.mirror.folders import Killed, memory_path
from tests.mirror.mortal import Lives, MortalPath
from tests.mirror.stores import Connections, Mortal, duckdb_connections, sqlite_connections
from tests.worker import Store, memory

PROJECT = "project_sandbox"
FAULTS = (Fault(503), Fault(503, after_write=True), Fault(reset=True), Fault(reset=True, after_write=True), Fault(400))

Table = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """
    One run: a table, and what befalls it.

    ``retry``: the next try of a task that failed before, if one did. ``lives``: when the worker is killed.
    """

    table: Table
    retry: bool = True
    faults: tuple[Fault | None, ...] = ()
    lives: int | None = None
    full_refresh: bool = False


rows = st.fixed_dictionaries(
    {}, optional={"plan": st.sampled_from(["gold", "free", None]), "score": st.none() | st.integers(0, 1)}
)
steps = st.builds(
    Step,
    table=st.dictionaries(st.sampled_from("abcdefg"), rows, max_size=7),
    retry=st.booleans(),
    faults=st.lists(st.none() | st.sampled_from(FAULTS), max_size=4).map(tuple),
    lives=st.none() | st.integers(0, 200),
    full_refresh=st.sampled_from([False, False, False, True]),
)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def whole(table: Table) -> Table:
    """Every row with every column, as a table has them."""
    return {id_: {"plan": row.get("plan"), "score": row.get("score")} for id_, row in table.items()}


class ProfileFolder:
    """A folder; its rows come from a list."""

    def __init__(self) -> None:
        self.path = memory_path()

    def given(self, table: Table, lives: Lives) -> dict[str, Any]:
        rows = [{"custom_id": id_, **row} for id_, row in table.items()]
        return {"profiles": rows, "snapshot_path": MortalPath(self.path, lives)}

    def has_claim(self) -> bool:
        folder = self.path / "batch_mirrored" / "profiles.attributes"
        return folder.exists() and any(path.name == "claim.json" for path in folder.iterdir())

    def check_without_values(self) -> None:
        assert all(b"gold" not in path.read_bytes() for path in self.path.rglob("*") if path.is_file())


class ProfileTables:
    """Tables; the rows come from one of them."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        for name in connections.tables():
            connections.run(f"DROP TABLE {connections.schema}.{name}")
        self.table = f"{connections.schema}.customers"
        connections.run(f"CREATE TABLE {self.table} (custom_id VARCHAR(50), plan VARCHAR(50), score INT)")

    def given(self, table: Table, lives: Lives) -> dict[str, Any]:
        rows = ", ".join(f"('{id_}', {_literal(row['plan'])}, {_literal(row['score'])})" for id_, row in table.items())
        self.connections.run(
            f"DELETE FROM {self.table}", *([f"INSERT INTO {self.table} VALUES {rows}"] if rows else [])
        )
        source = SqlSource(Mortal(self.connections, lives), f"SELECT * FROM {self.table}", None, ProfileColumns())
        return {"profiles": source, "snapshot_schema": self.connections.schema, "snapshot_name": "customers"}

    def has_claim(self) -> bool:
        head = self.connections.head()
        return head is not None and head["claim"] is not None

    def check_without_values(self) -> None:
        for name in self.connections.tables():
            if name.startswith("batch_profiles_customers_"):
                assert "gold" not in str(self.connections.run(f"SELECT * FROM {self.connections.schema}.{name}"))


def _literal(value: object) -> str:
    return "NULL" if value is None else repr(value)


class History:
    """Runs of one mirror, and what they may have sent by all that is known from outside."""

    def __init__(self, sandbox: Sandbox, place: ProfileFolder | ProfileTables) -> None:
        self.sandbox = sandbox
        self.hook = BatchHook("batch_mirrored")
        self.place = place
        self.certain: Table = {}
        self.uncertain: set[str] = set()
        self.echo: set[str] = set()
        self.owner, self.store, self.tries = 0, Store(), 0
        self.failed = self.locked = False

    def go(self, step: Step) -> bool:
        """Run it; return whether it succeeded."""
        if not (self.failed and (step.retry or self.locked)):
            self.owner, self.store, self.tries = self.owner + 1, Store(), 0
        table, before = whole(step.table), len(self.sandbox.calls)
        ids = {*table, *self.certain, *self.uncertain}
        touched = {id_ for id_ in ids if table.get(id_) != self.certain.get(id_)} | self.uncertain | self.echo
        touched |= ids if step.full_refresh else set()
        self.tries += 1
        self.sandbox.faults(*step.faults)
        try:
            result = self._run(table, step)
        except (BatchError, Killed) as error:
            self.failed, self.locked = True, self.place.has_claim()
            self.uncertain |= touched | self._sent(before)
            if self._sent(before):
                self.place.check_without_values()
            if not getattr(error, "retryable", True):
                self.store = Store()
            return False
        finally:
            for _ in range(len(step.faults) - (len(self.sandbox.calls) - before)):  # those that nobody met
                self.hook.test_connection()
        self.failed = self.locked = False
        assert self._sent(before) <= touched
        assert (result.profiles, result.rejected) == (len(table), 0)
        self.certain, self.uncertain, self.echo = table, set(), self.uncertain
        return True

    def check(self) -> None:
        """The profiles are this table; those whose rows have gone have nothing left."""
        profiles = self.sandbox.profiles()
        gone: dict[str, Any] = {id_: {} for id_ in profiles}
        assert profiles == gone | {id_: shown(row) for id_, row in self.certain.items()}
        self.place.check_without_values()

    def _run(self, table: Table, step: Step) -> Any:
        return self.hook.mirror_profiles(
            **self.place.given(table, Lives(step.lives)),
            on_gone="clear",
            nulls="clear",
            chunk_size=2,
            max_concurrency=2,
            full_refresh=step.full_refresh,
            allow_empty=True,
            owner=f"run {self.owner}",
            journal=TaskStateJournal(memory(self.store, self.tries)),
        )

    def _sent(self, before: int) -> set[str]:
        calls = self.sandbox.calls
        assert len(calls) < 200  # it remembers no more
        bodies = [json.loads(call.body) for call in calls[before:] if call.body]
        return {entry["identifiers"]["custom_id"] for body in bodies for entry in body}


def play(
    history: list[Step], place: ProfileFolder | ProfileTables, largest_net: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that whatever happens in *history*, the profiles are the last table that succeeded."""
    monkeypatch.setattr(run, "LARGEST_NET", largest_net)
    with Sandbox(keep_bodies=True, profile_limits=False) as sandbox:
        connection = json.loads(sandbox.connection_json(PROJECT))
        connection["extra"]["max_attempts"] = 1
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_MIRRORED", json.dumps(connection))
        runs = History(sandbox, place)
        for step in history:
            if runs.go(step):
                runs.check()
        last = Step({"a": {"plan": "gold", "score": 1}, "b": {"score": 0}, "h": {}})
        assert runs.go(last)
        assert runs.go(last)  # the echo
        runs.check()
        # What is certain now is not sent again.
        before = len(sandbox.calls)
        assert runs.go(last)
        assert not runs._sent(before)


def examples(number: int) -> settings:
    return settings(
        max_examples=number,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


HISTORIES = {"history": st.lists(steps, max_size=6), "largest_net": st.sampled_from([run.LARGEST_NET, 5.0])}


@examples(40)
@given(**HISTORIES)
def test_the_profiles_are_the_last_table_that_succeeded(monkeypatch: pytest.MonkeyPatch, **history: Any) -> None:
    play(place=ProfileFolder(), monkeypatch=monkeypatch, **history)


@examples(25)
@given(**HISTORIES)
def test_so_they_are_with_tables_in_sqlite(monkeypatch: pytest.MonkeyPatch, **history: Any) -> None:
    with TemporaryDirectory() as folder:
        tables = ProfileTables(sqlite_connections(Path(folder) / "db"))
        play(place=tables, monkeypatch=monkeypatch, **history)


@examples(20)
@given(**HISTORIES)
def test_so_they_are_in_duckdb(monkeypatch: pytest.MonkeyPatch, **history: Any) -> None:
    with duckdb_connections() as connections:
        play(place=ProfileTables(connections), monkeypatch=monkeypatch, **history)


@examples(10)
@given(**HISTORIES)
def test_so_they_are_in_postgresql(
    tables_in_postgresql: Connections, monkeypatch: pytest.MonkeyPatch, **history: Any
) -> None:
    play(place=ProfileTables(tables_in_postgresql), monkeypatch=monkeypatch, **history)


@examples(5)
@given(**HISTORIES)
def test_so_they_are_in_mariadb(
    tables_in_mariadb: Connections, monkeypatch: pytest.MonkeyPatch, **history: Any
) -> None:
    play(place=ProfileTables(tables_in_mariadb), monkeypatch=monkeypatch, **history)
