"""
Statements over a DB-API connection, each committed by itself.

What is kept true: nothing that was read or written depends on a transaction that is still open. Not every database has
transactions of more than one statement, and some end them at every CREATE TABLE. So after each statement comes a
commit, and before the next one its failure is known. Only the log is appended in a transaction, see the module log.

A connection is open while a step of a run needs it, and never while calls are made: those may take an hour, after which
many a server has closed it.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from itertools import islice
from typing import Any, Final, TypeVar

from airflow_provider_batch.exceptions import SnapshotError, SourceError
from airflow_provider_batch.mirror.tables.dialect import SQLITE_DIGEST, Dialect, dialect_of
from airflow_provider_batch.sources.sql import (
    driver_of,
    end_autocommit,
    given,
    open_cursor,
    plain_cursor,
    source_error,
    state_of,
)

R = TypeVar("R")

_ABSENT: Final = re.compile(
    r"no such table|\b(table|relation|object)\b.*(does not|doesn't) exist|not found: table|TABLE_OR_VIEW_NOT_FOUND",
    re.IGNORECASE,
)
_ABSENT_STATES: Final = {"42P01", "42S02"}
#: The number in place of a state that drivers of MySQL give; the server's message may be in any language.
_ABSENT_MYSQL: Final = 1146

#: The query for the kind of storage that DuckDB has its tables in, and for the compression that is set.
_FILE: Final = (
    "SELECT type, CURRENT_SETTING('force_compression') FROM duckdb_databases() WHERE database_name = CURRENT_DATABASE()"
)

#: Held while another compression is set: all connections of this process to a file share their settings.
_COMPRESSING: Final = threading.Lock()

#: Rows that are made at once: Python keeps so many tuples of one length to use them again. With more, its garbage
#: collector runs all along, which takes half as long as reading them.
_MADE: Final = 2_000

#: Rows of values in one INSERT.
_INSERTED: Final = 200


class AbsentTableError(SourceError):
    """The statement names a table that does not exist."""


class Session:
    """An open connection, and its dialect."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.dialect: Dialect = dialect_of(connection)
        self._commits = True

    def prepare(self) -> None:
        """
        Undo what the connection, or the server, is set to that would change what is read or written.

        :raises SourceError: if the connection is lost by that.
        """
        what = "the connection to the database"
        _driven(self._commit, what)  # what it was set to, which a rollback would undo
        if getattr(self._connection, "raise_on_warnings", False):  # of mysql-connector
            self._connection.raise_on_warnings = False
        self._set(self.dialect.noting)
        _driven(lambda: _read_any_text(self._connection), what)
        self._set(*self.dialect.settings)

    def _set(self, *settings: str) -> None:
        for setting in filter(None, settings):
            with suppress(SourceError):
                self.execute(setting)

    def prepare_digests(self) -> None:
        """
        Make the dialect's digest known to the connection.

        :raises SnapshotError: if it has none.
        """
        if not self.dialect.digest:
            raise SnapshotError(
                f"snapshot_schema: with {self.dialect.name}, the database cannot find the rows that have changed. Pass "
                "snapshot_path instead."
            )
        if self.dialect.name == "sqlite":
            self._connection.create_function(SQLITE_DIGEST, -1, _digest, deterministic=True)

    def execute(
        self, sql: str, parameters: Any = None, *, what: str = "a statement of the mirror", reads_rows: bool = True
    ) -> None:
        """
        Execute a statement, and commit unless that is left to a :meth:`transaction`.

        :param what: what fails if it does, for the error.
        :param reads_rows: whether it has to do with rows, which the driver's message may quote.
        :raises SourceError: if it fails; whether it was applied is then unknown.
        """
        with self._committed(what, reads_rows, parameters) as cursor:
            cursor.execute(sql, *given(parameters))

    def create(self, sql: str, parameters: Any = None, *, what: str) -> None:
        """
        Make a table of the mirror; for the arguments, see :meth:`execute`.

        In a file of DuckDB it is not compressed: that takes longer than a run takes to read it.
        """
        with self._uncompressed() if self.dialect.name == "duckdb" else nullcontext():
            self.execute(sql, parameters, what=what)

    def rows(
        self, sql: str, parameters: Any = None, *, what: str = "a query of the mirror", reads_rows: bool = True
    ) -> list[Sequence[Any]]:
        """Return the few rows of a query; for the arguments, see :meth:`execute`."""
        with self._committed(what, reads_rows, parameters) as cursor:
            cursor.execute(sql, *given(parameters))
            return list(cursor.fetchall())

    def number(self, sql: str) -> int:
        """Return the only value of a query; 0 for NULL."""
        return int(self.rows(sql)[0][0] or 0)

    def columns(self, query: str, parameters: Any = None) -> list[tuple[str, str]]:
        """Return the names of a query's columns, each with what the driver calls its type."""
        if describe := self.dialect.describe:
            rows = self.rows(f"{describe} (\n{query}\n)", parameters, what="the query")
            return [(str(name), str(type_)) for name, type_, *_ in rows]
        with self._committed("the query", parameters=parameters) as cursor:
            cursor.execute(f"SELECT * FROM (\n{query}\n) q WHERE 1 = 0", *given(parameters))
            cursor.fetchall()
            return [(str(column[0]), str(column[1])) for column in cursor.description]

    def stream(self, sql: str, parameters: Any, size: int) -> Generator[list[Sequence[Any]], None, None]:
        """Yield the rows of a query in blocks of *size*; with a cursor on the server where the driver has one."""
        cursor, cursor_first = _driven(lambda: open_cursor(self._connection), "the query")
        is_read = False
        try:
            with _explained("the query", parameters=parameters):
                cursor.execute(sql, *given(parameters))
            fetch = _fetching(cursor, size)
            while rows := _driven(fetch, "the query"):
                yield rows
            is_read = True
        finally:
            # A cursor whose close reads all that is left ends with the connection.
            if is_read or cursor_first:
                with suppress(Exception):  # all was read, or another error is on its way
                    cursor.close()
                with suppress(Exception):
                    self._end()

    def insert(self, table: str, values: str, rows: Sequence[Sequence[Any]]) -> None:
        """
        Insert *rows* of values.

        :param values: the expressions for one row, with ``{}`` in place of each value.
        """
        row = f"({values.replace('{}', self.dialect.placeholder)})"
        for start in range(0, len(rows), _INSERTED):
            part = rows[start : start + _INSERTED]
            statement = f"INSERT INTO {table} VALUES {', '.join([row] * len(part))}"
            self.execute(statement, [value for each in part for value in each])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Let the statements of the block count as a whole."""
        _driven(lambda: end_autocommit(self._connection), "BEGIN")
        self._commits = False
        try:
            yield
            _driven(self._commit, "COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._commits = True

    def close(self) -> None:
        """Close the connection, whatever happens."""
        with suppress(Exception):
            self._connection.close()

    @contextmanager
    def _uncompressed(self) -> Iterator[None]:
        """Let DuckDB write to its file, without compressing it, what the block makes."""
        with _COMPRESSING:
            kind, before = self._attempt(_FILE) or ("", "")
            if kind != "duckdb":  # in a DuckLake, a checkpoint would drop old snapshots
                yield
                return
            self._attempt("CHECKPOINT")  # what others have left, such as a killed program, is compressed as ever
            self._attempt("SET force_compression = 'uncompressed'")
            try:
                yield
                self._attempt("CHECKPOINT")  # closing would do it with the setting of before
            finally:
                self._attempt(f"SET force_compression = '{before}'")

    def _attempt(self, sql: str) -> Any:
        """Return the first row of a statement without which a run is slower; None if it fails."""
        with suppress(Exception):
            return self._connection.execute(sql).fetchone()
        return None

    @contextmanager
    def _committed(self, what: str, reads_rows: bool = True, parameters: Any = None) -> Iterator[Any]:
        cursor = _driven(lambda: _client_cursor(self._connection), what)
        try:
            with _explained(what, reads_rows, parameters):
                yield cursor
                self._end()
        except BaseException:
            self._roll_back()
            raise
        finally:
            with suppress(Exception):
                cursor.close()

    def _end(self) -> None:
        if self._commits:
            self._commit()

    def _commit(self) -> None:
        if self.dialect.commits:
            self._connection.commit()

    def _roll_back(self) -> None:
        with suppress(Exception):
            self._connection.rollback()


class Database:
    """
    A database that tables are kept in.

    :param connect: returns a new DB-API connection, as the method ``get_conn`` of Airflow's hooks.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a connection for some statements."""
        connection = _driven(self._connect, "the connection to the database")
        try:
            session = Session(connection)
            session.prepare()
        except BaseException:
            connection.close()
            raise
        try:
            yield session
        finally:
            session.close()


