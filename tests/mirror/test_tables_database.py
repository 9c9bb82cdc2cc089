"""What an error of a database's driver becomes: its message may quote a row."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.mirror.tables.database import Database, Session

MESSAGE = "a row of secret-1"


class _Cursor:
    def execute(self, *arguments: Any) -> None:
        raise sqlite3.DatabaseError(MESSAGE)

    def close(self) -> None: ...


class Failing:
    """A connection of which every statement fails with a message that quotes a row."""

    def cursor(self) -> _Cursor:
        return _Cursor()

    def rollback(self) -> None: ...

    def close(self) -> None: ...


Failing.__module__ = "sqlite3"

QUERY = "SELECT id FROM members"


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        (lambda session: session.execute(QUERY), "a statement of the mirror"),
        (lambda session: session.execute(QUERY, what="the comparison"), "the comparison"),
        (lambda session: session.rows(QUERY), "a query of the mirror"),
        (lambda session: session.rows(QUERY, what="the comparison"), "the comparison"),
        (lambda session: session.number(QUERY), "a query of the mirror"),
        (lambda session: session.columns(QUERY), "the query"),
        (lambda session: list(session.stream(QUERY, None, 10)), "the query"),
        (lambda session: session.insert("t", "{}", [["secret-1"]]), "a statement of the mirror"),
    ],
)
def test_no_row_is_quoted_of_a_statement_that_may_read_one(operation: Callable[[Session], Any], what: str) -> None:
    with Database(Failing).session() as session, pytest.raises(SourceError) as caught:
        operation(session)
    assert str(caught.value).startswith(f"{what} failed (DatabaseError")
    assert "secret" not in repr((caught.value, caught.value.__cause__, caught.value.__context__))


@pytest.mark.parametrize("name", ["execute", "rows"])
def test_a_statement_that_reads_no_rows_has_the_words_of_the_driver(name: str) -> None:
    with Database(Failing).session() as session, pytest.raises(SourceError, match=MESSAGE):
        getattr(session, name)("CREATE TABLE t (id TEXT)", reads_rows=False)
