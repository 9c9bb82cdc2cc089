from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_batch.exceptions import BatchError, SourceError, SourceUnavailableError
from airflow_provider_batch.protocol.audiences.members import NO_ACTION, Change, Member
from airflow_provider_batch.protocol.rows import BadRow
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.sql import SqlSource
from tests.sources.reading import count_and_growth, placed, values

SERIES = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0}) "
    "SELECT 'customer-' || i AS id, i AS points, 'x' AS letter FROM n"
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.xdist_group("postgres_server"))])
def database(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def run(hook: Any, *statements: str) -> None:
    connection = hook.get_conn()
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    connection.commit()
    connection.close()


class Watched:
    """A hook that keeps its connections, to see whether they are closed."""

    def __init__(self, hook: Any) -> None:
        self._hook = hook
        self.opened: list[Any] = []

    def get_conn(self) -> Any:
        self.opened.append(self._hook.get_conn())
        return self.opened[-1]

    @property
    def closed(self) -> list[bool]:
        return [is_closed(connection) for connection in self.opened]


def is_closed(connection: Any) -> bool:
    if not isinstance(connection, sqlite3.Connection):
        return bool(connection.closed)
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


def test_a_query_of_one_column_gives_its_cells_as_text(database: Any) -> None:
    source = SqlSource(database, "SELECT 'b' AS anything UNION ALL SELECT 'a'")
    assert placed(source) == [("b", "row 1 of the query"), ("a", "row 2 of the query")]
    assert values(SqlSource(database, "SELECT 7 UNION ALL SELECT 8")) == ["7", "8"]


def test_null_stays_none_and_invalid_ids_stay_as_they_are(database: Any) -> None:
    assert values(SqlSource(database, "SELECT 7 AS id UNION ALL SELECT NULL")) == [7, None]
    (value,) = values(SqlSource(database, "SELECT 7.5"))
    assert value in (7.5, Decimal("7.5"))


def test_a_query_without_rows_gives_nothing(database: Any) -> None:
    assert values(SqlSource(database, "SELECT 'a' AS id WHERE 1 = 0")) == []


def test_the_columns_are_checked_even_if_there_are_no_rows(database: Any) -> None:
    source = SqlSource(database, "SELECT 'a' AS id WHERE 1 = 0", columns=Columns("user_id"))
    with pytest.raises(SourceError, match=r"the query: there is no column 'user_id'; it has 1 column. Check"):
        values(source)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_rows_come_in_blocks_and_know_their_number(database: Any, size: int) -> None:
    found = placed(SqlSource(database, SERIES.format(1234), columns=Columns("ID")), size)
    assert len(found) == 1234
    assert found[0] == ("customer-1", "row 1 of the query")
    assert found[-1] == ("customer-1234", "row 1,234 of the query")


def test_attributes_tags_and_actions(database: Any) -> None:
    query = """
        SELECT 'a' AS id, 'add' AS op, 3 AS points, 'Paris' AS city, '["vip", "new"]' AS tags
        UNION ALL SELECT 'b', 'REMOVE', NULL, '', 'vip, new'
        UNION ALL SELECT 'c', 'upsert', 1, 'x', NULL
        UNION ALL SELECT 'd', NULL, 1, 'x', NULL
    """
    columns = Columns("id", "op", {"points": "nb_points", "city": "city"}, "tags")
    bad = BadRow(NO_ACTION)
    assert values(SqlSource(database, query, columns=columns)) == [
        Change("add", Member("a", {"nb_points": 3, "city": "Paris"}, ["vip", "new"])),
        Change("remove", Member("b", {"city": ""}, ["vip", "new"])),
        bad,
        bad,
    ]


def test_arrays_of_postgresql_are_tags(postgres: Any) -> None:
    query = "SELECT 'a' AS id, ARRAY['vip', 'new'] AS tags"
    assert values(SqlSource(postgres, query, columns=Columns(tags_column="tags"))) == [
        Member("a", None, ["vip", "new"])
    ]


def test_parameters_are_passed_to_the_driver(sqlite: Any, postgres: Any) -> None:
    assert values(SqlSource(sqlite, "SELECT ?", ("100%",))) == ["100%"]
    assert values(SqlSource(sqlite, "SELECT '100%'")) == ["100%"]
    assert values(SqlSource(postgres, "SELECT %(id)s::text", {"id": "100%"})) == ["100%"]
    assert values(SqlSource(postgres, "SELECT '100%'")) == ["100%"]


def test_a_semicolon_at_the_end_is_accepted(database: Any) -> None:
    assert values(SqlSource(database, "SELECT 'a'; -- all of them\n")) == ["a"]


@pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor"])
def test_rows_are_tuples_whatever_the_connection_is_set_to(
    postgres: Any, monkeypatch: pytest.MonkeyPatch, cursor: str
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_POSTGRES_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", json.dumps({**connection, "extra": {"cursor": cursor}}))
    hook = type(postgres)()
    assert values(SqlSource(hook, "SELECT 1 AS x, 'a' AS id", columns=Columns("id"))) == ["a"]


def test_so_they_are_in_sqlite(sqlite: Any) -> None:
    def get_conn() -> Any:
        connection = sqlite.get_conn()
        connection.row_factory = lambda _, row: dict(enumerate(row))
        return connection

    hook = SimpleNamespace(get_conn=get_conn)
    assert values(SqlSource(hook, "SELECT 1 AS x, 2 AS x, 'a' AS id", columns=Columns("id"))) == ["a"]


def test_rows_that_are_dicts_need_a_name_for_each_column() -> None:
    hook = FakeHook(rows=[[{"x": "secret", "id": "a"}], []], names=["x", "x", "id"])
    with pytest.raises(SourceError, match=r"rows as dicts.* Give each column a name of its own with AS\."):
        values(SqlSource(hook, "SELECT", columns=Columns("id")))


@pytest.mark.parametrize(
    ("row", "expected"),
    [({"x": 1, "id": "a"}, ["a"]), ({"id": "a", "x": 1, "more": 2}, ["a"]), ({"ID": "a", "x": 1}, None)],
)
def test_rows_that_are_dicts_are_read_by_name(row: dict[str, object], expected: list[object] | None) -> None:
    source = SqlSource(FakeHook(rows=[[row], []], names=["x", "id"]), "SELECT", columns=Columns("id"))
    if expected is not None:
        assert values(source) == expected
        return
    with pytest.raises(SourceError, match="rows as dicts, whose keys are not the names of the columns"):
        values(source)


class FakeHook:
    """A hook, connection and cursor of a driver that is not installed: it fails, or gives blocks of rows."""

    def __init__(self, error: Exception | None = None, rows: Any = (), names: Any = ("id",)) -> None:
        self._error = error
        self._rows = iter(rows)
        self.description = [(name,) for name in names]

    def get_conn(self) -> Any:
        return self

    def cursor(self) -> Any:
        return self

    def close(self) -> None:
        pass

    def execute(self, sql: str) -> None:
        if self._error:
            raise self._error

    def fetchmany(self, size: int) -> Any:
        return next(self._rows)


def a_drivers_error(module: str, name: str, *arguments: object, **attributes: object) -> Exception:
    """Return an error as a driver raises it that is not installed."""
    database_error = type("DatabaseError", (Exception,), {})
    kind = type(name, (database_error,), {"__module__": module, **attributes})
    error: Exception = kind(*arguments)
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            a_drivers_error("pymysql.err", "OperationalError", 1690, "Value is out of range: 'jane'"),
            "OperationalError, error 1690",
        ),
        (
            a_drivers_error("MySQLdb", "OperationalError", 1525, "Incorrect value: 'jane'"),
            "OperationalError, error 1525",
        ),
        (
            a_drivers_error("mysql.connector.errors", "OperationalError", 1205, "Lock of 'jane'", sqlstate="HY000"),
            "OperationalError, error 1205",
        ),
        (a_drivers_error("pymssql", "ProgrammingError", 245, b"converting 'jane'"), "ProgrammingError, error 245"),
        (
            a_drivers_error("pyodbc", "ProgrammingError", "42000", "[42000] converting 'jane'"),
            "ProgrammingError, SQLSTATE 42000",
        ),
        (
            a_drivers_error("redshift_connector.error", "ProgrammingError", {"C": "22P02", "M": "jane"}),
            "ProgrammingError, SQLSTATE 22P02",
        ),
        (
            a_drivers_error("vertica_python.errors", "QueryError", "Syntax error, SQL: 'jane'", sqlstate="42601"),
            "QueryError, SQLSTATE 42601",
        ),
        (a_drivers_error("clickhouse_driver.dbapi.errors", "OperationalError", "Code: 6. 'jane'"), "OperationalError"),
        (a_drivers_error("snowflake.connector.errors", "ProgrammingError", "'jane'"), "ProgrammingError"),
        (type("TrinoUserError", (Exception,), {})("Cannot cast 'jane'"), "TrinoUserError"),
        (ValueError("jane"), "ValueError"),
        (KeyError(4815162342), "KeyError"),
        (UnicodeDecodeError("utf-8", b"jane", 0, 1, "invalid"), "UnicodeDecodeError"),
    ],
    ids=str,
)
def test_of_an_error_that_may_quote_a_row_only_class_and_number_are_told(error: Exception, kind: str) -> None:
    with pytest.raises(SourceError) as caught:
        values(SqlSource(FakeHook(error), "SELECT"))
    assert str(caught.value) == (
        f"the query failed ({kind}). Its message is not shown, because it may quote a row: check the connection, the "
        "query and its parameters, or run it in the database's own client."
    )
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    ("driver", "number", "message"),
    [
        ("pymysql.err", 1064, "You have an error in your SQL syntax"),
        ("MySQLdb", 1146, "Table 'shop.nowhere' doesn't exist"),
        ("pymysql.err", 1060, "Duplicate column name 'id'"),
        ("mysql.connector.errors", 1054, "Unknown column 'x' in 'field list'"),
        ("pymysql.err", 1142, "SELECT command denied to user 'me'@'%' for table 't'"),
        ("pymysql.err", 1104, "The SELECT would examine more than MAX_JOIN_SIZE rows"),
    ],
)
def test_errors_of_mysql_about_the_query_keep_their_words(driver: str, number: int, message: str) -> None:
    error = a_drivers_error(driver, "OperationalError", number, message)
    with pytest.raises(SourceError, match=re.escape(message)) as caught:
        values(SqlSource(FakeHook(error), "SELECT"))
    assert not caught.value.retryable


