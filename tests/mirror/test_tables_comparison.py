"""Runs of a mirror in tables, step by step: what each leaves in the head, in the schema and in the log."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_batch.exceptions import GuardError, MirrorConflictError, SnapshotError, SourceError
from airflow_provider_batch.mirror.claim import LIFETIME, RENEWAL_INTERVAL
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.guards import Limits
from airflow_provider_batch.mirror.tables import comparison
from airflow_provider_batch.mirror.tables.database import Database
from airflow_provider_batch.mirror.tables.dialect import DIALECTS
from airflow_provider_batch.mirror.tables.head import Change, Claim, Head, State
from airflow_provider_batch.mirror.tables.log import ChangeLog
from airflow_provider_batch.mirror.tables.mirror import TableMirror
from airflow_provider_batch.mirror.tables.plan import LOOK_INTERVAL
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.mirror.tries import Pending
from airflow_provider_batch.protocol.audiences.members import Member
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.sql import SqlSource
from tests.clock import Clock
from tests.mirror.folders import Killed
from tests.mirror.stores import Connections
from tests.mirror.test_plan import START
from tests.mirror.test_tables import fill
from tests.mirror.test_tables_mirror import head_of
from tests.mirror.test_tables_tries import members, mirror_of

NAME = "batch_vip_00000000"
WEEK = 7 * 24 * 3600.0
MANY = [f"id-{number:02}" for number in range(40)]


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def schema(tables_in_sqlite: Connections) -> Connections:
    fill(tables_in_sqlite, [("a",), ("b",), ("c",)])
    return tables_in_sqlite


@pytest.fixture
def store(schema: Connections, clock: Clock) -> TableMirror:
    return mirror_of(schema, "today", clock)


def state_of(store: TableMirror) -> State:
    return head_of(store).state


def traced(store: TableMirror, schema: Connections) -> list[str]:
    """Return a list that gets all statements of the mirror from now on."""
    asked: list[str] = []
    connect = schema.connect

    def connected() -> Any:
        connection = connect()
        connection.set_trace_callback(asked.append)
        return connection

    store.database = Database(connected)
    return asked


def blocks(store: TableMirror) -> Iterator[list[str]]:
    """What checks would make of the values: those with a tab are left out."""
    for values in store.changed.blocks(1000):
        ids = [str(getattr(value, "id", value)) for value in values.values]
        if valid := [id_ for id_ in ids if "\t" not in id_]:
            yield valid


def run(store: TableMirror, *tokens: str, rejected: tuple[str, ...] = (), **how: Any) -> State:
    """A whole run; return the state after it."""
    with store.plan(blocks(store), **how) as plan, plan.begin("today") as transaction:
        transaction.commit(tokens, rejected=rejected)
    return state_of(store)


def broken_off(store: TableMirror, *tokens: str, error: BaseException | None = None) -> State:
    """A run that fails once these tokens have come; return the state after it."""
    error = error or ValueError("no call any more")

    def fails() -> None:
        with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
            for token in tokens:
                transaction.accepted(token)
            raise error

    with pytest.raises(type(error)):
        fails()
    return state_of(store)


def ours(schema: Connections) -> list[str]:
    """What the names of the mirror's tables end in."""
    return [name.removeprefix(f"{NAME}_") for name in schema.tables() if name.startswith(NAME)]


def rows(schema: Connections, end: str | None, what: str = "*") -> list[Any]:
    return schema.run(f"SELECT {what} FROM {NAME}_{end}")


def is_own(kind: str, name: str | None) -> bool:
    return bool(re.fullmatch(rf"{kind}[0-9a-f]{{12}}", name or ""))


# The claim


