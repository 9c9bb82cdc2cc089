"""What the tables of a mirror tell of it, and of single ids: the same, in the same words, as a folder would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import InvalidMemberError, MirrorConflictError, SnapshotError, SourceError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.claim import LIFETIME
from airflow_provider_batch.mirror.plan import FolderMirror
from airflow_provider_batch.mirror.status import Generation, IdStatus, MirrorStatus
from airflow_provider_batch.mirror.tables import comparison
from airflow_provider_batch.mirror.tables import status as status_module
from airflow_provider_batch.mirror.tables.__main__ import main
from airflow_provider_batch.mirror.tables.database import AbsentTableError, Database
from airflow_provider_batch.mirror.tables.dialect import DIALECTS
from airflow_provider_batch.mirror.tables.head import Claim, State
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.mirror import TableMirror
from airflow_provider_batch.mirror.tables.status import mirrors_in, tables_in
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.mirror.tries import Pending, Unfinished
from airflow_provider_batch.sandbox import Sandbox
from tests.clock import Clock
from tests.mirror.folders import memory_path
from tests.mirror.stores import Connections
from tests.mirror.test_plan import START
from tests.mirror.test_status import HOUR, at, known, printed
from tests.mirror.test_tables import COMPOSED, DECOMPOSED, as_reader, connected, fill, head_of, mirror
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


def run(store: FolderMirror | TableMirror, ids: str, clock: Clock, *, rejected: str = "", dies: bool = False) -> None:
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
    monkeypatch.setattr(comparison, "LARGEST_NET", 5.0)  # the base stays
    fill(connections, [])
    tables, folder = (
        tables_of(connections, clock),
        FolderMirror(memory_path(), Target("vip", "custom_ids", "app"), clock),
    )

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


CLAIMED = Claim(OWNER, "n1", START - HOUR, START - HOUR)


def head_made(connections: Connections, state: State) -> Keeper:
    """A mirror with that state."""
    keeper = Keeper(connections.schema, "batch_vip_00000000")
    with Database(connections.get_conn).session() as session:
        keeper.change(session, lambda _: state)
    return keeper


def a_try(table: str, count: int, owner: str = OWNER) -> Unfinished:
    return Unfinished(f"00000004-{table}", Pending(owner, "s", "n", False, count))


def test_before_the_first_run_nothing_is_known(tables_in_sqlite: Connections, clock: Clock) -> None:
    nothing = MirrorStatus("", "", (), False, 0, 0, None, {"a": known()})
    store = tables_of(tables_in_sqlite, clock)
    assert store.inspect(["a"]) == nothing
    head_made(tables_in_sqlite, State())
    assert store.inspect(["a"]) == nothing


def test_a_status_has_all_that_the_tables_tell(tables_in_sqlite: Connections, clock: Clock) -> None:
    state = State(
        target=Target("vip", "custom_ids", "app"),
        generation=4,
        members=7,
        written_at=START,
        base="b1",
        base_count=6,
        base_generation=2,
        based_at=START - HOUR,
        net="e1",
        tries=(a_try("d1", 5), a_try("d2", 3), a_try("r1", 2, owner=""), a_try("r2", 1, owner="")),
        claim=replace(CLAIMED, renewed=START),
    )
    head_made(tables_in_sqlite, state)
    rows: dict[str, list[Any]] = {
        "b1 (id)": ["base", "left"],
        "e1 (id, op)": [("new", "+"), ("left", "-")],
        "d1 (id, op)": [("base", "="), ("sent", "+"), ("removed", "-"), ("invalid", "!")],
        "d2 (id, op)": [("new", "+")],
        "r1 (id, op)": [("rejected", "+")],
        "r2 (id, op)": [("sent", "+")],
    }
    for table, values in rows.items():
        tables_in_sqlite.run(f"CREATE TABLE batch_vip_00000000_{table}")
        listed = ", ".join(str(each) if isinstance(each, tuple) else f"('{each}')" for each in values)
        tables_in_sqlite.run(f"INSERT INTO batch_vip_00000000_{table.partition(' ')[0]} VALUES {listed}")
    found = tables_of(tables_in_sqlite, clock).inspect(
        ["new", "base", "left", "sent", "removed", "invalid", "rejected", "new"]
    )
    assert found == MirrorStatus(
        "vip",
        "custom_ids",
        (Generation(4, 7, at(START)), Generation(2, 6, at(START - HOUR))),
        is_confirmed=False,
        uncertain=8,
        rejected=3,
        at_work=OWNER,
        ids={
            "new": known(4, uncertain=True),
            "base": known(4, 2),
            "left": known(2),
            "sent": known(uncertain=True, rejected=True),
            "removed": known(uncertain=True),
            "invalid": known(),
            "rejected": known(rejected=True),
        },
    )
    assert list(found.ids) == ["new", "base", "left", "sent", "removed", "invalid", "rejected"]


def test_a_set_that_is_the_base_is_one_generation(tables_in_sqlite: Connections, clock: Clock) -> None:
    state = State(generation=4, members=0, base_generation=4, written_at=START)
    keeper = head_made(tables_in_sqlite, state)
    store = tables_of(tables_in_sqlite, clock)
    assert store.inspect([]).generations == (Generation(4, 0, at(START)),)
    assert not store.inspect([]).is_confirmed
    with store.database.session() as session:
        keeper.confirm(session, 4)
    assert store.inspect([]).is_confirmed


def test_a_table_that_is_missing_is_named_unless_a_run_has_dropped_it(
    tables_in_sqlite: Connections, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = head_made(tables_in_sqlite, State(generation=1, members=1, base="b1", base_generation=1))
    store = tables_of(tables_in_sqlite, clock)
    with pytest.raises(AbsentTableError, match=r"no such table: main\.batch_vip_00000000_b1"):
        store.inspect(["a"])
    assert store.inspect([]).ids == {}  # without ids, none are read
    look = status_module._ops

    def slow(*arguments: Any) -> dict[str, str]:
        with store.database.session() as session:
            keeper.drop(session, "head")
        return look(*arguments)

    monkeypatch.setattr(status_module, "_ops", slow)
    with pytest.raises(MirrorConflictError, match="Retry") as caught:
        store.inspect(["a"])
    assert caught.value.__suppress_context__


def test_ids_are_asked_for_in_blocks(tables_in_sqlite: Connections, clock: Clock) -> None:
    head_made(tables_in_sqlite, State(generation=1, members=9, base="b1", base_generation=1))
    tables_in_sqlite.run(
        "CREATE TABLE batch_vip_00000000_b1 (id)", "INSERT INTO batch_vip_00000000_b1 VALUES ('0'), ('200'), ('400')"
    )
    asked: list[str] = []

    def traced(connection: Any) -> None:
        connection.set_trace_callback(lambda sql: asked.append(sql) if "_b1" in sql else None)

    store = tables_of(connected(tables_in_sqlite, traced), clock)
    found = store.inspect([*map(str, range(401)), *map(str, range(401))])
    assert [id_ for id_, each in found.ids.items() if each.generations] == ["0", "200", "400"]
    assert [sql.count(",") for sql in asked] == [200, 200, 1]  # one stands between the columns


@pytest.mark.parametrize("schema", ["it''s", "Sales-2026"])
def test_tables_are_found_in_a_schema_of_any_name(schema: str, tables_in_duckdb: Connections) -> None:
    name = schema.replace("''", "'")
    tables_in_duckdb.run(f'CREATE SCHEMA "{name}"', "CREATE SCHEMA other")
    ends = ["head", "log", "b0123456789ab", "D0123456789AB"]
    for end in [*ends, "_head", "xhead", "bb0123456789ab", "b0123456789abc"]:
        tables_in_duckdb.run(f'CREATE TABLE "{name}"."Batch_VIP_0123456f_{end}" (x INT)')
        tables_in_duckdb.run(f'CREATE TABLE other."batch_other_00000000_{end}" (x INT)')
    for other in ("xbatch_vip_00000001_head", "batch_vip_00000002_heads", "batch_vip_0000000g_head"):
        tables_in_duckdb.run(f'CREATE TABLE "{name}".{other} (x INT)')
    database = Database(tables_in_duckdb.get_conn)
    assert mirrors_in(database, name) == ["batch_vip_0123456f"]
    keeper = Keeper(name, "BATCH_vip_0123456f")
    assert sorted(tables_in(database, keeper)) == ["b0123456789ab", "d0123456789ab", "head", "log"]


@pytest.mark.parametrize("schema", ["far.sales", "FAR.Sales", "far", "far.main", "near", "memory.near"])
def test_in_duckdb_a_database_beside_has_its_own(schema: str) -> None:
    import duckdb

    def connect() -> Any:
        connection = duckdb.connect()
        connection.execute("ATTACH ':memory:' AS far; CREATE SCHEMA far.sales; CREATE SCHEMA near")
        for number, place in enumerate(("far.sales", "far.main", "near", "main")):
            connection.execute(f"CREATE TABLE {place}.batch_vip_0000000{number}_head (x INT)")
        return connection

    number = {"sales": 0, "near": 2}.get(schema.lower().rpartition(".")[2], 1)
    assert mirrors_in(Database(connect), schema) == [f"batch_vip_0000000{number}"]


def test_mirrors_are_found_in_order(tables_in_sqlite: Connections) -> None:
    names = [f"batch_{name}_00000000" for name in "bca"]
    tables_in_sqlite.run(*(f"CREATE TABLE {name}_head (x INT)" for name in names))
    assert mirrors_in(Database(tables_in_sqlite.get_conn), "main") == sorted(names)


def test_a_catalogue_is_asked_for_in_its_own_words(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(tables_in_sqlite.get_conn)
    query = "SELECT 'batch_{catalog}|{schema}|' || {name} || '_00000000_head'"
    monkeypatch.setitem(DIALECTS, "sqlite", replace(DIALECTS["sqlite"], catalogue=query))
    assert mirrors_in(database, "far-1.off.Sales") == ['batch_"far-1".off.|"far-1".off.sales.|sales_00000000']
    monkeypatch.setitem(DIALECTS, "sqlite", replace(DIALECTS["sqlite"], catalogue="SELECT json('x')"))
    with pytest.raises(SourceError) as caught:
        mirrors_in(database, "main")
    assert str(caught.value) == (
        "SELECT of the schema's tables failed (OperationalError, SQLITE_ERROR): malformed JSON"
    )


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
