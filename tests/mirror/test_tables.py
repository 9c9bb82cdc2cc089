"""Mirrors whose snapshot is in tables: what the database compares, keeps, and refuses; on each kind of database."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_batch.exceptions import (
    EmptySetError,
    GuardError,
    InvalidArgumentError,
    InvalidMemberError,
    SnapshotError,
    SourceError,
)
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.tables import comparison
from airflow_provider_batch.mirror.tables.database import Database
from airflow_provider_batch.mirror.tables.dialect import DIALECTS, dialect_of
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.sql import SqlSource
from tests.mirror.stores import Connections

PROJECT = "project_sandbox"
COMPOSED, DECOMPOSED = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")


@contextmanager
def both_platforms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Run a sandbox of both platforms, of which API 1.0 limits the length of ids and the other one takes attributes."""
    with Sandbox(["vip"], keep_bodies=True) as sandbox:
        for name, project in (("default", None), ("cep", PROJECT)):
            connection = json.loads(sandbox.connection_json(*([project] if project else [])))
            connection["extra"] = {**connection.get("extra", {}), "max_attempts": 1}
            monkeypatch.setenv(f"AIRFLOW_CONN_BATCH_{name.upper()}", json.dumps(connection))
        yield sandbox


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with both_platforms(monkeypatch) as sandbox:
        yield sandbox


def fill(connections: Connections, rows: list[tuple[Any, ...]], columns: str = "id VARCHAR(200)") -> None:
    """Make the table ``members`` anew, with these rows."""
    table = f"{connections.schema}.members"
    values = (", ".join("NULL" if value is None else f"'{value}'" for value in row) for row in rows)
    inserts = [f"INSERT INTO {table} VALUES ({row})" for row in values]
    connections.run(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} ({columns})", *inserts)


def mirror(connections: Connections, sql: str = "", *, conn_id: str = "batch_default", **arguments: Any) -> Any:
    columns = Columns("id", attribute_columns=arguments.pop("attributes", None))
    sql = sql or f"SELECT * FROM {connections.schema}.members"
    source = SqlSource(arguments.pop("hook", connections), sql, arguments.pop("parameters", None), columns)
    given = {"snapshot_schema": connections.schema, "poke_interval": 0.1, **arguments}
    return BatchHook(conn_id).mirror_custom_audience("vip", source, **given)


def counts(result: Any) -> tuple[int, ...]:
    return result.added, result.removed, result.unchanged, result.duplicates, result.rejected, result.members


def ours(connections: Connections) -> list[str]:
    """What the names of the mirror's tables end in, the first letter alone if a nonce follows."""
    endings = [name.rpartition("_")[2] for name in connections.tables() if name.startswith("batch_")]
    return sorted(end if end in ("head", "log") else end[0] for end in endings)


# What is one id, and what is another

VARIANTS = [
    *("ab", "AB", "Ab", "ab ", " ab", "ab  ", "a b"),
    *("a", "A", "ä", "ét", COMPOSED, DECOMPOSED, "e", "E"),
    *("ß", "ss", "SS", "i", "I", "ı", "İ", "ﬁ", "fi", "æ", "ae", "ﾊ", "ハ", "は", "😀", "😁", "１", "1", "01", "0"),
    *("%", "%s", "''", "\\\\", "_", "?", ":x", "ȼ" * 128, "😀" * 128),
]


def test_ids_are_the_same_only_if_their_bytes_are(connections: Connections, sandbox: Sandbox) -> None:
    ids = sorted({each.replace("''", "'") for each in VARIANTS})
    if connections.driver != "pymysql":
        ids = [each.replace("\\\\", "\\") for each in ids]
    fill(connections, [(each.replace("'", "''").replace("\\", _backslash(connections)),) for each in ids])
    assert counts(mirror(connections)) == (len(ids), 0, 0, 0, 0, len(ids))
    assert sandbox.members("vip") == {*ids}
    assert counts(mirror(connections)) == (0, 0, len(ids), 0, 0, len(ids))
    # Each goes without the others.
    for gone in ("AB", "ab ", COMPOSED, "SS"):
        ids.remove(gone)
        fill(connections, [(each.replace("'", "''").replace("\\", _backslash(connections)),) for each in ids])
        assert counts(mirror(connections)) == (0, 1, len(ids), 0, 0, len(ids))
        assert sandbox.members("vip") == {*ids}


def _backslash(connections: Connections) -> str:
    return "\\\\" if connections.driver == "pymysql" else "\\"


@pytest.mark.parametrize("collation", ["general_ci", "unicode_ci", "bin", "unicode_nopad_ci"])
def test_so_it_is_with_any_collation_of_mariadb(
    collation: str, tables_in_mariadb: Connections, sandbox: Sandbox
) -> None:
    ids = ["Ab", "ab", "a", "a ", COMPOSED, "e", DECOMPOSED]
    fill(
        tables_in_mariadb,
        [(each,) for each in ids],
        f"id VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_{collation}",
    )
    assert counts(mirror(tables_in_mariadb)) == (7, 0, 0, 0, 0, 7)
    assert sandbox.members("vip") == {*ids}
    assert counts(mirror(tables_in_mariadb)) == (0, 0, 7, 0, 0, 7)


def test_so_it_is_with_a_collation_of_icu_that_knows_no_case(
    tables_in_postgresql: Connections, sandbox: Sandbox
) -> None:
    schema = tables_in_postgresql.schema
    tables_in_postgresql.run(
        f"CREATE COLLATION {schema}.folded (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
    )
    ids = ["Ab", "ab", "a", "a ", COMPOSED, "e", DECOMPOSED]
    rows = [(each, "Gold" if each == "a" else "gold") for each in ids]
    columns = f"id TEXT COLLATE {schema}.folded, plan TEXT COLLATE {schema}.folded"
    fill(tables_in_postgresql, rows, columns)
    of_plans: dict[str, Any] = {"attributes": ["plan"], "conn_id": "batch_cep"}
    assert counts(mirror(tables_in_postgresql, **of_plans)) == (7, 0, 0, 0, 0, 7)
    tables_in_postgresql.run(f"UPDATE {schema}.members SET plan = 'gold' WHERE id = 'a' COLLATE \"C\"")
    assert counts(mirror(tables_in_postgresql, **of_plans)) == (1, 0, 6, 0, 0, 7)
    assert sandbox.attributes("vip", PROJECT)["a"]["attributes"] == {"plan": "gold"}