def test_during_a_plan_the_run_has_the_claim_and_its_tables_are_noted(
    store: TableMirror, schema: Connections, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop, dropped = store.keeper.drop, []

    def noting(session: Any, name: str) -> None:
        dropped.append(name)
        drop(session, name)

    monkeypatch.setattr(store.keeper, "drop", noting)
    with store.plan(blocks(store)):
        state = state_of(store)
        assert state.claim
        assert re.fullmatch("[0-9a-f]{16}", state.claim.nonce)
        assert state == State(claim=Claim("today", state.claim.nonce, START, START), trash=state.trash)
        changes, staged, uncertain = state.trash
        assert is_own("d", changes[0]) and is_own("t", staged[0]) and is_own("u", uncertain[0])  # noqa: PT018
        assert {each[1:] for each in state.trash} == {(START, False)}
        assert dropped == [staged[0]]  # what was staged is not needed any more
        assert ours(schema) == [changes[0], "head"]
        clock.now += 60
    assert ours(schema) == ["head"]
    assert state_of(store) == State(trash=tuple((each[0], START, True) for each in (changes, staged, uncertain)))
    clock.now += 600
    with store.plan(blocks(store)):
        pass
    assert changes not in state_of(store).trash


def test_a_dry_run_takes_nothing_and_leaves_nothing(store: TableMirror, schema: Connections) -> None:
    store.is_dry_run = True
    for _ in range(2):
        before = schema.tables()
        with store.plan(blocks(store)) as plan:
            assert list(plan.adds) == ["a", "b", "c"]
            assert schema.tables() == before
        with store.database.session() as session:
            store.keeper.open(session, starts_anew=False)
    assert head_of(store) == Head(0, "", 0, State())


def test_a_claim_that_cannot_be_given_back_expires(
    store: TableMirror, schema: Connections, told: Callable[[], str]
) -> None:
    connections = store.database

    def lost() -> Any:
        raise ConnectionResetError

    with store.plan(blocks(store)):
        store.database = Database(lost)
    assert " the claim on a mirror could not be released and will expire: SourceUnavailableError\n" in told()
    store.database = connections
    assert state_of(store).claim


def test_a_run_that_fails_while_it_reads_what_changed_leaves_nothing(
    store: TableMirror, schema: Connections, told: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In SQLite, nobody can write as long as somebody reads."""
    monkeypatch.setattr(comparison, "_FETCHED", 1)

    def fails() -> Iterator[list[str]]:
        yield next(blocks(store))
        raise ValueError("the second id is not valid")

    with pytest.raises(ValueError, match="the second id"), store.plan(fails()):
        pass
    assert told() == ""
    assert ours(schema) == ["head"]
    assert state_of(store).claim is None


def test_tables_that_cannot_be_dropped_are_left_to_a_later_run(
    store: TableMirror, schema: Connections, told: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(session: object, name: str) -> None:
        raise SourceError(f"{name[0]} is locked")

    with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
        monkeypatch.setattr(store.keeper, "drop", fails)
        transaction.commit([])
    assert f" tables of earlier runs in main.{NAME} could not be dropped: d is locked\n" in told()
    assert len(ours(schema)) == 3
    monkeypatch.undo()
    state = run(store)
    assert ours(schema) == [state.base, state.net, "head"]


# Snapshots


def test_a_first_run_writes_a_base(store: TableMirror, schema: Connections, clock: Clock) -> None:
    with store.plan(blocks(store)) as plan:
        assert (plan.before, plan.replaces, plan.is_empty, plan.names.keys) == (None, False, False, ())
        assert plan.counts == Counts(given=3, added=3)
        clock.now += 60
        with plan.begin("today") as transaction:
            clock.now += 60
            transaction.commit(["t1", "t2"])
    head = head_of(store)
    state = head.state
    assert is_own("b", state.base)
    assert re.fullmatch("[0-9a-f]{16}", state.shape)
    assert state == State(
        target=Target("vip", "custom_ids", "app"),
        generation=1,
        members=3,
        written_at=START + 120,
        base=state.base,
        base_count=3,
        base_generation=1,
        based_at=START + 120,
        shape=state.shape,
        indexing_tokens=("t1", "t2"),
        trash=state.trash,
    )
    assert [(name[0], at, dropped) for name, at, dropped in state.trash] == [
        ("d", START, True),
        ("t", START, True),
        ("u", START, True),
        ("b", START + 60, False),
    ]
    assert not head.is_confirmed
    assert ours(schema) == [state.base, "head"]
    assert rows(schema, state.base) == [("a",), ("b",), ("c",)]


def test_the_database_learns_what_a_base_is_like(
    store: TableMirror, schema: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DIALECTS, "sqlite", replace(DIALECTS["sqlite"], analyze="ANALYZE {}"))
    state = run(store)
    assert schema.run("SELECT tbl, stat FROM sqlite_stat1") == [(f"{NAME}_{state.base}", "3")]


def test_a_base_of_which_the_database_learns_nothing_will_do(
    store: TableMirror, schema: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DIALECTS, "sqlite", replace(DIALECTS["sqlite"], analyze="ANALYSE {}"))
    assert rows(schema, run(store).base, "COUNT(*)") == [(3,)]


def test_a_later_run_writes_what_changed_since_the_base(store: TableMirror, schema: Connections, clock: Clock) -> None:
    members(schema, MANY)
    first = run(store, "t1")
    clock.now += 60
    members(schema, [*MANY[1:], "new"])
    second = run(store, "t2")
    assert is_own("e", second.net)
    assert second == replace(
        first,
        generation=2,
        members=40,
        written_at=START + 60,
        net=second.net,
        net_count=2,
        indexing_tokens=("t2",),
        trash=second.trash,
    )
    assert sorted(rows(schema, second.net)) == [("id-00", "-"), ("new", "+")]
    assert ours(schema) == [second.base, second.net, "head"]
    members(schema, [*MANY[2:], "new"])
    assert sorted(rows(schema, run(store).net)) == [("id-00", "-"), ("id-01", "-"), ("new", "+")]
    members(schema, MANY[2:])
    last = run(store)
    assert (last.net_count, last.members, last.base, last.generation) == (3, 38, first.base, 4)
    assert sorted(rows(schema, last.net)) == [("id-00", "-"), ("id-01", "-"), ("new", "-")]
    assert ours(schema) == [last.base, last.net, "head"]
    members(schema, MANY[1:])
    with store.plan(blocks(store)) as plan:
        assert plan.counts == Counts(given=39, added=1, unchanged=38)


@pytest.mark.parametrize(("moved", "is_based_anew"), [(4, False), (5, True)])
def test_the_base_is_made_anew_when_more_than_a_tenth_has_changed(
    moved: int, is_based_anew: bool, store: TableMirror, schema: Connections
) -> None:
    members(schema, MANY)
    first = run(store)
    members(schema, MANY[1:])
    run(store)
    members(schema, [*MANY[1:], *(f"new-{number}" for number in range(moved - 1))])
    state = run(store)
    assert (state.base != first.base) is is_based_anew
    found = (state.base_count, state.base_generation, state.net_count)
    assert found == ((43, 3, 0) if is_based_anew else (40, 1, 4))
    assert state.net is None or not is_based_anew
    with store.plan(blocks(store)):  # which finds nothing changed
        pass
    assert state_of(store).base == state.base


@pytest.mark.parametrize(("age", "is_based_anew"), [(WEEK, False), (WEEK + 1, True)])
@pytest.mark.parametrize("changes", [False, True])
def test_the_base_is_made_anew_after_a_week(
    changes: bool, age: float, is_based_anew: bool, store: TableMirror, schema: Connections, clock: Clock
) -> None:
    members(schema, MANY)
    first = run(store)
    members(schema, MANY[1:])
    second = run(store)
    clock.now += age
    if changes:
        members(schema, MANY[2:])
        state = run(store)
    else:
        with store.plan(blocks(store)) as plan:
            assert plan.is_empty
        state = state_of(store)
    if is_based_anew:
        assert is_own("b", state.base)
        assert state.base != first.base
        assert ours(schema) == [state.base, "head"]
        assert (state.net, state.net_count, state.based_at) == (None, 0, clock.now)
        assert (state.base_count, state.base_generation) == ((38, 3) if changes else (39, 2))
        assert state.base in {name for name, *_ in state.trash}  # before it was made
        assert len(rows(schema, state.base)) == state.base_count
    else:
        assert (state.base, state.based_at) == (first.base, START)
        assert (state.net == second.net) is not changes
    with store.plan(blocks(store)) as plan:
        assert plan.is_empty


def test_a_dry_run_that_finds_nothing_changed_writes_nothing_either(
    store: TableMirror, schema: Connections, clock: Clock, told: Callable[[], str]
) -> None:
    for ids in (MANY, MANY[1:]):
        members(schema, ids)
        state = run(store)
    clock.now += WEEK + 1
    store.is_dry_run, store.log = True, ChangeLog(store.keeper, 30)
    members(schema, [*MANY[1:], "not\tvalid"])
    before = schema.tables()
    with store.plan(blocks(store)) as plan:
        assert plan.is_empty
    assert (schema.tables(), state_of(store)) == (before, state)
    assert "the next run makes its base anew" not in told()


def refusing(schema: Connections) -> Database:
    """The same database, where no table can be made any more."""

    def connect() -> Any:
        connection = schema.connect()
        connection.set_authorizer(lambda action, *_: action == sqlite3.SQLITE_CREATE_TABLE)
        return connection

    return Database(connect)


def test_a_base_that_cannot_be_made_anew_is_left_to_the_next_run(
    store: TableMirror, schema: Connections, clock: Clock, told: Callable[[], str]
) -> None:
    members(schema, MANY)
    run(store)
    members(schema, MANY[1:])
    state = run(store)
    clock.now += WEEK + 1
    database = store.database
    with store.plan(blocks(store)):
        store.database = refusing(schema)
    assert f" main.{NAME}: the next run makes its base anew: SourceError\n" in told()
    store.database = database
    found = state_of(store)
    assert (found.base, found.net, found.claim) == (state.base, state.net, None)
    with store.plan(blocks(store)):
        pass
    assert state_of(store).base != state.base


def test_an_old_base_without_later_changes_stays(store: TableMirror, clock: Clock) -> None:
    first = run(store)
    clock.now += 2 * WEEK
    with store.plan(blocks(store)):
        pass
    assert state_of(store).base == first.base


def with_attributes(store: TableMirror, *names: str) -> TableMirror:
    assert store.source
    store.source = SqlSource(
        store.source.hook, "SELECT * FROM members", None, Columns("id", attribute_columns=[*names])
    )
    return store


def test_other_attributes_make_another_base_and_send_all(store: TableMirror, schema: Connections) -> None:
    fill(schema, [("a", "gold", 1), ("b", "x", 2)], "id TEXT, plan TEXT, spent INT")
    first = run(with_attributes(store, "plan", "spent"))
    assert first.columns == (("plan", "None"), ("spent", "None"))
    assert rows(schema, first.base) == [("a", "gold", 1), ("b", "x", 2)]
    with_attributes(store, "spent")
    with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
        assert plan.counts == Counts(given=2, changed=2)
        transaction.commit([])
    second = state_of(store)
    assert (second.columns, second.base == first.base, second.shape == first.shape) == (
        (first.columns[1],),
        False,
        False,
    )
    assert rows(schema, second.base) == [("a", 1), ("b", 2)]
    with_attributes(store, "spent", "plan")
    with store.plan(blocks(store)) as plan:
        assert plan.counts == Counts(given=2, changed=2)


def test_a_snapshot_that_somebody_has_changed_is_named(store: TableMirror, schema: Connections) -> None:
    members(schema, MANY)
    run(store)
    members(schema, MANY[1:])
    state = run(store)
    for end, count in ((state.net, 1), (state.base, 40)):
        schema.run(f"DELETE FROM {NAME}_{end}")
        with pytest.raises(SnapshotError) as caught, store.plan(blocks(store)):
            pass
        assert str(caught.value) == (
            f"main.{NAME}_{end} does not have the {count} rows that were written. Nothing was sent; to send "
            "everything and start a new snapshot, pass full_refresh=True."
        )
        assert state_of(store).claim is None
    with store.plan(blocks(store), full_refresh=True) as plan:
        assert (plan.replaces, plan.before, plan.counts) == (True, 39, Counts(given=39, added=39))


# Sources


@pytest.mark.parametrize(("value", "kind"), [("1.5", "float"), ("x'61'", "bytes")])
def test_a_column_of_which_the_database_makes_another_text_is_named(
    value: str, kind: str, store: TableMirror, schema: Connections
) -> None:
    schema.run("DROP TABLE members", "CREATE TABLE members (id)", "INSERT INTO members VALUES ('a'), (NULL)")
    schema.run(f"INSERT INTO members VALUES ({value})")
    with pytest.raises(SourceError) as caught, store.plan(blocks(store)):
        pass
    assert str(caught.value) == (
        f"the query: the column 'id' has values of type {kind}, of which the database makes another text than this "
        "package. Cast it to text in the query."
    )


def test_so_is_one_that_was_empty_before(store: TableMirror, schema: Connections) -> None:
    schema.run("DROP TABLE members", "CREATE TABLE members (id)")
    run(store)
    schema.run("INSERT INTO members VALUES (1.5)")
    with pytest.raises(SourceError, match="has values of type float"), store.plan(blocks(store)):
        pass


def test_only_the_part_of_an_id_that_is_compared_has_to_be_the_same_text(
    store: TableMirror, schema: Connections
) -> None:
    members(schema, ["x" * 128, "7"])
    with store.plan(blocks(store)):
        pass


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT x FROM nowhere", "the query failed (OperationalError, SQLITE_ERROR): no such table: nowhere"),
        ("SELECT id AS x, id AS y FROM members", "the query: 2 columns could be the id, and id_column is not set"),
        ("SELECT ABS(-9223372036854775808) AS id", "the query failed (OperationalError, SQLITE_ERROR). Its message is"),
    ],
)
def test_what_is_wrong_with_the_query_is_told(sql: str, message: str, store: TableMirror) -> None:
    assert store.source
    store.source = SqlSource(store.source.hook, sql)
    with pytest.raises(SourceError) as caught, store.plan(blocks(store)):
        pass
    assert str(caught.value).startswith(message)


def test_what_the_database_refuses_to_make_is_told(store: TableMirror, schema: Connections) -> None:
    def is_refused() -> None:
        with store.plan(blocks(store)) as plan:
            store.database = refusing(schema)
            with plan.begin("today"):
                pass

    message = r"^CREATE TABLE in the schema main failed \(DatabaseError, SQLITE_AUTH\)"
    with pytest.raises(SourceError, match=message):
        is_refused()
    assert state_of(store).tries == ()
    with pytest.raises(SourceError, match=r"^the query failed \(DatabaseError, SQLITE_AUTH\)"):
        run(store)


def test_a_query_that_was_read_before_is_not_tried_again(store: TableMirror, schema: Connections) -> None:
    """The look at its first rows would read a large table once more."""
    asked = traced(store, schema)
    looks = []
    assert store.source
    for end, full_refresh in (("", False), ("", False), ("", True), (" WHERE 1 = 1", False), ("", True)):
        store.source.sql = f"SELECT id FROM main.members{end}"
        run(store, full_refresh=full_refresh)
        looks.append(sum("LIMIT" in sql for sql in asked))
        asked.clear()
    assert looks == [1, 0, 1, 1, 1]


def test_members_are_read_from_columns_in_any_order(store: TableMirror, schema: Connections) -> None:
    fill(schema, [("x,y", "gold", "a", 1), (None, None, "b", 2)], "labels TEXT, plan TEXT, id TEXT, spent INT")
    columns = Columns("id", attribute_columns={"spent": "total", "plan": "plan"}, tags_column="labels")
    assert store.source
    store.source = SqlSource(schema, "SELECT * FROM members", None, columns)
    found: list[Any] = []

    def noted() -> Iterator[list[str]]:
        for values in store.changed.blocks(1000):
            found.extend(values.values)
            yield [value.id for value in values.values]  # type: ignore[attr-defined]

    with store.plan(noted()) as plan:
        assert list(plan.adds) == ["a", "b"]
    assert found == [Member("a", {"total": 1, "plan": "gold"}, ["x", "y"]), Member("b", {"total": 2}, None)]


class Formatted(sqlite3.Connection):
    """One whose driver takes ``%s`` where a parameter stands, and writes a percent sign twice beside parameters."""

    def cursor(self, *_: Any) -> Any:
        return super().cursor(FormattedCursor)


class FormattedCursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = None) -> Any:
        if parameters is None:
            return super().execute(sql)
        sql = sql.replace("%%", "\0").replace("%s", "?")
        assert "%" not in sql, "unsupported format character"
        return super().execute(sql.replace("\0", "%"), parameters)


@pytest.mark.parametrize("mark", ["?", "%s"])
@pytest.mark.parametrize("has_parameters", [False, True])
def test_names_of_columns_may_have_a_percent_sign(
    mark: str, has_parameters: bool, store: TableMirror, schema: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(schema, [("a", "x"), ("b", "y"), ("z", "z")], 'id TEXT, "%off" TEXT')
    ((_, _, path),) = schema.run("PRAGMA database_list")
    if mark == "%s":
        monkeypatch.setitem(DIALECTS, "sqlite", replace(DIALECTS["sqlite"], placeholder="%s"))
        store.database = Database(lambda: sqlite3.connect(path, factory=Formatted))
    sign = "%%" if has_parameters and mark == "%s" else "%"
    sql = f'SELECT id, "{sign}off" FROM members' + (f" WHERE id <> {mark}" if has_parameters else "")
    store.source = SqlSource(schema, sql, ["z"] if has_parameters else None, Columns("id", attribute_columns=["%off"]))
    store.is_dry_run = True
    with store.plan(blocks(store)) as plan:
        assert list(plan.adds) == ["a", "b"] if has_parameters else ["a", "b", "z"]
    store.is_dry_run = False
    run(store)
    with store.plan(blocks(store)) as plan:
        assert plan.is_empty


# Calls


def test_what_may_be_sent_is_noted_before_the_first_call(store: TableMirror, schema: Connections) -> None:
    members(schema, ["a", "b"])
    run(store)
    members(schema, ["b", "c", "d"])
    with store.plan(blocks(store)) as plan:
        assert (list(plan.adds), list(plan.removes), plan.before) == (["c", "d"], ["a"], 2)
        assert plan.counts == Counts(given=3, added=2, unchanged=1, removed=1)
        with plan.begin("today") as transaction:
            state = state_of(store)
            (own,) = state.tries
            assert own.name == f"00000001-{own.name[9:]}"
            nonce = own.name[10:]
            digest = own.pending.sha256
            assert own.pending == Pending("today", nonce, nonce, False, 3, digest)
            assert (own.indexing_tokens, own.has_ended, transaction.series) == ((), False, nonce)
            assert sorted(rows(schema, f"d{nonce}", "id, op")) == [("a", "-"), ("c", "+"), ("d", "+")]
            transaction.commit([])


def test_a_try_that_replaces_counts_as_any_id(store: TableMirror, schema: Connections) -> None:
    run(store)
    with store.plan(blocks(store), full_refresh=True) as plan, plan.begin("today") as transaction:
        (own,) = state_of(store).tries
        assert (own.pending.replaces, own.pending.count) == (True, 0)
        assert transaction.series == own.pending.series + own.pending.sha256
    (failed,) = state_of(store).tries
    assert failed.pending == own.pending
    with store.plan(blocks(store)) as plan:
        assert plan.replaces
        with plan.begin("today") as again:
            assert again.series == transaction.series


def test_a_run_that_failed_leaves_its_tokens_and_its_table(
    store: TableMirror, schema: Connections, clock: Clock
) -> None:
    first = run(store, "t0")
    members(schema, ["a", "b"])
    state = broken_off(store, "t1", "t2")
    (own,) = state.tries
    assert (own.indexing_tokens, own.has_ended, state.claim) == (("t1", "t2"), True, None)
    assert replace(state, tries=(), trash=()) == replace(first, trash=())
    assert set(ours(schema)) > {first.base, "head", own.name[9:]}
    with store.plan(blocks(store)) as plan:
        assert (plan.unconfirmed_tokens, plan.tokens_to_await) == (("t0",), ("t0", "t1", "t2"))
        assert (list(plan.removes), plan.counts.removed) == (["c"], 1)
    killed = broken_off(store, "t2", error=Killed())
    assert [(one.indexing_tokens, one.has_ended) for one in killed.tries] == [(("t2",), False)]
    with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
        assert plan.tokens_to_await == ("t0", "t2")
        transaction.commit(["t3"])
    assert (state_of(store).tries, len(state_of(store).echoes)) == (killed.tries, 1)
    store.confirm()
    with store.plan(blocks(store)) as plan:
        assert (plan.unconfirmed_tokens, plan.tokens_to_await) == ((), ("t2",))


def test_tokens_that_cannot_be_noted_are_told(store: TableMirror, told: Callable[[], str]) -> None:
    def lost() -> Any:
        raise ConnectionResetError

    def fails() -> None:
        with store.plan(blocks(store)) as plan, plan.begin("today"):
            store.database = Database(lost)
            raise ValueError("of the caller")

    with pytest.raises(ValueError, match="of the caller"):
        fails()
    assert " the tokens of this run could not be noted: SourceUnavailableError\n" in told()


def test_after_a_commit_nothing_more_is_noted(store: TableMirror, told: Callable[[], str]) -> None:
    versions = []

    def fails() -> None:
        with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
            transaction.commit([])
            versions.append(head_of(store).version)
            raise ValueError("of the caller")

    with pytest.raises(ValueError, match="of the caller"):
        fails()
    assert [head_of(store).version] == versions
    assert "WARNING" not in told()


def test_a_look_renews_the_claim_once_a_minute_and_notes_new_tokens(store: TableMirror, clock: Clock) -> None:
    with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
        versions = [head_of(store).version]

        def looked(seconds: float) -> tuple[bool, tuple[str, ...]]:
            """Whether the head was changed, and the tokens in it."""
            clock.now += seconds
            transaction.look()
            head = head_of(store)
            versions.append(head.version)
            assert head.state.claim
            if versions[-1] > versions[-2]:
                assert (head.state.claim.since, head.state.claim.renewed) == (START, clock.now)
            return versions[-1] > versions[-2], head.state.tries[0].indexing_tokens

        assert looked(LOOK_INTERVAL) == (False, ())
        transaction.accepted("t1")
        assert looked(LOOK_INTERVAL - 1) == (False, ())
        assert looked(1) == (True, ("t1",))
        assert looked(RENEWAL_INTERVAL - 1) == (False, ("t1",))
        assert looked(LOOK_INTERVAL) == (True, ("t1",))
        assert looked(RENEWAL_INTERVAL) == (True, ("t1",))
        transaction.accepted("t2")
        assert looked(-1) == (True, ("t1", "t2"))  # a clock that was set back
        assert not state_of(store).tries[0].has_ended
        transaction.commit([])


def test_a_look_finds_a_run_that_has_taken_over(store: TableMirror, schema: Connections, clock: Clock) -> None:
    heir, looks = mirror_of(schema, "tomorrow", clock), []

    def is_overtaken() -> None:
        with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
            clock.now += LIFETIME + 1
            with heir.plan(blocks(heir)):
                clock.now = START
                transaction.look()  # the last one is good for some seconds
                looks.append(clock.now)
                clock.now += LOOK_INTERVAL
                transaction.look()

    with pytest.raises(MirrorConflictError, match=r"^another run changed this mirror after"):
        is_overtaken()
    assert looks == [START]
    state = state_of(store)
    # Its table of changes, and a copy of it, which no other run has taken for settled.
    assert [one.pending.owner for one in state.tries] == ["today", "today"]
    late = state.tries[1]
    nonce = late.name[10:]
    assert late.name == f"00000000-d{nonce}"
    assert late.pending == replace(state.tries[0].pending, series=nonce, nonce=nonce)
    assert (late.has_ended, late.indexing_tokens) == (True, ())
    assert rows(schema, f"d{nonce}") == rows(schema, state.tries[0].name[9:])
    assert (f"d{nonce}", clock.now, False) in state.trash
    assert {at for _, at, _ in state.trash} == {START, START + LIFETIME + 1, clock.now}


def test_whoever_is_overtaken_twice_leaves_a_table_that_is_known(
    store: TableMirror, schema: Connections, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    heir = mirror_of(schema, "tomorrow", clock)
    change = store.keeper.replace

    def too_late(session: Any, head: Head, state: State) -> Head | None:
        return None if len(state.tries) > 1 else change(session, head, state)

    def is_overtaken() -> None:
        with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
            clock.now += LIFETIME + 1
            with heir.plan(blocks(heir)):
                pass
            monkeypatch.setattr(store.keeper, "replace", too_late)
            transaction.commit([])

    with pytest.raises(MirrorConflictError, match="another run changed this mirror"):
        is_overtaken()
    state = state_of(store)
    assert len(state.tries) == 1
    copies = {name for name in ours(schema) if name[0] == "d"} - state.named
    assert len(copies) == 5
    assert {(copy, clock.now, False) for copy in copies} <= {*state.trash}


def test_rejected_ids_are_uncertain_in_the_next_run(store: TableMirror, schema: Connections) -> None:
    state = run(store, rejected=("c", "a", "c"))
    (rejection,) = state.tries
    table = rejection.name[9:]
    assert is_own("r", table)
    assert rejection.name == f"00000001-{table}"
    assert rejection.pending == Pending("", table[1:], table[1:], False, 2)
    assert (rejection.has_ended, rejection.indexing_tokens, state.members) == (True, (), 3)
    assert rows(schema, table) == [("a", "+", "rejected by Batch", 0), ("c", "+", "rejected by Batch", 0)]
    assert ours(schema) == [state.base, "head", table]
    assert (table, START, False) in state.trash  # before it was made
    with store.plan(blocks(store)) as plan:
        assert plan.counts == Counts(given=3, resent=2, unchanged=1)
        assert list(plan.adds) == ["a", "c"]


def test_with_settings_rejected_ids_get_their_flags_in_a_table_of_their_own(
    store: TableMirror, schema: Connections
) -> None:
    fill(schema, [("a", "gold"), ("b", None)], "id TEXT, plan TEXT")
    with_attributes(store, "plan").settings = "s1"
    state = run(store, rejected=("b",))
    (rejection,) = state.tries
    nonce = rejection.name[10:]
    assert ours(schema) == [state.base, "head", f"r{nonce}"]
    made = [name for name, *_ in state.trash]
    assert sorted(made) == sorted(f"{kind}{nonce}" for kind in "dtuxcbyr")  # each was noted before
    with store.plan(blocks(store)) as plan:
        assert (list(plan.adds), plan.counts.resent) == (["b"], 1)


@pytest.mark.parametrize("settings", [None, "s1"])
def test_names_of_tables_are_spelled_alike_in_every_statement(
    settings: str | None, store: TableMirror, schema: Connections
) -> None:
    """MySQL tells capitals in them."""
    asked = traced(store, schema)
    store.settings, store.log = settings, ChangeLog(store.keeper, 30)
    members(schema, [*MANY, "in\tvalid"])
    run(store, rejected=("id-01",))
    members(schema, MANY[1:])
    run(store)
    broken_off(store)
    found = {name for sql in asked for name in re.findall(rf"{NAME}_\w+", sql, re.IGNORECASE)}
    assert {name.removeprefix(f"{NAME}_")[0] for name in found} == {*"htudxcbryel"}
    assert found == {name.lower() for name in found}


# What only some runs do


def test_the_log_has_what_a_run_knows_of_itself(store: TableMirror, schema: Connections, clock: Clock) -> None:
    store.log = ChangeLog(store.keeper, 30)
    members(schema, ["a", "b", "in\tvalid"])
    keep, kept = store.log.keep, []

    def noting(session: Any, changes: Sequence[Change], now: float, forget: Any) -> Any:
        kept.append((changes, now))
        return keep(session, changes, now, forget)

    store.log.keep = noting  # type: ignore[method-assign]
    first = run(store, rejected=("b",))
    ((change,), now), *_ = kept
    nonce = (first.base or "")[1:]
    assert (change, now) == (Change(START, "today", f"c{nonce}", f"x{nonce}", f"r{nonce}", False), START)
    assert first.unlogged == ()
    kept.clear()
    store.log.keep = lambda *_: None  # type: ignore[method-assign]
    run(store, full_refresh=True)
    (change,) = state_of(store).unlogged
    assert (change.replaces, change.rejected) == (True, None)
    clock.now += 60
    store.log.keep = noting  # type: ignore[method-assign]
    with store.plan(blocks(store)):
        assert kept == [((change,), clock.now)]
        assert state_of(store).unlogged == ()


def test_what_could_not_be_logged_waits_while_no_log_is_kept(
    store: TableMirror, schema: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ChangeLog(store.keeper, 30)
    with monkeypatch.context() as patch:
        patch.setattr(kept, "keep", lambda *_: None)
        store.log = kept
        (change,) = run(store).unlogged
    store.log = ChangeLog(store.keeper, 0)
    with store.plan(blocks(store)) as plan:
        assert plan.is_empty
    assert state_of(store).unlogged == (change,)
    assert "log" not in ours(schema)
    store.log = kept
    with store.plan(blocks(store)) as plan:
        assert plan.is_empty
    assert rows(schema, "log", "id") == [("a",), ("b",), ("c",)]


def test_a_replace_logs_what_it_takes_out_whatever_failed_before(store: TableMirror, schema: Connections) -> None:
    store.log = ChangeLog(store.keeper, 30)
    fill(schema, [("a", "x", 1), ("b", "x", 1)], "id TEXT, plan TEXT, spent INT")
    run(with_attributes(store, "plan"))
    fill(schema, [("a", "x", 1), ("unsure", "x", 1)], "id TEXT, plan TEXT, spent INT")
    broken_off(store)
    fill(schema, [("a", "x", 1), ("new", "x", 1)], "id TEXT, plan TEXT, spent INT")
    run(with_attributes(store, "plan", "spent"), full_refresh=True)
    logged = rows(schema, "log", "id, op, why")
    assert logged == [("a", "+", "new"), ("b", "+", "new"), ("new", "+", "new"), ("b", "-", "gone")]


def test_a_run_that_has_something_to_commit_logs_nothing_before(store: TableMirror, schema: Connections) -> None:
    store.log = ChangeLog(store.keeper, 30)
    members(schema, ["in\tvalid"])
    with store.plan(blocks(store)) as plan:  # a first run
        assert (plan.is_empty, plan.counts) == (False, Counts())
    assert ours(schema) == ["head"]
    members(schema, ["a", "b"])
    run(store)
    logged = rows(schema, "log")
    for ids in ("abc", "a"):
        members(schema, [*ids, "in\tvalid"])
        with store.plan(blocks(store)) as plan:
            assert not plan.is_empty
        assert rows(schema, "log") == logged
    members(schema, ["a", "b", "in\tvalid"])
    with store.plan(blocks(store)) as plan:
        assert plan.is_empty
    assert len(rows(schema, "log")) == len(logged) + 1


@pytest.mark.parametrize("settings", [None, "s1"])
def test_what_may_have_values_is_dropped_before_anything_else(
    settings: str | None, store: TableMirror, schema: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(session: object, name: str) -> None:
        raise SourceError("it is locked")

    store.settings = settings
    with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
        monkeypatch.setattr(store.keeper, "drop", fails)
        transaction.commit([])
    monkeypatch.undo()
    left = {*ours(schema)} - {"head", *state_of(store).named}
    assert left
    with store.plan(blocks(store)):
        assert bool(left & {*ours(schema)}) is (settings is None)
    assert {*ours(schema)} == {"head", *state_of(store).named}

    def is_invalid() -> Iterator[list[str]]:
        raise ValueError("an invalid id")
        yield []

    with pytest.raises(ValueError, match="an invalid id"), store.plan(is_invalid()):
        pass
    assert {*ours(schema)} == {"head", *state_of(store).named}


def test_a_query_is_read_once(store: TableMirror, schema: Connections) -> None:
    run(store)
    asked = traced(store, schema)
    with store.plan(blocks(store)):
        pass
    reading = [sql for sql in asked if "main.members" in sql]
    assert len(reading) == 2
    assert sum("WHERE 1 = 0" in sql for sql in reading) == 1  # for the names of its columns


@pytest.mark.parametrize("settings", [None, "s1"])
def test_the_head_is_read_once_and_after_each_change(
    settings: str | None, store: TableMirror, schema: Connections
) -> None:
    store.settings, store.log = settings, ChangeLog(store.keeper, 30)
    run(store)
    members(schema, [*"abd"])
    asked = traced(store, schema)
    with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
        transaction.commit([])
    changes = sum(f"UPDATE main.{NAME}_head" in sql for sql in asked)
    assert sum(f"FROM main.{NAME}_head" in sql for sql in asked) == 1 + changes


def test_a_dry_run_of_a_full_refresh_needs_no_state(store: TableMirror, schema: Connections) -> None:
    run(store)
    schema.run(f"UPDATE {NAME}_head SET state = 'x'")
    store.is_dry_run = True
    with store.plan(blocks(store), full_refresh=True) as plan:
        assert (plan.before, plan.counts) == (None, Counts(given=3, added=3))
    store.source = SqlSource(schema, "SELECT id FROM nowhere")
    with pytest.raises(SourceError, match="no such table: nowhere"), store.plan(blocks(store), full_refresh=True):
        pass


def test_a_log_begins_with_something_to_write(store: TableMirror, schema: Connections) -> None:
    assert run(store).unlogged == ()
    store.log = ChangeLog(store.keeper, 30)
    with store.plan(blocks(store)) as plan:
        assert plan.is_empty
    assert "log" not in ours(schema)


def test_keys_of_attributes_are_noted_with_the_try_that_sends_them(store: TableMirror) -> None:
    with store.plan(blocks(store)) as plan:
        plan.rename(["city", "plan"])
        assert state_of(store).attributes == ()
        with plan.begin("today") as transaction:
            assert state_of(store).attributes == ("city", "plan")
            transaction.commit([])
    assert state_of(store).attributes == ("city", "plan")


def test_a_plan_that_looks_like_a_mistake_names_the_audience(store: TableMirror, schema: Connections) -> None:
    run(store)
    members(schema, ["a"])
    with store.plan(blocks(store)) as plan:
        with pytest.raises(GuardError, match=r"^vip: ids in the last set: 3, in the new set: 1\."):
            plan.check(Limits(max_shrink=0.5))
        with pytest.raises(GuardError, match="to add: 0, to remove: 2"):
            plan.check(Limits(max_changes=1))
    with store.plan(blocks(store), full_refresh=True) as plan:
        plan.check(Limits(max_changes=0))


def test_with_settings_the_snapshot_has_digests_in_place_of_values(store: TableMirror, schema: Connections) -> None:
    fill(schema, [("a", "gold"), ("b", None)], "id TEXT, plan TEXT")
    with_attributes(store, "plan").settings = "s1"
    with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
        (own,) = state_of(store).tries
        assert {column for _, column, *_ in schema.run(f"PRAGMA table_info({NAME}_{own.name[9:]})")} == {
            *("id", "n", "o", "u", "op", "digest", "own", "had")
        }
        assert own.name[9] == "c"
        assert len([name for name in ours(schema) if name[0] in "cd"]) == 1  # the table with values is gone
        transaction.commit([])
    state = state_of(store)
    assert state.columns == (("plan", "None"), ("", "s1"))
    (a, b) = rows(schema, state.base)
    assert (a[0], b[0]) == ("a", "b")
    assert all(re.fullmatch("[0-9a-f]{32}", row[1]) for row in (a, b))
    with store.plan(blocks(store)) as plan:
        assert plan.is_empty
    store.settings = "s2"
    with store.plan(blocks(store)) as plan:
        assert plan.counts == Counts(given=2, changed=2)
