"""The command that tries a database, and the one that drops a mirror; the statements of databases that are not here."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.mirror.tables import check as checks
from airflow_provider_batch.mirror.tables.__main__ import main
from airflow_provider_batch.mirror.tables.check import Check
from airflow_provider_batch.mirror.tables.database import Database
from airflow_provider_batch.mirror.tables.dialect import DIALECTS
from airflow_provider_batch.mirror.tables.head import State
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.log import ChangeLog
from airflow_provider_batch.mirror.tables.statements import Query, Statements
from tests.mirror.stores import Connections, sqlite_connections
from tests.mirror.test_tables import fill, log_of
from tests.mirror.test_tables_head import STATE


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
    folding = replace(DIALECTS["sqlite"], key="LOWER(CAST({} AS TEXT))")
    monkeypatch.setitem(DIALECTS, "sqlite", folding)
    faults = {finding.trap: finding.fault for finding in Check(tables_in_sqlite, "main").run() if finding.fault}
    assert "letters that differ in case" in faults
    assert "Cast it to text" in faults["letters that differ in case"]
    assert tables_in_sqlite.tables() == []


def test_a_database_that_makes_one_digest_of_two_rows_is_found_out(
    tables_in_duckdb: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = replace(DIALECTS["duckdb"], part="CAST({0} AS VARCHAR)")
    monkeypatch.setitem(DIALECTS, "duckdb", careless)
    faults = {finding.trap: finding.fault for finding in Check(tables_in_duckdb, "main").run() if finding.fault}
    # "ab" beside "c", "a" beside "bc", and "abc" beside nothing are one, and "-" beside NULL is NULL beside "-".
    assert faults == {"rows of which only a digest is kept": "14 rows have 8 digests"}


def test_a_database_that_rounds_numbers_is_found_out(
    tables_in_duckdb: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounding = DIALECTS["duckdb"].part.replace("{0}", "TRY_CAST({0} AS FLOAT)")
    texts = DIALECTS["duckdb"].part
    monkeypatch.setitem(
        DIALECTS,
        "duckdb",
        replace(DIALECTS["duckdb"], part=f"CASE WHEN TYPEOF({{0}}) = 'DOUBLE' THEN {rounding} ELSE {texts} END"),
    )
    faults = {finding.trap: finding.fault for finding in Check(tables_in_duckdb, "main").run() if finding.fault}
    assert faults == {"rows of which only a digest is kept": "2 rows have 1 digests"}


TRAPS = [
    "rights: CREATE TABLE, SELECT, UPDATE, DROP TABLE",
    "letters that differ in case",
    "blanks at the end",
    "blanks at the beginning",
    "accents, composed and decomposed",
    "letters that a language takes for the same",
    "128 characters of four bytes",
    "NULL, empty and too long ids, and repetitions",
    "integers",
    "attributes: NULL, empty text, case",
    "rows of which only a digest is kept",
    "a second run sends what changed, and the log has it",
    "of several changes at once, one succeeds",
]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the traps let a mirror do: the rows of the query, what is to be added and removed, and whether it is new."""
    calls: list[Any] = []

    def note(check: Check, query: str, adds: list[str], removes: list[str], *, keeps: bool = False) -> str:
        with closing(sqlite3.connect(":memory:")) as connection:
            found = connection.execute(query)
            assert [column[0] for column in found.description] in (["id"], ["id", "plan"])
            calls.append((found.fetchall(), adds, removes, keeps))
        return "a fault" if getattr(check, "fails", False) else ""

    monkeypatch.setattr(Check, "_plan", note)
    return calls


def test_each_trap_tries_what_it_is_named_after(tables_in_sqlite: Connections, tried: list[Any]) -> None:
    found = dict(Check(tables_in_sqlite, "main").run())
    assert list(found) == TRAPS
    alike = [
        ("Ab", "ab", "AB"),
        ("a", "a ", "a  "),
        ("b", " b"),
        ("é", "e\u0301", "e"),
        ("ss", "ß", "\u01c6", "d\u017e"),  # one letter of Croatian, and the two that it is made of
        ("😀" * 128, "😀" * 127 + "😁"),
    ]
    expected: list[Any] = []
    for ids in alike:
        rows = [(id_,) for id_ in ids]
        expected += [(rows, [*ids], [], False), ([*rows, rows[0]], [], [], True)]
    assert tried == [
        *expected,
        ([("a",), ("a",), (None,), ("",), ("x" * 129,)], ["a"], [], False),
        ([(7,), (70,)], ["7", "70"], [], False),
        ([("a", "gold"), ("b", None), ("c", "x")], ["a", "b", "c"], [], False),
        ([("a", "Gold"), ("b", ""), ("c", "x")], ["a", "b"], [], True),
        ([("a",), ("b",)], ["a", "b"], [], False),
        ([("b",), ("c",)], ["c"], ["a"], True),
    ]
    # Where nothing was done, there is no log.
    faults = {trap: fault for trap, fault in found.items() if fault}
    assert list(faults) == ["a second run sends what changed, and the log has it"]
    assert "no such table: main.batch_check_" in faults[TRAPS[-2]]