def _digest(*values: object) -> str:
    """Return a digest of values of SQLite: by their types, and each with an end; half a pair of UTF-16 is escaped."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:32]


def _read_any_text(connection: Any) -> None:
    """Have the driver send and return every text as it is, whatever the connection is set to."""
    driver = driver_of(connection)
    if driver == "sqlite3":
        connection.text_factory = str
    elif driver == "psycopg2":
        connection.set_client_encoding("UTF8")
    elif driver == "psycopg" and connection.info.encoding != "utf-8":
        connection.execute("SET client_encoding TO 'UTF8'")
        connection.commit()
    elif driver == "mysql":
        connection.set_charset_collation("utf8mb4", "utf8mb4_general_ci")  # its own default is not known to MariaDB
    elif driver == "pymysql" and not hasattr(connection, "set_character_set"):  # before 1.1
        connection.set_charset("utf8mb4")
    elif driver in ("MySQLdb", "pymysql"):
        connection.set_character_set("utf8mb4")


def _client_cursor(connection: Any) -> Any:
    """
    Open a cursor whose rows are tuples, and which puts parameters into the text that it sends.

    PostgreSQL takes no separate parameters in CREATE TABLE AS, nor two statements in one text (the dialect's limit).
    """
    driver = driver_of(connection)
    if driver == "psycopg":
        psycopg = sys.modules["psycopg"]
        return psycopg.ClientCursor(connection, row_factory=psycopg.rows.tuple_row)
    if driver == "psycopg2":
        return connection.cursor(cursor_factory=sys.modules["psycopg2.extensions"].cursor)
    if driver in ("MySQLdb", "pymysql"):
        return connection.cursor(sys.modules[f"{driver}.cursors"].Cursor)
    return plain_cursor(connection)


def _fetching(cursor: Any, size: int) -> Callable[[], list[Sequence[Any]]]:
    """Return what gets the next rows; the server sends *size* at once."""
    if driver_of(cursor) == "psycopg2":  # iterating, it makes rows of what it has
        cursor.itersize = size
        return lambda: list(islice(cursor, _MADE))
    return lambda: cursor.fetchmany(size)


def _is_absent(error: Exception) -> bool:
    """Whether the driver's error is that of a table that does not exist."""
    if state := state_of(error):
        return state in _ABSENT_STATES
    return error.args[:1] == (_ABSENT_MYSQL,) or bool(_ABSENT.search(str(error)))


def _driven(operation: Callable[[], R], what: str) -> R:
    with _explained(what):
        return operation()


@contextmanager
def _explained(what: str, reads_rows: bool = True, parameters: Any = None) -> Iterator[None]:
    """Turn an error of the driver into one that quotes no row."""
    try:
        yield
        return
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001 - not even drivers keep to the errors of PEP 249
        found = source_error(error, what, reads_rows=reads_rows, parameters=parameters)
        if _is_absent(error):
            found = AbsentTableError(*found.args)
    # The driver's error, which may quote a row, must not stay its context: a with block that fails makes it that.
    try:
        raise found
    finally:
        found.__context__ = None