@pytest.mark.parametrize("driver", ["pymysql.err", "MySQLdb", "mysql.connector.errors"])
@pytest.mark.parametrize(
    ("number", "retryable"),
    [
        *((number, False) for number in (1105, 1242, 1292, 1366, 1411, 1690, 3140)),
        *((number, True) for number in (1040, 1053, 1205, 1213, 1317, 1969, 2003, 2006, 2013, 3024)),
        (0, True),  # of PyMySQL, for a connection that is closed
    ],
)
def test_only_errors_of_mysql_that_can_pass_are_retried(driver: str, number: int, retryable: bool) -> None:
    error = a_drivers_error(driver, "OperationalError", number, "Incorrect value: 'jane'")
    with pytest.raises(SourceError) as caught:
        values(SqlSource(FakeHook(error), "SELECT"))
    assert caught.value.retryable is retryable


@pytest.mark.parametrize(
    ("parameters", "message", "is_shown"),
    [
        (["jane@x"], "near 'id <> 'jane@x''", False),
        ({"who": "jane@x"}, "near 'jane@x'", False),
        (["jane@x"], "near 'jane", False),
        ([1], "near 'FRM t' at line 1", True),
        (["active"], 'column "ac" does not exist', True),
        (["mary jane"], 'near "jane"', False),
        ([("b", "jane@x")], "near 'jane@x'", False),
        ([7], "near '7 = x'", False),
        (["jane@x"], "near 'FRM t'", True),
        (["x", ""], "near 'FRM max'", True),
        (["arm"], "near 'FRM t'", True),
        (None, "near 'jane'", True),
        ([], "near 'jane'", True),
        ([7], "near 'FRM t77'", True),
    ],
)
def test_no_message_quotes_a_parameter(parameters: Any, message: str, is_shown: bool) -> None:
    """Some drivers put parameters into the text of the statement, from which the database quotes."""

    def execute(*_: object) -> None:
        raise a_drivers_error("pymysql.err", "ProgrammingError", 1064, message)

    cursor = SimpleNamespace(execute=execute, close=lambda: None)
    connection = SimpleNamespace(cursor=lambda: cursor, close=lambda: None)
    with pytest.raises(SourceError) as caught:
        values(SqlSource(SimpleNamespace(get_conn=lambda: connection), "SELECT", parameters))
    assert (message in str(caught.value)) is is_shown
    assert ("is not shown" in str(caught.value)) is not is_shown
    assert not caught.value.retryable