def test_a_fault_of_a_first_run_is_told_without_a_second_one(tables_in_sqlite: Connections, tried: list[Any]) -> None:
    check = Check(tables_in_sqlite, "main")
    check.fails = True  # type: ignore[attr-defined]
    found = list(check.run())
    assert [trap for trap, fault in found if fault == "a fault"] == [*TRAPS[1:10], TRAPS[11]]
    assert not any(keeps for *_, keeps in tried)


def test_what_a_mirror_does_instead_is_told_in_numbers(tables_in_sqlite: Connections) -> None:
    check = Check(tables_in_sqlite, "main")
    query = "SELECT 'a' AS id UNION ALL SELECT 'b' UNION ALL SELECT ''"
    assert check._plan(query, ["b", "a"], []) == ""
    assert check._plan(query, [], [], keeps=True) == ""
    assert check._plan(query, ["b", "a"], []) == ""  # anew
    for adds, removes in (([], []), ([], ["b", "c"]), (["x"], ["b"])):
        assert check._plan("SELECT 'b' AS id", ["a", "b"], []) == (
            "to add: 1 ids instead of 2; to remove: 0 instead of 0"
        )
        assert check._plan("SELECT 'a' AS id UNION ALL SELECT 'c'", adds, removes, keeps=True) == (
            f"to add: 2 ids instead of {len(adds)}; to remove: 1 instead of {len(removes)}"
        )
    plans = "SELECT 'a' AS id, '{}' AS plan"
    assert check._plan(plans.format("gold"), ["a"], []) == ""
    assert check._plan(plans.format("Gold"), ["a"], [], keeps=True) == ""
    log = log_of(tables_in_sqlite)
    assert re.fullmatch("batch_check_[0-9a-f]{8}_log", log)
    rows = tables_in_sqlite.run(f"SELECT run, id, op, why FROM {log}")
    assert rows == [("check", "a", "+", "new"), ("check", "a", "+", "other attributes")]


def faults_of(connections: Connections) -> dict[str, str]:
    return {finding.trap: finding.fault for finding in Check(connections, connections.schema).run() if finding.fault}


def test_a_database_that_loses_updates_is_found_out(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keeper, "replace", lambda *_: None)
    faults = faults_of(tables_in_sqlite)
    assert faults[TRAPS[0]] == "an UPDATE of the head was not found again"
    assert faults[TRAPS[1]] == "another run changed this mirror after this run had compared its ids with it. Retry."
    assert faults[TRAPS[-1]] == "winners in each round: [0, 0, 0, 0, 0]"


def test_a_database_that_lets_several_win_is_found_out(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keeper, "replace", lambda keeper, session, head, state: head)
    check = Check(tables_in_sqlite, "main")
    assert check._compare_and_set() == "winners in each round: [4, 4, 4, 4, 4]"

    def fails(keeper: Keeper, session: Any, head: Any, state: State) -> Any:
        assert state.claim
        if state.claim.owner == "0":
            raise SourceError("the database is busy")
        return head if state.claim.owner == "2" else None

    monkeypatch.setattr(Keeper, "replace", fails)
    assert check._compare_and_set() == ""


