"""Any sequence of tables of profiles, with crashes in between: the profiles are the last table that succeeded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.tables import comparison
from airflow_provider_batch.protocol.arguments import Nulls
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sources.profile_columns import ProfileColumns
from airflow_provider_batch.sources.sql import SqlSource
from airflow_provider_batch.tasks.journal import TaskStateJournal
from tests.mirror.folders import Killed, memory_path
from tests.mirror.mortal import Lives, MortalPath
from tests.mirror.stores import Connections, Mortal, duckdb_connections, sqlite_connections
from tests.worker import Store, memory

PROJECT = "project_sandbox"
REFUSED = json.dumps(
    {"code": "SUCCESS_WITH_PARTIAL_ERRORS", "errors": [{"bulk_index": 0, "attribute": "plan", "reason": "no"}]}
).encode()
FAULTS = (
    Fault(503),
    Fault(503, after_write=True),
    Fault(reset=True),
    Fault(reset=True, after_write=True),
    Fault(400),
    Fault(202, body=REFUSED, after_write=True),
)
IDS = "abcdefg"
NAMES = ("plan", "score")

Table = dict[str, dict[str, Any]]
#: Names of attributes, by the ids of profiles.
Sets = dict[str, set[str]]


@dataclass(frozen=True)
class Step:
    """
    One run: a table, and what befalls it.

    ``columns``: what the table has beside the id. ``retry``: the next try of a task that failed before, if one did.
    ``lives``: when the worker is killed. ``app``: profiles on which another program sets before an attribute, unless
    the mirror may have set it. ``wrong``: profiles whose rows are not valid; they are skipped.
    """

    table: Table
    columns: tuple[str, ...] = NAMES
    retry: bool = True
    faults: tuple[Fault | None, ...] = ()
    lives: int | None = None
    full_refresh: bool = False
    app: tuple[tuple[str, str], ...] = ()
    wrong: frozenset[str] = frozenset()


rows = st.fixed_dictionaries(
    {}, optional={"plan": st.sampled_from(["gold", "free", None]), "score": st.none() | st.integers(0, 1)}
)
steps = st.builds(
    Step,
    table=st.dictionaries(st.sampled_from(IDS), rows, max_size=7),
    columns=st.sampled_from([NAMES, NAMES, NAMES, ("plan",), ("score",)]),
    retry=st.booleans(),
    faults=st.lists(st.none() | st.sampled_from(FAULTS), max_size=4).map(tuple),
    lives=st.none() | st.integers(0, 200),
    full_refresh=st.sampled_from([False, False, False, True]),
    app=st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(NAMES)), max_size=6).map(tuple),
    wrong=st.frozensets(st.sampled_from(IDS), max_size=2),
)


def whole(table: Table, columns: tuple[str, ...]) -> Table:
    """Every row with every column, as a table has them."""
    return {id_: {name: row.get(name) for name in columns} for id_, row in table.items()}


def given_names(row: dict[str, Any]) -> set[str]:
    return {name for name, value in row.items() if value is not None}


class ProfileFolder:
    """A folder; its rows come from a list."""

    def __init__(self) -> None:
        self.path = memory_path()

    def given(self, table: Table, wrong: Iterable[str], columns: tuple[str, ...], lives: Lives) -> dict[str, Any]:
        rows = [{"custom_id": id_, **row} for id_, row in table.items()]
        rows += [{"custom_id": id_, "date__seen": "no date"} for id_ in wrong]
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
        connections.run(
            f"CREATE TABLE {self.table} (custom_id VARCHAR(50), plan VARCHAR(50), score INT, date__seen VARCHAR(50))"
        )

    def given(self, table: Table, wrong: Iterable[str], columns: tuple[str, ...], lives: Lives) -> dict[str, Any]:
        columns = (*columns, "date__seen")
        cells = {id_: [_literal(row.get(name)) for name in (*NAMES, "date__seen")] for id_, row in table.items()}
        cells |= {id_: ["'gold'", "NULL", "'no date'"] for id_ in wrong}
        rows = ", ".join(f"('{id_}', {', '.join(row)})" for id_, row in cells.items())
        self.connections.run(
            f"DELETE FROM {self.table}", *([f"INSERT INTO {self.table} VALUES {rows}"] if rows else [])
        )
        read = ProfileColumns(attribute_columns=columns)
        source = SqlSource(Mortal(self.connections, lives), f"SELECT * FROM {self.table}", None, read)
        return {
            "profiles": source,
            "snapshot_schema": self.connections.schema,
            "snapshot_name": "customers",
            "attribute_columns": columns,
        }

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
    """
    Runs of one mirror, and what they may have sent by all that is known from outside.

    ``set_by_us``: what the mirror has set, or may have set, on profiles by its last success; ``maybe``: what later
    tries may have set or deleted, of which the next success knows; ``echo``: what those before may still do after it.
    """

    def __init__(self, sandbox: Sandbox, place: ProfileFolder | ProfileTables, nulls: Nulls) -> None:
        self.sandbox = sandbox
        self.hook = BatchHook("batch_mirrored")
        self.place = place
        self.nulls = nulls
        self.certain: Table = {}
        self.uncertain: set[str] = set()
        self.echoed: set[str] = set()
        self.columns: tuple[str, ...] = NAMES
        self.set_by_us, self.maybe, self.echo = Sets(), Sets(), Sets()
        self.app, self.doubt = Sets(), Sets()
        self.owner, self.store, self.tries = 0, Store(), 0
        self.failed = self.locked = False

    def go(self, step: Step) -> bool:
        """Run it; return whether it succeeded."""
        if not (self.failed and (step.retry or self.locked)):
            self.owner, self.store, self.tries = self.owner + 1, Store(), 0
        self._set_by_app(step.app)
        table, before = whole(step.table, step.columns), len(self.sandbox.calls)
        table = {id_: row for id_, row in table.items() if id_ not in step.wrong}
        ids = {*table, *self.certain, *self.uncertain}
        touched = {id_ for id_ in ids if table.get(id_) != self.certain.get(id_)} | self.uncertain | self.echoed
        # With other columns, a table finds every row changed.
        touched |= ids if step.full_refresh or step.columns != self.columns else set()
        for id_, row in table.items():
            self._may_set(id_, row)
        self.tries += 1
        self.sandbox.faults(*step.faults)
        refused: set[str] = set()
        try:
            result = self._run(table, step, refused)
        except (BatchError, Killed) as error:
            self.failed, self.locked = True, self.place.has_claim()
            self.uncertain |= touched | self._sent(before)
            for id_ in ids - table.keys():  # what was to be deleted may be deleted once more, as an echo
                self.maybe.setdefault(id_, set()).update(self.ours(id_))
            if self._sent(before):
                self.place.check_without_values()
            if not getattr(error, "retryable", True):
                self.store = Store()
            return False
        finally:
            for _ in range(len(step.faults) - (len(self.sandbox.calls) - before)):  # those that nobody met
                self.hook.test_connection()
        self.failed = self.locked = False
        assert self._sent(before) <= touched - step.wrong
        assert result.profiles == len(table)
        assert result.rejected == len(refused | step.wrong)
        refused |= step.wrong
        self._succeeded(table, refused)
        self.columns = step.columns
        self.certain, self.uncertain, self.echoed = table, refused, self.uncertain
        return True

    def check(self) -> None:
        """What the table has is there, and of profiles that have gone, nothing but what the other program has set."""
        for id_, found in self.sandbox.profiles().items():
            if id_ in self.uncertain:
                continue  # refused in part, or its row is not valid
            row, app = self.certain.get(id_), self.app.get(id_, set())
            for name in NAMES:
                value = found.get(name)
                if row is not None and row.get(name) is not None:
                    assert value == row[name]
                elif name in app and name not in self.doubt.get(id_, set()):
                    assert value == "of the app"
                elif row is None or (self.nulls == "clear" and name in row):
                    assert value is None or name in app
        self.place.check_without_values()

    def ours(self, id_: str) -> set[str]:
        """What the mirror may have set on a profile."""
        return set().union(*(each.get(id_, set()) for each in (self.set_by_us, self.maybe, self.echo)))

    def _set_by_app(self, wanted: tuple[tuple[str, str], ...]) -> None:
        """The other program sets what the mirror has not."""
        rows: dict[str, dict[str, str]] = {}
        for id_, name in wanted:
            # With NULLs, the mirror deletes what the app has set; but a retry may have done so before that.
            is_deleted = self.nulls == "clear" and (id_ in self.certain or id_ in self.maybe)
            if name not in self.ours(id_) and not is_deleted:
                rows.setdefault(id_, {"custom_id": id_})[name] = "of the app"
                self.app.setdefault(id_, set()).add(name)
                self.doubt.get(id_, set()).discard(name)
        if rows:
            BatchHook("batch_app").update_profiles(rows.values())

    def _may_set(self, id_: str, row: dict[str, Any]) -> None:
        self.maybe.setdefault(id_, set()).update(given_names(row))
        self.doubt.setdefault(id_, set()).update(self._written(row))

    def _written(self, row: dict[str, Any]) -> set[str]:
        """What a row sets or deletes."""
        return {*row} if self.nulls == "clear" else given_names(row)

    def _succeeded(self, table: Table, refused: set[str]) -> None:
        for id_ in table.keys() - refused:
            self.app.get(id_, set()).difference_update(self._written(table[id_]))
        kept = {id_: self.ours(id_) for id_ in {*table, *refused}}
        self.echo, self.maybe = self.maybe, {id_: set(kept[id_]) for id_ in refused}
        self.set_by_us = kept

    def _run(self, table: Table, step: Step, refused: set[str]) -> Any:
        def on_rejection(_: Any, row: Any) -> None:
            if isinstance(row, dict) and "attributes" in row:  # otherwise it was not sent
                refused.add(row["custom_id"])

        return self.hook.mirror_profiles(
            **self.place.given(table, step.wrong, step.columns, Lives(step.lives)),
            on_gone="clear",
            on_invalid_id="skip",
            nulls=self.nulls,
            chunk_size=2,
            max_concurrency=2,
            full_refresh=step.full_refresh,
            allow_empty=True,
            owner=f"run {self.owner}",
            journal=TaskStateJournal(memory(self.store, self.tries)),
            on_rejection=on_rejection,
        )

    def _sent(self, before: int) -> set[str]:
        calls = self.sandbox.calls
        assert len(calls) < 200  # it remembers no more
        bodies = [json.loads(call.body) for call in calls[before:] if call.body]
        return {entry["identifiers"]["custom_id"] for body in bodies for entry in body}


def play(
    history: list[Step],
    place: ProfileFolder | ProfileTables,
    nulls: Nulls,
    largest_net: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check that whatever happens in *history*, the profiles are the last table that succeeded."""
    monkeypatch.setattr(comparison, "LARGEST_NET", largest_net)
    with Sandbox(keep_bodies=True, profile_limits=False) as sandbox:
        connection = json.loads(sandbox.connection_json(PROJECT))
        connection["extra"]["max_attempts"] = 1
        for name in ("MIRRORED", "APP"):
            monkeypatch.setenv(f"AIRFLOW_CONN_BATCH_{name}", json.dumps(connection))
        runs = History(sandbox, place, nulls)
        for step in history:
            if runs.go(step):
                runs.check()
        last = Step({"a": {"plan": "gold", "score": 1}, "b": {"score": 0}, "h": {}})
        assert runs.go(last)
        assert runs.go(last)  # the echo
        runs.check()
        assert runs.go(replace(last, app=tuple((id_, "plan") for id_ in IDS)))
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


HISTORIES = {
    "history": st.lists(steps, max_size=6),
    "nulls": st.sampled_from(["keep", "keep", "clear"]),
    "largest_net": st.sampled_from([comparison.LARGEST_NET, 5.0]),
}


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
