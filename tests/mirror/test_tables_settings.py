"""What a connection, a driver or a server is set to, and a column's type: none of it changes what is sent."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from airflow_provider_batch.exceptions import BatchError, SnapshotError, SourceError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.tables.check import Check
from airflow_provider_batch.mirror.tables.database import Database, Session
from airflow_provider_batch.mirror.tables.dialect import DIALECTS
from airflow_provider_batch.mirror.tables.status import mirrors_in
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sources.profile_columns import ProfileColumns
from airflow_provider_batch.sources.sql import SqlSource
from tests.mirror.stores import Connections
from tests.mirror.test_tables import PROJECT, both_platforms, counts, fill, log_of, mirror, ours

IN_POSTGRESQL = pytest.mark.xdist_group("postgres_server")
IN_MARIADB = pytest.mark.xdist_group("mariadb_server")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with both_platforms(monkeypatch) as sandbox:
        yield sandbox


def set_to(connections: Connections, change: Callable[[Any], object]) -> Connections:
    """The same database, through connections that are set to something."""

    def connect() -> Any:
        connection = connections.connect()
        change(connection)
        return connection

    return Connections(connect, connections.driver, connections.schema)


def with_statement(statement: str) -> Callable[[Any], object]:
    def change(connection: Any) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement)
        connection.commit()

    return change


def sent(sandbox: Sandbox) -> dict[str, Any]:
    """The attributes of the members on the platform that takes them."""
    return {id_: each["attributes"] for id_, each in sandbox.attributes("vip", PROJECT).items()}


def with_attribute(connections: Connections, sql: str = "") -> Any:
    return mirror(connections, sql, conn_id="batch_cep", attributes=["x"])


# SQLite: each value has a type of its own


def test_values_of_several_types_in_one_column_are_sent_as_they_are(
    tables_in_sqlite: Connections, sandbox: Sandbox
) -> None:
    members = tables_in_sqlite.schema + ".members"
    tables_in_sqlite.run(
        f"CREATE TABLE {members} (id TEXT, x)", f"INSERT INTO {members} VALUES ('b', '01067'), ('c', 5), ('d', '1e3')"
    )
    for first in ("CAST(90210 AS INTEGER)", "CAST(1.5 AS REAL)", "'text'"):
        tables_in_sqlite.run("DROP TABLE IF EXISTS first", f"CREATE TABLE first AS SELECT 'a' AS id, {first} AS x")
        query = f"SELECT id, x FROM first UNION ALL SELECT id, x FROM {members}"
        assert with_attribute(tables_in_sqlite, query).members == 4
        values = sent(sandbox)
        assert (values["b"]["x"], values["c"]["x"], values["d"]["x"]) == ("01067", 5, "1e3")
        assert type(values["c"]["x"]) is int
    tables_in_sqlite.run(f"UPDATE {members} SET x = '1067' WHERE id = 'b'")
    assert counts(with_attribute(tables_in_sqlite, query)) == (1, 0, 3, 0, 0, 4)
    assert sent(sandbox)["b"] == {"x": "1067"}


@pytest.mark.parametrize(("before", "after"), [("INTEGER", "TEXT"), ("TEXT", "INTEGER"), ("REAL", "TEXT")])
def test_a_column_that_gets_another_type_is_sent_once(
    before: str, after: str, tables_in_sqlite: Connections, sandbox: Sandbox
) -> None:
    fill(tables_in_sqlite, [("a", "1067"), ("b", "2")], f"id TEXT, x {before}")
    with_attribute(tables_in_sqlite)
    fill(tables_in_sqlite, [("a", "1067"), ("b", "2")], f"id TEXT, x {after}")
    assert with_attribute(tables_in_sqlite).added == 2
    assert counts(with_attribute(tables_in_sqlite)) == (0, 0, 2, 0, 0, 2)


def test_a_digest_is_that_of_the_values_that_were_sent(tables_in_sqlite: Connections, sandbox: Sandbox) -> None:
    """Though the query has others each time that it is evaluated."""
    fill(tables_in_sqlite, [(f"c-{number}",) for number in range(50)])
    chosen = random.Random(7)

    def set_up(connection: Any) -> None:
        connection.create_function("chosen", 0, lambda: chosen.randrange(4))

    database = set_to(tables_in_sqlite, set_up)

    def send(value: str) -> Any:
        query = f"SELECT id, {value} AS x FROM main.members"
        source = SqlSource(database, query, None, ProfileColumns("id"))
        given = {"snapshot_schema": "main", "snapshot_name": "chosen"}
        return BatchHook("batch_cep").mirror_profiles(source, **given)  # type: ignore[arg-type]

    assert send("chosen()").accepted == 50
    before = {id_: values["x"] for id_, values in sandbox.profiles(PROJECT).items()}
    assert len({*before.values()}) > 1
    assert send("3").accepted == sum(value != 3 for value in before.values())
    assert {values["x"] for values in sandbox.profiles(PROJECT).values()} == {3}


def test_two_columns_of_one_name_are_found(tables_in_sqlite: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_sqlite, [("a", "b")], "id TEXT, other TEXT")
    with pytest.raises(SourceError, match="2 columns match 'id', but only one may"):
        mirror(tables_in_sqlite, "SELECT id, other AS id FROM main.members")
    # One that only looks like it is another one; and two that differ in case are two.
    assert mirror(tables_in_sqlite, 'SELECT id, other AS "x:1" FROM main.members').added == 1
    columns: dict[str, Any] = {"conn_id": "batch_cep", "attributes": ["Plan"]}
    mirror(tables_in_sqlite, "SELECT id, 'gold' AS plan, 'silver' AS Plan FROM main.members", **columns)
    assert sent(sandbox) == {"a": {"Plan": "silver"}}


def test_rows_of_a_connection_class_of_ones_own(tables_in_sqlite: Connections, sandbox: Sandbox) -> None:
    class Own(sqlite3.Connection):
        pass

    def change(connection: Any) -> None:
        connection.row_factory = lambda cursor, row: dict(zip([c[0] for c in cursor.description], row, strict=True))

    (path,) = [row[2] for row in tables_in_sqlite.run("PRAGMA database_list")]
    own = Connections(lambda: sqlite3.connect(path, factory=Own), "sqlite3", "main")
    fill(tables_in_sqlite, [("a",), ("b",)])
    assert mirror(set_to(own, change)).added == 2
    assert mirror(set_to(own, change)).unchanged == 2


@pytest.mark.parametrize("factory", [bytes, lambda text: text.decode(errors="ignore")])
def test_text_is_read_as_it_is(factory: Any, tables_in_sqlite: Connections, sandbox: Sandbox) -> None:
    database = set_to(tables_in_sqlite, lambda connection: setattr(connection, "text_factory", factory))
    fill(tables_in_sqlite, [("a",), ("b",)])
    assert mirror(database).added == 2
    tables_in_sqlite.run("INSERT INTO main.members VALUES (CAST(x'61ff' AS TEXT))")
    with pytest.raises(SourceError, match=r"^the query failed \(OperationalError\)"):
        mirror(database)
    assert next(iter(Check(database, "main").run())).fault == ""


@pytest.mark.parametrize("attributes", [None, ["x"]])
def test_a_dry_run_takes_no_square_of_the_number_of_ids(
    attributes: list[str] | None, tables_in_sqlite: Connections, sandbox: Sandbox
) -> None:
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    database = set_to(tables_in_sqlite, lambda connection: connection.set_progress_handler(step, 100))
    given: dict[str, Any] = {"conn_id": "batch_cep", "attributes": attributes, "max_shrink": 1.0}
    taken = []
    for number in (500, 2_000):
        for start in (0, 5):  # a base, and a net
            fill(tables_in_sqlite, [(f"c-{row}", "x") for row in range(start, number + start)], "id TEXT, x TEXT")
            mirror(tables_in_sqlite, full_refresh=start == 0, **given)
        steps = 0
        assert mirror(database, dry_run=True, **given).members == number
        taken.append(steps)
    assert taken[1] < 6 * taken[0]


def test_a_database_that_no_other_connection_sees_is_named(sandbox: Sandbox) -> None:
    def connect() -> Any:
        connection = sqlite3.connect(":memory:")
        connection.execute("CREATE TABLE members (id)")
        return connection

    with pytest.raises(SnapshotError, match="another connection does not see its tables, as in a database in memory"):
        mirror(Connections(connect, "sqlite3", "main"))
    assert not sandbox.calls


def test_one_that_cannot_be_opened_twice_is_not(tables_in_sqlite: Connections, sandbox: Sandbox) -> None:
    opened = count(1)

    def connect() -> Any:
        if next(opened) == 2:
            raise sqlite3.OperationalError("unable to open database file")
        return tables_in_sqlite.connect()

    fill(tables_in_sqlite, [("a",)])
    assert mirror(Connections(connect, "sqlite3", "main")).added == 1


def test_nor_is_a_schema_with_a_percent_sign(tables_in_sqlite: Connections, sandbox: Sandbox) -> None:
    with pytest.raises(SnapshotError, match="some drivers take a % for a placeholder"):
        mirror(tables_in_sqlite, snapshot_schema="a%b")


# PostgreSQL


@IN_POSTGRESQL
def test_blanks_at_the_end_of_a_char_are_sent(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_postgresql, [(f"full{number}", "gold ") for number in range(1000, 1120)], "id CHAR(8), x BPCHAR")
    members = f"{tables_in_postgresql.schema}.members"
    tables_in_postgresql.run(f"INSERT INTO {members} VALUES ('short', 'gold')")
    assert with_attribute(tables_in_postgresql).added == 121
    assert sent(sandbox)["short   "] == {"x": "gold"}
    assert sent(sandbox)["full1000"] == {"x": "gold "}
    tables_in_postgresql.run(f"UPDATE {members} SET x = 'gold  ' WHERE id = 'short'")
    assert counts(with_attribute(tables_in_postgresql)) == (1, 0, 120, 0, 0, 121)
    assert sent(sandbox)["short   "] == {"x": "gold  "}


@IN_POSTGRESQL
def test_ids_of_a_char_without_a_length_differ_in_their_blanks(
    tables_in_postgresql: Connections, sandbox: Sandbox
) -> None:
    fill(tables_in_postgresql, [("ab",), ("ab ",)], "id BPCHAR")
    assert counts(mirror(tables_in_postgresql)) == (2, 0, 0, 0, 0, 2)
    assert sandbox.members("vip") == {"ab", "ab "}


@IN_POSTGRESQL
def test_a_record_of_nulls_is_not_missing(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    schema = tables_in_postgresql.schema
    tables_in_postgresql.run(f"CREATE TYPE {schema}.pair AS (a INT, b INT)")
    query = f"SELECT 'a' AS id, CAST({{}} AS {schema}.pair) AS x"
    with_attribute(tables_in_postgresql, query.format("ROW(NULL, NULL)"))
    assert sent(sandbox) == {"a": {"x": "(,)"}}
    assert with_attribute(tables_in_postgresql, query.format("NULL")).added == 1
    assert sent(sandbox) == {"a": {}}


@IN_POSTGRESQL
@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_characters_that_are_one_in_another_encoding_stay_two(
    driver: str, tables_in_postgresql: Connections, postgres_server: str, sandbox: Sandbox
) -> None:
    module = pytest.importorskip(driver)
    place = {"host": postgres_server, "user": "airflow", "dbname": "postgres"}
    database = set_to(
        Connections(lambda: module.connect(**place), driver, tables_in_postgresql.schema),
        lambda connection: (
            connection.set_client_encoding("SJIS")
            if driver == "psycopg2"
            else with_statement("SET client_encoding TO 'SJIS'")(connection)
        ),
    )
    fill(tables_in_postgresql, [("\u301c",), ("\uff5e",)])
    assert mirror(database).added == 2
    fill(tables_in_postgresql, [("\u301c",)])
    assert mirror(database).removed == 1
    assert sandbox.members("vip") == {"\u301c"}


@IN_POSTGRESQL
def test_a_connection_class_of_ones_own_of_psycopg(
    tables_in_postgresql: Connections, postgres_server: str, sandbox: Sandbox
) -> None:
    psycopg = pytest.importorskip("psycopg")
    own: Any = type("Own", (psycopg.Connection,), {})
    place = {"host": postgres_server, "user": "airflow", "dbname": "postgres"}
    fill(tables_in_postgresql, [("a",), ("b",)])
    database = Connections(lambda: own.connect(**place), "psycopg", tables_in_postgresql.schema)
    assert mirror(database).added == 2


@IN_POSTGRESQL
def test_no_digest_is_missed_where_two_numbers_are_returned_as_one(tables_in_postgresql: Connections) -> None:
    database = set_to(tables_in_postgresql, with_statement("SET extra_float_digits = 0"))
    assert [one for one in Check(database, database.schema).run() if one.fault] == []


@IN_POSTGRESQL
@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
@pytest.mark.parametrize("condition", ['id <> "%s"', "id <> '%s'", "id <> %s wher 1 = 1"])
def test_no_error_quotes_a_parameter(
    condition: str, driver: str, tables_in_postgresql: Connections, postgres_server: str, sandbox: Sandbox
) -> None:
    module = pytest.importorskip(driver)
    place = {"host": postgres_server, "user": "airflow", "dbname": "postgres"}
    database = Connections(lambda: module.connect(**place), driver, tables_in_postgresql.schema)
    fill(tables_in_postgresql, [("a",)])
    with pytest.raises(SourceError) as caught:
        mirror(
            database, f"SELECT id FROM {database.schema}.members WHERE {condition}", parameters=["jane.doe@example.com"]
        )
    assert "jane" not in str(caught.value)
    # What has nothing to do with them is told.
    with pytest.raises(SourceError, match='column "idd" does not exist'):
        mirror(
            database, f"SELECT idd FROM {database.schema}.members WHERE id <> %s", parameters=["jane.doe@example.com"]
        )


def test_a_label_that_is_renamed_is_sent_and_its_type_can_be_dropped(
    tables_in_postgresql: Connections, sandbox: Sandbox
) -> None:
    schema = tables_in_postgresql.schema
    tables_in_postgresql.run(f"CREATE TYPE {schema}.plan AS ENUM ('gold', 'none')")
    fill(tables_in_postgresql, [("a", "gold"), ("b", "none")], f"id TEXT, x {schema}.plan")
    assert with_attribute(tables_in_postgresql).added == 2
    tables_in_postgresql.run(f"ALTER TYPE {schema}.plan RENAME VALUE 'gold' TO 'premium'")
    assert counts(with_attribute(tables_in_postgresql)) == (1, 0, 1, 0, 0, 2)
    assert sent(sandbox) == {"a": {"x": "premium"}, "b": {"x": "none"}}
    tables_in_postgresql.run(
        f"ALTER TABLE {schema}.members ALTER x TYPE TEXT USING x::text", f"DROP TYPE {schema}.plan"
    )
    assert with_attribute(tables_in_postgresql).members == 2


def test_a_column_can_get_another_collation(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    for number, each in enumerate(["C", "POSIX", "C", "POSIX"]):
        rows = [(f"c-{row}", f"{row}") for row in range(number, 40 + number)]
        fill(tables_in_postgresql, rows, f'id TEXT COLLATE "{each}", x TEXT COLLATE "{each}"')
        with_attribute(tables_in_postgresql)
        assert sent(sandbox) == {id_: {"x": x} for id_, x in rows}


def test_a_column_of_several_collations_is_named(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_postgresql, [("a", "b")], 'id TEXT COLLATE "C", x TEXT COLLATE "POSIX"')
    with pytest.raises(SourceError, match=r"42P22\): .* Write COLLATE"):
        with_attribute(tables_in_postgresql, f"SELECT id, id || x AS x FROM {tables_in_postgresql.schema}.members")


def test_a_record_without_a_name_is_named(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    with pytest.raises(SourceError, match=r"42P16\): a column of the query has a type that no table can have"):
        with_attribute(tables_in_postgresql, "SELECT 'a' AS id, ROW(1, 2) AS x")


def test_an_address_of_a_host_is_sent_without_a_mask(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    networks = [(f"10.0.{number}.0/24",) for number in range(101)]
    fill(tables_in_postgresql, [*networks, ("1.2.3.4",)], "id INET")
    assert mirror(tables_in_postgresql).added == 102
    assert sandbox.members("vip") == {*(id_ for (id_,) in networks), "1.2.3.4"}


# MySQL and MariaDB


@IN_MARIADB
@pytest.mark.parametrize(
    "setting",
    [
        "SET SESSION sql_select_limit = 2",
        "SET SESSION max_join_size = 3",
        "SET SESSION sql_safe_updates = 1",
        "SET SESSION default_storage_engine = MEMORY",
        "SET SESSION tx_isolation = 'READ-UNCOMMITTED'",
        "SET SESSION max_sort_length = 64",
        "SET character_set_results = latin1",
        "SET collation_connection = latin1_swedish_ci",
    ],
)
def test_what_a_connection_of_mariadb_is_set_to_changes_nothing(
    setting: str, tables_in_mariadb: Connections, sandbox: Sandbox
) -> None:
    database = set_to(tables_in_mariadb, with_statement(setting))
    ids = [*(f"{'x' * 70}{number}" for number in range(5)), "\u0142", "\u0436", "\U0001f600"]
    columns = "id VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, x INT"
    fill(tables_in_mariadb, [(each, 1) for each in [*ids, "\u0436\u0436\t1"]], columns)
    sql = f"SELECT id, x FROM {database.schema}.members"
    given: dict[str, Any] = {"on_invalid_id": "skip", "conn_id": "batch_cep", "attributes": ["x"], "keep_changes": 7}
    assert counts(mirror(database, sql, **given)) == (8, 0, 0, 0, 1, 8)
    assert sandbox.members("vip", PROJECT) == {*ids}
    fill(tables_in_mariadb, [(each, 2) for each in ids[:4]], columns)
    assert counts(mirror(database, sql, **given)) == (4, 4, 0, 0, 0, 4)
    assert sandbox.members("vip", PROJECT) == {*ids[:4]}
    assert counts(mirror(database, sql, **given)) == (0, 0, 4, 0, 0, 4)
    assert [one for one in Check(database, database.schema).run() if one.fault] == []


@IN_MARIADB
@pytest.mark.parametrize("attributes", [None, ["x"]])
def test_each_id_is_looked_up_by_an_index(
    attributes: list[str] | None, tables_in_mariadb: Connections, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one, a comparison takes the square of the number of ids."""
    plans: list[Any] = []
    create, stream = Session.create, Session.stream

    def explain(session: Session, query: str, parameters: Any) -> None:
        plans.extend(session.rows(f"EXPLAIN {query}", parameters))

    def creating(session: Session, sql: str, parameters: Any = None, *, what: str) -> None:
        explain(session, sql.partition(" AS\n")[2], parameters)
        create(session, sql, parameters, what=what)

    def streaming(session: Session, sql: str, parameters: Any, size: int) -> Any:
        explain(session, sql, parameters)
        return stream(session, sql, parameters, size)

    monkeypatch.setattr(Session, "create", creating)
    monkeypatch.setattr(Session, "stream", streaming)
    given: dict[str, Any] = {"conn_id": "batch_cep", "attributes": attributes, "keep_changes": 7}

    def run(start: int, *faults: Fault, **arguments: Any) -> Any:
        rows = [(f"customer-{number}", "x") for number in range(start, start + 1_000)]
        fill(tables_in_mariadb, rows, "id VARCHAR(200), x VARCHAR(20)")
        sandbox.faults(*faults)
        return mirror(tables_in_mariadb, **given, **arguments)

    for start in (0, 10, 20):  # a base, a net, and a net of a net
        assert run(start).members == 1_000
    assert run(25, Fault(400), on_rejected_chunk="bisect").members == 1_000
    with pytest.raises(BatchError):
        run(30, Fault(401))
    assert run(40, dry_run=True).members == 1_000
    assert run(50).members == 1_000
    assert sandbox.members("vip", PROJECT) == {f"customer-{number}" for number in range(50, 1_050)}
    assert len(plans) > 50
    # Of a few rows, all may be looked at.
    assert [row for row in plans if "join buffer" in str(row[-1]) and int(row[8]) > 100] == []


