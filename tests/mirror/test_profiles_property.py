"""Any sequence of tables of profiles, with crashes in between: the profiles are the last table that succeeded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.tasks.journal import TaskStateJournal
from tests.mirror.folders import Killed, memory_path
from tests.mirror.mortal import Lives, MortalPath
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
    lives=st.none() | st.integers(0, 120),
    full_refresh=st.sampled_from([False, False, False, True]),
)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def whole(table: Table) -> Table:
    """Every row with every column, as a table has them."""
    return {id_: {"plan": row.get("plan"), "score": row.get("score")} for id_, row in table.items()}


class History:
    """Runs of one mirror, and what they may have sent by all that is known from outside."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.hook = BatchHook("batch_mirrored")
        self.path = memory_path()
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
            self.failed, self.locked = True, self._has_claim()
            self.uncertain |= touched | self._sent(before)
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

    def _run(self, table: Table, step: Step) -> Any:
        return self.hook.mirror_profiles(
            [{"custom_id": id_, **row} for id_, row in table.items()],
            snapshot_path=MortalPath(self.path, Lives(step.lives)),
            on_gone="clear",
            nulls="clear",
            chunk_size=2,
            max_concurrency=2,
            full_refresh=step.full_refresh,
            allow_empty=True,
            owner=f"run {self.owner}",
            journal=TaskStateJournal(memory(self.store, self.tries)),
        )

    def _has_claim(self) -> bool:
        folder = self.path / "batch_mirrored" / "profiles.attributes"
        return folder.exists() and any(path.name == "claim.json" for path in folder.iterdir())

    def _sent(self, before: int) -> set[str]:
        calls = self.sandbox.calls
        assert len(calls) < 200  # it remembers no more
        bodies = [json.loads(call.body) for call in calls[before:] if call.body]
        return {entry["identifiers"]["custom_id"] for body in bodies for entry in body}


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=st.lists(steps, max_size=6))
def test_the_profiles_are_the_last_table_that_succeeded(history: list[Step], monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(keep_bodies=True, profile_limits=False) as sandbox:
        connection = json.loads(sandbox.connection_json(PROJECT))
        connection["extra"]["max_attempts"] = 1
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_MIRRORED", json.dumps(connection))
        runs = History(sandbox)
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
