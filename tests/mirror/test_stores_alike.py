"""Whatever sets follow each other: a folder and tables, on each kind of database, send, report and keep the same."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.tables import comparison
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.sql import SqlSource
from tests.mirror.folders import memory_path
from tests.mirror.stores import Connections

PROJECT = "project_sandbox"

#: Valid ids, of which some are the same to a language; and values that are not valid, the last one in version 1 only.
IDS = ("a", "A", "a ", " a", "b", unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"), "x" * 128, "7")
INVALID = ("", None, "a\tb", "x" * 129)

#: What may befall one call. All ids are in one, as each store has an order of its own; if it is refused, in two.
FAULTS = (Fault(503), Fault(503, after_write=True), Fault(400), Fault(reset=True, after_write=True))

Rows: TypeAlias = list[tuple[str | None, int]]


@dataclass(frozen=True)
class Step:
    """
    One run.

    :param values: what the query has, and how often.
    :param attribute: that of every other id.
    """

    values: list[tuple[str | None, int]]
    attribute: int
    faults: tuple[Fault | None, ...]
    keep_changes: int
    parameters: dict[str, Any]

    def rows(self) -> Rows:
        """The values with their attributes, the repeated ones at the end once more."""
        rows = [(value, self.attribute * (value in IDS[::2])) for value, _ in self.values]
        return rows + [row for row, (_, times) in zip(rows, self.values, strict=True) for _ in range(times - 1)]


values = st.tuples(st.sampled_from((*IDS, *IDS, *INVALID)), st.sampled_from([1, 1, 1, 2, 3]))
parameters: dict[str, list[Any]] = {
    "full_refresh": [False, False, False, True],
    "allow_empty": [True, True, False],
    "on_invalid_id": ["skip", "skip", "skip", "fail"],
    "max_shrink": [None, None, 0.5, 2],
    "max_changes": [None, None, 0.5, 3],
    "dry_run": [False, False, False, True],
}
steps = st.lists(
    st.builds(
        Step,
        values=st.lists(values, unique_by=lambda value: value[0], max_size=9),
        attribute=st.integers(0, 1),
        faults=st.sampled_from([(), *((*[None] * before, fault) for before in range(3) for fault in FAULTS)]),
        keep_changes=st.sampled_from([0, 30]),
        parameters=st.fixed_dictionaries({name: st.sampled_from(given) for name, given in parameters.items()}),
    ),
    min_size=1,
    max_size=5,
)


class Runs:
    """The runs of one store, with a Batch of its own."""

    def __init__(self, name: str, sandbox: Sandbox, has_attributes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_attributes = has_attributes
        self._sandbox = sandbox
        self._project = PROJECT if has_attributes else None
        connection = json.loads(sandbox.connection_json(*([PROJECT] if has_attributes else [])))
        connection["extra"] = {**connection.get("extra", {}), "max_attempts": 1}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
        self._hook = BatchHook(name)

    def outcome(self, step: Step, first_run: Any, place: dict[str, Any]) -> dict[str, Any]:
        """What a run does, by all that can be seen of it."""
        before = len(self._sandbox.calls)
        self._sandbox.faults(*step.faults)
        try:
            told = self._run(step, first_run, place)
        except BatchError as error:
            told = {"error": type(error).__name__}
        calls = self._sandbox.calls[before:]
        for _ in range(len(step.faults) - len(calls)):  # those that nobody met
            self._hook.test_connection()
        bodies = [json.loads(call.body) for call in calls if call.body]
        return {
            "told": told,
            "calls": [call.route for call in calls],
            "sent": {json.dumps(each, sort_keys=True) for body in bodies for each in body["ids"]},
            "members": self._sandbox.members("vip", self._project),
        }

    def _run(self, step: Step, first_run: Any, place: dict[str, Any]) -> dict[str, Any]:
        result = self._hook.mirror_custom_audience(
            "vip", **place, first_run=first_run, on_rejected_chunk="bisect", poke_interval=0.1, **step.parameters
        )
        # In which row a value was found, each store tells in its own words.
        told = {name: value for name, value in result.summary().items() if name not in ("seconds", "rejections")}
        return told | {"tokens": len(result.indexing_tokens)}


def folder_places(has_attributes: bool) -> Callable[[Step], dict[str, Any]]:
    path = memory_path()

    def place(step: Step) -> dict[str, Any]:
        ids: list[object] = [value for value, _ in step.rows()]
        if has_attributes:
            ids = [{"id": value, "attributes": {"n": number}} for value, number in step.rows()]
        return {"ids": ids, "snapshot_path": path}

    return place


def table_places(connections: Connections, has_attributes: bool) -> Callable[[Step], dict[str, Any]]:
    schema = connections.schema
    connections.run(*(f"DROP TABLE {schema}.{table}" for table in connections.tables()))
    collated = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if connections.driver == "pymysql" else ""
    connections.run(f"CREATE TABLE {schema}.members (id VARCHAR(200){collated}, n INT)")
    columns = "id, n" if has_attributes else "id"

    def place(step: Step) -> dict[str, Any]:
        literals = (("NULL" if value is None else f"'{value}'", number) for value, number in step.rows())
        rows = ", ".join(f"({literal}, {number})" for literal, number in literals)
        inserts = [f"INSERT INTO {schema}.members VALUES {rows}"] if rows else []
        connections.run(f"DELETE FROM {schema}.members", *inserts)
        read = Columns("id", attribute_columns=["n"] if has_attributes else None)
        source = SqlSource(connections, f"SELECT {columns} FROM {schema}.members", None, read)
        return {"ids": source, "snapshot_schema": schema, "keep_changes": step.keep_changes}

    return place


def log_of(connections: Connections) -> Counter[tuple[Any, ...]]:
    """The rows of the log."""
    names = [name for name in connections.tables() if name.endswith("_log")]
    return Counter(
        row
        for name in names
        for row in connections.run(f"SELECT id, op, why, changes FROM {connections.schema}.{name}")
    )


def check_log(added: Counter[tuple[Any, ...]], step: Step, outcome: dict[str, Any], has_attributes: bool) -> None:
    """It has got what a run that succeeded has sent, and what was not valid."""
    rows = list(added.elements())
    assert len({id_ for id_, *_ in rows}) == len(rows)
    if "error" in outcome["told"] or step.parameters["dry_run"] or not step.keep_changes:
        return
    invalid = {*INVALID[:3]} if has_attributes else {*INVALID}
    assert {id_ for id_, op, *_ in rows if op == "!"} >= {value for value, _ in step.values} & invalid
    sent = {(each["id"], each.get("action", "add")) for each in map(json.loads, outcome["sent"])}
    if not outcome["told"]["replaced"] and not any(why == "rejected by Batch" for _, _, why, _ in rows):
        assert {(id_, {"+": "add", "-": "remove"}[op]) for id_, op, *_ in rows if op != "!"} == sent


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=steps,
    first_run=st.sampled_from(["add", "replace"]),
    has_attributes=st.booleans(),
    largest_net=st.sampled_from([comparison.LARGEST_NET, 5.0]),
)
def test_all_stores_do_the_same(
    connections: Connections,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[Step],
    first_run: str,
    has_attributes: bool,
    largest_net: float,
) -> None:
    monkeypatch.setattr(comparison, "LARGEST_NET", largest_net)
    in_folder, in_tables = folder_places(has_attributes), table_places(connections, has_attributes)
    with ExitStack() as stack:
        folder, tables = (
            Runs(name, stack.enter_context(Sandbox(["vip"], keep_bodies=True)), has_attributes, monkeypatch)
            for name in ("batch_folder", "batch_tables")
        )
        for step in steps:
            before = log_of(connections)
            outcome = tables.outcome(step, first_run, in_tables(step))
            assert outcome == folder.outcome(step, first_run, in_folder(step))
            check_log(log_of(connections) - before, step, outcome, has_attributes)
