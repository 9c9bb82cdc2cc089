"""The rows of a query over any DB-API connection; with a server-side cursor where the driver has one."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final
from uuid import uuid4

from airflow_provider_batch.exceptions import SourceError, SourceUnavailableError
from airflow_provider_batch.protocol.rows import Rows, in_blocks
from airflow_provider_batch.sources.columns import Columns, Selection, cells
from airflow_provider_batch.sources.source import FEW, Source

#: What errors and places call the source.
_SOURCE: Final = "the query"

# The SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html).
#: Classes that are transient: a lost connection, a rollback by the database, resources, an intervention, the system.
_TRANSIENT_STATES: Final = {"08", "40", "53", "55", "57", "58"}
_DENIED: Final = "42501"
#: MySQL's drivers have one class for these and for most errors about values. 2000 to 2999 are those of the connection:
#: https://dev.mysql.com/doc/mysql-errors/8.4/en/client-error-reference.html
_TRANSIENT_MYSQL: Final = {
    *(1037, 1038, 1040, 1041, 1047, 1053, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1205, 1213, 1226, 1317, 1927),
    *(1969, 3024, 4031, *range(2000, 3000)),
}
#: SQLite's primary codes for a lock, memory, an interruption, the disk: https://www.sqlite.org/rescode.html
_TRANSIENT_SQLITE: Final = {5, 6, 7, 9, 10, 13, 14, 15}

# Errors whose messages are about the query, and quote nothing but names in it: its syntax, a table, column or function
# that is missing or ambiguous, a missing permission.
_SAFE_STATES: Final = {"42601", "42P01", "42703", "42702", "42803", "42883", "3F000"}
_POSTGRESQL: Final = {"psycopg", "psycopg2"}
_MYSQL: Final = {"MySQLdb", "pymysql", "mysql"}
#: https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
_SAFE_MYSQL: Final = {
    *(1044, 1045, 1046, 1049, 1052, 1054, 1055, 1060, 1064, 1071, 1104, 1118, 1140, 1142, 1143, 1146, 1173, 1227, 1234),
    *(1267, 1270, 1271, 1290, 1305, 1370, 1709, 1792, 3750),
}
#: In place of messages that quote a value: text in another encoding, or bytes, in a place for text; and of what is only
#: a warning where a query does nothing but read.
_MEANINGS_MYSQL: Final[dict[object, str]] = {
    1300: "a value is not text in UTF-8. Leave its column out, or make text of it in the query: HEX(…) of bytes",
    **dict.fromkeys(
        (1260, 1264, 1265, 1292, 1366, 1406, 1411),
        "a value does not fit the type that the query makes of it, for which a server in strict mode writes no table. "
        "Correct the value in the query: CASE WHEN x REGEXP '^[0-9]+$' THEN x END before a CAST to a number",
    ),
}
#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_MEANINGS_POSTGRESQL: Final = {
    "42P16": "a column of the query has a type that no table can have, such as a record without a name. Cast it",
    "42P22": 'a column of the query is made of texts with several collations. Write COLLATE "C" behind it',
}
_SAFE_DUCKDB: Final = {"ParserException", "CatalogException", "BinderException", "PermissionException"}
_LOCKED_DUCKDB: Final = (
    "Could not set lock on file",
    "another process has the file open, and while one writes, no other can open it. Retry",
)
_SQLITE_ERROR: Final = 1  # https://www.sqlite.org/rescode.html#error: besides these, what functions raise about values
_SAFE_SQLITE: Final = re.compile(
    r'no such (table|column|function|collation sequence): .*|near ".*": syntax error|ambiguous column name: .*'
    r"|incomplete input|wrong number of arguments to function .*|unrecognized token: .*"
)
_LONGEST_MESSAGE: Final = 300
#: The characters that a beginning of a parameter has at least; shorter ones are those of too many names.
_LEAST_PART: Final = 3

#: The drivers that are treated by their name; the classes of a user may derive from theirs.
_DRIVERS: Final = {"sqlite3", "duckdb", "_duckdb", *_POSTGRESQL, *_MYSQL}

#: The drivers whose connections have autocommit as an attribute; sqlite3 since Python 3.12.
_WITH_AUTOCOMMIT: Final = {"psycopg", "psycopg2", "mysql", "redshift_connector", "sqlite3"}


class SqlSource(Source):
    """
    The rows of one query. Its connection is open while its blocks are read, and never commits.

    Where the reading may fail, close the source: the traceback would keep the connection open, and a SQLite locked.

    :param hook: an Airflow hook for a database, or any object whose ``get_conn`` returns a DB-API connection.
    :param sql: one query.
    :param parameters: the values of its placeholders, in the driver's own style.
    :param columns: the columns to read; by default the only one.
    """

    #: A second run of the query may return other rows, or another order; but it can be run again.
    rereadable = False
    restartable = True

    def __init__(self, hook: Any, sql: str, parameters: Any = None, columns: Columns | None = None) -> None:
        self.hook = hook
        self.sql = sql
        self.parameters = parameters
        self.columns = columns or Columns()
        self._open: list[list[Callable[[], object]]] = []

    def close(self) -> None:
        """Close the connections of runs that were not read to their end."""
        for functions in self._open:
            _close(functions)

    def blocks(self, size: int) -> Iterator[Rows]:
        """
        Run the query and yield its rows in blocks of at most *size*.

        :raises SourceError: if the query fails, returns no rows, or lacks a column.
        """
        connection = _run(self.hook.get_conn, is_driver_error)
        close = [connection.close]
        self._open.append(close)
        try:
            cursor, cursor_first = _run(lambda: open_cursor(connection), is_driver_error)
            close.insert(0 if cursor_first else 1, cursor.close)
            with suppress(AttributeError):
                cursor.arraysize = size  # some drivers fetch so many rows at once, whatever fetchmany requests
            _run(lambda: cursor.execute(self.sql, *given(self.parameters)), parameters=self.parameters)
            yield from _blocks(cursor, self.columns, size)
        finally:
            self._open.remove(close)
            _close(close)


def given(parameters: Any) -> tuple[Any, ...]:
    """Return the arguments of ``execute`` after the statement: not every driver takes None for no parameters."""
    return () if parameters is None else (parameters,)


def _close(functions: Iterable[Callable[[], object]]) -> None:
    for function in functions:
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
            rows = _by_name(rows, _column_names(cursor))
        for few in [rows] if selection.only_id else in_blocks(rows, FEW):
            yield Rows(selection.values(partial(cells, few)), partial(_place, rows_before))
            rows_before += len(few)


def _by_name(rows: list[Mapping[str, object]], names: list[str]) -> list[list[object]]:
    # Of two columns with one name, a dict has only one, or the driver has renamed the other.
    if len(set(names)) == len(names) and all(row.keys() >= set(names) for row in rows):
        return [[row[name] for name in names] for row in rows]
    raise SourceError(
        f"{_SOURCE}: the connection returns rows as dicts, whose keys are not the names of the columns. Give each "
        "column a name of its own with AS."
    )


def _place(rows_before: int, number: int) -> str:
    return f"row {rows_before + number + 1:,} of {_SOURCE}"


def _column_names(cursor: Any) -> list[str]:
    if cursor.description is None:
        raise SourceError(f"{_SOURCE} returns no result set. Use a SELECT, or another statement that returns rows.")
    return [str(column[0]) for column in cursor.description]


# Most drivers read a whole result into the worker's memory on execute. With a server-side cursor it comes in parts:
# psycopg and psycopg2 open one if it has a name, and only in a transaction; MySQL's drivers have a class of cursors,
# whose close reads all remaining rows unless the connection is closed first. Other drivers get a plain cursor.
def open_cursor(connection: Any) -> tuple[Any, bool]:
    """Open a cursor, server-side if possible; return it, and whether to close it before the connection."""
    driver = driver_of(connection)
    if driver in _POSTGRESQL:
        end_autocommit(connection)
        # Rows as tuples, whatever the connection is set to.
        as_tuples = (
            {"row_factory": sys.modules["psycopg.rows"].tuple_row}
            if driver == "psycopg"
            else {"cursor_factory": sys.modules["psycopg2.extensions"].cursor}
        )
        return connection.cursor(name=f"airflow_provider_batch_{uuid4().hex}", **as_tuples), True
    if driver in ("MySQLdb", "pymysql"):
        return connection.cursor(sys.modules[f"{driver}.cursors"].SSCursor), False
    return plain_cursor(connection), True


def plain_cursor(connection: Any) -> Any:
    """Open a cursor of a driver that has only one kind; in SQLite, too, its rows are tuples whatever is set."""
    cursor = connection.cursor()
    if driver_of(connection) == "sqlite3":
        cursor.row_factory = None
    return cursor


def end_autocommit(connection: Any) -> None:
    """Turn autocommit off, so that statements wait for a commit, as PEP 249 has it."""
    driver = driver_of(connection)
    if driver in ("MySQLdb", "pymysql"):
        connection.autocommit(False)
    elif driver in _WITH_AUTOCOMMIT and getattr(connection, "autocommit", False) is True:
        connection.autocommit = False
    elif driver == "sqlite3" and connection.isolation_level is None:
        connection.isolation_level = "DEFERRED"


def _is_server_side(cursor: Any) -> bool:
    return bool(getattr(cursor, "name", None)) and driver_of(cursor).startswith("psycopg")


def _run(
    operation: Callable[[], Any], is_covered: Callable[[Exception], bool] = lambda _: True, parameters: Any = None
) -> Any:
    """
    Return the result of *operation*; an error becomes a SourceError that quotes no row, and none of *parameters*.

    :param is_covered: for which errors; by default for all, since not even drivers keep to those of PEP 249.
    """
    try:
        return operation()
    except Exception as error:  # the errors of drivers have their names in common, but no base class
        if not is_covered(error):
            raise
        found = source_error(error, parameters=parameters)
    # Raised outside the except block: there, the driver's error would become its context, and may quote a row.
    raise found


def is_driver_error(error: Exception) -> bool:
    """Whether the error is one of the DB-API's."""
    return not {"DatabaseError", "InterfaceError"}.isdisjoint(_class_names(error))


