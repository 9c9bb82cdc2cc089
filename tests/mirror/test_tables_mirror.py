"""One audience in tables: how its tables are called, what is planned, and what is confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_batch.exceptions import InvalidArgumentError, SnapshotError
from airflow_provider_batch.mirror.store import SnapshotSize
from airflow_provider_batch.mirror.tables.head import Head
from airflow_provider_batch.mirror.tables.mirror import TableMirror, audience_part, tables_name
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.protocol.arguments import FirstRun
from airflow_provider_batch.protocol.dialect import MEP_1_0
from tests.clock import Clock
from tests.mirror.stores import Connections
from tests.mirror.test_plan import START
from tests.mirror.test_tables import fill
from tests.mirror.test_tables_tries import blocks, mirror_of, run_whole

TARGET = Target("VIP customers of Été 2026 (all)", "custom_ids", "app-1")


def test_names_of_tables_stay_the_same() -> None:
    """Otherwise a new version of the package would not find the snapshots of the last one."""
    assert tables_name("batch_default", TARGET) == "batch_vip_customers_of__t__202_aacda0b7"
    others = [("other", TARGET)] + [
        ("batch_default", replace(TARGET, **{name: "x"})) for name in ("audience", "type", "recipient")
    ]
    assert len({tables_name(*each) for each in [("batch_default", TARGET), *others]}) == 5


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("vip", "vip"),
        ("VIP-1", "vip_1"),
        ("été.²", "_t___"),
        ("abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwx"),
    ],
)
def test_of_the_audience_a_name_has_what_every_database_takes(name: str, part: str) -> None:
    assert audience_part(name) == part


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def store(tables_in_sqlite: Connections, clock: Clock) -> TableMirror:
    fill(tables_in_sqlite, [("a",), ("b",), ("c",)])
    return mirror_of(tables_in_sqlite, "today", clock)


def head_of(store: TableMirror) -> Head:
    with store.database.session() as session:
        head = store.keeper.read(session)
    assert head
    return head


# Plans


def test_a_mirror_without_a_query_cannot_be_planned(store: TableMirror) -> None:
    store.source = None
    with pytest.raises(SnapshotError, match=r"^a mirror without a query cannot be planned$"), store.plan([]):
        pass
    with pytest.raises(InvalidArgumentError, match="first_run"), store.plan([], first_run="x"):  # type: ignore[arg-type]
        pass


def test_a_checkpoint_is_passed_before_each_block(store: TableMirror) -> None:
    passed: list[str] = []

    def taken() -> Iterator[list[str]]:
        for rows in store.changed.blocks(1):
            passed.append(str(rows.values[0]))
            yield [str(rows.values[0])]

    with store.plan(taken(), checkpoint=lambda: passed.append("checkpoint")) as plan:
        assert list(plan.adds) == ["a", "b", "c"]
    assert passed == ["a", "checkpoint", "b", "checkpoint", "c", "checkpoint"]


@pytest.mark.parametrize(
    ("how", "replaces", "adds", "counted"),
    [
        ({}, False, [], (0, 0, 0, 3)),
        ({"first_run": "replace"}, False, [], (0, 0, 0, 3)),
        ({"resends": True}, False, ["a", "b", "c"], (0, 3, 0, 0)),
        ({"full_refresh": True}, True, ["a", "b", "c"], (3, 0, 0, 0)),
    ],
)
def test_what_is_sent_though_it_was_before(
    how: dict[str, Any], replaces: bool, adds: list[str], counted: tuple[int, ...], store: TableMirror
) -> None:
    run_whole(store)
    with store.plan(blocks(store), **how) as plan:
        assert (plan.replaces, list(plan.adds), list(plan.removes)) == (replaces, adds, [])
        counts = plan.counts
        assert (counts.added, counts.changed, counts.resent, counts.unchanged) == counted
        assert plan.is_empty is not (replaces or bool(adds))


def test_without_a_snapshot_a_first_run_can_replace(store: TableMirror) -> None:
    how: list[tuple[FirstRun, bool]] = [("add", False), ("replace", True)]
    for first_run, replaces in how:
        with store.plan(blocks(store), first_run=first_run) as plan:
            assert (plan.replaces, plan.before, plan.is_empty) == (replaces, None, False)


def test_the_snapshot_of_another_audience_is_replaced_by_a_full_refresh_alone(store: TableMirror) -> None:
    run_whole(store)
    store.target = Target("other", "custom_ids", "app")
    with pytest.raises(SnapshotError) as caught, store.plan(blocks(store)):
        pass
    assert str(caught.value) == (
        "main.batch_vip_00000000 holds the snapshot of another audience. Pass another snapshot_schema; or, to send "
        "everything and start a new snapshot, pass full_refresh=True."
    )
    assert head_of(store).state.claim is None
    with store.plan(blocks(store), full_refresh=True) as plan:
        assert plan.replaces


# Confirmations


def test_without_a_snapshot_there_is_nothing_to_confirm(store: TableMirror) -> None:
    message = r"^main\.batch_vip_00000000 holds no snapshot to confirm\. Run the mirror again\.$"
    with pytest.raises(SnapshotError, match=message):
        store.confirm()
    with store.database.session() as session:
        store.keeper.open(session, starts_anew=False)
    with pytest.raises(SnapshotError, match=message):
        store.confirm([])


@pytest.mark.parametrize(
    ("tokens", "size", "is_confirmed"),
    [
        (None, SnapshotSize(3, 0), True),
        (["t1", "t2"], SnapshotSize(3, 0), True),
        *((tokens, None, False) for tokens in (["t2", "t1"], ["t1"], [])),
    ],
)
def test_what_was_waited_for_is_confirmed(
    tokens: list[str] | None, size: SnapshotSize | None, is_confirmed: bool, store: TableMirror
) -> None:
    with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
        transaction.commit(["t1", "t2"])
    assert store.confirm(tokens) == size
    assert head_of(store).is_confirmed is is_confirmed
    with store.plan(blocks(store)) as plan:
        assert plan.unconfirmed_tokens == (() if is_confirmed else ("t1", "t2"))


def test_of_a_snapshot_that_is_confirmed_the_size_is_known_to_whoever_sent_nothing(
    store: TableMirror, tables_in_sqlite: Connections
) -> None:
    with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
        transaction.commit(["t1"], rejected=["a"])
    store.confirm(["t1"])
    assert store.confirm([]) == SnapshotSize(3, 1)
    assert store.confirm(["t0"]) is None  # another run has sent something since
    tables_in_sqlite.run("DELETE FROM members")
    run_whole(store)
    assert store.confirm() == SnapshotSize(0, 0)


def test_a_claim_is_given_back_by_the_next_try_alone(store: TableMirror) -> None:
    with store.plan(blocks(store)):
        store.release("today")
        assert head_of(store).state.claim
    assert head_of(store).state.claim is None


def test_a_mirror_keeps_neither_a_log_nor_digests_unless_it_is_told_to(store: TableMirror) -> None:
    given = store.database, store.keeper, TARGET, MEP_1_0.members, store.source
    one = TableMirror(*given)
    assert (one.owner, one.is_dry_run, one.settings, one.log.is_kept) == ("", False, None, False)
    run_whole(TableMirror(*given, settings="s1", keep_changes=1))
    assert head_of(store).state.columns == (("", "s1"),)
    assert head_of(store).state.unlogged == ()  # so they are in the log


def test_an_inspection_takes_the_time_of_the_mirror(store: TableMirror, clock: Clock) -> None:
    with store.plan(blocks(store)):
        found = store.inspect(["a"])
        assert (found.at_work, [*found.ids]) == ("today", ["a"])
        clock.now += 3600
        assert store.inspect([]).at_work is None
