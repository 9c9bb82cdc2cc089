"""The log of a mirror, appended from tables of changes as runs leave them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from airflow_provider_batch.exceptions import MirrorConflictError, SourceError
from airflow_provider_batch.mirror.tables.database import Database, Session
from airflow_provider_batch.mirror.tables.head import Change
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.log import ChangeLog
from tests.clock import local_zone
from tests.mirror.stores import Connections

NAME = "batch_vip_00000000"
LOG = f"{NAME}_log"
NOW = 1_790_000_000.0
DAY = 24 * 3600.0

#: Ids with how often they are in the source, whether they were sent, whether that is uncertain, and what is done.
MOVES = [
    ("new", 1, 0, 0, "+"),
    ("unsure", 1, 0, 1, "+"),
    ("other", 1, 1, 0, "+"),
    ("again", 1, 1, 1, "+"),
    ("same", 2, 1, 0, "="),
    ("gone", 0, 1, 0, "-"),
    ("withdrawn", 0, 0, 1, "-"),
    ("invalid", 1, 0, 0, "!"),
    ("member, now invalid", 1, 1, 0, "-"),
    ("unsure, now invalid", 1, 0, 1, "-"),
    ("invalid by another rule", 1, 0, 0, "!"),
    ("rejected", 1, 0, 0, "+"),
    ("member, rejected", 1, 1, 0, "-"),
]
REFUSED = [
    ("invalid by another rule", "!", "the id contains a tab."),
    *((id_, "-", "it is no date.") for id_ in ("member, now invalid", "unsure, now invalid")),
]
REJECTED = [(id_, "+", "rejected by Batch") for id_ in ("rejected", "member, rejected")]

#: What the log has of them.
ALWAYS = {
    ("new", "+", "new"),
    ("unsure", "+", "new"),
    ("gone", "-", "gone"),
    ("withdrawn", "-", "withdrawn"),
    ("invalid", "!", "the id is missing, empty or too long"),
    ("member, now invalid", "-", "it is no date."),
    ("unsure, now invalid", "-", "withdrawn"),
    ("invalid by another rule", "!", "the id contains a tab."),
    ("rejected", "!", "rejected by Batch"),
    ("member, rejected", "!", "rejected by Batch"),
}
#: Whom a replace was to keep, but Batch rejected.
LOST = {("member, rejected", "-", "gone")}
SENT_AGAIN = {("other", "+", "other attributes"), ("again", "+", "sent again")}

CHANGE = Change(NOW, "monday", "d1", "x1", "r1")


@pytest.fixture
def tables(tables_in_sqlite: Connections) -> Connections:
    """A database with the tables of one run."""
    make(tables_in_sqlite, "d1", "id, n, o, u, op", MOVES)
    for name, rows in (("x1", REFUSED), ("r1", REJECTED)):
        make(tables_in_sqlite, name, "id, op, why", rows)
    return tables_in_sqlite


def make(connections: Connections, name: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    connections.run(f"CREATE TABLE {NAME}_{name} ({columns})", f"INSERT INTO {NAME}_{name} VALUES {str(rows)[1:-1]}")


@pytest.fixture
def session(tables: Connections) -> Iterator[Session]:
    with Database(tables.get_conn).session() as session:
        yield session


@pytest.fixture
def keeper() -> Keeper:
    return Keeper("main", NAME)


def done() -> bool:
    """What is to be done with what is in the log."""
    return True


def logged(connections: Connections) -> list[tuple[Any, ...]]:
    return connections.run(f"SELECT * FROM {LOG}")


@pytest.mark.parametrize(("replaces", "expected"), [(False, ALWAYS | SENT_AGAIN), (True, ALWAYS | LOST)])
def test_every_change_is_logged_with_its_reason(
    replaces: bool, expected: set[Any], tables: Connections, session: Session, keeper: Keeper
) -> None:
    if replaces:  # which leaves nothing as it was
        tables.run(f"DELETE FROM {NAME}_d1 WHERE op = '='")
    change = replace(CHANGE, replaces=replaces)
    with local_zone("Asia/Tokyo"):  # the log has the time of UTC
        assert ChangeLog(keeper, 30).keep(session, [change], NOW, done)
    rows = logged(tables)
    assert {(at, run, changes) for at, run, _, _, _, changes in rows} == {("2026-09-21 14:13:20", "monday", "d1")}
    assert sorted(row[2:5] for row in rows) == sorted(expected)


def test_without_invalid_and_rejected_ids_there_are_only_moves(
    tables: Connections, session: Session, keeper: Keeper
) -> None:
    ChangeLog(keeper, 30).keep(session, [Change(NOW, "monday", "d1")], NOW, done)
    assert {row[2:5] for row in logged(tables)} == {
        *((id_, op, why) for id_, op, why in ALWAYS | SENT_AGAIN if "invalid" not in id_ and "rejected" not in id_),
        ("rejected", "+", "new"),
        *((id_, "-", "gone") for id_ in ("member, rejected", "member, now invalid")),
        ("unsure, now invalid", "-", "withdrawn"),
        *((id_, "!", "the id is missing, empty or too long") for id_ in ("invalid", "invalid by another rule")),
    }


def test_the_log_has_the_columns_that_are_documented(tables: Connections, session: Session, keeper: Keeper) -> None:
    ChangeLog(keeper, 30).keep(session, [CHANGE], NOW, done)
    columns = [name for _, name, *_ in tables.run(f"PRAGMA table_info({LOG})")]
    assert columns == ["at", "run", "id", "op", "why", "changes"]


def test_rows_of_the_log_can_change_though_the_database_publishes_all_tables(
    tables: Connections, session: Session, keeper: Keeper
) -> None:
    session.dialect = replace(session.dialect, publish="CREATE TABLE {}_is_published AS SELECT 1 AS x")
    ChangeLog(keeper, 30).keep(session, [CHANGE], NOW, done)
    assert f"{LOG}_is_published" in tables.tables()


def test_what_is_in_the_log_is_not_appended_again(tables: Connections, session: Session, keeper: Keeper) -> None:
    make(tables, "d2", "id, n, o, u, op", [("tuesday's", 1, 0, 0, "+")])
    log, later = ChangeLog(keeper, 30), Change(NOW + 60, "tuesday", "d2")
    log.keep(session, [CHANGE], NOW, done)
    before = logged(tables)
    # Its head could not be changed after that.
    assert log.keep(session, [CHANGE, later], NOW, done)
    assert logged(tables) == [*before, ("2026-09-21 14:14:20", "tuesday", "tuesday's", "+", "new", "d2")]


def test_the_log_forgets_what_is_older_than_its_days(tables: Connections, session: Session, keeper: Keeper) -> None:
    log = ChangeLog(keeper, 3)
    for number, age in enumerate((3 * DAY, 3 * DAY + 1, 4 * DAY)):
        make(tables, f"d{number}0", "id, n, o, u, op", [(f"id-{number}", 1, 0, 0, "+")])
        log.keep(session, [Change(NOW - age, "run", f"d{number}0")], NOW - 9 * DAY, done)
    assert [id_ for _, _, id_, *_ in logged(tables)] == ["id-0", "id-1", "id-2"]
    log.keep(session, [Change(NOW, "run", "d1")], NOW, done)
    assert [id_ for _, _, id_, *_ in logged(tables) if id_.startswith("id-")] == ["id-0"]


def test_a_log_is_kept_for_some_days_or_not_at_all(keeper: Keeper) -> None:
    for days, is_kept in ((0, False), (1, True)):
        assert ChangeLog(keeper, days).is_kept is is_kept


@pytest.mark.parametrize("error", [SourceError("down"), MirrorConflictError("overtaken")])
def test_nothing_is_appended_whose_run_cannot_go_on(
    error: Exception, tables: Connections, session: Session, keeper: Keeper, told: Callable[[], str]
) -> None:
    """The next run would append it again."""
    log = ChangeLog(keeper, 30)
    assert log.keep(session, [CHANGE], NOW, Mock(side_effect=error)) is None
    assert f" the log of main.{NAME} could not be written; the next run does it: {error}\n" in told()
    assert logged(tables) == []
    assert log.keep(session, [CHANGE], NOW, done)
    assert len({*logged(tables)}) == len(logged(tables)) > 0


def test_a_log_that_cannot_be_written_is_left_to_the_next_run(
    tables: Connections, session: Session, keeper: Keeper, told: Callable[[], str]
) -> None:
    tables.run(f"CREATE TABLE {LOG} (x INT)")
    log, forget = ChangeLog(keeper, 30), Mock()
    assert log.keep(session, [CHANGE], NOW, forget) is None
    why = "a statement of the mirror failed (OperationalError, SQLITE_ERROR). Its message is not shown"
    assert f" the log of main.{NAME} could not be written; the next run does it: {why}" in told()
    assert logged(tables) == []
    forget.assert_not_called()


def test_the_first_changes_of_all_say_nothing(
    tables: Connections, session: Session, keeper: Keeper, told: Callable[[], str]
) -> None:
    assert ChangeLog(keeper, 30).keep(session, [CHANGE], NOW, done)
    assert logged(tables)
    assert "lacks" not in told()


@pytest.mark.parametrize("name", ["d1", "x1", "r1"])
@pytest.mark.parametrize("is_there", [False, True])
def test_changes_whose_table_somebody_has_dropped_do_not_keep_others_from_the_log(
    name: str, is_there: bool, tables: Connections, session: Session, keeper: Keeper, told: Callable[[], str]
) -> None:
    make(tables, "d2", "id, n, o, u, op", [("tuesday's", 1, 0, 0, "+")])
    log = ChangeLog(keeper, 30)
    if is_there:
        log.keep(session, [], NOW, done)
    tables.run(f"DROP TABLE {NAME}_{name}")
    assert log.keep(session, [CHANGE, Change(NOW, "tuesday", "d2")], NOW, done)
    assert [row[1:3] for row in logged(tables)] == [("tuesday", "tuesday's")]
    assert f" the log of main.{NAME} lacks the changes of a run: somebody has dropped their table\n" in told()


def test_names_are_spelled_alike_in_every_statement(session: Session, keeper: Keeper) -> None:
    """MySQL tells capitals in names of tables, and PostgreSQL in names in quotes."""
    statements: list[str] = []
    session._connection.set_trace_callback(statements.append)
    ChangeLog(keeper, 30).keep(session, [CHANGE], NOW, done)
    ours = [sql for sql in statements if LOG in sql.lower()]
    found = {name for sql in ours for name in re.findall(r'main\.\w+|"\w+"', sql, re.IGNORECASE)}
    assert found == {'"at"', *(f"main.{NAME}_{end}" for end in ("log", "d1", "x1", "r1"))}