def _class_names(error: Exception) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


# Which message is repeated. An error about the query has to name the missing table. An error about data names the data:
# PostgreSQL's 22P02 is 'invalid input syntax for type integer: "jane@…"'. By PEP 249 the latter are DataError and
# IntegrityError, but drivers choose among its classes freely, and so do servers among the SQLSTATEs that are not listed
# above. So only messages known to be of the first kind are repeated; of the others, their class and number.
def source_error(
    error: Exception, what: str = _SOURCE, *, reads_rows: bool = True, parameters: Any = None
) -> SourceError:
    """
    Return the error that stands for a driver's.

    :param what: what failed with it.
    :param reads_rows: whether the statement has to do with rows of a user, which the message may quote.
    :param parameters: those of the statement. Some drivers put them into its text, from which the message may quote.
    """
    number = _number(error)
    message = (str(error).strip().splitlines() or [""])[0][:_LONGEST_MESSAGE]
    is_safe = _is_safe(error, message)
    is_shown = is_safe and not _quotes(message, parameters)
    if is_shown or not reads_rows:
        detail = f": {message}" if message else ""
    elif meaning := _meaning(error, message):
        detail = f": {meaning}."
    else:
        detail = (
            ". Its message is not shown, because it may quote a row: check the connection, the query and its "
            "parameters, or run it in the database's own client."
        )
    kind = type(error).__name__ + (f", {number}" if number else "")
    error_class = SourceUnavailableError if _is_transient(error) and not is_safe else SourceError
    return error_class(f"{what} failed ({kind}){detail}")