COLLATIONS = ["utf8mb4_bin", "utf8mb4_unicode_ci", "utf8mb4_general_ci"]


@IN_MARIADB
@pytest.mark.parametrize("collation", COLLATIONS)
def test_the_query_compares_its_texts_by_the_collation_of_the_connection(
    collation: str, tables_in_mariadb: Connections, sandbox: Sandbox
) -> None:
    database = set_to(tables_in_mariadb, with_statement(f"SET NAMES utf8mb4 COLLATE {collation}"))
    mirror(database, "SELECT 'Ab' AS id UNION SELECT 'ab'")
    assert sandbox.members("vip") == ({"Ab", "ab"} if collation == "utf8mb4_bin" else {"Ab"})


@IN_MARIADB
@pytest.mark.parametrize("attributes", [None, ["x"]])
def test_a_collation_can_change(attributes: list[str] | None, tables_in_mariadb: Connections, sandbox: Sandbox) -> None:
    for number, collation in enumerate([*COLLATIONS, *COLLATIONS]):
        rows = [(f"c-{row}", f"{row}") for row in range(number, 40 + number)]
        columns = f"id VARCHAR(200) COLLATE {collation}, x VARCHAR(20) COLLATE {collation}"
        fill(tables_in_mariadb, rows, columns.replace(" COLLATE", " CHARACTER SET utf8mb4 COLLATE"))
        database = set_to(tables_in_mariadb, with_statement(f"SET NAMES utf8mb4 COLLATE {collation}"))
        mirror(database, conn_id="batch_cep", attributes=attributes, keep_changes=7)
        assert sandbox.members("vip", PROJECT) == {id_ for id_, _ in rows}
        source = SqlSource(database, f"SELECT id, x FROM {database.schema}.members", None, ProfileColumns("id"))
        given = {"snapshot_schema": database.schema, "snapshot_name": "all"}
        assert BatchHook("batch_cep").mirror_profiles(source, **given).accepted == (1 if number else 40)  # type: ignore[arg-type]


