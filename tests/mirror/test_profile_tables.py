"""Mirrors of profiles whose snapshot is in tables: what the database takes for another row, and what it keeps."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import (
    BatchServerError,
    GuardError,
    InvalidArgumentError,
    InvalidMemberError,
    SnapshotError,
    SourceError,
)
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.tables.__main__ import main
from airflow_provider_batch.mirror.tables.claim import TableClaim
from airflow_provider_batch.mirror.tables.database import Database
from airflow_provider_batch.mirror.tables.dialect import DIALECTS
from airflow_provider_batch.mirror.tables.statements import Query, Statements
from airflow_provider_batch.operators.rejects import rejects_file
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sources.profile_columns import ProfileColumns
from airflow_provider_batch.sources.sql import SqlSource
from airflow_provider_batch.tasks.journal import TaskStateJournal
from tests.mirror.folders import Killed
from tests.mirror.stores import Connections
from tests.mirror.test_status import printed
from tests.worker import Store, memory

PROJECT = "project_sandbox"
COMPOSED, DECOMPOSED = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(keep_bodies=True, profile_limits=False) as sandbox:
        connection = json.loads(sandbox.connection_json(PROJECT))
        connection["extra"]["max_attempts"] = 1
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", json.dumps(connection))
        yield sandbox


def fill(connections: Connections, columns: str, *rows: str) -> None:
    """Make the table ``customers`` anew, with these rows as literals."""
    table = f"{connections.schema}.customers"
    inserts = [f"INSERT INTO {table} VALUES ({row})" for row in rows]
    connections.run(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} ({columns})", *inserts)


def send(connections: Connections, sql: str = "", **arguments: Any) -> Any:
    columns = ProfileColumns(
        arguments.get("id_column", "custom_id"), attribute_columns=arguments.get("attribute_columns")
    )
    sql = sql or f"SELECT * FROM {connections.schema}.customers"
    source = SqlSource(arguments.pop("hook", connections), sql, arguments.pop("parameters", None), columns)
    given = {"snapshot_schema": connections.schema, "snapshot_name": "customers", **arguments}
    return BatchHook("batch_cep").mirror_profiles(source, **given)


def counts(result: Any) -> tuple[int, ...]:
    return result.accepted, result.cleared, result.unchanged, result.duplicates, result.rejected, result.profiles


def kept(connections: Connections) -> str:
    """All that is in the mirror's tables."""
    names = [name for name in connections.tables() if name.startswith("batch_")]
    return str([connections.run(f"SELECT * FROM {connections.schema}.{name}") for name in names])


# What is another row

TEXTS = [
    ("ab", "c"),
    ("a", "bc"),
    ("abc", ""),
    ("abc", None),
    (None, "abc"),
    ("", "abc"),
    ("-", "abc"),
    ("abc", "-"),
    ("1:a", ""),
    ("1", "a1:"),
    ("abc ", None),
    ("Abc", None),
    (COMPOSED, None),
    (DECOMPOSED, None),
    (None, None),
    ("NULL", None),
]


def digests(connections: Connections, *names: str) -> list[str]:
    """The digests of the rows, by their ids."""
    with Database(connections.get_conn).session() as session:
        session.prepare_digests()
        query = Query(f"SELECT * FROM {connections.schema}.customers", "custom_id", names, 100, names)
        rows = session.rows(Statements(session.dialect, query).today())
        found = {bytes(id_).decode() if isinstance(id_, bytes) else id_: digest for id_, _, *_, digest, _ in rows}
    assert all(len(digest) == 32 for digest in found.values())
    return [found[id_] for id_ in sorted(found)]


def test_texts_that_differ_in_anything_are_other_rows(connections: Connections) -> None:
    literals = [", ".join("NULL" if text is None else f"'{text}'" for text in row) for row in TEXTS]
    columns = "custom_id VARCHAR(20), x VARCHAR(20), y VARCHAR(20)"
    fill(connections, columns, *(f"'{number:02}', {literal}" for number, literal in enumerate(literals)))
    found = digests(connections, "x", "y")
    assert (len(found), len({*found})) == (len(TEXTS), len(TEXTS))
    assert digests(connections, "x", "y") == found
    assert digests(connections, "y", "x") != found


