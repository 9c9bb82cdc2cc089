"""The head of a mirror in its table: how it is read, made and changed, and what is said if that fails."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError, SourceError, SourceUnavailableError
from airflow_provider_batch.mirror.tables.database import Database, Session
from airflow_provider_batch.mirror.tables.head import Head, State
from airflow_provider_batch.mirror.tables.keeper import Keeper
from tests.mirror.test_tables_head import MINE, STATE

NAME = "batch_vip_00000000"
HEAD = f"main.{NAME}_head"


class Connection(sqlite3.Connection):
    """One whose commits and cursors fail when a test says so."""

    loses_answers = False
    #: Why the next cursors cannot be opened.
    faults: tuple[Exception, ...] = ()

    def commit(self) -> None:
        super().commit()
        if self.loses_answers:
            raise sqlite3.OperationalError("the answer is lost")

    def cursor(self, *arguments: Any, **named: Any) -> Any:
        if self.faults:
            fault, *self.faults = self.faults  # type: ignore[assignment]
            raise fault
        return super().cursor(*arguments, **named)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tables.db"


@pytest.fixture
def connection(path: Path) -> Iterator[Connection]:
    with closing(sqlite3.connect(path, timeout=0, factory=Connection)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


@pytest.fixture
def session(connection: Connection) -> Session:
    return Session(connection)


@pytest.fixture
def keeper() -> Keeper:
    return Keeper("main", NAME)


def changed(keeper: Keeper, session: Session, state: State) -> Head:
    """A head with that state."""
    return keeper.change(session, lambda _: state)


def row(connection: Connection) -> dict[str, Any]:
    """What the head's columns have."""
    found = connection.execute(f"SELECT * FROM {HEAD}")
    (values,) = found.fetchall()
    return dict(zip([column[0] for column in found.description], values, strict=True))


def test_tables_are_named_with_their_schema_in_quotes_where_it_needs_them(session: Session) -> None:
    keeper = Keeper("my-warehouse.analytics", NAME)
    assert keeper.table(session, "head") == f'"my-warehouse".analytics.{NAME}_head'
    assert str(keeper) == f"my-warehouse.analytics.{NAME}"


def test_there_is_no_head_before_somebody_makes_it(keeper: Keeper, session: Session, connection: Connection) -> None:
    assert keeper.read(session) is None
    assert keeper.open(session, starts_anew=False) == Head(0, "", 0, State())
    assert row(connection) == {
        "format": 1,
        "version": 0,
        "confirmed": 0,
        "generation": 0,
        "members": 0,
        **dict.fromkeys(("nonce", "claim", "claimed_by", "base", "net", "state"), ""),
    }
    assert keeper.read(session) == keeper.open(session, starts_anew=False) == Head(0, "", 0, State())


def test_the_columns_repeat_what_the_state_has(keeper: Keeper, session: Session, connection: Connection) -> None:
    head = changed(keeper, session, STATE)
    assert (head.version, head.confirmed, head.state) == (1, 0, STATE)
    assert row(connection) == {
        "format": 1,
        "version": 1,
        "nonce": head.nonce,
        "confirmed": 0,
        "claim": "n1",
        "claimed_by": "run",
        "generation": 7,
        "members": 5,
        "base": "b1",
        "net": "e1",
        "state": STATE.to_json(),
    }
    again = changed(keeper, session, State())
    assert (again.version, again.state) == (2, State())
    assert len(again.nonce) == len(head.nonce) == 16
    assert again.nonce != head.nonce
    empty = dict.fromkeys(("claim", "claimed_by", "base", "net"), "")
    assert row(connection).items() >= {**empty, "generation": 0, "members": 0}.items()


# Steps


@pytest.mark.parametrize(("others", "succeeds"), [(19, True), (20, False)])
def test_a_step_is_done_again_on_what_others_have_made(
    others: int, succeeds: bool, keeper: Keeper, session: Session
) -> None:
    keeper.open(session, starts_anew=False)
    found: list[int] = []

    def step(state: State) -> State:
        found.append(state.generation)
        if len(found) <= others:  # another run is faster
            head = keeper.read(session)
            assert head
            assert keeper.replace(session, head, State(generation=len(found)))
        return replace(state, shape="mine")

    if succeeds:
        assert keeper.change(session, step).state == State(generation=others, shape="mine")
    else:
        with pytest.raises(MirrorConflictError, match=r"^another run changed this mirror after .* Retry\.$"):
            keeper.change(session, step)
    assert found == [*range(20)]


