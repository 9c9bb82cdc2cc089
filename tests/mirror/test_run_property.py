"""Any sequence of mirrored sets, with whatever may happen in between: the audience is the last set that succeeded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import BatchError, MirrorConflictError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.tables import comparison
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.tasks.journal import TaskStateJournal
from tests.mirror.folders import Killed
from tests.mirror.mortal import Lives
from tests.mirror.stores import Connections, FolderStore, TableStore, duckdb_connections, sqlite_connections
from tests.worker import Store, memory

PROJECT = "project_sandbox"

FAULTS = (
    Fault(503),
    Fault(503, after_write=True),
    Fault(reset=True),
    Fault(reset=True, after_write=True),
    Fault(400),
    Fault(401),
)


@dataclass(frozen=True)
class Step:
    """
    One run: a set of ids with an attribute each, and what befalls it.

    ``retry``: the try of a task that failed before, if one did; its set may be another one by now. ``lives``: when the
    worker is killed.
    """

    members: dict[str, int]
    retry: bool
    faults: list[Fault | None]
    lives: int | None
    full_refresh: bool
    is_sorted: bool


@dataclass
class Known:
    """What a run may rely on, and what of it is uncertain."""

    certain: dict[str, int] = field(default_factory=dict)
    uncertain: set[str] = field(default_factory=set)
    #: What was uncertain before the last run that succeeded, and is sent once more if a try was killed.
    echo: set[str] = field(default_factory=set)
    #: Members that nobody has sent here.
    foreign: set[str] = field(default_factory=set)

    def touched(self, members: dict[str, int]) -> set[str]:
        """Which ids a run with *members* has to send."""
        ids = {*members, *self.certain, *self.uncertain}
        return {id_ for id_ in ids if members.get(id_) != self.certain.get(id_)} | self.uncertain | self.echo


steps = st.lists(
    st.builds(
        Step,
        members=st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 1), max_size=7),
        retry=st.booleans(),
        faults=st.lists(st.none() | st.sampled_from(FAULTS), max_size=5),
        lives=st.none() | st.integers(0, 120),
        full_refresh=st.sampled_from([False, False, False, True]),
        is_sorted=st.booleans(),
    ),
    max_size=6,
)


class History:
    """Runs of one mirror, and what they may have done by all that is known from outside."""

    def __init__(
        self, sandbox: Sandbox, place: FolderStore | TableStore, *, first_run: Any, with_journal: bool
    ) -> None:
        self.sandbox = sandbox
        self.hook = BatchHook("batch_mirrored")
        self.place = place
        self.known = Known(foreign=set(sandbox.members("vip", PROJECT)))
        self.first_run = first_run
        self.with_journal = with_journal
        self.owner, self.store, self.tries = 0, Store(), 0
        self.failed = self.locked = False

    def go(self, step: Step) -> bool:
        """Run it; return whether it succeeded."""
        if not (step.retry and self.failed):
            self.owner, self.store, self.tries = self.owner + 1, Store(), 0
            if self.locked:
                self._is_kept_out(step)
                self.owner -= 1  # what follows is the dead one's next try
        known, before = self.known, len(self.sandbox.calls)
        touched = known.touched(step.members)
        was = self.sandbox.members("vip", PROJECT)
        refused: list[Any] = []
        self.tries += 1
        journal = TaskStateJournal(memory(self.store, self.tries)) if self.with_journal else None
        try:
            result = self._mirror(step, journal, refused)
        except (BatchError, Killed) as error:
            self.failed, self.locked = True, self.place.has_claim()
            sent = self._sent(before)
            # A replace that failed leaves nothing certain.
            assert self._replaced(before) or sent <= touched
            known.uncertain |= touched | sent
            if self._replaced(before):
                known.foreign &= self.sandbox.members("vip", PROJECT)
            if not getattr(error, "retryable", True):
                self.store = Store()
            return False
        self.failed = self.locked = False
        assert result.replaced or self._sent(before) <= touched
        now = self.sandbox.members("vip", PROJECT)
        # Whether a try that was killed had come to note what it was about to send, is not known from outside: a member
        # of others that it would have added may be taken back, or stays.
        either = set() if result.replaced else (known.foreign & (known.uncertain | known.echo)) - {*step.members}
        others = set() if result.replaced else known.foreign - touched
        left = ({*refused} & was) if not result.replaced else set()
        assert now - either == (({*step.members} | others) - {*refused} | left) - either
        known.foreign = (others | either & now) - {*step.members}
        known.certain, known.uncertain, known.echo = dict(step.members), {*map(str, refused)}, known.uncertain
        assert result.members == len(step.members)
        return True

    def check(self, members: dict[str, int]) -> None:
        """The audience is this set, attributes included."""
        traits = self.sandbox.attributes("vip", PROJECT)
        ours = {id_: traits[id_]["attributes"]["n"] for id_ in members}
        assert ours == members
        assert {*traits} == {*members} | self.known.foreign

    def _mirror(self, step: Step, journal: Any, refused: list[Any]) -> Any:
        before = len(self.sandbox.calls)
        self.sandbox.faults(*step.faults)
        try:
            return self._run(step, journal, refused)
        finally:
            for _ in range(len(step.faults) - (len(self.sandbox.calls) - before)):  # those that nobody met
                self.hook.test_connection()

    def _run(self, step: Step, journal: Any, refused: list[Any]) -> Any:
        lives = Lives(step.lives)
        is_sorted = step.is_sorted and self.place.is_sorted
        members = dict(sorted(step.members.items())) if is_sorted else step.members
        return self.hook.mirror_custom_audience(
            "vip",
            self.place.source(members, lives),
            **self.place.place(lives),
            chunk_size=2,
            max_concurrency=2,
            on_rejected_chunk="bisect",
            on_rejection=lambda rejection, id_: refused.append(id_),
            first_run=self.first_run,
            full_refresh=step.full_refresh,
            is_sorted=is_sorted,
            allow_empty=True,
            owner=f"run {self.owner}",
            poke_interval=0.1,
            journal=journal,
        )

    def _is_kept_out(self, step: Step) -> None:
        """Nobody but the next try of what was killed may go on, until its claim is dead."""
        before = len(self.sandbox.calls)
        with pytest.raises(MirrorConflictError):
            self.hook.mirror_custom_audience(
                "vip",
                self.place.source({"z": 0}, Lives(None)),
                **self.place.place(Lives(None)),
                first_run=self.first_run,
                full_refresh=step.full_refresh,
                owner="another",
            )
        assert not self._sent(before)

    def _bodies(self, before: int) -> list[tuple[str, Any]]:
        calls = self.sandbox.calls
        assert len(calls) < 200  # it remembers no more
        return [(call.route, json.loads(call.body)) for call in calls[before:] if call.body]

    def _sent(self, before: int) -> set[str]:
        return {element["id"] for _, body in self._bodies(before) for element in body["ids"]}

    def _replaced(self, before: int) -> bool:
        return any("replace" in route for route, _ in self._bodies(before))


def hold(
    place: FolderStore | TableStore,
    steps: list[Step],
    first_run: str,
    with_journal: bool,
    there: bool,
    largest_net: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check that whatever happens in *steps*, the audience is the last set that succeeded."""
    with Sandbox(keep_bodies=True) as sandbox:
        connection = json.loads(sandbox.connection_json(PROJECT))
        connection["extra"]["max_attempts"] = 1
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_MIRRORED", json.dumps(connection))
        monkeypatch.setattr(comparison, "LARGEST_NET", largest_net)
        if there:
            BatchHook("batch_mirrored").update_custom_audience("vip", add_ids=["a", "x", "y"])
        history = History(sandbox, place, first_run=first_run, with_journal=with_journal)
        for step in steps:
            if history.go(step) and not history.known.uncertain:
                history.check(step.members)
        last = Step({"a": 1, "b": 0, "c": 1}, True, [], None, False, False)
        assert history.go(last)
        if history.known.uncertain:
            assert history.go(last)
        history.check(last.members)
        assert history.go(last)  # the echo
        # What is certain now is not sent again.
        before = len(sandbox.calls)
        assert history.go(last)
        assert not history._sent(before)


