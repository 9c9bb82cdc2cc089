"""Tries of mirrors in tables: overtaken, killed between any two statements, and as real processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import DEFAULT, Mock

import pytest

from airflow_provider_batch.exceptions import (
    BatchServerError,
    IndexingTimeoutError,
    MirrorConflictError,
    SourceError,
    SourceUnavailableError,
)
from airflow_provider_batch.mirror.claim import LIFETIME, RENEWAL_INTERVAL
from airflow_provider_batch.mirror.tables import head as steps
from airflow_provider_batch.mirror.tables.claim import TableClaim
from airflow_provider_batch.mirror.tables.comparison import Comparison
from airflow_provider_batch.mirror.tables.database import Database, Session
from airflow_provider_batch.mirror.tables.head import Claim, State
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.mirror import TableMirror
from airflow_provider_batch.mirror.tables.plan import LOOK_INTERVAL, TableTransaction
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.protocol.dialect import MEP_1_0
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sources.sql import SqlSource
from tests.clock import Clock, eventually
from tests.connections import connect_once
from tests.mirror.folders import Killed
from tests.mirror.stores import Connections
from tests.mirror.test_tables import fill, log_of, mirror, ours

BASE = [f"base-{number}" for number in range(20)]
NEW = [f"new-{number}" for number in range(10)]
UNREPAIRED = (
    "no run repairs what this one may have sent after the other one; compare the audience with the snapshot, or run "
    "with full_refresh=True: "
)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(["vip"], latency=0.02) as sandbox:
        connect_once(sandbox, monkeypatch)
        yield sandbox


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def late(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that applies a write ten seconds after it has accepted it, by the test's clock."""
    with Sandbox(["vip"], indexing_delay=10, clock=clock, keep_bodies=True) as sandbox:
        connect_once(sandbox, monkeypatch)
        yield sandbox


def writes(sandbox: Sandbox) -> int:
    return sum(call.method == "PATCH" for call in sandbox.calls)


def members(connections: Connections, ids: list[str]) -> None:
    """Make these the rows of the source, in one statement."""
    table = f"{connections.schema}.members"
    rows = ", ".join(f"('{id_}')" for id_ in ids)
    connections.run(f"DELETE FROM {table}", f"INSERT INTO {table} VALUES {rows}")


def source(connections: Connections) -> SqlSource:
    return SqlSource(connections, f"SELECT id FROM {connections.schema}.members")


def mirror_of(connections: Connections, owner: str, clock: Any = time.time, *, keep_changes: int = 0) -> TableMirror:
    """One without checks of ids, and without calls."""
    keeper = Keeper(connections.schema, "batch_vip_00000000")
    target, rules = Target("vip", "custom_ids", "app"), MEP_1_0.members
    given: dict[str, Any] = {"owner": owner, "clock": clock, "keep_changes": keep_changes}
    return TableMirror(Database(connections.get_conn), keeper, target, rules, source(connections), **given)


def blocks(one: TableMirror) -> Iterator[list[str]]:
    for rows in one.changed.blocks(1000):
        yield [str(value) for value in rows.values]


# One run at a time


def test_of_two_owners_one_is_kept_out(connections: Connections) -> None:
    fill(connections, [("a",)])
    clock = Clock()
    first, second = mirror_of(connections, "first", clock), mirror_of(connections, "second", clock)
    with first.plan(blocks(first)) as plan, plan.begin("first") as transaction:
        message = r"first is at work on this mirror; its claim dates from \d{4}"
        with pytest.raises(MirrorConflictError, match=message), second.plan(blocks(second)):
            pass
        transaction.commit(["token"])
    with second.plan(blocks(second)) as plan:
        assert (plan.is_empty, plan.unconfirmed_tokens) == (True, ("token",))
    assert ours(connections) == ["b", "head"]