def test_so_it_is_in_a_database_that_sorts_by_the_rules_of_a_language(postgres_server: str, sandbox: Sandbox) -> None:
    import psycopg2  # type: ignore[import-untyped]

    def connect(database: str = "by_language") -> Any:
        return psycopg2.connect(host=postgres_server, user="airflow", dbname=database)

    with closing(connect("postgres")) as connection:
        connection.autocommit = True
        connection.cursor().execute(
            "CREATE DATABASE by_language TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'cs-u-ka-shifted'"
        )
    connections = Connections(connect, "psycopg2", "public")
    ids = ["ch", "h", "c", "Ab", "ab", "a b", "a", "a ", COMPOSED, DECOMPOSED, "e"]
    fill(connections, [(each,) for each in ids])
    assert counts(mirror(connections)) == (11, 0, 0, 0, 0, 11)
    fill(connections, [(each,) for each in [*ids[1:], "A"]])
    assert counts(mirror(connections)) == (1, 1, 10, 0, 0, 11)
    assert sandbox.members("vip") == {*ids[1:], "A"}


@pytest.mark.parametrize(
    ("type_", "values", "texts"),
    [
        ("BIGINT", [7, 70, -1, 9007199254740993], {"7", "70", "-1", "9007199254740993"}),
        ("UUID", [UUID(int=1), UUID(int=2**127)], {str(UUID(int=1)), str(UUID(int=2**127))}),
    ],
)
def test_integers_and_uuids_are_sent_as_text(
    type_: str, values: list[Any], texts: set[str], connections: Connections, sandbox: Sandbox
) -> None:
    fill(connections, [(value,) for value in values], f"id {type_}")
    assert mirror(connections).added == len(values)
    assert sandbox.members("vip") == texts
    assert mirror(connections).unchanged == len(values)


@pytest.mark.parametrize("type_", ["NUMERIC(10, 2)", "DOUBLE PRECISION"])
def test_a_column_of_which_the_database_makes_another_text_is_refused(
    type_: str, tables_in_postgresql: Connections, sandbox: Sandbox
) -> None:
    fill(tables_in_postgresql, [(7,)], f"id {type_}")
    with pytest.raises(SourceError, match=r"makes another text than this package\. Cast it to text"):
        mirror(tables_in_postgresql)
    assert not sandbox.calls
    assert counts(
        mirror(tables_in_postgresql, f"SELECT CAST(id AS TEXT) AS id FROM {tables_in_postgresql.schema}.members")
    )


@pytest.mark.parametrize("type_", ["JSON", "JSONB"])
def test_so_is_json_whose_texts_have_quotes_there(
    type_: str, tables_in_postgresql: Connections, sandbox: Sandbox
) -> None:
    fill(tables_in_postgresql, [*((str(number),) for number in range(200)), ('"a"',)], f"id {type_}")
    with pytest.raises(SourceError, match=r"the column 'id' has JSON.*as with #>> '{}'"):
        mirror(tables_in_postgresql)
    assert not sandbox.calls
    query = f"SELECT id #>> '{{}}' AS id FROM {tables_in_postgresql.schema}.members"
    assert mirror(tables_in_postgresql, query).added == 201
    assert "a" in sandbox.members("vip")