#: A type, and values that are not the same, as literals.
VALUES: dict[str, dict[str, list[str]]] = {
    "sqlite3": {
        "REAL": ["0.3", "0.1 + 0.2", "1e300", "1.0", "2.0"],
        "": ["1", "1.0", "'1'", "NULL", "''", "9007199254740993", "9007199254740992.0"],
    },
    "duckdb": {
        "DOUBLE": ["0.3::DOUBLE", "0.1::DOUBLE + 0.2::DOUBLE", "1e300", "1", "NULL"],
        "FLOAT": ["0.1", "0.10000001"],
        "DECIMAL(20, 2)": ["1.00", "1.10", "10.00"],
        "BOOLEAN": ["true", "false", "NULL"],
        "TIMESTAMP": ["'2026-01-01 00:00:00'", "'2026-01-01 00:00:01'", "NULL"],
        "VARCHAR[]": [
            *("['a', 'b']", "['a, b']", "['a', 'b, c']", "['a, b', 'c']", "['']", "[]", "NULL"),
            *("['''a''']", "['\"a\"']", "['a']", "['[a]']", "[' a']", "['NULL']", "['a\\']", "['a\\\\']"),
        ],
    },
    "psycopg2": {
        "DOUBLE PRECISION": ["0.3", "0.1::float8 + 0.2::float8", "1e300", "1", "NULL"],
        "REAL": ["0.1", "0.10000001"],
        "NUMERIC": ["1", "1.0", "1.00", "10"],
        "BOOLEAN": ["true", "false", "NULL"],
        "TIMESTAMPTZ": ["'2026-10-25 00:30:00Z'", "'2026-10-25 01:30:00Z'", "NULL"],
        "DATE": ["'2026-01-02'", "'2026-02-01'", "NULL"],
        "TEXT[]": [
            *("ARRAY['a', 'b']", "ARRAY['a,b']", "ARRAY['a, b']", "ARRAY['\"a\"']", "ARRAY['NULL']"),
            *("ARRAY['']", "'{}'", "NULL", "ARRAY['a\\']", "ARRAY['{a}']"),
        ],
        "CHAR(5)": ["'a'", "'b'", "''", "NULL"],
        "JSON": ["'\"a\"'", "'\"b\"'", "'1'", "'1.0'", "NULL"],
    },
    "pymysql": {
        "DOUBLE": ["0.3", "0.1e0 + 0.2e0", "1e300", "1", "NULL"],
        "FLOAT": ["0.1", "0.2"],
        "DECIMAL(20, 2)": ["1.00", "1.10", "10.00"],
        "BOOLEAN": ["true", "false", "NULL"],
        "DATETIME": ["'2026-01-01 00:00:00'", "'2026-01-01 00:00:01'", "NULL"],
        "ENUM('a', 'b')": ["'a'", "'b'", "NULL"],
        "VARCHAR(20) CHARACTER SET latin1": ["'\u00e9'", "'\u00c3\u00a9'", "'e'"],
        "TEXT": ["'a'", "'a '", "'A'", "''", "NULL"],
    },
}


def test_values_that_are_not_the_same_are_other_rows(connections: Connections) -> None:
    for type_, values in VALUES[connections.driver].items():
        fill(
            connections,
            f"custom_id VARCHAR(20), x {type_}",
            *(f"'{at:02}', {value}" for at, value in enumerate(values)),
        )
        read = {repr(row[0]) for row in connections.run(f"SELECT x FROM {connections.schema}.customers")}
        assert (type_, len({*digests(connections, "x")})) == (type_, len(values))
        assert (type_, len(read)) == (type_, len(values))