def test_a_claim_expires_unless_it_is_renewed(tables_in_sqlite: Connections) -> None:
    fill(tables_in_sqlite, [("a",)])
    clock = Clock()
    first, second = (mirror_of(tables_in_sqlite, owner, clock) for owner in ("first", "second"))

    def is_slow() -> None:
        with first.plan(blocks(first)) as plan, plan.begin("first") as transaction:
            for _ in range(3):
                clock.now += LIFETIME - RENEWAL_INTERVAL
                transaction.look()
            with pytest.raises(MirrorConflictError), second.plan(blocks(second)):
                pass
            clock.now += LIFETIME + 1
            with second.plan(blocks(second)) as other:
                assert list(other.adds) == ["a"]
                transaction.look()

    with pytest.raises(MirrorConflictError):
        is_slow()


def test_a_look_at_the_claim_is_good_for_some_seconds(tables_in_sqlite: Connections) -> None:
    fill(tables_in_sqlite, [("a",)])
    clock = Clock()
    first, second = (mirror_of(tables_in_sqlite, "today", clock) for _ in range(2))
    looks = []

    def is_overtaken() -> None:
        with first.plan(blocks(first)) as plan, plan.begin("today") as transaction:
            with second.plan(blocks(second)) as other, other.begin("today") as later:
                later.commit(["token"])
            for seconds in (LOOK_INTERVAL - 0.1, 0.2):
                clock.now += seconds
                transaction.look()
                looks.append(seconds)

    with pytest.raises(MirrorConflictError):
        is_overtaken()
    assert len(looks) == 1


def test_of_many_that_change_the_head_at_once_one_succeeds(connections: Connections) -> None:
    keeper = Keeper(connections.schema, "batch_vip_00000000")
    database = Database(connections.get_conn)
    with database.session() as session:
        keeper.open(session, starts_anew=False)
    rounds, runs = 10, 6
    together = threading.Barrier(runs)
    won: list[list[int]] = [[] for _ in range(rounds)]

    def run(number: int) -> None:
        for turn in range(rounds):
            with database.session() as session:
                head = keeper.open(session, starts_anew=False)
                together.wait(60)
                try:
                    if keeper.replace(session, head, State(claim=Claim(str(number), "", 0.0, 0.0))):
                        won[turn].append(number)
                except SourceUnavailableError:
                    pass  # the database was busy, and the head is as it was
                together.wait(60)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert max(map(len, won)) == 1
    with database.session() as session:
        assert keeper.open(session, starts_anew=False).version == sum(map(len, won))


# Tries that failed, or were overtaken