@pytest.mark.parametrize(
    "name", ["duckdb", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgres_server"))]
)
def test_so_is_one_that_gets_another_type(name: str, sandbox: Sandbox, request: pytest.FixtureRequest) -> None:
    database: Connections = request.getfixturevalue(f"tables_in_{name}")
    fill(database, [(1,), (2,)], "id INT")
    mirror(database)
    table = f"{database.schema}.members"
    database.run(f"ALTER TABLE {table} ALTER COLUMN id TYPE NUMERIC(9, 2)")
    with pytest.raises(SourceError, match="Cast it to text"):
        mirror(database)
    database.run(f"ALTER TABLE {table} ALTER COLUMN id TYPE TEXT USING CAST(CAST(id AS INT) AS TEXT)")
    assert counts(mirror(database)) == (0, 0, 2, 0, 0, 2)


@pytest.mark.parametrize("attributes", [None, {"plan": "plan"}])
def test_in_a_column_without_a_type_each_value_is_checked(
    attributes: dict[str, str] | None, tables_in_sqlite: Connections, sandbox: Sandbox
) -> None:
    skip: dict[str, Any] = {"on_invalid_id": "skip", "conn_id": "batch_cep", "attributes": attributes}
    fill(tables_in_sqlite, [("7", "free"), ("a", "free")], "id, plan DEFAULT 'free'")
    mirror(tables_in_sqlite, **skip)
    table = f"{tables_in_sqlite.schema}.members"
    tables_in_sqlite.run(f"INSERT INTO {table} (id) VALUES (8), (7), (7.0), (1.5), (1e20), (x'61'), (x'62')")
    with pytest.raises(InvalidMemberError):
        mirror(tables_in_sqlite, **{**skip, "on_invalid_id": "fail"})
    assert counts(mirror(tables_in_sqlite, **skip)) == (1, 0, 2, 1, 5, 3)
    assert sandbox.members("vip", PROJECT) == {"7", "8", "a"}
    assert counts(mirror(tables_in_sqlite, **skip)) == (0, 0, 3, 1, 5, 3)


def test_what_is_not_a_valid_id_is_counted_and_named_as_ever(connections: Connections, sandbox: Sandbox) -> None:
    rows = [("x" * 128,), ("x" * 129,), ("y" * 130,), (None,), (None,), ("",), ("a\tb",), ("a\tb",), ("c",), ("c",)]
    fill(connections, rows)
    with pytest.raises(InvalidMemberError):
        mirror(connections)
    assert not sandbox.members("vip")
    refused: list[Any] = []
    skip: dict[str, Any] = {"on_invalid_id": "skip", "on_rejection": lambda rejection, id_: refused.append(id_)}
    assert counts(mirror(connections, **skip)) == (2, 0, 0, 1, 7, 2)
    assert sandbox.members("vip") == {"x" * 128, "c"}
    assert {*refused} == {"x" * 129, "y" * 130, None, "", "a\tb"}
    # They are named again in each run, and never taken for members.
    assert counts(mirror(connections, **skip)) == (0, 0, 2, 1, 7, 2)
    fill(connections, [("c",)])
    assert counts(mirror(connections, **skip)) == (0, 1, 1, 0, 0, 1)


def test_repetitions_are_counted_whatever_becomes_of_their_id(connections: Connections, sandbox: Sandbox) -> None:
    skip: dict[str, Any] = {"on_invalid_id": "skip"}
    fill(connections, [(each,) for each in "aaabbc"])
    assert counts(mirror(connections)) == (3, 0, 0, 3, 0, 3)
    for rows, expected in (
        (["a", "a", "a", "a", "b", "c", "c"], (0, 0, 3, 4, 0, 3)),
        (["a", "a", "b", "c", "d", "d", "d", None, None], (1, 0, 3, 3, 2, 4)),
        (["b", "b", None, "d"], (0, 2, 2, 1, 1, 2)),
        (["e", "e"], (1, 2, 0, 1, 0, 1)),
    ):
        fill(connections, [(row,) for row in rows])
        assert counts(mirror(connections, dry_run=True, **skip)) == expected
        assert counts(mirror(connections, **skip)) == expected
    assert sandbox.members("vip") == {"e"}


def test_a_member_whose_row_is_not_valid_any_more_is_removed(connections: Connections, sandbox: Sandbox) -> None:
    given: dict[str, Any] = {"conn_id": "batch_cep", "attributes": {"link": "url(link)"}, "on_invalid_id": "skip"}
    columns = "id VARCHAR(20), link VARCHAR(50)"
    fill(connections, [("a", "https://a"), ("b", "https://b")], columns)
    assert counts(mirror(connections, **given)) == (2, 0, 0, 0, 0, 2)
    fill(connections, [("a", "https://a"), ("b", "not an address")], columns)
    assert counts(mirror(connections, **given)) == (0, 1, 1, 0, 1, 1)
    assert sandbox.members("vip", PROJECT) == {"a"}
    assert counts(mirror(connections, **given)) == (0, 0, 1, 0, 1, 1)


def test_numbers_are_compared_to_their_last_digit(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a", 1.5), ("b", 1.5)], "id VARCHAR(200), spent DOUBLE PRECISION")
    given: dict[str, Any] = {"conn_id": "batch_cep", "attributes": ["spent"]}
    mirror(connections, **given)
    connections.run(f"UPDATE {connections.schema}.members SET spent = 1.5000000000000002 WHERE id = 'a'")
    assert counts(mirror(connections, **given)) == (1, 0, 1, 0, 0, 2)
    assert counts(mirror(connections, **given)) == (0, 0, 2, 0, 0, 2)


def test_attributes_are_compared(connections: Connections, sandbox: Sandbox) -> None:
    given: dict[str, Any] = {"conn_id": "batch_cep", "attributes": ["plan", "spent"]}
    columns = "id VARCHAR(20), plan VARCHAR(50), spent INT"
    fill(connections, [("a", "gold", 1), ("b", None, None), ("c", "x", 3)], columns)
    assert counts(mirror(connections, **given)) == (3, 0, 0, 0, 0, 3)
    fill(connections, [("a", "Gold", 1), ("b", None, None), ("c", "x ", 3)], columns)
    assert counts(mirror(connections, **given)) == (2, 0, 1, 0, 0, 3)
    fill(connections, [("a", "Gold", None), ("b", "", 0), ("c", "x ", 3), ("c", "x ", 3)], columns)
    assert counts(mirror(connections, **given)) == (2, 0, 1, 1, 0, 3)
    traits = sandbox.attributes("vip", PROJECT)
    assert [traits[id_]["attributes"] for id_ in "abc"] == [
        {"plan": "Gold"},
        {"plan": "", "spent": 0},
        {"plan": "x ", "spent": 3},
    ]
    # Other attributes: all members are sent again.
    assert counts(mirror(connections, **{**given, "attributes": ["spent"]})) == (3, 0, 0, 1, 0, 3)
    assert counts(mirror(connections, **{**given, "attributes": ["spent"]})) == (0, 0, 3, 1, 0, 3)


# The connection, as it is set


def connected(connections: Connections, change: Callable[[Any], Any]) -> Connections:
    """The same database, over connections that are changed first."""

    def connect() -> Any:
        connection = connections.connect()
        return change(connection) or connection

    return Connections(connect, connections.driver, connections.schema)


def committing(connections: Connections, is_on: bool) -> Connections:
    """The same database, over connections that commit each statement by themselves, or not."""

    def change(connection: Any) -> None:
        if connections.driver == "sqlite3":
            connection.isolation_level = None if is_on else "IMMEDIATE"
        elif connections.driver == "psycopg2":
            connection.autocommit = is_on
        elif connections.driver == "pymysql":
            connection.autocommit(is_on)

    return connected(connections, change)


@pytest.mark.parametrize("is_on", [True, False])
def test_autocommit_makes_no_difference(is_on: bool, connections: Connections, sandbox: Sandbox) -> None:
    other = committing(connections, is_on)
    for members in ("ab", "bcd", "bcd", "c"):
        fill(connections, [(each,) for each in members])
        mirror(other, keep_changes=3, on_invalid_id="skip")
        assert sandbox.members("vip") == {*members}
    assert ours(connections)[-2:] == ["head", "log"]


@pytest.mark.parametrize("is_on", [True, False])
def test_nor_does_it_to_a_transaction(is_on: bool, connections: Connections) -> None:
    if connections.driver == "duckdb":
        pytest.skip("none is used")
    fill(connections, [("a",)])
    table = f"{connections.schema}.members"
    with Database(committing(connections, is_on).connect).session() as session:
        for kept in (False, True):
            with suppress(ZeroDivisionError), session.transaction():
                session.execute(f"DELETE FROM {table}")
                if not kept:
                    raise ZeroDivisionError
            assert session.number(f"SELECT COUNT(*) FROM {table}") == (not kept)


@pytest.mark.parametrize("is_on", [True, False])
def test_the_newer_driver_of_postgresql_does(is_on: bool, tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    psycopg = pytest.importorskip("psycopg")
    (host,) = tables_in_postgresql.run("SHOW unix_socket_directories")[0]

    def connect() -> Any:
        rows: Any = psycopg.rows.dict_row if is_on else psycopg.rows.tuple_row
        return psycopg.connect(host=host, user="airflow", dbname="postgres", autocommit=is_on, row_factory=rows)

    other = Connections(connect, "psycopg", tables_in_postgresql.schema)
    sql = f"SELECT id FROM {other.schema}.members WHERE id <> %s"
    for members in ("ab", "bcd", "bcd", "c"):
        fill(tables_in_postgresql, [(each,) for each in members] + [("z",), ("a\tb",)])
        given: dict[str, Any] = {"keep_changes": 3, "on_invalid_id": "skip", "parameters": ["z"]}
        mirror(other, sql, dry_run=True, **given)
        assert mirror(other, sql, **given).rejected == 1
        assert sandbox.members("vip") == {*members}


def test_rows_as_dicts_make_no_difference(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    from psycopg2.extras import RealDictCursor  # type: ignore[import-untyped]

    def change(connection: Any) -> None:
        connection.cursor_factory = RealDictCursor

    fill(tables_in_postgresql, [("a",), ("b",)])
    assert mirror(connected(tables_in_postgresql, change)).added == 2
    assert sandbox.members("vip") == {"a", "b"}


def test_nor_do_they_in_sqlite(tables_in_sqlite: Connections, sandbox: Sandbox) -> None:
    def change(connection: Any) -> None:
        connection.row_factory = lambda _, row: dict(enumerate(row))

    fill(tables_in_sqlite, [("a",), ("b",)])
    assert mirror(connected(tables_in_sqlite, change)).added == 2
    assert sandbox.members("vip") == {"a", "b"}


# The query, as it is given


@pytest.mark.parametrize(
    "end",
    [
        "",
        ";",
        " ; ",
        ";;",
        " -- all of them",
        "; -- all; of them",
        " /* all */ ",
        ";\n/* all */\n-- of them\n",
        "\n;",
        "-- it's all\n;",
        "/* it's all; */;",
    ],
)
def test_a_query_can_end_in_a_semicolon_or_a_comment(end: str, tables_in_sqlite: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_sqlite, [("a",), ("b",)])
    assert mirror(tables_in_sqlite, f"SELECT id FROM members WHERE id <> '; -- x' AND id <> '''--;'{end}").added == 2


@pytest.mark.parametrize("comment", ["-- what isn't\n", '-- 5" and more\n', "/* it's all */"])
def test_a_semicolon_can_follow_a_comment_with_a_quote(
    comment: str, tables_in_sqlite: Connections, sandbox: Sandbox
) -> None:
    fill(tables_in_sqlite, [("a",), ("b",)])
    assert mirror(tables_in_sqlite, f"{comment}SELECT id FROM members;").added == 2
    assert mirror(tables_in_sqlite, f"SELECT id FROM members {comment};").unchanged == 2


def test_values_of_placeholders_and_percent_signs_are_passed_on(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a",), ("b",), ("c%",)])
    mark, sign = ("?", "%") if connections.driver in ("sqlite3", "duckdb") else ("%s", "%%")
    sql = f"SELECT id FROM {connections.schema}.members WHERE id <> {mark} AND id LIKE '{sign}' ORDER BY id"
    for dry_run in (True, False):
        assert mirror(connections, sql, parameters=["b"], dry_run=dry_run).added == 2
    assert sandbox.members("vip") == {"a", "c%"}


def test_a_query_with_a_common_table_expression_does(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a",), ("b",)])
    assert mirror(connections, f"WITH m AS (SELECT id FROM {connections.schema}.members) SELECT id FROM m").added == 2


@pytest.mark.parametrize("name", ["t", "s", "u", "q", "w", "d", "b", "e", "k"])
def test_a_query_can_read_a_table_of_any_name(name: str, tables_in_sqlite: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_sqlite, [("a",), ("b",)])
    mirror(tables_in_sqlite)
    tables_in_sqlite.run(f"CREATE TABLE {name} (id VARCHAR(9))", f"INSERT INTO {name} VALUES ('b'), ('c'), ('d')")
    for dry_run in (True, False):
        assert counts(mirror(tables_in_sqlite, f"SELECT id FROM {name}", dry_run=dry_run)) == (2, 1, 1, 0, 0, 3)


def test_columns_of_one_name_are_named_where_they_may_not_be(tables_in_mariadb: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_mariadb, [("a",)])
    with pytest.raises(SourceError, match="Duplicate column name 'n'"):
        mirror(tables_in_mariadb, f"SELECT id, 1 AS n, 2 AS n FROM {tables_in_mariadb.schema}.members")


def test_a_column_that_is_missing_is_named(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a", "b")], "x VARCHAR(9), y VARCHAR(9)")
    with pytest.raises(SourceError, match="there is no column 'id'"):
        mirror(connections)


def test_a_list_is_not_a_query(tables_in_sqlite: Connections, sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentError, match="the ids are not those of a query"):
        BatchHook().mirror_custom_audience("vip", ["a"], snapshot_schema="main")
    for places in ({}, {"snapshot_schema": "main", "snapshot_path": "/x"}):
        with pytest.raises(InvalidArgumentError, match="Pass one of them"):
            BatchHook().mirror_custom_audience("vip", ["a"], **places)  # type: ignore[arg-type]
    fill(tables_in_sqlite, [("a",)])
    with pytest.raises(InvalidArgumentError, match="Trim them in the query"):
        mirror(tables_in_sqlite, trim_ids=True)


# What the guards and the modes promise


def test_a_dry_run_leaves_nothing_behind(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a",), ("b",), ("b",), (None,)])
    before = connections.tables()
    plan = mirror(connections, dry_run=True, on_invalid_id="skip")
    assert (counts(plan), plan.planned_calls) == ((2, 0, 0, 1, 1, 2), 1)
    assert connections.tables() == before
    mirror(connections, on_invalid_id="skip")
    head, kept = connections.head(), connections.tables()
    fill(connections, [("b",), ("c",)])
    plan = mirror(connections, dry_run=True)
    assert (counts(plan), plan.planned_calls) == ((1, 1, 1, 0, 0, 2), 1)
    assert (connections.head(), connections.tables()) == (head, kept)
    assert sandbox.members("vip") == {"a", "b"}


def test_the_guards_hold(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [(each,) for each in "abcdefghij"])
    mirror(connections)
    calls = len(sandbox.calls)
    fill(connections, [])
    with pytest.raises(EmptySetError):
        mirror(connections)
    fill(connections, [("a",)])
    with pytest.raises(GuardError, match="ids in the last set: 10, in the new set: 1"):
        mirror(connections, max_shrink=0.5)
    with pytest.raises(GuardError, match="to add: 0, to remove: 9"):
        mirror(connections, max_changes=8)
    assert len(sandbox.calls) == calls
    assert ours(connections) == ["b", "head"]  # those runs have cleaned up behind them
    fill(connections, [])
    assert counts(mirror(connections, allow_empty=True)) == (0, 10, 0, 0, 0, 0)


def test_a_first_run_can_replace_and_a_full_refresh_does(connections: Connections, sandbox: Sandbox) -> None:
    BatchHook("batch_cep").update_custom_audience("vip", add_ids=["x", "y"])
    fill(connections, [("a",), ("b",)])
    result = mirror(connections, conn_id="batch_cep", first_run="replace")
    assert (counts(result), result.replaced) == ((2, 0, 0, 0, 0, 2), True)
    assert sandbox.members("vip", PROJECT) == {"a", "b"}
    BatchHook("batch_cep").update_custom_audience("vip", add_ids=["z"], remove_ids=["a"])
    assert mirror(connections, conn_id="batch_cep").unchanged == 2
    assert mirror(connections, conn_id="batch_cep", full_refresh=True).replaced
    assert sandbox.members("vip", PROJECT) == {"a", "b"}


def test_ids_that_batch_rejects_stay_uncertain(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a",), ("b",), ("c",)])
    sandbox.faults(Fault(400), None, Fault(400))
    result = mirror(connections, chunk_size=2, max_concurrency=1, on_rejected_chunk="bisect", keep_changes=7)
    assert (result.added, result.rejected) == (2, 1)
    left = {"a", "b", "c"} - sandbox.members("vip")
    assert len(left) == 1
    log = connections.run(f"SELECT id, op, why FROM {connections.schema}.{log_of(connections)} ORDER BY op, id")
    assert [row for row in log if row[1] == "!"] == [(*left, "!", "rejected by Batch")]
    assert counts(mirror(connections, keep_changes=7)) == (1, 0, 2, 0, 0, 3)
    assert sandbox.members("vip") == {"a", "b", "c"}
    assert counts(mirror(connections)) == (0, 0, 3, 0, 0, 3)


def test_only_what_changed_is_written_until_it_is_a_tenth(
    connections: Connections, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"id-{number}" for number in range(40)]
    fill(connections, [(each,) for each in ids])
    mirror(connections)
    base = connections.head()["base"]  # type: ignore[index]
    for gone, (b, e) in {1: (40, 1), 2: (40, 3), 3: (37, 0)}.items():
        fill(connections, [(each,) for each in ids[gone:]] + ([("new",)] if gone == 2 else []))
        mirror(connections)
        state = connections.head()
        assert state is not None
        assert (state["base_count"], state["net_count"]) == (b, e)
        assert (state["base"] == base) is (gone < 3)
        assert sandbox.members("vip") == {*ids[gone:]} | ({"new"} if gone == 2 else set())
    fill(connections, [(each,) for each in ids[4:]])
    mirror(connections)
    assert connections.head()["net_count"] == 1  # type: ignore[index]
    monkeypatch.setattr(comparison, "OLDEST_BASE", -1.0)
    # What left does not stay in an old base for long, even if nothing changes any more.
    assert mirror(connections).unchanged == 36
    state = connections.head()
    assert state is not None
    assert (state["base_count"], state["net"], state["generation"]) == (36, None, 5)
    assert ours(connections) == ["b", "head"]
    fill(connections, [(each,) for each in ids[5:]])
    mirror(connections)
    assert connections.head()["base_count"] == 35  # type: ignore[index]
    assert ours(connections) == ["b", "head"]


def test_postgresql_knows_what_a_base_is_like(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_postgresql, [("a",), ("b",), ("c",)])
    mirror(tables_in_postgresql)
    base = tables_in_postgresql.head()["base"]  # type: ignore[index]
    found = tables_in_postgresql.run(f"SELECT n_distinct FROM pg_stats WHERE tablename LIKE '%{base}'")
    assert [float(distinct) for (distinct,) in found] == [-1.0]  # each id is there once


# What a person has to mend


def test_a_head_that_was_dropped_means_a_first_run(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a",), ("b",)])
    mirror(connections)
    head = next(name for name in connections.tables() if name.endswith("_head"))
    connections.run(f"DROP TABLE {connections.schema}.{head}")
    assert counts(mirror(connections)) == (2, 0, 0, 0, 0, 2)


def head_of(connections: Connections) -> str:
    (name,) = (name for name in connections.tables() if name.endswith("_head"))
    return f"{connections.schema}.{name}"


def log_of(connections: Connections) -> str:
    (name,) = (name for name in connections.tables() if name.endswith("_log"))
    return name


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("DELETE FROM {head}", "has 0 rows instead of one"),
        ("INSERT INTO {head} SELECT * FROM {head}", "has 2 rows instead of one"),
        ("UPDATE {head} SET state = 'x'", "its state cannot be read"),
        ("UPDATE {head} SET state = '{{}}'", "its state cannot be read"),
        ("UPDATE {head} SET format = 2", "was written by a newer version"),
    ],
)
def test_a_head_that_cannot_be_used_is_named(
    spoil: str, message: str, connections: Connections, sandbox: Sandbox
) -> None:
    fill(connections, [("a",)])
    mirror(connections)
    calls = len(sandbox.calls)
    connections.run(spoil.format(head=head_of(connections)))
    for dry_run in (False, True):
        with pytest.raises(SnapshotError, match=message):
            mirror(connections, dry_run=dry_run)
    assert len(sandbox.calls) == calls


def test_a_state_that_cannot_be_read_is_mended_by_a_full_refresh(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a",)])
    mirror(connections, conn_id="batch_cep")
    connections.run(f"UPDATE {head_of(connections)} SET state = 'x'")
    assert mirror(connections, conn_id="batch_cep", full_refresh=True).replaced
    assert counts(mirror(connections, conn_id="batch_cep")) == (0, 0, 1, 0, 0, 1)


def test_another_table_of_the_same_name_is_not_touched(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a",)])
    mirror(connections)
    head = head_of(connections)
    connections.run(f"DROP TABLE {head}", f"CREATE TABLE {head} (x INT)", f"INSERT INTO {head} VALUES (7)")
    with pytest.raises(SnapshotError, match="cannot be read as the head of a mirror"):
        mirror(connections)
    assert connections.run(f"SELECT x FROM {head}") == [(7,)]


def test_a_snapshot_that_somebody_has_changed_is_named(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a",), ("b",)])
    mirror(connections)
    base = connections.head()["base"]  # type: ignore[index]
    table = head_of(connections).replace("_head", f"_{base}")
    for spoil in (f"DELETE FROM {table} WHERE 1 = 1", f"DROP TABLE {table}"):
        connections.run(spoil)
        for dry_run in (True, False):
            with pytest.raises(SnapshotError, match="does not have the 2 rows that were written"):
                mirror(connections, dry_run=dry_run)


@pytest.mark.parametrize(
    ("granted", "message"),
    [
        ("", "permission denied for schema analytics_batch"),
        ("GRANT USAGE ON SCHEMA analytics_batch TO reader", "permission denied for schema analytics_batch.*CREATE"),
    ],
)
def test_a_missing_right_is_named(
    granted: str, message: str, tables_in_postgresql: Connections, sandbox: Sandbox
) -> None:
    fill(tables_in_postgresql, [("a",)])
    connections = as_reader(
        tables_in_postgresql, "GRANT SELECT ON ALL TABLES IN SCHEMA analytics_batch TO reader", granted
    )
    with pytest.raises(SnapshotError, match=message):
        mirror(connections, "SELECT 'a' AS id")
    assert not sandbox.calls


def test_a_dry_run_needs_the_right_to_read_only(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_postgresql, [("a",)])
    schema = tables_in_postgresql.schema
    connections = as_reader(
        tables_in_postgresql,
        f"GRANT USAGE ON SCHEMA {schema} TO reader",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader",
    )
    assert mirror(connections, dry_run=True).added == 1
    mirror(tables_in_postgresql)
    connections = as_reader(
        tables_in_postgresql,
        f"GRANT USAGE ON SCHEMA {schema} TO reader",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader",
    )
    fill(tables_in_postgresql, [("a",), ("b",)])
    as_reader(
        tables_in_postgresql,
        f"GRANT USAGE ON SCHEMA {schema} TO reader",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader",
    )
    assert counts(mirror(connections, dry_run=True)) == (1, 0, 1, 0, 0, 2)


def as_reader(connections: Connections, *grants: str) -> Connections:
    """Connections of a user who has nothing but these rights."""
    connections.run(
        "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        *filter(None, grants),
    )

    def connect() -> Any:
        connection = connections.connect()
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE reader")
        connection.commit()
        return connection

    return Connections(connect, connections.driver, connections.schema)


def test_a_schema_that_does_not_exist_is_named(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_postgresql, [("a",)])
    with pytest.raises(SnapshotError, match=r'schema "nowhere" does not exist.*needs a schema of that name'):
        mirror(tables_in_postgresql, snapshot_schema="nowhere")


def test_a_database_that_is_not_known_is_named() -> None:
    class Connection:
        pass

    class Hook:
        def get_conn(self) -> Connection:
            return Connection()

    from airflow_provider_batch.mirror.tables.database import Database

    expected = (
        r"a connection of tests is not supported; supported are duckdb, mysql, postgresql, sqlite, bigquery "
        r"\(experimental\), .* Pass snapshot_path instead"
    )
    with pytest.raises(AttributeError), Database(Hook().get_conn).session():
        pass  # it cannot even be closed
    Connection.close = lambda self: None  # type: ignore[attr-defined]
    with pytest.raises(SnapshotError, match=expected), Database(Hook().get_conn).session():
        pass


# The log


def test_the_log_tells_who_came_and_went(connections: Connections, sandbox: Sandbox) -> None:
    log: dict[str, Any] = {"keep_changes": 30, "on_invalid_id": "skip"}
    fill(connections, [("a",), ("b",)])
    mirror(connections, owner="monday", **log)
    fill(connections, [("b",), ("c",), (None,), ("a\tb",)])
    mirror(connections, owner="tuesday", **log)
    table = f"{connections.schema}.{log_of(connections)}"
    rows = connections.run(f"SELECT run, id, op, why FROM {table} ORDER BY run, op, id")
    assert {tuple(row) for row in rows} == {
        ("monday", "a", "+", "new"),
        ("monday", "b", "+", "new"),
        ("tuesday", "a", "-", "gone"),
        ("tuesday", "c", "+", "new"),
        ("tuesday", None, "!", "the id is missing, empty or too long"),
        (
            "tuesday",
            "a\tb",
            "!",
            "the id contains a tab. Read the source with the right encoding, or remove the character.",
        ),
    }
    assert ours(connections) in (["b", "head", "log"], ["b", "e", "head", "log"])
    # What is too old goes with the next run.
    long_ago = datetime(2020, 1, 1, tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S")
    at = "`at`" if connections.driver == "pymysql" else '"at"'
    connections.run(f"UPDATE {table} SET {at} = '{long_ago}' WHERE run = 'monday'")
    fill(connections, [("b",), ("c",), ("d",)])
    mirror(connections, owner="wednesday", **log)
    assert {run for (run,) in connections.run(f"SELECT run FROM {table}")} == {"tuesday", "wednesday"}


def test_what_a_run_could_not_append_to_the_log_the_next_one_does(
    connections: Connections, sandbox: Sandbox, told: Callable[[], str]
) -> None:
    fill(connections, [("a",)])
    mirror(connections, keep_changes=30)
    table = f"{connections.schema}.{log_of(connections)}"
    connections.run(f"DROP TABLE {table}", f"CREATE TABLE {table} (x INT)")
    fill(connections, [("a",), ("b",)])
    assert mirror(connections, keep_changes=30, owner="tuesday").added == 1
    assert "could not be written; the next run does it" in told()
    connections.run(f"DROP TABLE {table}")
    assert mirror(connections, keep_changes=30).added == 0
    assert connections.run(f"SELECT run, id, op FROM {table}") == [("tuesday", "b", "+")]
    assert mirror(connections, keep_changes=30).added == 0
    assert len(connections.run(f"SELECT run FROM {table}")) == 1


def test_the_queries_in_the_documentation_answer_from_the_log(connections: Connections, sandbox: Sandbox) -> None:
    name_of_at = "`at`" if connections.driver == "pymysql" else '"at"'
    table = ""
    for at, rows in (
        ("2026-10-31 23:00:00", [("customer-1",), ("Customer-1",), ("b",)]),
        ("2026-11-01 08:00:00", [("b",), ("Customer-1",), ("c",), (None,)]),
    ):
        fill(connections, rows)
        mirror(connections, keep_changes=30, on_invalid_id="skip", owner=at)
        table = f"{connections.schema}.{log_of(connections)}"
        connections.run(f"UPDATE {table} SET {name_of_at} = '{at}' WHERE run = '{at}'")
    found = [connections.run(sql) for sql in documented(connections)]
    assert [[tuple(map(str, row)) for row in rows] for rows in found] == [
        [("2026-10-31 23:00:00", "+", "new"), ("2026-11-01 08:00:00", "-", "gone")],
        [("2026-10-31", "3", "0"), ("2026-11-01", "1", "1")],
        [("None", "the id is missing, empty or too long")],
        [],
        [("Customer-1",), ("b",), ("c",)],
    ]


def test_members_whose_rows_are_not_valid_any_more_are_among_those_who_left(
    connections: Connections, sandbox: Sandbox
) -> None:
    given: dict[str, Any] = {"attributes": {"home": "url(home)"}, "conn_id": "batch_cep", "on_invalid_id": "skip"}
    home = "https://home.example/"
    for homes in ({"a": home, "b": home}, {"a": "nowhere", "c": "nowhere", "d": home}):
        fill(connections, [*homes.items()], "id VARCHAR(200), home VARCHAR(200)")
        mirror(connections, keep_changes=30, **given)
    assert sandbox.members("vip", PROJECT) == {"d"}
    (churn,) = (sql for sql in documented(connections) if "entered" in sql)
    assert [(int(entered), int(gone)) for _, entered, gone in connections.run(churn)] == [(3, 2)]


def documented(connections: Connections) -> list[str]:
    """The queries of the documentation, for the one log that is there."""
    page = (Path(__file__).parents[2] / "docs" / "warehouse-mirror.md").read_text(encoding="utf-8")
    page = page.replace("analytics_batch.batch_vip_1a2b3c4d_log", f"{connections.schema}.{log_of(connections)}")
    if connections.driver == "pymysql":
        page = page.replace('"at"', "`at`")
    if connections.driver == "duckdb" and version("duckdb").startswith("1.1."):
        page = page.replace('DATE("at")', 'CAST("at" AS DATE)')
    return re.findall(r"```sql\n(.*?);\n```", page, re.DOTALL)


def logged(connections: Connections, run: str) -> set[tuple[Any, ...]]:
    table = f"{connections.schema}.{log_of(connections)}"
    return {tuple(row) for row in connections.run(f"SELECT id, op, why FROM {table} WHERE run = '{run}'")}


def test_the_log_tells_who_came_and_went_with_a_replace(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a",), ("b",)])
    mirror(connections, keep_changes=30, first_run="replace", owner="monday")
    assert logged(connections, "monday") == {("a", "+", "new"), ("b", "+", "new")}
    fill(connections, [("b",), ("c",), ("c",)])
    given: dict[str, Any] = {"keep_changes": 30, "full_refresh": True, "owner": "tuesday"}
    assert mirror(connections, dry_run=True, **given).added == 2
    result = mirror(connections, **given)
    assert (counts(result), result.replaced) == ((2, 0, 0, 1, 0, 2), True)
    assert sandbox.members("vip") == {"b", "c"}
    assert logged(connections, "tuesday") == {("a", "-", "gone"), ("c", "+", "new")}
    assert counts(mirror(connections)) == (0, 0, 2, 1, 0, 2)


def test_a_replace_that_mends_a_snapshot_logs_all_ids_as_new(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, [("a",), ("b",)])
    mirror(connections)
    fill(connections, [("b",), ("c",)])
    for spoil in ("DELETE FROM {} WHERE 1 = 1", "DROP TABLE {}"):
        base = connections.head()["base"]  # type: ignore[index]
        connections.run(spoil.format(head_of(connections).replace("_head", f"_{base}")))
        mirror(connections, keep_changes=30, full_refresh=True, owner=spoil[:4])
        assert logged(connections, spoil[:4]) == {("b", "+", "new"), ("c", "+", "new")}


def test_a_run_that_changes_nothing_logs_what_is_not_valid(
    connections: Connections, sandbox: Sandbox, told: Callable[[], str]
) -> None:
    given: dict[str, Any] = {"keep_changes": 30, "on_invalid_id": "skip"}
    fill(connections, [("a",), (None,)])
    mirror(connections, owner="monday", **given)
    mirror(connections, owner="tuesday", dry_run=True, **given)
    assert logged(connections, "tuesday") == set()
    calls = len(sandbox.calls)
    mirror(connections, owner="tuesday", **given)
    assert logged(connections, "tuesday") == {(None, "!", "the id is missing, empty or too long")}
    assert ours(connections) == ["b", "head", "log"]
    fill(connections, [("a",)])
    mirror(connections, owner="wednesday", **given)
    assert logged(connections, "wednesday") == set()
    # It is no reason to keep the claim that the log cannot be written.
    table = f"{connections.schema}.{log_of(connections)}"
    connections.run(f"DROP TABLE {table}", f"CREATE TABLE {table} (x INT)")
    fill(connections, [("a",), (None,)])
    assert mirror(connections, owner="thursday", **given).rejected == 1
    assert "the log of" in told()
    assert connections.head()["claim"] is None  # type: ignore[index]
    assert sum(call.method == "PATCH" for call in sandbox.calls[calls:]) == 0


def test_a_table_that_somebody_reads_is_dropped_by_a_later_run(
    connections: Connections, sandbox: Sandbox, told: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(connections.connect()) as connection:
        dialect = dialect_of(connection)
    if dialect.name not in ("postgresql", "mysql"):
        pytest.skip("nobody who reads keeps a table from being dropped")
    limits = {name: getattr(dialect, name).replace("10", "1") for name in ("limit", "before_drop")}
    is_patient = replace(dialect, **limits)
    monkeypatch.setitem(DIALECTS, dialect.name, is_patient)
    fill(connections, [("a",), ("b",)])
    mirror(connections)
    base = head_of(connections).replace("_head", f"_{connections.head()['base']}")  # type: ignore[index]
    fill(connections, [("b",), ("c",)])
    with closing(connections.connect()) as reader, closing(reader.cursor()) as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {base}")  # its transaction lasts until it is closed
        cursor.fetchall()
        assert counts(mirror(connections)) == (1, 1, 1, 0, 0, 2)
        assert "tables of earlier runs" in told()
        assert base.rpartition(".")[2] in connections.tables()
    fill(connections, [("b",)])
    mirror(connections)
    assert ours(connections) == ["b", "head"]


@pytest.mark.parametrize("version", [0, 5])
def test_a_run_does_not_wait_for_ever_for_one_that_hangs_as_it_changes_the_head(
    version: int, tables_in_postgresql: Connections, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect = DIALECTS["postgresql"]
    monkeypatch.setitem(DIALECTS, dialect.name, replace(dialect, limit=dialect.limit.replace("10", "1")))
    fill(tables_in_postgresql, [("a",)])
    mirror(tables_in_postgresql)
    head = head_of(tables_in_postgresql)
    tables_in_postgresql.run(f"UPDATE {head} SET version = {version}")  # 0: as it was made, and not published yet
    with closing(tables_in_postgresql.connect()) as hanging, closing(hanging.cursor()) as cursor:
        cursor.execute(f"UPDATE {head} SET version = version + 1")
        with pytest.raises(SourceError, match=rf"UPDATE of {re.escape(head)} failed \(LockNotAvailable"):
            mirror(tables_in_postgresql)
    assert mirror(tables_in_postgresql).unchanged == 1


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("is_on", [True, False])
def test_that_limit_ends_with_the_statement(is_on: bool, driver: str, tables_in_postgresql: Connections) -> None:
    psycopg = pytest.importorskip(driver)
    (host,) = tables_in_postgresql.run("SHOW unix_socket_directories")[0]

    def connect() -> Any:
        connection = psycopg.connect(host=host, user="airflow", dbname="postgres")
        connection.autocommit = is_on
        return connection

    fill(tables_in_postgresql, [("a",)])
    members = f"{tables_in_postgresql.schema}.members"
    with Database(connect).session() as session:
        for together in (nullcontext, session.transaction):
            with together():
                update = f"UPDATE {members} SET id = CURRENT_SETTING('lock_timeout') WHERE id <> %s"
                session.execute(session.dialect.limit + update, ["b"])
            assert session.rows(f"SELECT id, CURRENT_SETTING('lock_timeout') FROM {members}") == [("10s", "0")]
            session.execute(f"UPDATE {members} SET id = 'a'")


def test_a_database_may_publish_all_its_tables(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_postgresql, [("a",), ("b",)])
    tables_in_postgresql.run("CREATE PUBLICATION everything FOR ALL TABLES")
    try:
        assert counts(mirror(tables_in_postgresql, keep_changes=30)) == (2, 0, 0, 0, 0, 2)
        table = f"{tables_in_postgresql.schema}.{log_of(tables_in_postgresql)}"
        tables_in_postgresql.run(f"UPDATE {table} SET \"at\" = '2000-01-01'")
        fill(tables_in_postgresql, [("b",), ("c",)])
        assert counts(mirror(tables_in_postgresql, keep_changes=30)) == (1, 1, 1, 0, 0, 2)
    finally:
        tables_in_postgresql.run("DROP PUBLICATION everything")
    assert tables_in_postgresql.run(f"SELECT op, id FROM {table} ORDER BY id") == [("-", "a"), ("+", "c")]
