"""What an error of a database's driver becomes: its message may quote a row."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_batch.exceptions import SnapshotError, SourceError, SourceUnavailableError
from airflow_provider_batch.mirror.tables import database as database_module
from airflow_provider_batch.mirror.tables import dialect as dialect_module
from airflow_provider_batch.mirror.tables.database import AbsentTableError, Database, Session
from airflow_provider_batch.mirror.tables.dialect import DIALECTS, dialect_of

MESSAGE = "a row of secret-1"


class _Cursor:
    def execute(self, *arguments: Any) -> None:
        raise sqlite3.DatabaseError(MESSAGE)

    def close(self) -> None: ...


class Failing:
    """A connection of which every statement fails with a message that quotes a row."""

    def cursor(self) -> _Cursor:
        return _Cursor()

    def commit(self) -> None: ...

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


# Statements that do what they are to do


class Connection(sqlite3.Connection):
    """One that tells what is done with it, and fails when a test says so."""

    done: list[str]
    fails: frozenset[str] = frozenset()

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what in self.fails:
            raise sqlite3.OperationalError(f"no {what}")

    def commit(self) -> None:
        self._do("commit")
        super().commit()

    def rollback(self) -> None:
        self._do("rollback")
        super().rollback()

    def close(self) -> None:
        self._do("close")
        super().close()

    def cursor(self, *arguments: Any, **named: Any) -> Any:
        self._do("cursor")
        cursor = super().cursor(Cursor)
        cursor.owner = self
        return cursor


class Cursor(sqlite3.Cursor):
    owner: Connection

    def execute(self, *arguments: Any) -> Any:
        self.owner._do("execute")
        return super().execute(*arguments)

    def fetchmany(self, size: Any = 1) -> Any:
        self.owner._do(f"fetch {size}")
        return super().fetchmany(size)

    def close(self) -> None:
        self.owner._do("close cursor")
        super().close()


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with closing(sqlite3.connect(tmp_path / "tables.db")) as other:
        other.execute("CREATE TABLE t (id TEXT, n INT)")
        other.executemany("INSERT INTO t VALUES (?, ?)", [("a", 1), ("b", 2), ("c", 3)])
        other.commit()
    connection = sqlite3.connect(tmp_path / "tables.db", factory=Connection)
    connection.done = []
    yield connection
    connection.fails = frozenset()
    connection.close()


@pytest.fixture
def session(connection: Connection) -> Session:
    return Session(connection)


#: What comes of one statement.
STATEMENT = ["cursor", "execute", "commit", "close cursor"]


def test_the_statements_of_a_transaction_are_committed_at_once(session: Session, connection: Connection) -> None:
    with session.transaction():
        session.execute("INSERT INTO t VALUES ('d', 4)")
        assert session.rows("SELECT id FROM t WHERE n > 3") == [("d",)]
    statement = [each for each in STATEMENT if each != "commit"]
    assert connection.done == [*statement, *statement, "commit"]
    connection.done.clear()
    session.execute("INSERT INTO t VALUES ('e', 5)")
    assert connection.done == STATEMENT


@pytest.mark.parametrize("fault", ["block", "statement", "commit"])
def test_of_a_transaction_that_fails_nothing_is_left(fault: str, session: Session, connection: Connection) -> None:
    def fail() -> None:
        with session.transaction():
            session.execute("INSERT INTO t VALUES ('d', 4)")
            if fault == "block":
                raise SourceError("block failed (OperationalError)")
            connection.fails = frozenset({"execute" if fault == "statement" else fault})
            if fault == "statement":
                session.execute("INSERT INTO t VALUES ('e', 5)", what=fault)

    with pytest.raises(SourceError, match=rf"(?i)^{fault} failed \(OperationalError"):
        fail()
    connection.fails = frozenset()
    connection.done.clear()
    session.execute("DELETE FROM t WHERE n = 1")
    assert connection.done == STATEMENT
    assert session.rows("SELECT n FROM t ORDER BY n") == [(2,), (3,)]


def test_a_transaction_that_cannot_begin_is_told_as_a_statement() -> None:
    class Lost(Failing):
        def autocommit(self, is_on: bool) -> None:
            raise sqlite3.OperationalError(MESSAGE)

    Lost.__module__ = "pymysql.connections"
    with pytest.raises(SourceError, match=r"^BEGIN failed \(OperationalError"), Session(Lost()).transaction():
        pass


@pytest.mark.parametrize(
    "module", ["psycopg", "psycopg2.extensions", "mysql.connector.connection", "redshift_connector.core", "sqlite3"]
)
def test_a_transaction_turns_the_autocommit_of_a_driver_off(module: str) -> None:
    connection = type("Connection", (Failing,), {"__module__": module, "autocommit": True, "commit": lambda _: None})()
    with Session(connection).transaction():
        assert connection.autocommit is False


def test_each_statement_is_committed_by_itself(session: Session, connection: Connection) -> None:
    session.execute("INSERT INTO t VALUES ('d', 4)")
    assert connection.done == STATEMENT
    session.execute("INSERT INTO t VALUES (?, ?)", ["e", 5])
    assert session.rows("SELECT id FROM t WHERE n > ? ORDER BY n", [2]) == [("c",), ("d",), ("e",)]
    assert session.columns("SELECT id, n AS number FROM t WHERE n > ?", [9]) == [("id", "None"), ("number", "None")]
    assert connection.done == STATEMENT * 4
    assert session.rows("SELECT id FROM t WHERE n = 1") == [("a",)]
    assert [session.number(f"SELECT {one}") for one in ("SUM(n) FROM t", "SUM(n) FROM t WHERE n > 9", "'7'")] == [
        15,
        0,
        7,
    ]


@pytest.mark.parametrize("fails", ["execute", "commit"])
def test_a_statement_that_fails_is_rolled_back(fails: str, session: Session, connection: Connection) -> None:
    connection.fails = frozenset({fails, "rollback", "close cursor"})
    with pytest.raises(SourceError, match=r"^an INSERT failed \(OperationalError\): no "):
        session.execute("INSERT INTO t VALUES ('d', 4)", what="an INSERT", reads_rows=False)
    assert connection.done == [*STATEMENT[: STATEMENT.index(fails) + 1], "rollback", "close cursor"]


def test_a_database_that_cannot_commit_is_not_told_to(session: Session, connection: Connection) -> None:
    session.dialect = replace(session.dialect, commits=False)
    session.execute("DELETE FROM t")
    assert list(session.stream("SELECT 1", None, 1)) == [[(1,)]]
    assert "commit" not in connection.done


def test_rows_come_in_blocks(session: Session, connection: Connection) -> None:
    blocks = session.stream("SELECT id FROM t WHERE n < ? ORDER BY n", [9], 2)
    assert connection.done == []
    assert list(blocks) == [[("a",), ("b",)], [("c",)]]
    assert connection.done == ["cursor", "execute", *["fetch 2"] * 3, "close cursor", "commit"]


def test_a_stream_that_nobody_reads_to_its_end_is_closed_all_the_same(session: Session, connection: Connection) -> None:
    connection.fails = frozenset({"close cursor", "commit"})
    blocks = session.stream("SELECT id FROM t", None, 1)
    next(blocks)
    blocks.close()
    assert connection.done[-2:] == ["close cursor", "commit"]


def test_unless_its_cursor_would_read_all_that_is_left(
    session: Session, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "open_cursor", lambda connection: (connection.cursor(), False))
    blocks = session.stream("SELECT id FROM t", None, 1)
    next(blocks)
    blocks.close()
    assert connection.done[-1] == "fetch 1"
    assert len(list(session.stream("SELECT id FROM t", None, 1))) == 3
    assert connection.done[-2:] == ["close cursor", "commit"]


@pytest.mark.parametrize("fails", ["cursor", "execute", "fetch 7"])
def test_what_fails_while_rows_come_is_the_query(fails: str, session: Session, connection: Connection) -> None:
    connection.fails = frozenset({fails})
    with pytest.raises(SourceError, match=r"^the query failed \(OperationalError\)\. Its message is not shown"):
        list(session.stream("SELECT id FROM t", None, 7))


def test_a_missing_cursor_is_told_with_what_it_was_for(session: Session, connection: Connection) -> None:
    connection.fails = frozenset({"cursor"})
    with pytest.raises(SourceError, match=r"^the comparison failed \(OperationalError\)\. Its message is not shown"):
        session.execute("SELECT 1", what="the comparison", reads_rows=False)


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (200, [200]), (401, [200, 200, 1])])
def test_values_are_inserted_in_blocks(count: int, sizes: list[int], session: Session, connection: Connection) -> None:
    session.execute("DELETE FROM t")
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    rows = [(f"id-{number}", number) for number in range(count)]
    session.insert("t", "{} || '!', {}", rows)
    inserts = [sql for sql in statements if sql.startswith("INSERT INTO t VALUES (")]
    assert [sql.count("(") for sql in inserts] == sizes
    assert session.rows("SELECT id, n FROM t ORDER BY n") == [(f"{id_}!", number) for id_, number in rows]


def test_a_table_that_is_missing_is_told_apart(session: Session) -> None:
    with pytest.raises(
        AbsentTableError, match=r"^a statement of the mirror failed .*: no such table: nowhere$"
    ) as caught:
        session.execute("DROP TABLE nowhere")
    assert caught.value.__context__ is None
    with pytest.raises(SourceError) as other:
        session.execute("SELECT x FROM t")
    assert type(other.value) is SourceError


@pytest.mark.parametrize(
    ("state", "message", "is_absent"),
    [
        ("42P01", "x", True),
        ("42S02", "x", True),
        ("42703", "no such table: t", False),
        ("", "No such table: t", True),
        ("", "Table 'x.t' doesn't exist", True),
        ("", 'relation "t" does not exist', True),
        ("", "Object 'T' does not exist or not authorized.", True),
        ("", "404 Not found: Table project:x.t was not found", True),
        ("", "[TABLE_OR_VIEW_NOT_FOUND] The table or view `t` cannot be found.", True),
        ("", "the column t does not exist", False),
        ("", "a stable does not exist", False),
    ],
)
def test_databases_say_in_many_ways_that_a_table_is_missing(
    state: str, message: str, is_absent: bool, session: Session, connection: Connection
) -> None:
    error = type("DatabaseError", (Exception,), {"sqlstate": state})(message)

    def fails() -> None:
        raise error

    connection._do = lambda what: fails() if what == "execute" else None  # type: ignore[method-assign]
    with pytest.raises(SourceError) as caught:
        session.execute("SELECT 1")
    assert isinstance(caught.value, AbsentTableError) is is_absent


def test_a_server_may_say_so_in_any_language(session: Session, connection: Connection) -> None:
    def fails() -> None:
        raise sqlite3.ProgrammingError(1146, "Tabelle 'x.t' existiert nicht")

    connection._do = lambda what: fails() if what == "execute" else None  # type: ignore[method-assign]
    with pytest.raises(AbsentTableError, match="error 1146"):
        session.execute("SELECT 1")


# Connections


def test_a_connection_is_closed_whatever_happens(connection: Connection) -> None:
    def fails() -> None:
        with Database(lambda: connection).session():
            raise ValueError("of the caller")

    with pytest.raises(ValueError, match="of the caller"):
        fails()
    assert connection.done == ["commit", "close"]


def test_nor_does_one_fail_that_cannot_be_closed(connection: Connection) -> None:
    connection.fails = frozenset({"close"})
    with Database(lambda: connection).session() as session:
        session.close()
    assert connection.done == ["commit", "close", "close"]


@pytest.mark.parametrize("is_ours", [False, True])
def test_tables_in_a_file_of_duckdb_are_not_compressed(tmp_path: Path, is_ours: bool) -> None:
    import duckdb

    compression = "SELECT DISTINCT compression FROM pragma_storage_info('ids') WHERE segment_type = 'VARCHAR'"
    connect = partial(duckdb.connect, tmp_path / "warehouse.duckdb")
    with closing(connect()) as other:
        other.execute("SET force_compression = 'Dictionary'")
        with Database(connect).session() as session:
            sql = "CREATE TABLE ids AS SELECT CAST(MD5(CAST(i AS VARCHAR)) AS VARCHAR) AS id FROM range(50000) s (i)"
            if is_ours:
                session.create(sql, what="CREATE")
            else:
                other.execute(sql)
        assert other.execute("SELECT CURRENT_SETTING('force_compression')").fetchone() == ("Dictionary",)
        other.execute("SET force_compression = 'auto'")
    with closing(connect()) as connection:
        assert (connection.execute(compression).fetchall() == [("Uncompressed",)]) is is_ours


class File(Failing):
    """A connection of DuckDB that has its tables in a file of some kind."""

    def __init__(self, kind: str, fails: str = "") -> None:
        self.kind = kind
        self.fails = fails
        self.done: list[str] = []

    def cursor(self) -> Any:
        return SimpleNamespace(execute=self.execute, close=lambda: None)

    def execute(self, sql: str) -> Any:
        self.done.append(sql)
        if sql == self.fails:
            raise sqlite3.DatabaseError
        return SimpleNamespace(fetchone=lambda: (self.kind, "auto"))

    def close(self) -> None:
        self.done.append("close")


File.__module__ = "_duckdb"

CREATE = "CREATE TABLE t (id TEXT)"
SET, RESET = ("SET force_compression = 'uncompressed'", "SET force_compression = 'auto'")


@pytest.mark.parametrize(
    ("kind", "fails", "done"),
    [
        ("ducklake", "", [CREATE]),
        ("motherduck", "", [CREATE]),
        ("duckdb", database_module._FILE, [CREATE]),
        ("duckdb", "", ["CHECKPOINT", SET, CREATE, "CHECKPOINT", RESET]),
        ("duckdb", "CHECKPOINT", ["CHECKPOINT", SET, CREATE, "CHECKPOINT", RESET]),
        ("duckdb", SET, ["CHECKPOINT", SET, CREATE, "CHECKPOINT", RESET]),
        ("duckdb", CREATE, ["CHECKPOINT", SET, CREATE, RESET]),
    ],
)
def test_a_setting_of_duckdb_is_changed_for_a_file_of_its_own_alone(kind: str, fails: str, done: list[str]) -> None:
    file = File(kind, fails)
    failing = pytest.raises(SourceError) if fails == CREATE else nullcontext()
    with Database(lambda: file).session() as session, failing:
        session.create(CREATE, what="CREATE")
    assert file.done == [database_module._FILE, *done, "close"]


def test_what_others_have_left_in_a_file_of_duckdb_is_compressed(tmp_path: Path) -> None:
    import duckdb

    connect = partial(duckdb.connect, tmp_path / "warehouse.duckdb")
    with closing(connect()) as other:
        other.execute("PRAGMA disable_checkpoint_on_shutdown")  # as if it was killed
        other.execute("CREATE TABLE orders AS SELECT 'paid' AS status FROM range(50000)")
    with Database(connect).session() as session:
        session.create("CREATE TABLE ids (id TEXT)", what="CREATE")
    with closing(connect()) as connection:
        found = connection.execute(
            "SELECT compression FROM pragma_storage_info('orders') WHERE segment_type = 'VARCHAR'"
        )
        assert ("Uncompressed",) not in found.fetchall()


def test_a_setting_is_set_back_also_if_the_task_is_stopped() -> None:
    class Stopped(File):
        def execute(self, sql: str) -> Any:
            super().execute(sql)
            if sql == CREATE:
                raise KeyboardInterrupt
            return SimpleNamespace(fetchone=lambda: (self.kind, "auto"))

    Stopped.__module__ = "_duckdb"
    file = Stopped("duckdb")
    with pytest.raises(KeyboardInterrupt), Database(lambda: file).session() as session:
        session.create(CREATE, what="CREATE")
    assert file.done[-3:] == [CREATE, RESET, "close"]


def test_no_two_threads_change_the_setting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    file = File("duckdb")

    class Lock:
        def __enter__(self) -> None:
            file.done.append("alone")

        def __exit__(self, *_: object) -> None:
            file.done.append("not alone")

    monkeypatch.setattr(database_module, "_COMPRESSING", Lock())
    with Database(lambda: file).session() as session:
        session.create(CREATE, what="CREATE")
    assert (file.done[0], file.done[-3:]) == ("alone", [RESET, "not alone", "close"])


def test_a_connection_that_cannot_be_opened_is_told() -> None:
    def refused() -> Any:
        raise ConnectionRefusedError("of secret-1")

    message = r"^the connection to the database failed \(ConnectionRefusedError\)\. Its message is not shown"
    with pytest.raises(SourceUnavailableError, match=message), Database(refused).session():
        pass


def test_a_connection_of_another_database_is_closed_again() -> None:
    closed = []
    kind = type("Connection", (), {"close": lambda self: closed.append(self), "__module__": "cx_Oracle.connection"})
    with pytest.raises(SnapshotError) as caught, Database(kind).session():
        pass
    assert len(closed) == 1
    experimental = ", ".join(
        f"{name} (experimental)" for name in ("bigquery", "databricks", "redshift", "snowflake", "trino")
    )
    assert str(caught.value) == (
        "snapshot_schema: a connection of cx_Oracle is not supported; supported are duckdb, mysql, postgresql, sqlite, "
        f"{experimental}. Pass snapshot_path instead, which works with every database."
    )


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("psycopg", "postgresql"), ("psycopg2.extensions", "postgresql")),
        *(("MySQLdb.connections", "mysql"), ("pymysql.connections", "mysql"), ("mysql.connector.connection", "mysql")),
        *(("duckdb", "duckdb"), ("_duckdb", "duckdb"), ("sqlite3", "sqlite"), ("snowflake.connector", "snowflake")),
        *(("google.cloud.bigquery.dbapi.connection", "bigquery"), ("redshift_connector.core", "redshift")),
        *(("databricks.sql.client", "databricks"), ("trino.dbapi", "trino")),
    ],
)
def test_a_dialect_is_known_by_the_driver(module: str, name: str) -> None:
    kind = type("Connection", (), {"__module__": module})
    assert dialect_of(kind()).name == name
    assert dialect_of(type("Wrapper", (kind,), {"__module__": "opentelemetry.wrapped"})()).name == name


def test_ids_are_turned_into_keys_and_back_wherever_they_stand() -> None:
    dialect = replace(DIALECTS["redshift"], key="F({}) || {}")
    assert dialect.as_key("q.id") == "F(q.id) || q.id"
    assert dialect.as_text("d.id") == "LEFT(d.id, LEN(d.id) - 1)"
    assert DIALECTS["duckdb"].as_text("d.id") == "decode(d.id)"


# Digests


def test_a_database_without_digests_is_refused(session: Session) -> None:
    session.dialect = replace(session.dialect, digest="")
    with pytest.raises(SnapshotError) as caught:
        session.prepare_digests()
    assert str(caught.value) == (
        "snapshot_schema: with sqlite, the database cannot find the rows that have changed. Pass snapshot_path instead."
    )


def test_a_digest_of_sqlite_tells_values_by_their_types(session: Session) -> None:
    session.prepare_digests()
    rows = ["1", "'1'", "1.0", "NULL", "''", "x'31'", "'a', 'bc'", "'ab', 'c'", "1.0000000000000002"]
    found = [session.rows(f"SELECT batch_digest({row})")[0][0] for row in rows]
    assert len({*found}) == 9
    assert found == [session.rows(f"SELECT batch_digest({row})")[0][0] for row in rows]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in found)
    # As an index may need it.
    session.execute("CREATE INDEX i ON t (batch_digest(id, n))")


@pytest.mark.parametrize("count", [1, 90, 91, 180, 8101])
def test_functions_get_as_many_arguments_as_every_database_takes(count: int, session: Session) -> None:
    parts = [f"'{number:04}'" for number in range(count)]
    dialect = replace(DIALECTS["sqlite"], packed="PACK({})", digest="DIGEST({})")
    digest = dialect.as_digest(parts)
    assert digest.startswith("DIGEST(PACK(")
    assert re.findall(r"\d{4}", digest) == [part.strip("'") for part in parts]  # in order, each once
    assert re.fullmatch(r"(\(|\)|, )*", re.sub(r"'\d{4}'|PACK|DIGEST", "", digest))
    calls = re.findall(r"PACK\(([^()]*)\)", digest)
    assert max(call.count(",") + 1 for call in calls) <= 90
    assert len(calls) == -(-count // 90)
    assert len(re.findall("PACK", digest)) == {1: 1, 90: 1, 91: 3, 180: 3, 8101: 91 + 2 + 1}[count]
    assert replace(dialect, glue="").joined(parts) == digest.removeprefix("DIGEST(")[:-1].replace("PACK", "CONCAT")
    assert dialect.joined(parts) == f"({' || '.join(parts)})"


def test_a_part_of_a_digest_has_its_length_before_it() -> None:
    assert dialect_module._part("T({0})") == (
        "CASE WHEN {0} IS NULL THEN '-' ELSE CONCAT(CHAR_LENGTH(T({0})), ':', T({0})) END"
    )
    assert dialect_module._part("A", "B", length="LEN({})", is_missing="NO({0})") == (
        "CASE WHEN NO({0}) THEN '-' ELSE CONCAT(LEN(A), ':', A, LEN(B), ':', B) END"
    )


# Cursors of the drivers


class Told:
    """A connection of some driver that tells how it is asked for a cursor."""

    def cursor(self, *arguments: Any, **named: Any) -> Any:
        return arguments, named


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pymysql", "MySQLdb", "trino"])
def test_a_cursor_returns_tuples_and_leaves_the_rows_with_the_driver(
    driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = type("Connection", (Told,), {"__module__": f"{driver}.some.connections"})()
    rows = SimpleNamespace(tuple_row="tuples")
    client = lambda *arguments, **named: (arguments, named)  # noqa: E731
    for name in ("psycopg", "psycopg2.extensions", "pymysql.cursors", "MySQLdb.cursors"):
        module = SimpleNamespace(cursor=f"{name}.cursor", Cursor=f"{name}.Cursor", ClientCursor=client, rows=rows)
        monkeypatch.setitem(sys.modules, name, module)
    assert (
        database_module._client_cursor(connection)
        == {
            "psycopg": ((connection,), {"row_factory": "tuples"}),
            "psycopg2": ((), {"cursor_factory": "psycopg2.extensions.cursor"}),
            "pymysql": (("pymysql.cursors.Cursor",), {}),
            "MySQLdb": (("MySQLdb.cursors.Cursor",), {}),
            "trino": ((), {}),
        }[driver]
    )


def test_of_what_a_server_sends_at_once_rows_are_made_part_by_part(postgres_server: str) -> None:
    import psycopg2  # type: ignore[import-untyped]

    connect = partial(psycopg2.connect, host=postgres_server, user="airflow", dbname="postgres")
    with closing(connect()) as connection, closing(connect()) as other:
        session, watching = Session(connection), Session(other)
        session.execute("DROP SEQUENCE IF EXISTS sent")
        session.execute("CREATE SEQUENCE sent")
        sql = "SELECT {}1 / (8500 - n) FROM generate_series(1, %s) s (n)"
        blocks = session.stream(sql.format("nextval('sent'), "), [7500], 3000)
        assert [(len(rows), watching.number("SELECT last_value FROM sent")) for rows in blocks] == [
            (2000, 3000), (2000, 6000), (2000, 6000), (1500, 7500),
        ]  # fmt: skip
        blocks = session.stream(sql.format(""), [9000], 3000)
        with pytest.raises(SourceError, match=r"^the query failed \(DivisionByZero"):
            list(blocks)


def test_columns_have_what_the_driver_calls_their_types(tables_in_duckdb: Any) -> None:
    class Described(Told):
        description = (("id", 23, None, 4), ("plan", "TEXT", None, 5))

        def cursor(self, *arguments: Any, **named: Any) -> Any:
            return self

        execute = fetchall = close = commit = lambda *_: ()

    Described.__module__ = "snowflake.connector"
    assert Session(Described()).columns("SELECT 1") == [("id", "23"), ("plan", "TEXT")]
    with Database(tables_in_duckdb.get_conn).session() as session:
        found = session.columns("SELECT 1 AS id, 'x' AS plan WHERE 1 = ?", [1])
        assert found == [("id", "INTEGER"), ("plan", "VARCHAR")]
        with pytest.raises(SourceError, match=r"^the query failed \(CatalogException\)"):
            session.columns("SELECT 1 FROM nowhere")