def test_a_head_that_is_known_is_read_only_if_it_is_another_one_by_now(
    keeper: Keeper, session: Session, connection: Connection
) -> None:
    known = changed(keeper, session, STATE)
    seen: list[State] = []

    def step(state: State) -> State:
        seen.append(state)
        return replace(state, shape="mine")

    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    known = keeper.change(session, step, known=known)
    connection.set_trace_callback(None)
    assert [sql.split()[0] for sql in statements] == ["BEGIN", "UPDATE", "COMMIT", "SELECT"]
    # One of the same age, which others have made since.
    keeper.drop(session, "head")
    changed(keeper, session, STATE)
    assert changed(keeper, session, State(generation=5)).version == known.version
    assert keeper.change(session, step, known=known).state == State(generation=5, shape="mine")
    assert seen == [STATE, known.state, State(generation=5)]


def test_whoever_comes_second_changes_nothing(keeper: Keeper, session: Session) -> None:
    old = keeper.open(session, starts_anew=False)
    new = keeper.replace(session, old, STATE)
    assert keeper.replace(session, old, State()) is None
    assert keeper.read(session) == new


def test_a_change_whose_answer_is_lost_was_made(keeper: Keeper, session: Session, connection: Connection) -> None:
    head = keeper.open(session, starts_anew=False)
    execute = session.execute

    def loses_its_answer(*arguments: Any, **named: Any) -> None:
        connection.loses_answers = True
        try:
            execute(*arguments, **named)
        finally:
            connection.loses_answers = False

    session.execute = loses_its_answer  # type: ignore[method-assign]
    found = keeper.replace(session, head, STATE)
    assert found is not None
    assert (found.version, found.state) == (1, STATE)
    # Late, as another one was first.
    assert keeper.replace(session, head, STATE) is None


def test_a_change_that_the_database_refuses_fails(keeper: Keeper, session: Session, path: Path) -> None:
    head = keeper.open(session, starts_anew=False)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            SourceUnavailableError, match=r"^UPDATE of main.batch_vip_00000000_head failed .*: database is locked$"
        ):
            keeper.replace(session, head, STATE)
    assert keeper.replace(session, head, STATE)


def test_a_head_that_is_gone_is_not_changed(keeper: Keeper, session: Session) -> None:
    head = keeper.open(session, starts_anew=False)
    keeper.drop(session, "head")
    assert keeper.replace(session, head, STATE) is None


def test_why_a_generation_cannot_be_confirmed_is_told(keeper: Keeper, session: Session, path: Path) -> None:
    keeper.change(session, lambda _: STATE)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SourceUnavailableError, match=rf"UPDATE of {HEAD} failed .*: database is locked"):
            keeper.confirm(session, 7)


def test_only_the_generation_that_was_waited_for_is_confirmed(keeper: Keeper, session: Session) -> None:
    changed(keeper, session, STATE)
    for generation, confirmed in ((6, 0), (8, 0), (7, 7)):
        keeper.confirm(session, generation)
        head = keeper.read(session)
        assert head
        assert (head.confirmed, head.is_confirmed) == (confirmed, confirmed == 7)


def test_the_claimant_is_known_by_its_nonce(keeper: Keeper, session: Session, connection: Connection) -> None:
    changed(keeper, session, STATE)
    assert keeper.claimant(session) == MINE.nonce
    changed(keeper, session, State())
    assert keeper.claimant(session) == ""
    connection.execute(f"INSERT INTO {HEAD} SELECT * FROM {HEAD}")
    assert keeper.claimant(session) == ""
    connection.execute(f"DELETE FROM {HEAD}")
    assert keeper.claimant(session) == ""


