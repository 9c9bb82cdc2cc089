"""The command that tries a database, and the one that drops a mirror; the statements of databases that are not here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.mirror.tables import check as checks
from airflow_provider_batch.mirror.tables.__main__ import main
from airflow_provider_batch.mirror.tables.check import Check
from airflow_provider_batch.mirror.tables.dialect import DIALECTS
from airflow_provider_batch.mirror.tables.statements import Query, Statements
from tests.mirror.stores import Connections, sqlite_connections
from tests.mirror.test_tables import fill


def test_every_trap_holds(connections: Connections) -> None:
    before = connections.tables()
    check = Check(connections, connections.schema)
    assert check.dialect() in ("sqlite", "duckdb", "postgresql", "mysql")
    found = list(check.run())
    assert [finding for finding in found if finding.fault] == []
    assert len(found) == 13
    assert connections.tables() == before


def test_a_database_that_folds_case_is_found_out(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    folding = replace(DIALECTS["sqlite"], key="LOWER(CAST({} AS TEXT))")
    monkeypatch.setitem(DIALECTS, "sqlite", folding)
    faults = {finding.trap: finding.fault for finding in Check(tables_in_sqlite, "main").run() if finding.fault}
    assert "letters that differ in case" in faults
    assert "Cast it to text" in faults["letters that differ in case"]
    assert tables_in_sqlite.tables() == []


def test_a_database_that_makes_one_digest_of_two_rows_is_found_out(
    tables_in_duckdb: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    careless = replace(DIALECTS["duckdb"], part="CAST({0} AS VARCHAR)")
    monkeypatch.setitem(DIALECTS, "duckdb", careless)
    faults = {finding.trap: finding.fault for finding in Check(tables_in_duckdb, "main").run() if finding.fault}
    # "ab" beside "c", "a" beside "bc", and "abc" beside nothing are one, and "-" beside NULL is NULL beside "-".
    assert faults == {"rows of which only a digest is kept": "14 rows have 8 digests"}


def test_a_database_that_rounds_numbers_is_found_out(
    tables_in_duckdb: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    rounding = DIALECTS["duckdb"].part.replace("{0}", "TRY_CAST({0} AS FLOAT)")
    texts = DIALECTS["duckdb"].part
    monkeypatch.setitem(
        DIALECTS,
        "duckdb",
        replace(DIALECTS["duckdb"], part=f"CASE WHEN TYPEOF({{0}}) = 'DOUBLE' THEN {rounding} ELSE {texts} END"),
    )
    faults = {finding.trap: finding.fault for finding in Check(tables_in_duckdb, "main").run() if finding.fault}
    assert faults == {"rows of which only a digest is kept": "2 rows have 1 digests"}


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connections:
    path = tmp_path / "warehouse.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return sqlite_connections(path)


def exit_code(*arguments: str) -> Any:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


def test_the_command_prints_a_table(warehouse: Connections, capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code("check", "warehouse", "main") == 0
    lines = capfd.readouterr().out.splitlines()
    assert "warehouse, schema main: sqlite" in lines
    assert "holds letters that differ in case" in lines
    assert not [line for line in lines if line.startswith("FAILS")]


def test_the_command_fails_with_the_trap(
    warehouse: Connections, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks.Check, "_history", lambda self: "the log lacks changes")
    assert exit_code("check", "warehouse", "main") == 1
    assert "FAILS a second run sends what changed, and the log has it: the log lacks changes" in capfd.readouterr().out


def test_drop_leaves_no_table_of_the_mirror(warehouse: Connections, capfd: pytest.CaptureFixture[str]) -> None:
    from tests.mirror.test_tables_tries import blocks, mirror_of

    fill(warehouse, [("a",)])
    mirror = mirror_of(warehouse, "today")
    with mirror.plan(blocks(mirror)) as plan, plan.begin("today") as transaction:
        transaction.commit([])
    assert len(warehouse.tables()) == 3
    assert exit_code("drop", "warehouse", "main", "batch_vpi_00000000").startswith(
        "warehouse, schema main: no mirror batch_vpi_00000000 is there."
    )
    assert "no mirror members is there" in exit_code("drop", "warehouse", "main", "members")
    assert len(warehouse.tables()) == 3
    assert exit_code("drop", "warehouse", "main", "batch_vip_00000000") == 0
    assert warehouse.tables() == ["members"]
    assert "dropped all tables of main.batch_vip_00000000" in capfd.readouterr().out


def test_a_connection_that_is_not_defined_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    assert exit_code("inspect", "warehouze", "main") == "The conn_id `warehouze` isn't defined"


def test_drop_finds_what_no_head_names(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.mirror.test_tables_tries import blocks, mirror_of

    monkeypatch.setattr("airflow_provider_batch.mirror.tables.__main__.database_hook", lambda conn_id: connections)
    fill(connections, [("a",)])
    before = connections.tables()
    mirror = mirror_of(connections, "today")
    with mirror.plan(blocks(mirror)) as plan, plan.begin("today") as transaction:
        transaction.commit([])
    connections.run(f"DROP TABLE {connections.schema}.batch_vip_00000000_head")
    assert len(connections.tables()) == len(before) + 1
    assert exit_code("drop", "warehouse", connections.schema, "batch_vip_00000000") == 0
    assert connections.tables() == before
    assert "no mirror" in exit_code("drop", "warehouse", connections.schema, "batch_vip_00000000")


SQLGLOT = {"postgresql": "postgres", "mysql": "mysql", "duckdb": "duckdb", "sqlite": "sqlite"}


@pytest.mark.parametrize(
    ("others", "digested"),
    [((), None), (("plan", "spent"), None), (("plan", "spent"), ("plan", "spent")), ((), ())],
    ids=["ids", "attributes", "digests", "digests of nothing"],
)
@pytest.mark.parametrize("name", DIALECTS)
def test_statements_are_valid_in_the_words_of_the_database(
    name: str, others: tuple[str, ...], digested: tuple[str, ...] | None
) -> None:
    sqlglot = pytest.importorskip("sqlglot", reason="sqlglot is not installed (pip install sqlglot)")
    dialect = DIALECTS[name]
    query = Query("SELECT * FROM customers -- all", "customer_id", others, 128, digested)
    if digested is not None and not dialect.digest:
        return
    statements = Statements(dialect, query)
    today = statements.today()
    known = statements.known("s.b1", "s.e1")
    uncertain = [statements.sent("s.d1"), statements.sent("s.d2")]
    made = [
        statements.cast(),
        statements.create("s.d3", statements.changes(None, [])),
        statements.create("s.d3", statements.changes(None, uncertain)),
        statements.create("s.d3", statements.changes(known, [])),
        statements.create("s.d3", statements.changes(known, uncertain)),
        statements.create("s.d3", statements.changes(statements.known("s.b1", None), [], same_shape=False)),
        statements.read("s.d3", replaces=False),
        statements.read("s.d3", replaces=True),
        statements.read(f"({statements.changes(known, uncertain)})", replaces=False, repeated=True),
        statements.repeated("s.d3"),
        statements.create("s.x3", statements.ids("s.d3")),
        statements.create("s.c3", statements.corrected("s.d3", "s.x3")),
        statements.create("s.c3", statements.corrected("s.d3", None)),
        statements.create("s.b3", statements.new_base("s.d3", known)),
        statements.create("s.e3", statements.new_net("s.d3", "s.e1")),
        f"INSERT INTO s.x3 VALUES ({statements.id_values().replace('{}', 'NULL')})",
    ]
    for statement in made:
        parsed = sqlglot.parse(statement, read=SQLGLOT.get(name, name), error_level=sqlglot.ErrorLevel.RAISE)
        assert len(parsed) == 1
        assert type(parsed[0]).__name__ in ("Create", "Select", "Insert"), statement


def test_every_trap_holds_in_an_imitation_of_snowflake() -> None:
    fakesnow = pytest.importorskip("fakesnow", reason="fakesnow is not installed (pip install fakesnow)")
    import snowflake.connector  # type: ignore[import-not-found]

    class Hook:
        def get_conn(self) -> Any:
            connection = snowflake.connector.connect(database="DB", schema="BATCH")

            def attribute(_: Any, name: str) -> Any:
                return getattr(connection, name)

            return type("Connection", (), {"__module__": "snowflake.connector", "__getattr__": attribute})()

    with fakesnow.patch():
        Hook().get_conn().cursor().execute("CREATE SCHEMA IF NOT EXISTS DB.BATCH")
        check = Check(Hook(), "DB.BATCH")
        assert check.dialect() == "snowflake (experimental)"
        assert [finding for finding in check.run() if finding.fault] == []