def test_a_log_without_the_changes_is_found_out(tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    write, left_out = ChangeLog._write, ["1 = 0"]

    def writes_less(log: ChangeLog, session: Any, *arguments: Any, **named: Any) -> Any:
        head = write(log, session, *arguments, **named)
        session.execute(f"DELETE FROM {log._keeper.table(session, 'log')} WHERE {left_out[-1]}")
        return head

    monkeypatch.setattr(ChangeLog, "_write", writes_less)
    assert Check(tables_in_sqlite, "main")._history() == ""
    for lost in (*(f"id = '{id_}'" for id_ in "abc"), "op = '-'"):
        left_out.append(lost)
        assert Check(tables_in_sqlite, "main")._history() == "the log lacks changes"


def test_what_was_tried_is_dropped_when_nobody_asks_for_more(tables_in_sqlite: Connections) -> None:
    check = Check(tables_in_sqlite, "main").run()
    next(check), next(check)
    assert tables_in_sqlite.tables() != []
    check.close()  # type: ignore[attr-defined]
    assert tables_in_sqlite.tables() == []


def test_all_tables_of_a_mirror_are_dropped_and_its_head_the_last(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, keeper = Database(tables_in_sqlite.get_conn), Keeper("main", "batch_vip_00000000")
    with database.session() as session:
        keeper.change(session, lambda _: STATE)
    dropped: list[str] = []
    monkeypatch.setattr(keeper, "drop", lambda session, name: dropped.append(name))
    assert checks.drop_tables(database, keeper, ["head", "z9"]) == ""
    assert dropped == ["b1", "d0", "d1", "d2", "e1", "i0", "log", "r0", "x1", "z9", "head"]
    dropped.clear()
    tables_in_sqlite.run("UPDATE batch_vip_00000000_head SET state = 'x'")
    checks.drop_tables(database, keeper)
    assert dropped == ["log", "head"]
    dropped.clear()
    tables_in_sqlite.run("DROP TABLE batch_vip_00000000_head")
    checks.drop_tables(database, keeper)
    assert dropped == ["log", "head"]


def test_where_a_database_makes_no_digests_there_is_nothing_to_look_for(
    tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DIALECTS, "sqlite", replace(DIALECTS["sqlite"], digest=""))
    assert Check(tables_in_sqlite, "main")._digests() == ""


def test_an_experimental_dialect_is_called_so(tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Check(tables_in_sqlite, "main").dialect() == "sqlite"
    monkeypatch.setitem(DIALECTS, "sqlite", replace(DIALECTS["sqlite"], is_experimental=True))
    assert Check(tables_in_sqlite, "main").dialect() == "sqlite (experimental)"


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
    flagged = () if digested is None else (*others, None)
    query = Query("SELECT * FROM customers -- all", "customer_id", others, 128, digested, flagged, deletes=True)
    if digested is not None and not dialect.digest:
        return
    statements = Statements(dialect, query)
    today = statements.today()
    known, snapshot = statements.known("s.b1", "s.e1"), ("s.b1", "s.e1")
    uncertain = statements.uncertain(["s.d1", "s.d2"])
    changes = statements.changes(today, snapshot, uncertain, same_shape=True)
    assert ("FULL JOIN" in changes) is dialect.full_join
    made = [
        statements.cast(),
        statements.create("s.u3", uncertain),
        statements.create("s.d3", statements.changes(today, (None, None), "", same_shape=True)),
        statements.create("s.d3", statements.changes(today, (None, None), uncertain, same_shape=True)),
        statements.create("s.d3", statements.changes(today, snapshot, "", same_shape=True)),
        statements.create("s.d3", changes),
        statements.create("s.d3", statements.changes(today, snapshot, uncertain, same_shape=True, is_staged=True)),
        statements.create("s.d3", statements.changes(today, ("s.b1", None), "", same_shape=False)),
        statements.read("s.d3", replaces=False, repeated=False),
        statements.read("s.d3", replaces=True, repeated=False),
        statements.read(f"({changes})", replaces=False, repeated=True),
        statements.repeated("s.d3"),
        statements.create("s.x3", statements.ids("s.d3")),
        statements.create("s.c3", statements.corrected("s.d3", "s.x3")),
        statements.create("s.c3", statements.corrected("s.d3", None)),
        statements.create("s.b3", statements.new_base("s.d3", known)),
        statements.create("s.e3", statements.new_net("s.d3", "s.e1")),
        *(
            statements.create("s.r3", statements.rejected("s.d3", "s.y3", refused, replaces=False))
            for refused in ([], ["s.r1", "s.r2"])
        ),
        f"INSERT INTO s.x3 VALUES ({statements.id_values().replace('{}', 'NULL')})",
    ]
    for statement in made:
        parsed = sqlglot.parse(statement, read=SQLGLOT.get(name, name), error_level=sqlglot.ErrorLevel.RAISE)
        assert len(parsed) == 1
        assert type(parsed[0]).__name__ in ("Create", "Select", "Insert"), statement


def test_every_trap_holds_in_an_imitation_of_snowflake() -> None:
    fakesnow = pytest.importorskip("fakesnow", reason="it is installed with the newest Airflow alone")
    import snowflake.connector

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