def test_a_table_is_dropped_if_it_is_there(keeper: Keeper, session: Session, connection: Connection) -> None:
    connection.execute(f"CREATE TABLE {NAME}_d1 (id)")
    for _ in range(2):
        keeper.drop(session, "d1")
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_rows_of_a_new_head_can_change_though_the_database_publishes_all_tables(
    keeper: Keeper, session: Session, connection: Connection
) -> None:
    session.dialect = replace(session.dialect, publish="CREATE TABLE {}_is_published AS SELECT 1 AS x")

    def is_published() -> bool:
        found = connection.execute(f"SELECT 1 FROM sqlite_master WHERE name = '{NAME}_head_is_published'")
        return bool(found.fetchall())

    keeper.open(session, starts_anew=False)
    assert not is_published()
    changed(keeper, session, STATE)
    assert is_published()
    connection.execute(f"DROP TABLE {HEAD}_is_published")
    changed(keeper, session, State())  # it need not be asked for again
    assert not is_published()
    for _ in range(2):  # what the database refuses makes no difference
        keeper.publish(session, "head")
        assert is_published()


# What a person has to mend


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("DELETE FROM {head}", "{head} has 0 rows instead of one. Drop it to start a new snapshot."),
        ("INSERT INTO {head} SELECT * FROM {head}", "{head} has 2 rows instead of one. Drop it to start a new snapsh"),
        (
            "UPDATE {head} SET format = 2",
            "{head} was written by a newer version of this package. Upgrade the package; or, to start a new snapshot, "
            "drop it and pass full_refresh=True.",
        ),
        (
            "ALTER TABLE {head} RENAME COLUMN format TO f",
            "{head} cannot be read as the head of a mirror: SELECT failed (OperationalError, SQLITE_ERROR): no such "
            "column: format. Grant USAGE of the schema and SELECT on it; or, if it is not a table of this package, "
            "pass another snapshot_schema.",
        ),
        ("UPDATE {head} SET version = NULL", "{head} is not a table of this package. Pass another snapshot_schema."),
        ("UPDATE {head} SET format = 'csv'", "{head} is not a table of this package. Pass another snapshot_schema."),
    ],
)
@pytest.mark.parametrize("starts_anew", [False, True])
def test_a_head_that_cannot_be_used_is_named(
    spoil: str, message: str, starts_anew: bool, keeper: Keeper, session: Session, connection: Connection
) -> None:
    keeper.open(session, starts_anew=False)
    connection.execute(spoil.format(head=HEAD))
    for use in (keeper.read, keeper.open):
        with pytest.raises(SnapshotError) as caught:
            use(session, starts_anew=starts_anew)
        assert str(caught.value).startswith(message.format(head=HEAD))
        assert caught.value.__cause__ is None


def test_a_connection_that_returns_bytes_is_no_damaged_head(
    keeper: Keeper, session: Session, connection: Connection
) -> None:
    connection.text_factory = bytes
    with pytest.raises(SnapshotError) as caught:
        keeper.open(session, starts_anew=False)
    assert str(caught.value) == (
        f"{HEAD}: the connection returns text as bytes. Set its encoding, as with client_encoding=utf8."
    )


@pytest.mark.parametrize("text", ["x", "{}", "[]", '{"target": null}'])
def test_a_state_that_cannot_be_read_is_left_behind_by_whoever_starts_anew(
    text: str, keeper: Keeper, session: Session, connection: Connection
) -> None:
    changed(keeper, session, STATE)
    keeper.confirm(session, 7)
    connection.execute(f"UPDATE {HEAD} SET state = ?", [text])
    connection.commit()
    with pytest.raises(SnapshotError) as caught:
        keeper.read(session)
    assert str(caught.value) == (
        f"{HEAD}: its state cannot be read. Nothing was sent; to send everything and start a new snapshot, pass "
        "full_refresh=True."
    )
    with pytest.raises(SnapshotError, match="its state cannot be read"):
        keeper.change(session, lambda state: state)
    # A generation that no run has had, so that what was confirmed does not confirm it.
    head = keeper.change(session, lambda state: replace(state, shape="mine"), starts_anew=True)
    assert (head.confirmed, head.state) == (7, State(generation=8, shape="mine"))


def test_of_a_state_that_cannot_be_replaced_the_fault_is_told(
    keeper: Keeper, session: Session, connection: Connection
) -> None:
    keeper.open(session, starts_anew=False)
    connection.execute(f"UPDATE {HEAD} SET state = '{{}}'")
    connection.execute(f"ALTER TABLE {HEAD} RENAME COLUMN claimed_by TO c")
    connection.commit()
    with pytest.raises(SourceError, match="no such column: claimed_by"):
        keeper.change(session, lambda state: state, starts_anew=True)