@IN_MARIADB
def test_a_moment_that_another_time_zone_shows_otherwise_is_sent(
    tables_in_mariadb: Connections, sandbox: Sandbox
) -> None:
    moment = "FROM_UNIXTIME(1800000000)"
    members = f"{tables_in_mariadb.schema}.members"
    tables_in_mariadb.run(
        f"CREATE TABLE {members} (id INT, x TIMESTAMP)", f"INSERT INTO {members} VALUES (1, {moment})"
    )
    for zone, hour in (("+00:00", "08"), ("+05:00", "13")):
        with_attribute(set_to(tables_in_mariadb, with_statement(f"SET time_zone = '{zone}'")))
        assert sent(sandbox) == {"1": {"date(x)": f"2027-01-15T{hour}:00:00Z"}}


@IN_MARIADB
def test_a_log_of_a_server_that_was_not_strict_goes_on(tables_in_mariadb: Connections, sandbox: Sandbox) -> None:
    for number, mode in enumerate(("", "STRICT_ALL_TABLES", "TRADITIONAL")):
        fill(tables_in_mariadb, [(None,), (f"c-{number}",)])
        database = set_to(tables_in_mariadb, with_statement(f"SET SESSION sql_mode = '{mode}'"))
        mirror(database, on_invalid_id="skip", keep_changes=7)
    log = f"{tables_in_mariadb.schema}.{log_of(tables_in_mariadb)}"
    assert sorted(tables_in_mariadb.run(f"SELECT op, COUNT(*), COUNT(id) FROM {log} GROUP BY op")) == [
        ("!", 3, 0),
        ("+", 3, 3),
        ("-", 2, 2),
    ]


