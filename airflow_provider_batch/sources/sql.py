"""Rows of a query, from any DB-API connection; through a cursor on the server where the driver has one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final
from uuid import uuid4

from airflow_provider_batch.exceptions import SourceError, SourceUnavailableError
from airflow_provider_batch.protocol.rows import Rows
from airflow_provider_batch.sources.columns import Columns, Picks, cells
from airflow_provider_batch.sources.source import Source

WHERE: Final = "the query"

#: SQLSTATEs by their class (https://www.postgresql.org/docs/current/errcodes-appendix.html): a connection, a
#: transaction that was rolled back, resources, an operator's intervention, the system. Those may pass.
_MAY_PASS: Final = {"08", "40", "53", "55", "57", "58"}
#: Those quote what is in a row: invalid values, broken constraints, what a function of the database raises.
_QUOTES_ROWS: Final = {"22", "23", "P0"}
#: Classes of the DB-API whose messages are about the query or the connection.
_ABOUT_THE_QUERY: Final = {"ProgrammingError", "OperationalError", "InterfaceError", "NotSupportedError"}
_SQLITE_ERROR: Final = 1  # https://www.sqlite.org/rescode.html#error: no such table, a syntax error
_LONGEST_MESSAGE: Final = 300


class SqlSource(Source):
    """
    What one query returns. Its connection is open from the first block to the last, and never commits.

    :param hook: an Airflow hook for a database (anything with a ``get_conn`` that returns a DB-API connection).
    :param sql: one query.
    :param parameters: what its placeholders stand for, in the driver's own style.
    :param columns: which of its columns to read; by default its only one.
    """

    #: Its rows may be others, or in another order, the next time; but it can be asked anew.
    rereadable = False
    restartable = True

    def __init__(self, hook: Any, sql: str, parameters: Any = None, columns: Columns | None = None) -> None:
        self._hook = hook
        self._sql = sql
        self._parameters = parameters
        self._columns = columns or Columns()

    def blocks(self, size: int) -> Iterator[Rows]:
        """
        Run the query, each time anew, and yield its rows in blocks of *size*.

        :raises SourceError: if it fails, returns no rows, or lacks a column.
        """
        connection = _asked(self._hook.get_conn)
        close = [connection.close]
        try:
            cursor, closed_first = _asked(lambda: _cursor(connection))
            close.insert(0 if closed_first else 1, cursor.close)
            with suppress(AttributeError):
                cursor.arraysize = size  # what some drivers fetch at once, whatever fetchmany is told
            _asked(lambda: cursor.execute(self._sql, *(() if self._parameters is None else (self._parameters,))))
            yield from _blocks(cursor, self._columns, size)
        finally:
            for function in close:
                with suppress(Exception):  # what matters has been read, or has failed already
                    function()


def _blocks(cursor: Any, columns: Columns, size: int) -> Iterator[Rows]:
    if not _is_on_the_server(cursor):
        _names(cursor)  # before the first fetch, which fails in the driver's own words where there is nothing to fetch
    picks: Picks[int] | None = None
    seen = 0
    while True:
        rows = _asked(partial(cursor.fetchmany, size))
        # A cursor of psycopg2 on the server knows its columns only now.
        picks = picks or columns.pick(_names(cursor), WHERE)
        if not rows:
            return
        if isinstance(rows[0], Mapping):  # the connection asks for rows as dicts
            rows = [list(row.values()) for row in rows]
        yield Rows(picks.values(partial(cells, rows)), partial(_place, seen))
        seen += len(rows)


def _place(before: int, number: int) -> str:
    return f"row {before + number + 1:,} of {WHERE}"


def _names(cursor: Any) -> list[str]:
    if cursor.description is None:
        raise SourceError(f"{WHERE} returns no rows: it has to be a SELECT, or another statement that returns some")
    return [str(column[0]) for column in cursor.description]


def _cursor(connection: Any) -> tuple[Any, bool]:
    """Open a cursor that leaves the rows on the server, where that is to be had, and say if it is closed first."""
    driver = type(connection).__module__.partition(".")[0]
    if driver in ("psycopg", "psycopg2"):
        # Such a cursor lives in a transaction.
        if connection.autocommit:
            connection.autocommit = False
        # Rows as tuples, whatever the connection asks for.
        plain = (
            {"row_factory": sys.modules["psycopg.rows"].tuple_row}
            if driver == "psycopg"
            else {"cursor_factory": sys.modules["psycopg2.extensions"].cursor}
        )
        return connection.cursor(name=f"airflow_provider_batch_{uuid4().hex}", **plain), True
    if driver in ("MySQLdb", "pymysql"):
        # Its close reads the rest of the rows, unless the connection is closed before.
        return connection.cursor(sys.modules[f"{driver}.cursors"].SSCursor), False
    return connection.cursor(), True


def _is_on_the_server(cursor: Any) -> bool:
    return bool(getattr(cursor, "name", None)) and type(cursor).__module__.startswith("psycopg")


def _asked(ask: Callable[[], Any]) -> Any:
    """Return what the driver answers; its own errors are retold, without what they quote of rows."""
    try:
        return ask()
    except Exception as error:  # drivers share the names of their errors, but no class
        if not _is_of_a_driver(error):
            raise
        retold = _retold(error)
    # Not where the driver's error is at hand: it would go along as the context.
    raise retold


def _is_of_a_driver(error: Exception) -> bool:
    return not {"DatabaseError", "InterfaceError"}.isdisjoint(_kinds(error))


def _kinds(error: Exception) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _retold(error: Exception) -> SourceError:
    state = str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")
    kind = type(error).__name__ + (f", SQLSTATE {state}" if state else "")
    if _kinds(error).isdisjoint(_ABOUT_THE_QUERY) or state[:2] in _QUOTES_ROWS:
        said = "what the database says may quote a row; run the query in the database's own client to see it"
    else:
        said = (str(error).strip().splitlines() or ["no reason given"])[0][:_LONGEST_MESSAGE]
    return (SourceUnavailableError if _may_pass(error, state) else SourceError)(f"{WHERE} failed ({kind}): {said}")


def _may_pass(error: Exception, state: str) -> bool:
    if state:
        return state[:2] in _MAY_PASS
    if getattr(error, "sqlite_errorcode", None) == _SQLITE_ERROR:
        return False
    return not {"OperationalError", "InterfaceError"}.isdisjoint(_kinds(error))