def test_a_record_of_nulls_is_not_a_missing_one(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    schema = tables_in_postgresql.schema
    tables_in_postgresql.run(f"CREATE TYPE {schema}.pair AS (a TEXT, b TEXT)")
    fill(tables_in_postgresql, f"custom_id TEXT, x {schema}.pair", "'a', ROW(NULL, NULL)")
    assert send(tables_in_postgresql).accepted == 1
    assert sandbox.profiles()["a"] == {"x": "(,)"}
    fill(tables_in_postgresql, f"custom_id TEXT, x {schema}.pair", "'a', NULL")
    assert send(tables_in_postgresql, nulls="clear").accepted == 1
    assert sandbox.profiles()["a"] == {}


def test_the_type_of_a_column_is_part_of_its_values(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, "custom_id VARCHAR(20), x VARCHAR(20)", "'a', '7'")
    assert send(connections).accepted == 1
    assert sandbox.profiles()["a"] == {"x": "7"}
    fill(connections, "custom_id VARCHAR(20), x INTEGER", "'a', 7")
    assert send(connections).accepted == 1
    assert sandbox.profiles()["a"] == {"x": 7}
    assert send(connections).unchanged == 1


#: A column of each type, and a value.
TYPED: dict[str, list[str]] = {
    "sqlite3": [
        "a REAL",
        "0.1 + 0.2",
        "b INT",
        "7",
        "c TEXT",
        "'é'",
        "d",
        "1.0",
        "e NUMERIC",
        "'1.50'",
        "f BOOLEAN",
        "1",
    ],
    "duckdb": [
        *("a DOUBLE", "0.1::DOUBLE + 0.2::DOUBLE", "b HUGEINT", "7", "c VARCHAR", "'é'", "d DECIMAL(10, 2)", "1.5"),
        *("e BOOLEAN", "true", "f TIMESTAMP", "'2026-01-31 12:00:00.5'", "g DATE", "'2026-01-31'"),
        *("h VARCHAR[]", "['a', 'b, c']", "i TIMESTAMPTZ", "'2026-01-31 12:00:00+02'", "j UUID", "uuid()"),
    ],
    "psycopg2": [
        *("a FLOAT8", "0.1::float8 + 0.2::float8", "b BIGINT", "7", "c TEXT", "'é'", "d NUMERIC(10, 2)", "1.5"),
        *("e BOOLEAN", "true", "f TIMESTAMP", "'2026-01-31 12:00:00.5'", "g DATE", "'2026-01-31'"),
        *("h TEXT[]", "ARRAY['a', 'b, c']", "i TIMESTAMPTZ", "'2026-01-31 12:00:00+02'", "j UUID", "gen_random_uuid()"),
        *("k CHAR(5)", "'a'", "l FLOAT4", "0.1", "m JSONB", "'[\"a\"]'"),
    ],
    "pymysql": [
        *(
            "a DOUBLE",
            "0.1e0 + 0.2e0",
            "b BIGINT",
            "7",
            "c TEXT",
            "'é'",
            "d DECIMAL(10, 2)",
            "1.5",
            "e BOOLEAN",
            "true",
        ),
        *("f DATETIME", "'2026-01-31 12:00:00'", "g DATE", "'2026-01-31'", "h FLOAT", "0.1", "i ENUM('x')", "'x'"),
        *("j CHAR(5)", "'a '", "k TIMESTAMP", "'2026-01-31 12:00:00'"),
    ],
}


def test_what_is_sent_is_what_the_query_returns(connections: Connections, sandbox: Sandbox) -> None:
    columns, values = TYPED[connections.driver][::2], TYPED[connections.driver][1::2]
    fill(connections, f"custom_id VARCHAR(20), {', '.join(columns)}", f"'a', {', '.join(values)}")
    source = SqlSource(connections, f"SELECT * FROM {connections.schema}.customers", None, ProfileColumns())
    assert BatchHook("batch_cep").update_profiles(source).accepted == 1
    assert send(connections).accepted == 1
    one, other = (json.loads(call.body or b"") for call in sandbox.calls)
    assert (len(one[0]["attributes"]), other) == (len(columns), one)


# What else decides what is sent


def test_other_settings_send_every_row_again(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, "custom_id VARCHAR(20), plan VARCHAR(20), score INT", "'a', 'gold', 1", "'b', NULL, 2")
    BatchHook("batch_cep").update_profiles([{"custom_id": "b", "plan": "of another source"}])
    assert counts(send(connections)) == (2, 0, 0, 0, 0, 2)
    assert counts(send(connections)) == (0, 0, 2, 0, 0, 2)
    assert counts(send(connections, nulls="clear")) == (2, 0, 0, 0, 0, 2)
    assert sandbox.profiles() == {"a": {"plan": "gold", "score": 1}, "b": {"score": 2}}
    chosen: dict[str, Any] = {"nulls": "clear", "attribute_columns": {"plan": "tier"}}
    assert counts(send(connections, **chosen)) == (2, 0, 0, 0, 0, 2)
    assert sandbox.profiles()["a"] == {"plan": "gold", "score": 1, "tier": "gold"}
    assert counts(send(connections, **chosen)) == (0, 0, 2, 0, 0, 2)
    # What is not sent is not compared, and the order of the columns does not matter.
    sql = f"SELECT 3 AS score, plan, custom_id FROM {connections.schema}.customers"
    assert send(connections, sql, **chosen).accepted == 0


def test_a_column_may_have_a_percent_sign_beside_placeholders(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, "custom_id VARCHAR(20), score INT", "'a', 1", "'b', 2")
    mark = {"psycopg2": "%s", "pymysql": "%s"}.get(connections.driver, "?")
    sign, quote = "%%" if mark == "%s" else "%", "`" if connections.driver == "pymysql" else '"'
    sql = (
        f"SELECT custom_id AS {quote}{sign} id{quote}, score AS {quote}{sign} of all{quote} "
        f"FROM {connections.schema}.customers WHERE score > {mark}"
    )
    given: dict[str, Any] = {"parameters": [1], "id_column": "% id", "attribute_columns": {"% of all": "share"}}
    assert send(connections, sql, **given).accepted == 1
    assert send(connections, sql, **given).unchanged == 1
    assert sandbox.profiles() == {"b": {"share": 2}}


def test_the_column_of_batchs_own_sync_is_not_compared(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, "custom_id VARCHAR(20), plan VARCHAR(20), last_updated_at INT", "'a', 'gold', 1")
    assert send(connections).accepted == 1
    fill(connections, "custom_id VARCHAR(20), plan VARCHAR(20), last_updated_at INT", "'a', 'gold', 2")
    assert send(connections).unchanged == 1
    assert sandbox.profiles() == {"a": {"plan": "gold"}}


def test_profiles_without_attributes_are_created_once(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, "custom_id VARCHAR(20)", "'a'")
    assert send(connections).accepted == 1
    assert send(connections).unchanged == 1
    assert sandbox.profiles() == {"a": {}}


def test_two_columns_of_one_name_are_refused(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, "custom_id VARCHAR(20), plan VARCHAR(20), tier VARCHAR(20)", "'a', 'gold', 'x'")
    sql = f"SELECT custom_id, plan, tier AS plan FROM {connections.schema}.customers"
    with pytest.raises(SourceError) as caught:
        send(connections, sql)
    reason = {
        "duckdb": "two columns have the same name. Give each a name of its own.",
        "psycopg2": "two columns have the same name. Give each a name of its own.",
        "pymysql": "Duplicate column name 'plan'",
        "sqlite3": "two columns have the same name. Give each a name of its own.",
    }
    assert reason[connections.driver] in str(caught.value)
    assert not sandbox.calls


def test_bytes_that_are_not_text_are_told_in_words(tables_in_mariadb: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_mariadb, "custom_id VARCHAR(20), plan VARBINARY(20)", "'a', X'FF41'")
    with pytest.raises(
        SourceError, match=r"a value is not text in UTF-8\. Leave its column out, or make text"
    ) as caught:
        send(tables_in_mariadb)
    assert "FF" not in str(caught.value)


# What becomes of rows


def test_of_a_profile_whose_row_has_gone_what_this_mirror_sent_is_deleted(
    connections: Connections, sandbox: Sandbox
) -> None:
    columns = "custom_id VARCHAR(20), plan VARCHAR(20), date__x VARCHAR(20)"
    BatchHook("batch_cep").update_profiles([{"custom_id": "b", "other": "stays"}])
    fill(connections, columns, "'a', 'gold', '2026-01-31'", "'b', 'free', NULL", "'c', 'x', NULL")
    assert send(connections).accepted == 3
    fill(connections, columns, "'b', 'free', NULL", "'c', 'x', NULL")
    assert counts(send(connections)) == (0, 0, 2, 0, 0, 2)
    assert sandbox.profiles()["a"] == {"plan": "gold", "date(x)": "2026-01-31T00:00:00Z"}
    fill(connections, columns, "'c', 'x', NULL")
    assert counts(send(connections, on_gone="clear")) == (0, 1, 1, 0, 0, 1)
    assert sandbox.profiles()["b"] == {"other": "stays"}
    assert last_attributes(sandbox) == [{"plan": None}]
    fill(connections, columns, "'d', 'x', '2026-01-31'")
    assert counts(send(connections, on_gone="clear")) == (1, 1, 0, 0, 0, 1)
    fill(connections, columns, "'c', 'x', NULL")
    assert counts(send(connections, on_gone="clear")) == (1, 1, 0, 0, 0, 1)
    assert last_attributes(sandbox)[1] == {"plan": None, "date(x)": None}


def last_attributes(sandbox: Sandbox) -> list[dict[str, Any]]:
    """What the last call has of each profile."""
    return [profile["attributes"] for profile in json.loads(sandbox.calls[-1].body or b"")]


def test_what_another_program_has_set_stays(connections: Connections, sandbox: Sandbox) -> None:
    columns = "custom_id VARCHAR(20), plan VARCHAR(20), score INT"
    fill(connections, columns, "'a', 'gold', NULL", "'b', NULL, 7", "'c', NULL, NULL")
    assert send(connections).accepted == 3
    app = [{"custom_id": "a", "score": 1}, {"custom_id": "b", "plan": "x"}, {"custom_id": "c", "plan": "x"}]
    BatchHook("batch_cep").update_profiles(app)
    fill(connections, columns)
    assert counts(send(connections, on_gone="clear", allow_empty=True)) == (0, 2, 0, 0, 0, 0)
    assert sandbox.profiles() == {"a": {"score": 1}, "b": {"plan": "x"}, "c": {"plan": "x"}}


def test_an_attribute_counts_as_set_whatever_its_column_became(connections: Connections, sandbox: Sandbox) -> None:
    columns = "custom_id VARCHAR(20), plan VARCHAR(20), score INT"
    fill(connections, columns, "'a', 'gold', 1", "'b', 'gold', 1")
    send(connections)
    fill(
        connections,
        "custom_id VARCHAR(20), city VARCHAR(20), plan VARCHAR(20)",
        "'a', 'Paris', NULL",
        "'b', NULL, NULL",
    )
    send(connections)
    fill(connections, columns, "'b', NULL, 2")
    assert counts(send(connections, on_gone="clear")) == (1, 1, 0, 0, 0, 1)
    assert last_attributes(sandbox) == [{"score": 2}, {"city": None, "plan": None, "score": None}]
    # With other settings, what is NULL is deleted, and so not set any more.
    assert counts(send(connections, on_gone="clear", nulls="clear")) == (1, 0, 0, 0, 0, 1)
    fill(connections, columns)
    send(connections, on_gone="clear", nulls="clear", allow_empty=True)
    assert last_attributes(sandbox) == [{"score": None}]


def test_what_tries_may_have_set_is_deleted_with_the_rest(connections: Connections, sandbox: Sandbox) -> None:
    columns = "custom_id VARCHAR(20), plan VARCHAR(20), score INT"
    fill(connections, columns, "'a', 'gold', NULL")
    send(connections)
    for other in ("'b', 'gold', NULL", "'b', NULL, 1"):
        fill(connections, columns, "'a', NULL, 1", other)
        sandbox.faults(Fault(503))
        with pytest.raises(BatchServerError):
            send(connections)
    fill(connections, columns)
    assert counts(send(connections, on_gone="clear", allow_empty=True)) == (0, 2, 0, 0, 0, 0)
    assert last_attributes(sandbox) == [{"plan": None, "score": None}] * 2


def test_a_row_that_is_not_valid_sets_nothing(connections: Connections, sandbox: Sandbox) -> None:
    columns = "custom_id VARCHAR(20), plan VARCHAR(20), date__x VARCHAR(20)"
    fill(connections, columns, "'a', 'gold', NULL")
    send(connections)
    fill(connections, columns, "'a', 'gold', 'no date'")
    given: dict[str, Any] = {"on_gone": "clear", "on_invalid_id": "skip", "allow_empty": True}
    for _ in range(2):
        assert counts(send(connections, **given)) == (0, 0, 0, 0, 1, 0)
    assert len(sandbox.calls) == 1
    # Then it has gone, and with it what was set before.
    fill(connections, columns)
    assert counts(send(connections, **given)) == (0, 1, 0, 0, 0, 0)
    assert last_attributes(sandbox) == [{"plan": None}]


def test_a_row_that_is_not_valid_has_not_gone(connections: Connections, sandbox: Sandbox) -> None:
    columns = "custom_id VARCHAR(20), plan VARCHAR(20), date__x VARCHAR(20)"
    fill(connections, columns, "'a', 'gold', NULL", "'b', 'gold', NULL", "'c', 'gold', NULL")
    send(connections)
    fill(connections, columns, "'a', 'silver', 'no date'", "'c', 'gold', NULL")
    given: dict[str, Any] = {"on_gone": "clear", "on_invalid_id": "skip", "max_changes": 1}
    assert counts(send(connections, dry_run=True, **given)) == (0, 1, 1, 0, 1, 1)
    assert counts(send(connections, **given)) == (0, 1, 1, 0, 1, 1)
    assert sandbox.profiles() == {"a": {"plan": "gold"}, "b": {}, "c": {"plan": "gold"}}
    # As it was not sent, it is sent when it is valid, even with its former values.
    fill(connections, columns, "'a', 'gold', NULL", "'c', 'gold', NULL")
    assert counts(send(connections, **given)) == (1, 0, 1, 0, 0, 2)


def test_what_batch_refuses_to_delete_is_deleted_again(connections: Connections, sandbox: Sandbox) -> None:
    columns = "custom_id VARCHAR(20), plan VARCHAR(20), score INT"
    fill(connections, columns, "'a', 'gold', NULL", "'b', NULL, 1")
    send(connections)
    fill(connections, columns)
    errors = [{"bulk_index": 1, "attribute": "score", "reason": "no"}]
    sandbox.faults(Fault(202, body=json.dumps({"code": "SUCCESS_WITH_PARTIAL_ERRORS", "errors": errors}).encode()))
    given: dict[str, Any] = {"on_gone": "clear", "allow_empty": True}
    assert counts(send(connections, **given)) == (0, 1, 0, 0, 1, 0)
    assert counts(send(connections, **given)) == (0, 1, 0, 0, 0, 0)
    assert last_attributes(sandbox) == [{"score": None}]
    assert counts(send(connections, **given)) == (0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("type_", ["DOUBLE PRECISION", "REAL", "NUMERIC"])
def test_a_value_that_is_not_a_number_is_missing(
    type_: str, tables_in_postgresql: Connections, sandbox: Sandbox
) -> None:
    _check_not_a_number(tables_in_postgresql, sandbox, type_)


@pytest.mark.parametrize("type_", ["DOUBLE", "FLOAT"])
def test_so_it_is_in_duckdb(type_: str, tables_in_duckdb: Connections, sandbox: Sandbox) -> None:
    _check_not_a_number(tables_in_duckdb, sandbox, type_)


def _check_not_a_number(connections: Connections, sandbox: Sandbox, type_: str) -> None:
    columns = f"custom_id VARCHAR(20), plan VARCHAR(20), score {type_}"
    fill(connections, columns, "'a', 'NaN', 'NaN'", "'b', NULL, 'NaN'")
    assert send(connections).accepted == 2
    assert last_attributes(sandbox) == [{"plan": "NaN"}, {}]
    fill(connections, columns)
    assert counts(send(connections, on_gone="clear", allow_empty=True)) == (0, 1, 0, 0, 0, 0)
    assert last_attributes(sandbox) == [{"plan": None}]


def test_a_table_may_have_more_columns_than_a_function_takes_arguments(
    connections: Connections, sandbox: Sandbox
) -> None:
    names = [f"n{number}" for number in range(230)]
    columns = ", ".join(["custom_id VARCHAR(20)", *(f"{name} INT" for name in names)])
    ones = ", ".join(["1"] * 229)
    fill(connections, columns, f"'a', {ones}, NULL", f"'b', NULL, {ones}")
    given: dict[str, Any] = {"attribute_columns": {name: name for name in names}}
    sandbox.faults(Fault(202), Fault(202))  # it would refuse so many attributes of a profile
    assert send(connections, **given).accepted == 2
    fill(connections, columns, f"'a', {ones}, 2")
    assert counts(send(connections, on_gone="clear", **given)) == (1, 1, 0, 0, 0, 1)
    assert [*last_attributes(sandbox)[1]] == sorted(names[1:])


def test_of_several_rows_of_a_profile_one_counts_and_always_the_same(
    connections: Connections, sandbox: Sandbox
) -> None:
    columns = "custom_id VARCHAR(20), plan VARCHAR(20)"
    rows = ["'a', 'gold'", "'b', 'free'", "'a', 'silver'", "'a', 'gold'"]
    fill(connections, columns, *rows)
    assert counts(send(connections)) == (2, 0, 0, 2, 0, 2)
    fill(connections, columns, *reversed(rows))
    assert counts(send(connections)) == (0, 0, 2, 2, 0, 2)


def test_rows_that_are_not_valid_are_counted_and_never_taken_for_sent(
    connections: Connections, sandbox: Sandbox
) -> None:
    columns = "custom_id VARCHAR(20), date__x VARCHAR(20)"
    fill(connections, columns, "'a', '2026-01-31'", "'b', 'no date'", "NULL, NULL", "NULL, NULL", "'', NULL")
    with pytest.raises(InvalidMemberError, match=r"the id is (missing|empty)|not a date such as"):
        send(connections)
    assert not sandbox.calls
    refused: list[Any] = []
    skip: dict[str, Any] = {"on_invalid_id": "skip", "on_rejection": lambda rejection, row: refused.append(row)}
    assert counts(send(connections, **skip)) == (1, 0, 0, 0, 4, 1)
    assert len(refused) == 4
    assert counts(send(connections, **skip)) == (0, 0, 1, 0, 4, 1)
    fill(connections, columns, "'a', 'no date either'", "'b', '2026-01-31'")
    assert counts(send(connections, on_gone="clear", **skip)) == (1, 0, 0, 0, 1, 1)
    assert sandbox.profiles() == {id_: {"date(x)": "2026-01-31T00:00:00Z"} for id_ in "ab"}


def test_what_batch_refuses_in_part_is_sent_again(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, "custom_id VARCHAR(20), plan TEXT", f"'a', '{'x' * 301}'", "'b', 'gold'")
    refused: list[Any] = []
    result = send(connections, on_rejection=lambda rejection, row: refused.append((rejection, row["custom_id"])))
    assert counts(result) == (1, 0, 0, 0, 1, 2)
    ((rejection, id_),) = refused
    assert (rejection.where, id_) == ("profiles[0] (changed profile 1 of the query)", "a")
    assert rejection.reason.startswith("attribute 'plan': INVALID_ATTRIBUTE: ")
    result = send(connections)
    assert (result.accepted, result.rejected, result.unchanged) == (0, 1, 1)
    fill(connections, "custom_id VARCHAR(20), plan TEXT", "'a', 'x'", "'b', 'gold'")
    assert send(connections).accepted == 1
    assert send(connections).unchanged == 2


def test_each_rejected_row_of_a_run_is_in_the_file(
    tables_in_sqlite: Connections, sandbox: Sandbox, tmp_path: Path
) -> None:
    def rejected(**arguments: Any) -> list[tuple[str, object]]:
        path = tmp_path / "rejects.jsonl"
        with rejects_file(path) as on_rejection:
            send(tables_in_sqlite, on_invalid_id="skip", on_rejection=on_rejection, **arguments)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [(line["where"], line["value"]["custom_id"]) for line in lines]

    columns = "custom_id VARCHAR(20), plan TEXT, date__x VARCHAR(20)"
    fill(
        tables_in_sqlite,
        columns,
        "'a', 'x', 'no date'",
        f"'b', '{'x' * 301}', NULL",
        "'c', 'x', NULL",
        "'d', 'x', NULL",
    )
    expected = [
        ("profiles[0] (changed row 1 of the query)", "a"),
        ("profiles[0] (changed profile 1 of the query)", "b"),
    ]
    assert rejected() == expected
    fill(tables_in_sqlite, columns, "'a', 'x', 'no date'")
    errors = [{"bulk_index": index, "attribute": "plan", "reason": "no"} for index in range(3)]
    sandbox.faults(Fault(202, body=json.dumps({"code": "SUCCESS_WITH_PARTIAL_ERRORS", "errors": errors}).encode()))
    assert rejected(on_gone="clear", allow_empty=True) == [
        expected[0],
        *((f"profiles[{index}] (a profile whose row has gone)", id_) for index, id_ in enumerate("cdb")),
    ]


def test_guards_stop_what_looks_like_a_mistake(connections: Connections, sandbox: Sandbox) -> None:
    columns = "custom_id VARCHAR(20), n INT"
    fill(connections, columns, *(f"'{number}', 1" for number in range(4)))
    send(connections)
    fill(connections, columns, *(f"'{number}', 2" for number in range(3)))
    with pytest.raises(GuardError, match=r"max_changes=0\.5"):
        send(connections, max_changes=0.5)
    with pytest.raises(GuardError, match="max_shrink=0"):
        send(connections, max_shrink=0)
    assert len(sandbox.calls) == 1
    assert send(connections, max_changes=0.75).accepted == 3


def test_a_later_try_sends_only_what_is_left(connections: Connections, sandbox: Sandbox) -> None:
    columns = "custom_id VARCHAR(20), n INT"
    fill(connections, columns, *(f"'{number}', 1" for number in range(6)))
    store = Store()

    def go(number: int) -> Any:
        journal = TaskStateJournal(memory(store, number))
        return send(connections, chunk_size=2, max_concurrency=1, owner="a task", journal=journal)

    sandbox.faults(None, None, Fault(503))
    with pytest.raises(Exception, match="503"):
        go(1)
    result = go(2)
    assert (result.accepted, result.calls, result.earlier_calls) == (6, 3, 2)
    assert [call.adds for call in sandbox.calls] == [2, 2, 2, 2]
    assert send(connections).unchanged == 6


# What is kept


def test_no_table_has_a_value_when_a_call_is_made(connections: Connections, sandbox: Sandbox) -> None:
    columns = "custom_id VARCHAR(20), plan VARCHAR(20)"
    fill(connections, columns, "'a', 'secret-plan'", "'b', 'other-plan'")
    sandbox.faults(Fault(503))
    with pytest.raises(Exception, match="503"):
        send(connections)
    assert "'a'" in kept(connections).replace("b'a'", "'a'")
    assert "-plan" not in kept(connections)
    assert send(connections).accepted == 2
    assert "-plan" not in kept(connections)
    fill(connections, columns, "'a', 'secret-plan'", "'b', 'third-plan'")
    assert send(connections).accepted == 1
    assert "-plan" not in kept(connections)


def test_what_a_killed_run_left_goes_when_the_next_one_begins(
    connections: Connections, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(connections, "custom_id VARCHAR(20), plan VARCHAR(20)", "'a', 'secret-plan'")

    def die(rejection: Any, row: Any) -> None:
        raise Killed

    bad = f"SELECT * FROM {connections.schema}.customers UNION ALL SELECT NULL, 'bad-plan'"
    with monkeypatch.context() as patch:
        patch.setattr(TableClaim, "_release", lambda self: None)  # nothing of it runs any more
        with pytest.raises(Killed):
            send(connections, bad, on_invalid_id="skip", on_rejection=die)
    assert "-plan" in kept(connections)
    sandbox.faults(Fault(503))
    with pytest.raises(Exception, match="503"):
        send(connections)
    assert "-plan" not in kept(connections)


def test_a_dry_run_leaves_nothing_behind(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, "custom_id VARCHAR(20), plan VARCHAR(20)", "'a', 'gold'", "'a', 'gold'")
    before = connections.tables()
    result = send(connections, dry_run=True)
    assert (result.accepted, result.duplicates, result.dry_run) == (1, 1, True)
    assert connections.tables() == before
    assert sandbox.calls == []


def test_two_queries_of_a_schema_do_not_know_each_other(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, "custom_id VARCHAR(20), plan VARCHAR(20)", "'a', 'gold'")
    given: dict[str, Any] = {"on_gone": "clear"}
    assert send(connections, snapshot_name="one", **given).accepted == 1
    other = f"SELECT 'b' AS custom_id, 1 AS score FROM {connections.schema}.customers"
    assert counts(send(connections, other, snapshot_name="two", **given)) == (1, 0, 0, 0, 0, 1)
    assert send(connections, snapshot_name="one", **given).unchanged == 1
    with pytest.raises(InvalidArgumentError, match="snapshot_name: a schema may have snapshots of several queries"):
        send(connections, snapshot_name="")


def test_a_full_refresh_sends_every_row_and_knows_what_has_gone(connections: Connections, sandbox: Sandbox) -> None:
    columns = "custom_id VARCHAR(20), plan VARCHAR(20)"
    fill(connections, columns, "'a', 'gold'", "'b', 'free'")
    send(connections)
    fill(connections, columns, "'a', 'gold'")
    assert counts(send(connections, full_refresh=True, on_gone="clear")) == (1, 1, 0, 0, 0, 1)
    assert sandbox.profiles() == {"a": {"plan": "gold"}, "b": {}}
    assert send(connections).unchanged == 1


@pytest.mark.parametrize("damage", ["DROP TABLE {}", "DELETE FROM {} WHERE 1 = 1"])
def test_a_full_refresh_needs_no_readable_snapshot(
    damage: str, connections: Connections, sandbox: Sandbox, told: Callable[[], str]
) -> None:
    fill(connections, "custom_id VARCHAR(20), plan VARCHAR(20)", "'a', 'gold'", "'b', 'free'")
    send(connections)
    (base,) = [name for name in connections.tables() if name.rpartition("_")[2].startswith("b")]
    connections.run(damage.format(f"{connections.schema}.{base}"))
    with pytest.raises(SnapshotError, match="does not have the 2 rows that were written"):
        send(connections)
    assert send(connections, full_refresh=True).accepted == 2
    assert "does not have the 2 rows" in told()
    assert send(connections).unchanged == 2


def test_nor_the_tables_of_a_run_that_did_not_end(connections: Connections, sandbox: Sandbox) -> None:
    fill(connections, "custom_id VARCHAR(20), plan VARCHAR(20)", "'a', 'gold'", "'b', 'free'")
    sandbox.faults(Fault(503))
    with pytest.raises(Exception, match="503"):
        send(connections)
    for name in connections.tables():
        if name.startswith("batch_") and not name.endswith("_head"):
            connections.run(f"DROP TABLE {connections.schema}.{name}")
    with pytest.raises(SourceError):
        send(connections)
    assert send(connections, full_refresh=True).accepted == 2
    assert send(connections).unchanged == 2


def test_the_command_answers_for_profiles(
    tables_in_sqlite: Connections, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (path,) = {row[2] for row in tables_in_sqlite.run("PRAGMA database_list")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": path}))
    fill(tables_in_sqlite, "custom_id VARCHAR(20), plan VARCHAR(20)", "'a', 'gold'")
    send(tables_in_sqlite)
    code, lines = printed(main, capfd, "inspect", "warehouse", "main", "--id", "a", "--id", "b")
    lines = lines[-5:]  # without a log
    assert (code, lines[0].partition(", ")[2]) == (0, "profiles.customers")
    assert lines[2] == "  accepted by Batch, which reports nothing more about profiles"
    assert "in the last set, since generation 1" in lines[3]
    assert "not confirmed" not in lines[3]
    assert "b: not in the last set" in lines[4]


# Where it cannot be done


def test_a_list_is_not_a_query(tables_in_sqlite: Connections, sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentError, match=r"snapshot_schema: .* not those of a query"):
        BatchHook("batch_cep").mirror_profiles([{"custom_id": "a"}], snapshot_schema="main", snapshot_name="customers")


def test_a_database_without_a_digest_is_refused(
    tables_in_sqlite: Connections, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tables_in_sqlite, "custom_id VARCHAR(20)", "'a'")
    monkeypatch.setitem(DIALECTS, "sqlite", DIALECTS["redshift"])
    expected = "with redshift, the database cannot find the rows that have changed. Pass snapshot_path"
    with pytest.raises(SnapshotError, match=expected):
        send(tables_in_sqlite, dry_run=True)