class Overtaken(Keeper):
    """One whose CREATE TABLE comes when another run has made a head of its own, or none is found."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__("main", NAME)
        self._meanwhile = meanwhile

    def _creation(self, session: Session) -> str:
        return str(self._meanwhile() or super()._creation(session))


def test_of_two_that_make_the_head_at_once_both_have_it(keeper: Keeper, session: Session, path: Path) -> None:
    def meanwhile() -> None:
        with Database(lambda: sqlite3.connect(path)).session() as other:
            changed(keeper, other, STATE)
            other.execute(f"UPDATE {HEAD} SET state = 'x'")

    assert Overtaken(meanwhile).open(session, starts_anew=True).state == State(generation=1)
    keeper.drop(session, "head")
    with pytest.raises(SnapshotError, match="its state cannot be read"):
        Overtaken(meanwhile).open(session, starts_anew=False)


def test_what_making_the_head_takes_is_named(session: Session, connection: Connection) -> None:
    needed = "The connection needs a schema of that name, USAGE of it, and the right to make tables in it (CREATE)."
    with pytest.raises(SnapshotError) as caught:
        Overtaken(lambda: "SELECT 1").open(session, starts_anew=False)
    assert str(caught.value) == f"the head could not be found again. {needed}"
    connection.execute("PRAGMA query_only = ON")
    with pytest.raises(SnapshotError) as caught:
        Keeper("main", NAME).open(session, starts_anew=False)
    assert str(caught.value) == (
        "CREATE TABLE in the schema main failed (OperationalError, SQLITE_READONLY): attempt to write a readonly "
        f"database. {needed}"
    )


def test_the_words_of_the_driver_are_passed_on_if_they_quote_no_row(
    keeper: Keeper, session: Session, connection: Connection, path: Path
) -> None:
    (path.parent / "no database").write_bytes(b"no database" * 1000)
    with closing(sqlite3.connect(path.parent / "no database")) as other, pytest.raises(SnapshotError) as caught:
        keeper.read(Session(other))
    assert str(caught.value).startswith(
        f"{HEAD} cannot be read as the head of a mirror: SELECT failed (DatabaseError, SQLITE_NOTADB): file is not a "
        "database. Grant USAGE"
    )
    connection.faults = (ValueError("secret-1"),)
    with pytest.raises(SnapshotError, match=r"failed \(ValueError\)\. Its message .* own client\. Grant USAGE"):
        keeper.read(session)


def test_a_database_that_does_not_answer_is_no_damaged_head(session: Session, connection: Connection) -> None:
    def does_not_answer() -> None:
        connection.faults = (ConnectionResetError(),)

    keeper = Overtaken(does_not_answer)
    does_not_answer()
    with pytest.raises(SourceUnavailableError, match=r"^SELECT failed \(ConnectionResetError\)"):
        keeper.read(session)
    what = "CREATE TABLE in the schema main"
    with pytest.raises(SourceUnavailableError, match=rf"^{what} failed \(ConnectionResetError\)"):
        keeper.open(session, starts_anew=False)


def test_a_database_that_is_busy_is_no_damaged_head_either(keeper: Keeper, session: Session, path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        what = "CREATE TABLE in the schema main"
        with pytest.raises(SourceUnavailableError, match=rf"^{what} failed \(.*, SQLITE_BUSY\): database is locked$"):
            keeper.open(session, starts_anew=False)
        other.rollback()
        keeper.open(session, starts_anew=False)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceUnavailableError, match=r"^SELECT failed \(.*, SQLITE_BUSY\): database is locked$"):
            keeper.read(session)
        what = f"DROP TABLE of {HEAD}"
        with pytest.raises(SourceUnavailableError, match=rf"^{what} failed \(.*, SQLITE_BUSY\): database is locked$"):
            keeper.drop(session, "head")


def test_every_statement_spells_the_name_of_the_head_alike(
    keeper: Keeper, session: Session, connection: Connection
) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    changed(keeper, session, STATE)
    keeper.confirm(session, 7)
    keeper.claimant(session)
    keeper.drop(session, "head")
    # MySQL tells capitals in the names of tables.
    assert {name for sql in statements for name in re.findall(r"main\.\w+", sql, re.IGNORECASE)} == {HEAD}
    assert len([sql for sql in statements if HEAD in sql]) > 5