@pytest.mark.parametrize("is_dry_run", [False, True])
def test_a_run_whose_tables_another_one_drops_ends_with_a_conflict(
    is_dry_run: bool, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(connections, [("a",), ("b",)])
    slow, heir = mirror_of(connections, "today"), mirror_of(connections, "today")
    slow.is_dry_run = is_dry_run
    compare = Comparison.fill

    def compare_late(comparison: Comparison, *arguments: Any) -> None:
        if comparison.mirror is slow:
            members(connections, ["c"])
            run_whole(heir)
        compare(comparison, *arguments)

    run_whole(heir)
    monkeypatch.setattr(Comparison, "fill", compare_late)
    with pytest.raises(MirrorConflictError), slow.plan(blocks(slow)):
        pass
    with heir.plan(blocks(heir)) as plan:
        assert plan.is_empty


def test_a_run_that_cleans_up_late_leaves_the_tables_of_the_next_one(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tables_in_sqlite, [("a",)])
    # Of one task: the second takes over from the first, which is only slow.
    first, second = mirror_of(tables_in_sqlite, "today", keep_changes=30), mirror_of(tables_in_sqlite, "today")
    keep = first.log.keep
    with ExitStack() as stack:
        plans = []

        def keep_late(*arguments: Any) -> Any:
            members(tables_in_sqlite, ["a", "b"])
            plans.append(stack.enter_context(second.plan(blocks(second))))
            return keep(*arguments)

        monkeypatch.setattr(first.log, "keep", keep_late)
        run_whole(first)
        (plan,) = plans
        with plan.begin("today") as transaction:
            transaction.commit([])
    with second.plan(blocks(second)) as plan:
        assert plan.is_empty
    assert ours(tables_in_sqlite) == ["b", "head", "log"]


def test_until_the_log_is_written_no_other_run_begins(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would write what is missing there; and in a database where neither sees the other's rows, both would."""
    fill(tables_in_sqlite, [("a",)])
    first, second = mirror_of(tables_in_sqlite, "today", keep_changes=30), mirror_of(tables_in_sqlite, "tomorrow")
    keep = first.log.keep

    def keep_late(*arguments: Any) -> Any:
        with pytest.raises(MirrorConflictError, match="today is at work on this mirror"), second.plan(blocks(second)):
            pass
        return keep(*arguments)

    monkeypatch.setattr(first.log, "keep", keep_late)
    run_whole(first)
    with second.plan(blocks(second)) as plan:
        assert plan.is_empty


def test_what_a_run_appends_is_undone_if_it_is_overtaken_meanwhile(
    tables_in_postgresql: Connections, monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    """By a retry of its task, which does not see what is not committed."""
    fill(tables_in_postgresql, [("a",)])
    first, second = (mirror_of(tables_in_postgresql, owner, keep_changes=30) for owner in ("today", "today"))
    run_whole(first)
    members(tables_in_postgresql, ["a", "b"])
    keep = first.log.keep
    # That would wait for what is not committed, too.
    monkeypatch.setattr(second.keeper, "drop", lambda *_: None)

    def keep_late(session: Any, changes: Any, now: float, forget: Callable[[], Any]) -> Any:
        def late() -> Any:
            run_whole(second)
            return forget()

        return keep(session, changes, now, late)

    monkeypatch.setattr(first.log, "keep", keep_late)
    run_whole(first)
    text = told()
    assert "could not be written; the next run does it: another run changed this mirror meanwhile\n" in text
    assert "could not be released" not in text
    log = log_of(tables_in_postgresql)
    rows = tables_in_postgresql.run(f"SELECT id, op FROM {tables_in_postgresql.schema}.{log} ORDER BY id")
    assert [tuple(row) for row in rows] == [("a", "+"), ("b", "+")]


def test_an_append_that_the_head_does_not_forget_is_undone(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    fill(tables_in_sqlite, [("a",)])
    one = mirror_of(tables_in_sqlite, "today", keep_changes=30)
    keep = one.log.keep

    def keep_overtaken(session: Any, changes: Any, now: float, forget: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(one.keeper, "replace", lambda *_: None)
            return keep(session, changes, now, forget)

    monkeypatch.setattr(one.log, "keep", keep_overtaken)
    run_whole(one)
    assert "could not be written; the next run does it: another run changed this mirror meanwhile\n" in told()
    log = log_of(tables_in_sqlite)
    assert tables_in_sqlite.run(f"SELECT id FROM {log}") == []


@pytest.mark.parametrize("days", [0, 30])
def test_a_claim_that_a_commit_has_given_back_is_not_given_back_again(
    days: int, tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That would cost one more connection."""
    fill(tables_in_sqlite, [("a",)])
    one, release = mirror_of(tables_in_sqlite, "today", keep_changes=days), Mock()
    monkeypatch.setattr(TableClaim, "_release", release)
    run_whole(one)
    release.assert_not_called()


@pytest.mark.parametrize("failing", ["log", "update"])
def test_a_claim_is_given_back_though_the_log_could_not_be_written(
    failing: str, tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    fill(tables_in_sqlite, [("a",)])
    first, second = (mirror_of(tables_in_sqlite, owner, keep_changes=30) for owner in ("today", "tomorrow"))
    run_whole(first)
    members(tables_in_sqlite, ["b"])
    with monkeypatch.context() as patch:
        if failing == "log":
            patch.setattr(first.log, "keep", lambda *_: None)
        else:
            released = Mock(wraps=steps.released, side_effect=[SourceError("down"), SourceError("down"), DEFAULT])
            patch.setattr(steps, "released", released)
        run_whole(first)
    assert ours(tables_in_sqlite) == ["b", "d", "head", "log"]  # the base before is gone
    with second.plan(blocks(second)) as plan:
        assert plan.is_empty
    assert "could not be released" not in told()
    log = log_of(tables_in_sqlite)
    assert sorted(tables_in_sqlite.run(f"SELECT id, op FROM {log}")) == [("a", "+"), ("a", "-"), ("b", "+")]
    assert ours(tables_in_sqlite) == ["b", "head", "log"]


def test_a_claim_is_given_back_once_though_the_answer_to_it_is_lost(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    fill(connections, [("a",)])
    first, second = (mirror_of(connections, owner, keep_changes=30) for owner in ("today", "tomorrow"))
    transaction = Session.transaction

    @contextmanager
    def lost(session: Session) -> Iterator[None]:
        with transaction(session):
            yield
        raise SourceError("the answer is lost")

    with monkeypatch.context() as patch:
        patch.setattr(Session, "transaction", lost)
        run_whole(first)
    assert "could not be released" not in told()
    with second.plan(blocks(second)) as plan:
        assert plan.is_empty
    log = log_of(connections)
    rows = connections.run(f"SELECT id, run FROM {connections.schema}.{log}")
    assert [tuple(row) for row in rows] == [("a", "today")]


def test_a_connection_that_is_lost_over_the_log_fails_no_run(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a server which ends connections whose transactions last too long."""
    first = mirror_of(tables_in_sqlite, "today", keep_changes=30)
    with monkeypatch.context() as patch:
        patch.setattr(first.log, "keep", lambda session, *_: session.close())
        for ids in (["a"], ["a", "b"]):
            fill(tables_in_sqlite, [(each,) for each in ids])
            run_whole(first)
    with first.plan(blocks(first)) as plan:
        assert plan.is_empty
    log = log_of(tables_in_sqlite)
    assert tables_in_sqlite.run(f"SELECT id FROM {log}") == [("a",), ("b",)]


def test_nor_does_one_that_is_lost_while_tables_of_a_killed_run_are_dropped(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    fill(tables_in_sqlite, [("a",)])
    one = mirror_of(tables_in_sqlite, "today")
    one.settings = "of profiles"
    with monkeypatch.context() as patch:
        patch.setattr(TableClaim, "_release", lambda _: None)  # nothing of it runs any more
        with one.plan(blocks(one)):
            pass
    drop = one.keeper.drop

    def lost(session: Session, name: str) -> None:
        monkeypatch.setattr(one.keeper, "drop", drop)
        session.close()
        raise SourceError("lost")

    monkeypatch.setattr(one.keeper, "drop", lost)
    run_whole(one)
    assert f"tables of earlier runs in {one.keeper} could not be dropped: lost\n" in told()
    assert ours(tables_in_sqlite) == ["b", "head"]


def run_whole(one: TableMirror) -> None:
    with one.plan(blocks(one)) as plan, plan.begin("today") as transaction:
        transaction.commit([])


def test_what_a_failed_run_has_sent_is_applied_before_the_next_one_sends(
    late: Sandbox, clock: Clock, tables_in_sqlite: Connections
) -> None:
    quick: dict[str, Any] = {"indexing_timeout": 0.1, "max_concurrency": 1}
    fill(tables_in_sqlite, [(each,) for each in BASE])
    mirror(tables_in_sqlite, **quick)
    clock.now += 10
    members(tables_in_sqlite, BASE + NEW)
    late.faults(None, None, Fault(503))  # the first answers the wait for the writes of the run before
    with pytest.raises(BatchServerError):
        mirror(tables_in_sqlite, chunk_size=5, **quick)
    assert writes(late) == 3
    members(tables_in_sqlite, BASE)
    with pytest.raises(IndexingTimeoutError):
        mirror(tables_in_sqlite, owner="tomorrow", **quick)
    assert writes(late) == 3
    clock.now += 10
    assert len(late.members("vip")) == 25
    mirror(tables_in_sqlite, owner="tomorrow", **quick)
    clock.now += 20
    assert late.members("vip") == set(BASE)
    assert writes(late) == 4
    # The failed run had ended, so nothing of it is sent once more.
    mirror(tables_in_sqlite, owner="the day after", **quick)
    assert writes(late) == 4


def test_a_killed_try_leaves_the_tokens_that_it_had_noted(tables_in_sqlite: Connections) -> None:
    fill(tables_in_sqlite, [("a",), ("b",)])
    clock = Clock()
    one = mirror_of(tables_in_sqlite, "today", clock)

    def is_killed() -> None:
        with one.plan(blocks(one)) as plan, plan.begin("today") as transaction:
            transaction.accepted("token-1")
            clock.now += LOOK_INTERVAL
            transaction.look()
            raise Killed

    with pytest.raises(Killed):
        is_killed()
    members(tables_in_sqlite, ["c"])
    again = mirror_of(tables_in_sqlite, "today", clock)
    with again.plan(blocks(again)) as plan:
        assert plan.tokens_to_await == ("token-1",)
        assert (list(plan.adds), list(plan.removes)) == (["c"], ["a", "b"])


def test_what_an_overtaken_run_may_have_sent_is_sent_again_twice_and_then_it_says_so(
    tables_in_sqlite: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tables_in_sqlite, [("a",), ("x",)])
    clock = Clock()
    zombie, heir = (mirror_of(tables_in_sqlite, "today", clock) for _ in range(2))

    def is_overtaken() -> None:
        with zombie.plan(blocks(zombie)) as plan, plan.begin("today") as transaction:
            members(tables_in_sqlite, ["a"])
            for expected in ((["a"], ["x"]), (["a"], ["x"])):  # and the echo
                with heir.plan(blocks(heir)) as next_plan, next_plan.begin("today") as later:
                    assert (list(next_plan.adds), list(next_plan.removes)) == expected
                    later.commit([])
            with heir.plan(blocks(heir)) as next_plan:
                assert next_plan.is_empty
            transaction.commit([])  # its last call came after all of that

    with pytest.raises(MirrorConflictError):
        is_overtaken()
    with heir.plan(blocks(heir)) as plan:
        # Its table is gone by then.
        assert plan.is_empty
    assert UNREPAIRED + "AbsentTableError" in caplog.messages


def test_so_does_one_whose_notes_others_are_always_faster_than(
    tables_in_sqlite: Connections, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tables_in_sqlite, [("a",), ("x",)])
    zombie, heir = (mirror_of(tables_in_sqlite, "today", Clock()) for _ in range(2))
    copies = Mock(return_value=None)
    monkeypatch.setattr(TableTransaction, "_note_copy", copies)

    def is_overtaken() -> None:
        with zombie.plan(blocks(zombie)) as plan, plan.begin("today") as transaction:
            with heir.plan(blocks(heir)) as next_plan, next_plan.begin("today") as later:
                later.commit([])
            transaction.commit([])

    with pytest.raises(MirrorConflictError):
        is_overtaken()
    assert copies.call_count == 5
    assert UNREPAIRED + "MirrorConflictError" in caplog.messages


def test_one_that_is_overtaken_while_its_table_is_there_notes_it_once_more(tables_in_sqlite: Connections) -> None:
    fill(tables_in_sqlite, [("a",), ("x",)])
    clock = Clock()
    zombie, heir = (mirror_of(tables_in_sqlite, "today", clock) for _ in range(2))

    def is_overtaken() -> None:
        with zombie.plan(blocks(zombie)) as plan, plan.begin("today") as transaction:
            members(tables_in_sqlite, ["a"])
            with heir.plan(blocks(heir)) as next_plan, next_plan.begin("today") as later:
                later.commit([])
            transaction.commit([])

    with pytest.raises(MirrorConflictError):
        is_overtaken()
    for _ in range(2):
        with heir.plan(blocks(heir)) as plan:
            assert (list(plan.adds), list(plan.removes)) == (["a"], ["x"])
    with heir.plan(blocks(heir)) as plan, plan.begin("today") as transaction:
        transaction.commit([])
    with heir.plan(blocks(heir)) as plan:
        assert plan.is_empty
    assert ours(tables_in_sqlite) == ["b", "head"]


def test_it_notes_it_also_if_another_run_changes_the_head_at_that_moment(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tables_in_sqlite, [("a",), ("x",)])
    clock, create = Clock(), Comparison.create
    zombie, heir = (mirror_of(tables_in_sqlite, "today", clock) for _ in range(2))

    def is_overtaken(later: ExitStack) -> None:
        with zombie.plan(blocks(zombie)) as plan, plan.begin("today") as transaction:
            members(tables_in_sqlite, ["a"])
            with heir.plan(blocks(heir)) as next_plan, next_plan.begin("today") as first:
                first.commit([])
            second = later.enter_context(later.enter_context(heir.plan(blocks(heir))).begin("today"))
            later.callback(second.commit, [])

            def meanwhile(*arguments: Any, **named: Any) -> str:
                monkeypatch.undo()
                table = create(*arguments, **named)
                second.accepted("token-2")
                clock.now += LOOK_INTERVAL
                second.look()
                return table

            monkeypatch.setattr(Comparison, "create", meanwhile)
            transaction.commit([])  # its last call came after those of the second

    with ExitStack() as later, pytest.raises(MirrorConflictError):
        is_overtaken(later)
    with heir.plan(blocks(heir)) as plan:
        assert (list(plan.adds), list(plan.removes)) == (["a"], ["x"])


# Real processes


def run_in_child(connections: Connections, owner: str) -> None:
    try:
        mirror(connections, chunk_size=1, max_concurrency=2, indexing_timeout=20, owner=owner)
    except MirrorConflictError:
        os._exit(3)
    except BaseException:  # noqa: BLE001
        os._exit(4)
    os._exit(0)


def start(connections: Connections, owner: str) -> Any:
    process = multiprocessing.get_context("fork").Process(target=run_in_child, args=(connections, owner))
    process.start()
    return process


@pytest.mark.parametrize("calls", [1, 4, 9])
def test_a_process_that_is_killed_leaves_what_the_next_one_mends(
    calls: int, tables_in_postgresql: Connections, sandbox: Sandbox
) -> None:
    fill(tables_in_postgresql, [(each,) for each in BASE])
    mirror(tables_in_postgresql)
    before = writes(sandbox)
    members(tables_in_postgresql, BASE[5:] + NEW)
    victim = start(tables_in_postgresql, "today")
    eventually(lambda: writes(sandbox) >= before + calls, within=60)
    os.kill(victim.pid, signal.SIGKILL)
    victim.join(60)
    members(tables_in_postgresql, BASE[2:])
    with pytest.raises(MirrorConflictError, match="today is at work"):
        mirror(tables_in_postgresql, owner="tomorrow")
    for owner in ("today", "tomorrow"):
        mirror(tables_in_postgresql, owner=owner, indexing_timeout=20)
        assert sandbox.members("vip") == set(BASE[2:])
    assert ours(tables_in_postgresql) in (["b", "head"], ["b", "e", "head"])


def test_of_two_processes_the_one_that_was_frozen_stops_and_one_more_run_makes_it_right(
    tables_in_postgresql: Connections, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_batch.mirror.tables.plan.LOOK_INTERVAL", 1.0)
    fill(tables_in_postgresql, [(each,) for each in BASE])
    mirror(tables_in_postgresql)
    before = writes(sandbox)
    members(tables_in_postgresql, BASE + NEW)
    zombie = start(tables_in_postgresql, "today")
    try:
        eventually(lambda: writes(sandbox) >= before + 3, within=60)
        os.kill(zombie.pid, signal.SIGSTOP)
        frozen = time.time()
        members(tables_in_postgresql, BASE[5:])
        heir = start(tables_in_postgresql, "today")
        heir.join(60)
        assert heir.exitcode == 0
        eventually(lambda: time.time() > frozen + 1.0)
        committed = writes(sandbox)
    finally:
        os.kill(zombie.pid, signal.SIGCONT)
    zombie.join(60)
    assert zombie.exitcode == 3
    assert writes(sandbox) <= committed + 2  # the calls that it was about to make
    mirror(tables_in_postgresql, owner="tomorrow", indexing_timeout=20)
    assert sandbox.members("vip") == set(BASE[5:])


def test_of_processes_that_start_at_once_one_runs(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_postgresql, [(each,) for each in BASE])
    processes = [start(tables_in_postgresql, f"run {number}") for number in range(4)]
    for process in processes:
        process.join(60)
    codes = sorted(process.exitcode for process in processes)
    assert codes[0] == 0
    assert {*codes} <= {0, 3}
    assert writes(sandbox) == len(BASE)
    assert sandbox.members("vip") == set(BASE)