@IN_MARIADB
@pytest.mark.parametrize("mode", ["STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO", "TRADITIONAL"])
def test_a_division_by_zero_is_missing_as_where_the_query_is_only_read(
    mode: str, tables_in_mariadb: Connections, sandbox: Sandbox
) -> None:
    database = set_to(tables_in_mariadb, with_statement(f"SET SESSION sql_mode = '{mode}'"))
    with_attribute(database, "SELECT 'a' AS id, 1 / 0 AS x UNION ALL SELECT 'b', 4 / 2")
    assert sent(sandbox) == {"a": {}, "b": {"x": 2}}
    with pytest.raises(SourceError, match=r"\(\w+, error 1292\): a value does not fit the type"):
        with_attribute(database, "SELECT 'a' AS id, CAST('7x' AS SIGNED) AS x")


@IN_MARIADB
def test_a_schema_in_other_letters_is_another_one(tables_in_mariadb: Connections, sandbox: Sandbox) -> None:
    if tables_in_mariadb.run("SELECT @@lower_case_table_names") != [(0,)]:
        pytest.skip("this server knows no capitals in names")
    fill(tables_in_mariadb, [("a",)])
    mirror(tables_in_mariadb)
    database, schema = Database(tables_in_mariadb.get_conn), tables_in_mariadb.schema
    assert mirrors_in(database, schema) != []
    assert mirrors_in(database, schema.upper()) == []