HISTORIES = {
    "steps": steps,
    "first_run": st.sampled_from(["add", "replace"]),
    "with_journal": st.booleans(),
    "there": st.booleans(),
    "largest_net": st.sampled_from([comparison.LARGEST_NET, 5.0]),
}


def examples(number: int) -> settings:
    return settings(max_examples=number, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@examples(40)
@given(**HISTORIES)
def test_the_audience_is_the_last_set_that_succeeded(monkeypatch: pytest.MonkeyPatch, **history: Any) -> None:
    hold(FolderStore(), monkeypatch=monkeypatch, **history)


@examples(40)
@given(**HISTORIES)
def test_so_it_is_with_tables_in_sqlite(monkeypatch: pytest.MonkeyPatch, **history: Any) -> None:
    with TemporaryDirectory() as folder:
        hold(TableStore(sqlite_connections(Path(folder) / "db")), monkeypatch=monkeypatch, **history)


@examples(20)
@given(**HISTORIES)
def test_so_it_is_in_duckdb(monkeypatch: pytest.MonkeyPatch, **history: Any) -> None:
    with duckdb_connections() as connections:
        hold(TableStore(connections), monkeypatch=monkeypatch, **history)


@examples(10)
@given(**HISTORIES)
def test_so_it_is_in_postgresql(
    tables_in_postgresql: Connections, monkeypatch: pytest.MonkeyPatch, **history: Any
) -> None:
    hold(TableStore(tables_in_postgresql), monkeypatch=monkeypatch, **history)


@examples(10)
@given(**HISTORIES)
def test_so_it_is_in_mariadb(tables_in_mariadb: Connections, monkeypatch: pytest.MonkeyPatch, **history: Any) -> None:
    hold(TableStore(tables_in_mariadb), monkeypatch=monkeypatch, **history)
