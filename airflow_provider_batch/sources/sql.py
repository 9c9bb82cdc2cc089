"""The rows of a query over any DB-API connection; with a server-side cursor where the driver has one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final
from uuid import uuid4

from airflow_provider_batch.exceptions import SourceError, SourceUnavailableError
from airflow_provider_batch.protocol.rows import Rows
from airflow_provider_batch.sources.columns import Columns, Selection, cells
from airflow_provider_batch.sources.source import Source

#: What errors and places call the source.
_SOURCE: Final = "the query"

# The classes of SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html).
#: Transient: a lost connection, a rollback by the database, resources, an operator's intervention, the system.
_TRANSIENT_STATES: Final = {"08", "40", "53", "55", "57", "58"}
#: Their messages quote values: invalid data, violated constraints, errors that a function of the database raises.
_QUOTING_STATES: Final = {"22", "23", "P0"}
#: The exceptions of PEP 249 whose messages are about the query or the connection.
_QUOTABLE_ERRORS: Final = {"ProgrammingError", "OperationalError", "InterfaceError", "NotSupportedError"}
_SQLITE_ERROR: Final = 1  # https://www.sqlite.org/rescode.html#error: no such table, a syntax error
_LONGEST_MESSAGE: Final = 300


class SqlSource(Source):
    """
    The rows of one query. Its connection is open while its blocks are read, and never commits.

    :param hook: an Airflow hook for a database, or any object whose ``get_conn`` returns a DB-API connection.
    :param sql: one query.
    :param parameters: the values of its placeholders, in the driver's own style.
    :param columns: the columns to read; by default the only one.
    """

    #: A second run of the query may return other rows, or another order; but it can be run again.
    rereadable = False
    restartable = True

    def __init__(self, hook: Any, sql: str, parameters: Any = None, columns: Columns | None = None) -> None:
        self._hook = hook
        self._sql = sql
        self._parameters = parameters
        self._columns = columns or Columns()

    def blocks(self, size: int) -> Iterator[Rows]:
        """
        Run the query and yield its rows in blocks of at most *size*.

        :raises SourceError: if the query fails, returns no rows, or lacks a column.
        """
        connection = _run(self._hook.get_conn)
        close = [connection.close]
        try:
            cursor, cursor_first = _run(lambda: _open_cursor(connection))
            close.insert(0 if cursor_first else 1, cursor.close)
            with suppress(AttributeError):
                cursor.arraysize = size  # some drivers fetch so many rows at once, whatever fetchmany requests
            _run(lambda: cursor.execute(self._sql, *(() if self._parameters is None else (self._parameters,))))
            yield from _blocks(cursor, self._columns, size)
        finally:
            for function in close:
                with suppress(Exception):  # the rows have been read, or another error is on its way
                    function()


def _blocks(cursor: Any, columns: Columns, size: int) -> Iterator[Rows]:
    if not _is_server_side(cursor):
        _column_names(cursor)  # for its error: without rows, each driver's fetchmany fails with a message of its own
    selection: Selection[int] | None = None
    rows_before = 0
    while True:
        rows = _run(partial(cursor.fetchmany, size))
        # Only now: a server-side cursor of psycopg2 has its columns after the first fetch.
        selection = selection or columns.select(_column_names(cursor), _SOURCE)
        if not rows:
            return
        if isinstance(rows[0], Mapping):  # the connection is set to return rows as dicts
            rows = [list(row.values()) for row in rows]
        yield Rows(selection.values(partial(cells, rows)), partial(_place, rows_before))
        rows_before += len(rows)


def _place(rows_before: int, number: int) -> str:
    return f"row {rows_before + number + 1:,} of {_SOURCE}"


def _column_names(cursor: Any) -> list[str]:
    if cursor.description is None:
        raise SourceError(f"{_SOURCE} returns no result set. Use a SELECT, or another statement that returns rows.")
    return [str(column[0]) for column in cursor.description]


# Most drivers read a whole result into the worker's memory on execute. With a server-side cursor it comes in parts:
# psycopg and psycopg2 open one if it has a name, and only in a transaction; MySQL's drivers have a class of cursors,
# whose close reads all remaining rows unless the connection is closed first. Other drivers get a plain cursor.
def _open_cursor(connection: Any) -> tuple[Any, bool]:
    """Open a cursor, server-side if possible; return it, and whether to close it before the connection."""
    driver = type(connection).__module__.partition(".")[0]
    if driver in ("psycopg", "psycopg2"):
        if connection.autocommit:
            connection.autocommit = False
        # Rows as tuples, whatever the connection is set to.
        as_tuples = (
            {"row_factory": sys.modules["psycopg.rows"].tuple_row}
            if driver == "psycopg"
            else {"cursor_factory": sys.modules["psycopg2.extensions"].cursor}
        )
        return connection.cursor(name=f"airflow_provider_batch_{uuid4().hex}", **as_tuples), True
    if driver in ("MySQLdb", "pymysql"):
        return connection.cursor(sys.modules[f"{driver}.cursors"].SSCursor), False
    return connection.cursor(), True


def _is_server_side(cursor: Any) -> bool:
    return bool(getattr(cursor, "name", None)) and type(cursor).__module__.startswith("psycopg")


def _run(operation: Callable[[], Any]) -> Any:
    """Return the result of *operation*; a driver's error becomes a SourceError that quotes no row."""
    try:
        return operation()
    except Exception as error:  # the errors of drivers have their names in common, but no base class
        if not _is_driver_error(error):
            raise
        source_error = _source_error(error)
    # Raised outside the except block: there, the driver's error would become its context, and may quote a row.
    raise source_error


def _is_driver_error(error: Exception) -> bool:
    return not {"DatabaseError", "InterfaceError"}.isdisjoint(_class_names(error))


def _class_names(error: Exception) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


# Which message is repeated. An error about the query or the connection has to name the missing table or the refused
# host. An error about data names the data: PostgreSQL's 22P02 is 'invalid input syntax for type integer: "jane@…"'. By
# PEP 249 the latter are DataError and IntegrityError, but drivers choose among its classes freely; so a message is
# repeated only if the class is one of the others and the SQLSTATE, where there is one, is not about data.
def _source_error(error: Exception) -> SourceError:
    state = str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")
    kind = type(error).__name__ + (f", SQLSTATE {state}" if state else "")
    if _class_names(error).isdisjoint(_QUOTABLE_ERRORS) or state[:2] in _QUOTING_STATES:
        detail = ". Run it in the database's own client to see the message, which may quote a row."
    else:
        detail = f": {(str(error).strip().splitlines() or ['no message'])[0][:_LONGEST_MESSAGE]}"
    error_class = SourceUnavailableError if _is_transient(error, state) else SourceError
    return error_class(f"{_SOURCE} failed ({kind}){detail}")


def _is_transient(error: Exception, state: str) -> bool:
    if state:
        return state[:2] in _TRANSIENT_STATES
    if getattr(error, "sqlite_errorcode", None) == _SQLITE_ERROR:
        return False
    return not {"OperationalError", "InterfaceError"}.isdisjoint(_class_names(error))