def test_a_connection_that_raises_warnings_does_not(tables_in_sqlite: Connections) -> None:
    """That of mysql-connector would for a table that is not there to drop."""

    class Strict(sqlite3.Connection):
        raise_on_warnings = True

    connection = sqlite3.connect(":memory:", factory=Strict)
    with Database(lambda: connection).session():
        assert not connection.raise_on_warnings


@IN_MARIADB
@pytest.mark.parametrize("attributes", [None, ["x"]])
def test_the_longest_ids_differ_in_their_last_character(
    attributes: list[str] | None, tables_in_mariadb: Connections, sandbox: Sandbox
) -> None:
    ids = ["\U0001f600" * 300 + end for end in "abc"]
    columns = "id VARCHAR(700) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, x INT"
    fill(tables_in_mariadb, [(each, 1) for each in ids], columns)
    sql = f"SELECT id, x FROM {tables_in_mariadb.schema}.members"
    assert mirror(tables_in_mariadb, sql, conn_id="batch_cep", attributes=attributes).added == 3
    assert sandbox.members("vip", PROJECT) == {*ids}


@IN_MARIADB
def test_numbers_that_are_shown_with_zeros_are_sent_without(tables_in_mariadb: Connections, sandbox: Sandbox) -> None:
    columns = "id INT(5) ZEROFILL, x BIGINT UNSIGNED ZEROFILL"
    fill(tables_in_mariadb, [(number, number) for number in (*range(10000, 10100), 7)], columns)
    assert with_attribute(tables_in_mariadb).added == 101
    assert sent(sandbox)["7"] == {"x": 7}
    assert with_attribute(tables_in_mariadb).unchanged == 101