def test_a_file_that_another_process_has_open_is_named() -> None:
    message = 'IO Error: Could not set lock on file "/x.duckdb": Conflicting lock is held in python (PID 7)'
    with pytest.raises(SourceUnavailableError) as caught:
        values(SqlSource(FakeHook(a_drivers_error("_duckdb", "OperationalError", message)), "SELECT"))
    assert str(caught.value) == (
        "the query failed (OperationalError): another process has the file open, and while one writes, no other can "
        "open it. Retry."
    )


@pytest.mark.parametrize("query", ["SELECT 'a' ORDER BY 1 COLLATE nowhere", "SELECT CAST(x'6a616e65ff' AS TEXT)"])
def test_errors_of_sqlite_about_the_query_or_values_are_not_retried(sqlite: Any, query: str) -> None:
    with pytest.raises(SourceError) as caught:
        values(SqlSource(sqlite, query))
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("SELECT json_extract('{}', 'jane')", "OperationalError, SQLITE_ERROR"),
        ("SELECT json('jane')", "OperationalError, SQLITE_ERROR"),
        ("SELECT abs(-9223372036854775808)", "OperationalError, SQLITE_ERROR"),
        ("SELECT CAST(x'6a616e65ff' AS TEXT)", "OperationalError"),
    ],
)
def test_errors_of_sqlite_about_values_quote_none(sqlite: Any, query: str, kind: str) -> None:
    with pytest.raises(SourceError, match=rf"the query failed \({kind}\)\. Its message is not shown") as caught:
        values(SqlSource(sqlite, query))
    assert "jane" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT id FRM t", r'the query failed \(OperationalError, SQLITE_ERROR\): near "t": syntax error$'),
        ("SELECT nobody", "no such column: nobody"),
        ("SELECT nowhere(1)", "no such function: nowhere"),
        ("SELECT 'a", "unrecognized token"),
        ("SELECT", "incomplete input"),
    ],
)
def test_errors_of_sqlite_about_the_query_keep_their_words(sqlite: Any, query: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        values(SqlSource(sqlite, query))
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "query",
    [
        "SELECT to_tsquery('simple', id) FROM (VALUES ('jane doe')) AS t (id)",
        "SELECT id::regclass::text FROM (VALUES ('jane')) AS t (id)",
        "SELECT id::jsonpath::text FROM (VALUES ('$.jane ?? 1')) AS t (id)",
        "SELECT id::int FROM (VALUES ('jane')) AS t (id)",
        "SELECT id::uuid FROM (VALUES ('jane')) AS t (id)",
        "SELECT to_date(id, 'YYYY') FROM (VALUES ('jane')) AS t (id)",
        "SELECT id::xml::text FROM (VALUES ('<jane>')) AS t (id)",
    ],
)
def test_errors_of_postgresql_about_values_quote_none(postgres: Any, query: str) -> None:
    with pytest.raises(SourceError, match=r"SQLSTATE \w{5}\)\. Its message is not shown") as caught:
        values(SqlSource(postgres, query))
    assert "jane" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT id FRM t", r'the query failed \(SyntaxError, SQLSTATE 42601\): syntax error at or near "t"$'),
        ("SELECT nobody", 'column "nobody" does not exist'),
        ("SELECT nothing(1)", r"function nothing\(integer\) does not exist"),
        ("SELECT rolpassword FROM secret", 'permission denied for table "?secret'),
    ],
)
def test_errors_of_postgresql_about_the_query_keep_their_words(postgres: Any, query: str, message: str) -> None:
    run(
        postgres,
        "DROP TABLE IF EXISTS secret",
        "CREATE TABLE secret (rolpassword TEXT)",
        "DROP ROLE IF EXISTS nobody",
        "CREATE ROLE nobody",
    )

    def as_nobody() -> Any:
        connection = postgres.get_conn()
        connection.cursor().execute("SET ROLE nobody")
        return connection

    with pytest.raises(SourceError, match=message) as caught:
        values(SqlSource(SimpleNamespace(get_conn=as_nobody), query))
    assert not caught.value.retryable


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_both_drivers_of_postgresql_tell_where_in_the_query(postgres_server: str, driver: str) -> None:
    connect = pytest.importorskip(driver).connect

    def get_conn() -> Any:
        return connect(host=postgres_server, user="airflow", dbname="postgres")

    for query, message in (
        ("SELECT id FRM t", r'\(SyntaxError, SQLSTATE 42601\): syntax error at or near "t"$'),
        (
            "SELECT to_tsquery(id) FROM (VALUES ('jane doe')) AS t (id)",
            r"\(SyntaxError, SQLSTATE 42601\)\. Its message",
        ),
    ):
        with pytest.raises(SourceError, match=message):
            values(SqlSource(SimpleNamespace(get_conn=get_conn), query))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT id FRM t 1", "ParserException.*: Parser Error: syntax error at or near"),
        ("SELECT id FROM nowhere", "CatalogException.*: Catalog Error: Table with name nowhere does not exist!$"),
        ("SELECT nobody FROM (SELECT 'jane' AS jane)", "BinderException.*nobody"),
        ("SELECT id::INT FROM (VALUES ('jane')) AS t (id)", r"ConversionException\)\. Its message is not shown"),
        ("SELECT error(id) FROM (VALUES ('jane')) AS t (id)", r"Exception\)\. Its message is not shown"),
        ("SELECT strptime(id, '%Y') FROM (VALUES ('jane')) AS t (id)", r"Exception\)\. Its message is not shown"),
    ],
)
def test_errors_of_duckdb(query: str, message: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    with pytest.raises(SourceError, match=message) as caught:
        values(SqlSource(SimpleNamespace(get_conn=duckdb.connect), query))
    assert "jane" not in str(caught.value)


def test_a_connection_that_commits_by_itself_is_read_in_a_transaction(postgres: Any) -> None:
    def get_conn() -> Any:
        connection = postgres.get_conn()
        connection.autocommit = True
        return connection

    assert values(SqlSource(SimpleNamespace(get_conn=get_conn), "SELECT 'a'")) == ["a"]


def test_the_query_runs_again_for_each_reading(database: Any) -> None:
    run(database, "DROP TABLE IF EXISTS growing", "CREATE TABLE growing (id TEXT)", "INSERT INTO growing VALUES ('a')")
    watched = Watched(database)
    source = SqlSource(watched, "SELECT id FROM growing")
    assert (source.rereadable, source.restartable) == (False, True)
    assert list(source) == ["a"]
    run(database, "INSERT INTO growing VALUES ('b')")
    assert list(source) == ["a", "b"]
    assert watched.closed == [True, True]


def test_no_connection_is_opened_before_the_first_block(database: Any) -> None:
    watched = Watched(database)
    source = SqlSource(watched, "SELECT 'a'")
    blocks = source.blocks(10)
    assert watched.opened == []
    assert next(blocks).values == ["a"]


@pytest.mark.parametrize("ending", ["all", "early", "let go", "no column", "no table"])
def test_the_connection_is_closed_in_every_ending(database: Any, ending: str) -> None:
    watched = Watched(database)
    columns = Columns("nobody" if ending == "no column" else "id")
    query = "SELECT id FROM nothing" if ending == "no table" else SERIES.format(100_000)
    blocks = SqlSource(watched, query, columns=columns).blocks(100)
    if ending == "all":
        assert sum(len(rows.values) for rows in blocks) == 100_000
    elif ending in ("no column", "no table"):
        with pytest.raises(SourceError):
            next(blocks)
    else:
        next(blocks)
        assert watched.closed == [False]
        if ending == "early":
            blocks.close()  # type: ignore[attr-defined]  # a generator has it
        else:
            del blocks
    assert watched.closed == [True]


def test_a_statement_without_a_result_set_is_rejected_and_rolled_back(sqlite: Any, postgres: Any) -> None:
    for hook in (sqlite, postgres):
        run(hook, "DROP TABLE IF EXISTS kept", "CREATE TABLE kept (id TEXT)", "INSERT INTO kept VALUES ('a')")
        for query in ("UPDATE kept SET id = 'b'", "DELETE FROM kept"):
            with pytest.raises(SourceError, match=r"SELECT|syntax error"):
                values(SqlSource(hook, query))
        assert values(SqlSource(hook, "SELECT id FROM kept")) == ["a"]


def test_the_error_of_a_wrong_query_repeats_the_databases_message(database: Any) -> None:
    with pytest.raises(SourceError, match=r"the query failed \(\w+.*\): .*nowhere") as caught:
        values(SqlSource(database, "SELECT id\nFROM nowhere"))
    assert not caught.value.retryable
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_message_that_quotes_a_row_is_not_repeated(postgres: Any) -> None:
    query = "SELECT CASE WHEN i < 500 THEN '1' ELSE 'jane@example.com' END::int FROM generate_series(1, 1000) AS i"
    blocks = SqlSource(postgres, query).blocks(100)
    assert len(next(blocks).values) == 100
    with pytest.raises(SourceError, match=r"SQLSTATE 22P02.*may quote a row") as caught:
        list(blocks)
    assert "jane" not in f"{caught.value!r}{caught.value.__context__}{caught.value.__cause__}"
    assert not caught.value.retryable


def test_a_cancelled_query_is_a_transient_error(postgres: Any) -> None:
    query = "SELECT pg_sleep(5)::text FROM generate_series(1, 2)"
    with pytest.raises(SourceUnavailableError, match=r"\(QueryCanceled, SQLSTATE 57014\)"):
        values(SqlSource(Impatient(postgres), query))


class Impatient:
    def __init__(self, hook: Any) -> None:
        self._hook = hook

    def get_conn(self) -> Any:
        connection = self._hook.get_conn()
        connection.cursor().execute("SET statement_timeout = 50")
        return connection


def test_a_database_that_does_not_answer_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", "postgres://airflow@127.0.0.1:1/postgres")
    with pytest.raises(SourceUnavailableError, match=r"the query failed \(OperationalError\)"):
        values(SqlSource(PostgresHook(), "SELECT 1"))


def test_a_locked_database_is_a_transient_error(sqlite: Any) -> None:
    run(sqlite, "CREATE TABLE ids (id TEXT)")
    holder = sqlite.get_conn()
    holder.execute("BEGIN EXCLUSIVE")

    def impatient() -> Any:
        connection = sqlite.get_conn()
        connection.execute("PRAGMA busy_timeout = 1")
        return connection

    with pytest.raises(SourceUnavailableError, match=r"\(OperationalError, SQLITE_BUSY\)"):
        values(SqlSource(SimpleNamespace(get_conn=impatient), "SELECT id FROM ids"))
    holder.close()


def test_an_error_that_is_not_the_drivers_is_raised_as_it_is() -> None:
    def get_conn() -> Any:
        raise LookupError("no such connection")

    with pytest.raises(LookupError, match="no such connection"):
        values(SqlSource(SimpleNamespace(get_conn=get_conn), "SELECT 1"))


def test_several_statements_are_rejected(database: Any) -> None:
    with pytest.raises(BatchError, match="the query failed"):
        values(SqlSource(database, "SELECT 'a'; SELECT 'b'; nonsense"))


class UnbufferedCursor:
    """An unbuffered cursor as MySQL's drivers have it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursor = connection.real.cursor()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def close(self) -> None:
        assert self._connection.is_closed, "this would read the rest of the rows"


class MySqlConnection:
    def __init__(self, real: Any) -> None:
        self.real = real
        self.is_closed = False

    def cursor(self, kind: Any) -> Any:
        return kind(self)

    def close(self) -> None:
        self.is_closed = True
        self.real.close()


@pytest.mark.parametrize("driver", ["MySQLdb", "pymysql"])
def test_mysql_is_read_unbuffered_and_closed_at_once(sqlite: Any, monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    monkeypatch.setitem(sys.modules, f"{driver}.cursors", SimpleNamespace(SSCursor=UnbufferedCursor))
    monkeypatch.setattr(MySqlConnection, "__module__", f"{driver}.connections")
    connection = MySqlConnection(sqlite.get_conn())
    blocks = SqlSource(SimpleNamespace(get_conn=lambda: connection), SERIES.format(1000), None, Columns("id")).blocks(9)
    assert len(next(blocks).values) == 9
    blocks.close()  # type: ignore[attr-defined]  # a generator has it
    assert connection.is_closed


def test_a_million_rows_need_little_memory(database: Any) -> None:
    count_and_growth(SqlSource(database, SERIES.format(20_000), columns=Columns("id")))
    seen, grown = count_and_growth(SqlSource(database, SERIES.format(1_000_000), columns=Columns("id")))
    assert seen == 1_000_000
    assert grown < 20 << 20


def test_reading_rows_imports_no_airflow_and_no_pyarrow() -> None:
    program = (
        "import sys; import airflow_provider_batch.sources.sql, airflow_provider_batch.sources.files; "
        "import airflow_provider_batch.sources.rejects; "
        "print(*sorted({'airflow', 'pyarrow', 'pandas', 'numpy', 'fsspec'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == ""
