"""What the tables of a mirror tell of it, and of single ids: the same, in the same words, as a folder would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import InvalidMemberError, MirrorConflictError, SnapshotError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.claim import LIFETIME
from airflow_provider_batch.mirror.plan import Mirror
from airflow_provider_batch.mirror.snapshot import Target
from airflow_provider_batch.mirror.status import Generation, IdStatus, MirrorStatus
from airflow_provider_batch.mirror.tables import run as tables_run
from airflow_provider_batch.mirror.tables import status as status_module
from airflow_provider_batch.mirror.tables.__main__ import main
from airflow_provider_batch.mirror.tables.database import Database
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.mirror import TableMirror
from airflow_provider_batch.mirror.tables.status import mirrors_in
from airflow_provider_batch.sandbox import Sandbox
from tests.clock import Clock
from tests.mirror.folders import memory_path
from tests.mirror.stores import Connections
from tests.mirror.test_plan import START
from tests.mirror.test_status import HOUR, at, known, printed
from tests.mirror.test_tables import COMPOSED, DECOMPOSED, as_reader, fill, head_of, mirror
from tests.mirror.test_tables_tries import blocks, members, mirror_of

OWNER = "dag/run/task"


class Died(Exception):
    """The end of a run that has not committed."""


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(["vip"]) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        yield sandbox


def tables_of(connections: Connections, clock: Clock) -> TableMirror:
    return mirror_of(connections, OWNER, clock)


def run(store: Mirror | TableMirror, ids: str, clock: Clock, *, rejected: str = "", dies: bool = False) -> None:
    """Mirror these ids, an hour after the last run."""
    clock.now += HOUR
    if isinstance(store, TableMirror):
        assert store.source is not None
        members(store.source.hook, [*ids])
    given = blocks(store) if isinstance(store, TableMirror) else iter([[*ids]])
    try:
        with store.plan(given) as plan, plan.begin(OWNER) as transaction:
            if dies:
                raise Died
            transaction.commit([], rejected=[*rejected])
    except Died:
        pass


def test_both_stores_tell_the_same(connections: Connections, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_run, "LARGEST_NET", 5.0)  # the base stays
    fill(connections, [])
    tables, folder = tables_of(connections, clock), Mirror(memory_path(), Target("vip", "custom_ids", "app"), clock)

    def told() -> MirrorStatus:
        found: list[MirrorStatus] = [store.inspect([*"abcdx"]) for store in (tables, folder)]
        assert found[0] == found[1]
        return found[0]

    def both(ids: str, **arguments: Any) -> None:
        now = clock.now
        for store in (tables, folder):
            clock.now = now
            run(store, ids, clock, **arguments)

    assert told().generations == ()
    both("ab", dies=True)
    assert (told().uncertain, told().ids["a"]) == (2, known(uncertain=True))
    both("abc")
    assert told().generations == (Generation(1, 3, at(START + 2 * HOUR)),)
    tables.confirm(), folder.confirm()
    assert told().is_confirmed
    both("bcd", rejected="d")
    assert (told().rejected, told().ids["a"], told().ids["d"]) == (1, known(1), known(2, rejected=True))
    assert (told().ids["b"], told().ids["x"], told().is_confirmed) == (known(2, 1), known(), False)
    both("bdx", dies=True)
    assert told().ids["d"] == known(2, uncertain=True)
    assert told().uncertain == 3


def test_the_base_is_the_earlier_set_that_tables_keep(connections: Connections, clock: Clock) -> None:
    fill(connections, [])
    many = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    store = tables_of(connections, clock)
    run(store, many + "ab", clock)
    run(store, many + "abc", clock)
    run(store, many + "bc", clock)
    found = store.inspect([*"abcx", "A"])
    assert found.generations == (Generation(3, 28, at(START + 3 * HOUR)), Generation(1, 28, at(START + HOUR)))
    assert found.ids == {"a": known(1), "b": known(3, 1), "c": known(3), "x": known(), "A": known(3, 1)}


def test_ids_are_found_by_their_bytes(connections: Connections, clock: Clock) -> None:
    fill(connections, [("Ab",), ("a ",), (COMPOSED,), ("a%s",)])
    store = tables_of(connections, clock)
    with store.plan(blocks(store)) as plan, plan.begin(OWNER) as transaction:
        transaction.commit([])
    found = store.inspect(["Ab", "ab", "a ", "a", COMPOSED, DECOMPOSED, "a%s", *map(str, range(500))])
    assert {id_ for id_, each in found.ids.items() if each.generations} == {"Ab", "a ", COMPOSED, "a%s"}
    assert "Ab" not in repr(found)


def test_who_is_at_work_is_named_until_the_claim_has_expired(tables_in_sqlite: Connections, clock: Clock) -> None:
    fill(tables_in_sqlite, [("a",)])
    store = tables_of(tables_in_sqlite, clock)
    with store.plan(blocks(store)):
        assert store.inspect([]).at_work == OWNER
        clock.now += LIFETIME
        assert store.inspect([]).at_work == OWNER
        clock.now += 1
        assert store.inspect([]).at_work is None
    clock.now -= LIFETIME
    assert store.inspect([]).at_work is None


def test_a_run_that_drops_what_is_being_read_asks_for_another_try(
    tables_in_sqlite: Connections, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tables_in_sqlite, [("a",)])
    store, reader = tables_of(tables_in_sqlite, clock), tables_of(tables_in_sqlite, clock)
    run(store, "a", clock)
    look = status_module._ops

    def slow(*arguments: Any) -> dict[str, str]:
        monkeypatch.undo()
        run(store, "bcd", clock)
        return look(*arguments)

    monkeypatch.setattr(status_module, "_ops", slow)
    with pytest.raises(MirrorConflictError, match="Retry"):
        reader.inspect(["a"])
    assert reader.inspect(["a"]).ids == {"a": known()}


def test_to_read_is_enough(tables_in_postgresql: Connections, clock: Clock) -> None:
    fill(tables_in_postgresql, [("a",)])
    store, schema = tables_of(tables_in_postgresql, clock), tables_in_postgresql.schema
    run(store, "a", clock)
    kept = tables_in_postgresql.tables(), tables_in_postgresql.head()
    grants = f"GRANT USAGE ON SCHEMA {schema} TO reader", f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader"
    found = tables_of(as_reader(tables_in_postgresql, *grants), clock).inspect(["a"])
    assert found.ids == {"a": known(1)}
    assert (tables_in_postgresql.tables(), tables_in_postgresql.head()) == kept


def test_the_hook_inspects_its_tables(connections: Connections, sandbox: Sandbox) -> None:
    place: dict[str, Any] = {"snapshot_schema": connections.schema, "database": connections}
    assert BatchHook().inspect_mirror("vip", **place, ids=["a"]).ids == {"a": IdStatus((), False, False)}
    fill(connections, [("a",), ("7",)])
    mirror(connections)
    calls = len(sandbox.calls)
    found = BatchHook().inspect_mirror("vip", **place, ids=["a", 7, "x"])
    assert (found.audience_name, found.generations[0].size, found.is_confirmed) == ("vip", 2, False)
    assert found.ids == {"a": known(1), "7": known(1), "x": known()}
    with pytest.raises(InvalidMemberError, match="the id is empty"):
        BatchHook().inspect_mirror("vip", **place, ids=["a", ""])
    assert len(sandbox.calls) == calls
    connections.run(f"UPDATE {head_of(connections)} SET state = 'x'")
    with pytest.raises(SnapshotError, match="its state cannot be read"):
        BatchHook().inspect_mirror("vip", **place)


def test_the_mirrors_in_a_schema_are_found(connections: Connections, sandbox: Sandbox) -> None:
    database = Database(connections.get_conn)
    assert mirrors_in(database, connections.schema) == []
    fill(connections, [("a",)])
    mirror(connections)
    head = head_of(connections)
    connections.run(f"CREATE TABLE {connections.schema}.batch_head (x INT)")
    (name,) = mirrors_in(database, connections.schema)
    assert head == f"{connections.schema}.{name}_head"


# The command


@pytest.fixture
def warehouse(tables_in_sqlite: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connections:
    connection = {"conn_type": "sqlite", "host": str(tmp_path / "tables.db")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    fill(tables_in_sqlite, [])
    return tables_in_sqlite


def named(connections: Connections, name: str, audience: str, clock: Clock) -> TableMirror:
    store = tables_of(connections, clock)
    store.keeper, store.target = Keeper("main", name), Target(audience, "custom_ids", "app")
    return store


def test_the_command_answers_in_the_words_of_the_other_one(
    warehouse: Connections, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    store = named(warehouse, "batch_vip_01234567", "vip", clock)
    many = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    ids = [word for id_ in "abcx" for word in ("--id", id_)]
    run(store, many + "ab", clock)
    store.confirm()
    title, nowhere = "main.batch_vip_01234567, vip", "the source did not yield it, or it was skipped as invalid"
    first = "generation 1, 2026-09-21 15:13:20 UTC"
    assert printed(main, capfd, "inspect", "warehouse", "main", *ids[:2]) == (
        0,
        [
            title,
            f"  {first}: 28 ids (custom_ids)",
            "  confirmed: Batch has indexed it",
            f"  a: in the last set, since {first}",
        ],
    )
    run(store, many + "abc", clock)
    run(store, many + "bc", clock)
    run(store, many + "bcd", clock, dies=True)
    last = "generation 3, 2026-09-21 17:13:20 UTC"
    assert printed(main, capfd, "inspect", "warehouse", "main", "--audience", "vip", *ids) == (
        0,
        [
            title,
            f"  {last}: 28 ids (custom_ids)",
            "  not confirmed: Batch has accepted it, and nobody has seen yet that it is indexed",
            "  uncertain: up to 1 id, which a run that did not end may have sent",
            "  the next run sends these again",
            f"  a: not in the last set; removed after {first}",
            f"  b: in the last set, and in that of {first}",
            f"  c: in the last set, since {last}, or an earlier one after {first}; not confirmed",
            f"  x: not in the last set, nor in any that is kept (generations 1 and 3): {nowhere}",
        ],
    )


def test_the_command_shows_all_audiences_or_one(
    warehouse: Connections, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, audience in (("batch_new_00000000", "new"), ("batch_vip_00000001", "VIP"), ("batch_vip_00000002", "vip")):
        run(named(warehouse, name, audience, clock), "a", clock)
    titles = [f"main.batch_{each}" for each in ("new_00000000, new", "vip_00000001, VIP", "vip_00000002, vip")]
    assert printed(main, capfd, "inspect", "warehouse", "main")[1][::3] == titles
    assert printed(main, capfd, "inspect", "warehouse", "main", "--audience", "vip")[1][::3] == titles[2:]
    warehouse.run("UPDATE batch_new_00000000_head SET state = 'x'")
    code, lines = printed(main, capfd, "inspect", "warehouse", "main")
    assert (code, lines[0]) == (1, "main.batch_new_00000000")
    assert lines[1].startswith("  cannot be read: main.batch_new_00000000_head: its state cannot be read.")
    assert lines[2::3] == titles[1:]


def test_where_nothing_is_the_command_fails(warehouse: Connections) -> None:
    for arguments, message in (
        ([], "warehouse, schema main: no mirror is there. Pass the snapshot_schema of the task."),
        (["--audience", "vip"], "warehouse, schema main: no mirror of vip is there."),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["inspect", "warehouse", "main", *arguments])
        assert str(ended.value.code).startswith(message)