@IN_MARIADB
def test_rows_that_are_read_are_not_locked(tables_in_mariadb: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_mariadb, [("a",), ("b",)])
    with closing(tables_in_mariadb.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"UPDATE {tables_in_mariadb.schema}.members SET id = 'c' WHERE id = 'b'")  # and does not commit
        assert mirror(set_to(tables_in_mariadb, with_statement("SET innodb_lock_wait_timeout = 1"))).added == 2
    assert sandbox.members("vip") == {"a", "b"}


@IN_MARIADB
def test_tables_of_a_small_row_format_have_an_index(tables_in_mariadb: Connections, sandbox: Sandbox) -> None:
    fill(tables_in_mariadb, [("a",), ("b",)])
    before = tables_in_mariadb.run("SELECT @@innodb_default_row_format")[0][0]
    tables_in_mariadb.run("SET GLOBAL innodb_default_row_format = 'compact'")
    try:
        assert mirror(tables_in_mariadb).added == 2
    finally:
        tables_in_mariadb.run(f"SET GLOBAL innodb_default_row_format = '{before}'")


# On each database


def test_an_id_that_batch_rejects_has_entered_once_it_is_accepted(connections: Connections, sandbox: Sandbox) -> None:
    def logged() -> list[Any]:
        table = f"{connections.schema}.{log_of(connections)}"
        return sorted(connections.run(f"SELECT op, why FROM {table} WHERE id = 'x'"))

    refused = (Fault(400), None, Fault(400))  # between them, a look whether the audience exists

    def run(ids: str, *faults: Fault | None, **arguments: Any) -> Any:
        fill(connections, [(each,) for each in ids])
        sandbox.faults(*faults)
        result = mirror(connections, keep_changes=7, on_rejected_chunk="bisect", **arguments)
        # The next run makes no call before that for its ids.
        BatchHook().confirm_mirror("vip", snapshot_schema=connections.schema, database=connections)
        return result

    run("a")
    for full_refresh in (False, True):
        assert run("ax", *refused).rejected == 1
        assert logged() == [("!", "rejected by Batch")]
        run("ax", full_refresh=full_refresh)
        assert logged() == [("!", "rejected by Batch"), ("+", "new")]
        run("a")
        assert ("-", "gone") in logged()
        connections.run(f"DELETE FROM {connections.schema}.{log_of(connections)}")
    # One that leaves before it was ever accepted was never there.
    run("ax", *refused)
    run("a")
    assert ("-", "withdrawn") in logged()