def state_of(error: Exception) -> str:
    """Return the SQLSTATE; empty if there is none."""
    first = error.args[0] if error.args else None
    if isinstance(first, Mapping):  # pg8000, redshift_connector: the fields of the answer
        first = first.get("C")
    elif type(error).__module__ != "pyodbc":
        first = None
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or first or "")[:5]


def _meaning(error: Exception, message: str) -> str | None:
    """Return what stands in place of a message that may quote a value, or a secret; None if that is not known."""
    if driver_of(error) in _MYSQL:
        return _MEANINGS_MYSQL.get(error.args[0] if error.args else None)
    if driver_of(error) in _POSTGRESQL:
        return _MEANINGS_POSTGRESQL.get(state_of(error))
    return _LOCKED_DUCKDB[1] if _LOCKED_DUCKDB[0] in message else None


def _quotes(message: str, parameters: Any) -> bool:
    """Whether a message quotes one of the parameters, or the beginning of a word in one."""
    values = parameters.values() if isinstance(parameters, Mapping) else parameters or ()
    texts = [str(each) for value in values for each in (value if isinstance(value, list | tuple | set) else [value])]
    message = re.sub(r" at line \d+\W*$", "", message)
    quoted = [part for part in re.split("[\"'`]", message)[1:] if len(part.strip()) >= _LEAST_PART]
    return any(
        (text and text in message and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", message))
        or any(part in text and re.search(rf"(?<!\w){re.escape(part)}", text) for part in quoted)
        for text in texts
    )


def _number(error: Exception) -> str:
    """Return what the driver calls the error beside its class; empty if that is not known."""
    first = error.args[0] if error.args and is_driver_error(error) else None
    number = f"error {first}" if type(first) is int else ""
    if number and driver_of(error) in _MYSQL:  # of which many have the same state
        return number
    if state := state_of(error):
        return f"SQLSTATE {state}"
    return str(getattr(error, "sqlite_errorname", None) or number)


def driver_of(thing: object, known: Container[str] = _DRIVERS) -> str:
    """
    Return the first part of the name of the driver's module that a connection, a cursor or an error is from.

    :param known: the modules that are looked for among those of its base classes; without one, its own is returned.
    """
    modules = [kind.__module__.partition(".")[0] for kind in type(thing).__mro__]
    return next((module for module in modules if module in known), modules[0])


def _is_safe(error: Exception, message: str) -> bool:
    driver = driver_of(error)
    if driver in _MYSQL:
        return bool(_SAFE_MYSQL.intersection(error.args[:1]))
    if driver in ("duckdb", "_duckdb"):
        return type(error).__name__ in _SAFE_DUCKDB
    if getattr(error, "sqlite_errorcode", None) == _SQLITE_ERROR:
        return bool(_SAFE_SQLITE.fullmatch(message))
    # PostgreSQL raises some of these about values (to_tsquery, regclass), but then names no place in the query.
    state = state_of(error) if driver in _POSTGRESQL else ""
    return state == _DENIED or (state in _SAFE_STATES and error.diag.statement_position is not None)  # type: ignore[attr-defined]


def _is_transient(error: Exception) -> bool:
    first = error.args[0] if error.args else None
    if driver_of(error) in _MYSQL and isinstance(first, int) and first:
        return first in _TRANSIENT_MYSQL
    if state := state_of(error):
        return state[:2] in _TRANSIENT_STATES
    if driver_of(error) == "sqlite3":  # without a number: text that is not UTF-8
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _TRANSIENT_SQLITE
    if not is_driver_error(error):  # one of the network, unless it is Python's about parameters or bytes
        return not isinstance(error, TypeError | ValueError | LookupError)
    return not {"OperationalError", "InterfaceError"}.isdisjoint(_class_names(error))