def test_one_that_batch_does_not_remove_has_not_left(connections: Connections, sandbox: Sandbox) -> None:
    refused = (Fault(400), None, Fault(400))

    def run(ids: str, *faults: Fault | None, **arguments: Any) -> list[Any]:
        fill(connections, [(each,) for each in ids])
        sandbox.faults(*faults)
        mirror(connections, keep_changes=7, on_rejected_chunk="bisect", **arguments)
        BatchHook().confirm_mirror("vip", snapshot_schema=connections.schema, database=connections)
        table = f"{connections.schema}.{log_of(connections)}"
        found = sorted(connections.run(f"SELECT id, op, why FROM {table}"))
        connections.run(f"DELETE FROM {table}")
        return [tuple(row) for row in found]

    run("abx")
    assert run("ax", *refused) == [("b", "!", "rejected by Batch")]
    assert run("abx") == [("b", "+", "sent again")]
    assert run("ax", *refused) == [("b", "!", "rejected by Batch")]
    assert run("ax") == [("b", "-", "gone")]
    # A try that fails in between changes nothing in that.
    assert run("aqx", *refused) == [("q", "!", "rejected by Batch")]
    for _ in range(2):
        fill(connections, [(each,) for each in "aqx"])
        sandbox.faults(Fault(401))
        with pytest.raises(BatchError):
            mirror(connections, keep_changes=7, on_rejected_chunk="bisect")
    assert run("aqx") == [("q", "+", "new")]
    assert run("ax", *refused) == [("q", "!", "rejected by Batch")]
    assert run("ax", full_refresh=True) == [("q", "-", "gone")]
    # Of a new set, it has none that it rejects.
    assert run("ax", *refused, full_refresh=True) == [("a", "!", "rejected by Batch"), ("a", "-", "gone")]
    assert sandbox.members("vip") == {"x"}
    assert run("ax") == [("a", "+", "new")]


def test_one_whose_attribute_batch_rejects_has_not_entered_twice(connections: Connections, sandbox: Sandbox) -> None:
    refused = (Fault(400), None, Fault(400))

    def run(rows: list[tuple[str, str]], *faults: Fault | None) -> list[Any]:
        fill(connections, rows, "id VARCHAR(20), x VARCHAR(20)")
        sandbox.faults(*faults)
        given: dict[str, Any] = {"keep_changes": 7, "on_rejected_chunk": "bisect"}
        mirror(connections, conn_id="batch_cep", attributes=["x"], **given)
        BatchHook("batch_cep").confirm_mirror("vip", snapshot_schema=connections.schema, database=connections)
        table = f"{connections.schema}.{log_of(connections)}"
        return sorted({*connections.run(f"SELECT op, why FROM {table} WHERE id = 'x'")})

    assert run([("a", "1"), ("x", "1")]) == [("+", "new")]
    assert run([("a", "1"), ("x", "2")], *refused) == [("!", "rejected by Batch"), ("+", "new")]
    connections.run(f"DELETE FROM {connections.schema}.{log_of(connections)}")
    assert run([("a", "1"), ("x", "3")], *refused) == [("!", "rejected by Batch")]
    assert run([("a", "1"), ("x", "2")]) == [("!", "rejected by Batch"), ("+", "sent again")]
    run([("a", "1"), ("x", "3")], *refused)
    assert ("-", "gone") in run([("a", "1")])


@IN_POSTGRESQL
def test_a_setting_that_is_not_committed_holds(tables_in_postgresql: Connections, sandbox: Sandbox) -> None:
    """The first table that is not there would roll it back."""

    def change(connection: Any) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute("SET app.tenant = 'a'")

    fill(tables_in_postgresql, [("a-1", "a"), ("b-1", "b")], "id TEXT, tenant TEXT")
    query = f"SELECT id FROM {tables_in_postgresql.schema}.members WHERE tenant = current_setting('app.tenant')"
    assert mirror(set_to(tables_in_postgresql, change), query).added == 1
    assert sandbox.members("vip") == {"a-1"}


@IN_POSTGRESQL
def test_a_table_that_somebody_reads_keeps_no_other_one(
    tables_in_postgresql: Connections, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect = DIALECTS["postgresql"]
    monkeypatch.setitem(DIALECTS, dialect.name, replace(dialect, limit=dialect.limit.replace("10", "1")))
    fill(tables_in_postgresql, [(f"c-{number}",) for number in range(30)])
    mirror(tables_in_postgresql)
    (base,) = (name for name in tables_in_postgresql.tables() if name.rpartition("_")[2].startswith("b"))
    with closing(tables_in_postgresql.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT * FROM {tables_in_postgresql.schema}.{base}")
        for left in (10, 3):
            fill(tables_in_postgresql, [(f"c-{number}",) for number in range(left)])
            mirror(tables_in_postgresql)
            assert ours(tables_in_postgresql) == ["b", "b", "head"]
    mirror(tables_in_postgresql)
    fill(tables_in_postgresql, [("c-0",)])
    mirror(tables_in_postgresql)
    assert ours(tables_in_postgresql) == ["b", "head"]
