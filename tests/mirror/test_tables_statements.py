"""What a database finds changed: each kind of row at once, beside many that are as they were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.tables.dialect import DIALECTS
from airflow_provider_batch.mirror.tables.log import ChangeLog
from airflow_provider_batch.mirror.tables.mirror import TableMirror
from airflow_provider_batch.mirror.tables.statements import bare, quoted, schema_prefix
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.sql import SqlSource
from tests.mirror.folders import Killed
from tests.mirror.stores import Connections
from tests.mirror.test_tables import fill
from tests.mirror.test_tables_comparison import blocks, broken_off, run, state_of
from tests.mirror.test_tables_tries import mirror_of

COLUMNS = "id VARCHAR(200), plan VARCHAR(20), spent INT"
MANY: list[Any] = [(f"many-{number:02}", "x", number) for number in range(80)]

#: What was sent first: all of it is in the base.
FIRST: list[Any] = [
    *(("same", "gold", 1), ("same, twice", "gold", 1), ("null stays", None, None), ("changed", "gold", 1)),
    *(("to null", "gold", 1), ("from null", None, 1), ("to empty", None, 1), ("in case", "gold", 1)),
    *(("gone", "gold", 1), ("sent again", "gold", 1), ("removed again", "gold", 1), ("gone, then back", "gold", 1)),
]
#: What is different in the second set: it is in the net.
SECOND: list[Any] = [
    *(each for each in FIRST if each[0] != "gone, then back"),
    *(("of the net", "gold", 1), ("of the net, gone", "gold", 1), ("of the net, changed", "gold", 1)),
]
#: What a run that failed may have changed.
FAILED: list[Any] = [
    *(each for each in SECOND if each[0] not in ("sent again", "removed again")),
    *(("sent again", "silver", 1), ("unsure, new", "gold", 1), ("unsure, not there", "gold", 1)),
]
THIRD: list[Any] = [
    *(("same", "gold", 1), ("same, twice", "gold", 1), ("same, twice", "gold", 1), ("null stays", None, None)),
    *(
        ("changed", "gold", 2),
        ("to null", None, 1),
        ("from null", "gold", 1),
        ("to empty", "", 1),
        ("in case", "Gold", 1),
    ),
    *(("sent again", "gold", 1), ("gone, then back", "gold", 1), ("unsure, new", "gold", 1), ("new", None, None)),
    *(("of the net", "gold", 1), ("of the net, changed", "silver", 1), ("new, thrice", "gold", 1)),
    *(("new, thrice", "gold", 1), ("new, thrice", "gold", 1)),
]
ADDED = ["gone, then back", "new", "new, thrice", "unsure, new"]
CHANGED = ["changed", "from null", "in case", "of the net, changed", "to empty", "to null"]
REMOVED = ["gone", "of the net, gone", "removed again"]


@pytest.fixture(params=["sqlite", "duckdb"])
def database(request: pytest.FixtureRequest) -> Connections:
    """One without FULL JOIN, and one with it."""
    found: Connections = request.getfixturevalue(f"tables_in_{request.param}")
    return found


@pytest.fixture(params=[None, "s1"], ids=["values", "digests"])
def store(request: pytest.FixtureRequest, database: Connections) -> TableMirror:
    store = mirror_of(database, "today")
    store.settings = request.param
    columns = Columns("id", attribute_columns=["spent", "plan"])
    store.source = SqlSource(database, f"SELECT * FROM {database.schema}.members", None, columns)
    for rows in (FIRST, SECOND):
        fill(database, [*MANY, *rows], COLUMNS)
        state = run(store)
    assert (state.base_count, state.net_count, state.members) == (92, 4, 94)
    return store


def test_each_row_is_told_from_what_was_sent(store: TableMirror, database: Connections) -> None:
    with store.plan(blocks(store)) as plan:
        assert plan.is_empty
        assert plan.counts == Counts(given=94, unchanged=94)
    fill(database, [*MANY, *FAILED], COLUMNS)
    broken_off(store)
    fill(database, [*THIRD, *reversed(MANY)], COLUMNS)
    expected = Counts(given=95, duplicates=3, added=4, changed=6, resent=1, unchanged=84, removed=3, withdrawn=1)
    for is_dry_run in (True, False):
        store.is_dry_run = is_dry_run
        with store.plan(blocks(store)) as plan:
            assert sorted(plan.adds) == sorted([*ADDED, *CHANGED, "sent again"])
            assert sorted(plan.removes) == sorted([*REMOVED, "unsure, not there"])
            assert plan.counts == expected
    run(store)
    with store.plan(blocks(store)) as plan:
        assert plan.is_empty
        assert plan.counts == Counts(given=95, duplicates=3, unchanged=95)


@pytest.mark.parametrize("days", [0, 30])
def test_the_whole_new_set_replaces_the_audience(days: int, store: TableMirror, database: Connections) -> None:
    store.log = ChangeLog(store.keeper, days)  # which is to have what goes with it
    fill(database, [*THIRD, *MANY], COLUMNS)
    for is_dry_run in (True, False):
        store.is_dry_run = is_dry_run
        with store.plan(blocks(store), full_refresh=True) as plan:
            assert sorted(plan.adds) == sorted({row[0] for row in [*THIRD, *MANY]})
            assert list(plan.removes) == []
            assert plan.counts == Counts(given=95, duplicates=3, added=95)


def test_all_rows_are_sent_again_if_they_are_to_be(store: TableMirror, database: Connections) -> None:
    fill(database, [*THIRD, *MANY], COLUMNS)
    with store.plan(blocks(store), resends=True) as plan:
        assert plan.counts == Counts(given=95, duplicates=3, added=4, changed=91, removed=3)


def test_ids_alone_are_counted_as_rows_with_attributes_are(database: Connections) -> None:
    store = mirror_of(database, "today")
    fill(database, [(id_,) for id_ in "abcdd"])
    run(store)
    cases = {
        "abcd": Counts(given=4, unchanged=4),
        "aabbbcd": Counts(given=4, duplicates=3, unchanged=4),
        "aabeee": Counts(given=3, duplicates=3, added=1, unchanged=2, removed=2),
        "a": Counts(given=1, unchanged=1, removed=3),
        "xyy": Counts(given=2, duplicates=1, added=2, removed=4),
    }
    for ids, expected in cases.items():
        fill(database, [(id_,) for id_ in ids])
        for is_dry_run in (True, False):
            store.is_dry_run = is_dry_run
            with store.plan(blocks(store)) as plan:
                assert plan.counts == expected


@pytest.mark.parametrize("settings", [None, "s1"])
@pytest.mark.parametrize("attributes", [None, ["plan", "spent"]])
def test_of_first_runs_that_were_killed_every_id_is_uncertain(
    attributes: list[str] | None, settings: str | None, database: Connections
) -> None:
    store = mirror_of(database, "today")
    store.settings = settings
    columns = Columns("id", attribute_columns=attributes)
    store.source = SqlSource(database, f"SELECT * FROM {database.schema}.members", None, columns)
    for ids in ("abb", "az"):
        fill(database, [(id_, "gold", 1) for id_ in ids], COLUMNS)
        broken_off(store, error=Killed())
    assert len(state_of(store).tries) == 2
    fill(database, [(id_, "gold", 1) for id_ in "bcc"], COLUMNS)
    for is_dry_run in (True, False):
        store.is_dry_run = is_dry_run
        with store.plan(blocks(store)) as plan:
            assert (list(plan.adds), list(plan.removes), plan.before) == (["b", "c"], ["a", "z"], None)
            assert plan.counts == Counts(given=2, duplicates=1, added=2, withdrawn=2)


@pytest.mark.parametrize("is_dry_run", [False, True])
def test_ids_that_are_no_ids_are_told_from_the_others(is_dry_run: bool, database: Connections) -> None:
    store = mirror_of(database, "today")
    fill(database, [("a",), ("b",)])
    run(store)
    store.is_dry_run = is_dry_run
    fill(database, [("a",), ("",), ("x" * 129,), ("y" * 128,), (None,)])

    def valid() -> Iterator[list[str]]:
        for values in store.changed.blocks(1000):
            ids = [value for value in values.values if isinstance(value, str) and 0 < len(value) < 129]
            if ids:
                yield ids

    with store.plan(valid()) as plan:
        assert (list(plan.adds), list(plan.removes)) == (["y" * 128], ["b"])
        assert plan.counts == Counts(given=2, added=1, unchanged=1, removed=1)
    assert state_of(store).claim is None


def test_a_value_that_cannot_be_read_any_more_is_told_with_what_was_made_of_it(database: Connections) -> None:
    store = mirror_of(database, "today")
    fill(database, [("1",)])
    id_ = "CAST(id AS INT)" if database.driver == "duckdb" else "json(id)"
    store.source = SqlSource(database, f"SELECT {id_} AS id FROM {database.schema}.members")
    run(store)
    fill(database, [("secret-1",)])
    what = "the comparison of the query" if database.driver == "duckdb" else "the query"
    with pytest.raises(SourceError, match=rf"^{what} failed \(\w+(, SQLITE_ERROR)?\)\. Its message is not shown"):
        run(store)


# Parts of statements


@pytest.mark.parametrize(
    ("sql", "without"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT 1;", "SELECT 1"),
        ("SELECT 1 ; ", "SELECT 1 "),
        ("SELECT 1;;\n;", "SELECT 1"),
        ("SELECT 1; -- one; more", "SELECT 1"),
        ("SELECT 1; # one; more\n", "SELECT 1"),
        ("SELECT 1; /* a;\nb */ -- c\n;", "SELECT 1"),
        ("SELECT 1 -- one; more", "SELECT 1 -- one; more"),
        ("SELECT ';' AS x", "SELECT ';' AS x"),
        ("SELECT ';--' AS x;", "SELECT ';--' AS x"),
        ('SELECT ";#" FROM t', 'SELECT ";#" FROM t'),
        ('SELECT ";#" FROM t;', 'SELECT ";#" FROM t'),
        ("-- it's\nSELECT 1;", "-- it's\nSELECT 1"),
        ("SELECT 1; SELECT 2", "SELECT 1; SELECT 2"),
        ("-- it's\nSELECT 1; -- don't", "-- it's\nSELECT 1"),
        ("/* it's\none */ SELECT 1; /* don't */", "/* it's\none */ SELECT 1"),
        ("SELECT 'it''s' AS x; -- don't; \"so\"", "SELECT 'it''s' AS x"),
        ("-- it's\nSELECT '; -- x' AS x; -- don't", "-- it's\nSELECT '; -- x' AS x"),
        ("-- it's\nSELECT '; -- x' AS x", "-- it's\nSELECT '; -- x' AS x"),
        ("SELECT '--' AS x, '; -- y' AS y", "SELECT '--' AS x, '; -- y' AS y"),
        ("SELECT 1 /* one; -- more */", "SELECT 1 /* one; -- more */"),
        ("SELECT 1 /* one;\n-- more */; /* so */", "SELECT 1 /* one;\n-- more */"),
        ("SELECT 1 AS `;--` FROM t", "SELECT 1 AS `;--` FROM t"),
        ("SELECT 1 AS `a;` FROM t; -- `so`", "SELECT 1 AS `a;` FROM t"),
        ("SELECT $$; -- $$", "SELECT $$; -- $$"),
        ("SELECT $a$it's; -- $a$", "SELECT $a$it's; -- $a$"),
        ("SELECT $a$it's$a$; -- $b$", "SELECT $a$it's$a$"),
        ("SELECT $1; -- $2", "SELECT $1"),
    ],
)
def test_a_query_is_taken_without_the_semicolon_at_its_end(sql: str, without: str) -> None:
    assert bare(sql) == without


@pytest.mark.parametrize(
    ("schema", "name", "prefix"),
    [
        ("", "sqlite", ""),
        ("main", "sqlite", "main."),
        ("db._S1.batch", "snowflake", "db._S1.batch."),
        ("my-project.batch", "bigquery", "`my-project`.batch."),
        ("1st.Été", "postgresql", '"1st"."Été".'),
        ('a"b', "postgresql", '"a""b".'),
        (".main.", "sqlite", "main."),
    ],
)
def test_a_schema_stands_in_quotes_where_it_needs_them(schema: str, name: str, prefix: str) -> None:
    assert schema_prefix(schema, DIALECTS[name]) == prefix


def test_a_quote_in_a_name_is_written_twice() -> None:
    assert quoted("a`b``c", DIALECTS["mysql"]) == "`a``b````c`"
    assert quoted('a`"b', DIALECTS["sqlite"]) == '"a`""b"'


@pytest.mark.parametrize("settings", [None, "s1"])
@pytest.mark.parametrize("name", ['pl"an', "pl'an", "plan, spent", "Größe", "a0", "n"])
def test_columns_may_have_any_name(name: str, settings: str | None, database: Connections) -> None:
    store = mirror_of(database, "today")
    written = quoted(name, DIALECTS["sqlite"])
    fill(database, [("a", "gold"), ("b", None)], f"id VARCHAR(9), {written} VARCHAR(9)")
    columns = Columns("id", attribute_columns=[name])
    store.source = SqlSource(database, f"SELECT * FROM {database.schema}.members", None, columns)
    store.settings = settings
    run(store)
    with store.plan(blocks(store)) as plan:
        assert plan.is_empty
    database.run(f"UPDATE {database.schema}.members SET {written} = 'silver' WHERE id = 'a'")
    with store.plan(blocks(store)) as plan:
        assert list(plan.adds) == ["a"]


def test_the_order_of_columns_decides_nothing_where_digests_are_kept(database: Connections) -> None:
    fill(database, [("a", "gold", 1), ("b", "x", None)], COLUMNS)
    store = mirror_of(database, "today")
    store.settings = "s1"
    for names in (["plan", "spent"], ["spent", "plan"]):
        columns = Columns("id", attribute_columns=names)
        store.source = SqlSource(
            database, f"SELECT id, {', '.join(names)} FROM {database.schema}.members", None, columns
        )
        with store.plan(blocks(store)) as plan, plan.begin("today") as transaction:
            assert plan.is_empty is (names[0] == "spent")
            transaction.commit([])


@pytest.mark.parametrize("settings", [None, "s1"])
def test_of_an_id_that_is_there_repeatedly_the_same_row_counts_each_time(
    settings: str | None, database: Connections
) -> None:
    """Whichever it is, it must not depend on the order in which the database finds the rows."""
    given: list[Any] = [("a", "gold", 1), ("a", "silver", 2), ("a", "gold", 2), ("a", "silver", 1)]
    store = mirror_of(database, "today")
    columns = Columns("id", attribute_columns=["plan", "spent"])
    store.source = SqlSource(database, f"SELECT * FROM {database.schema}.members", None, columns)
    store.settings = settings
    fill(database, given, COLUMNS)
    run(store)
    for first in given:
        fill(database, [first, *(row for row in reversed(given) if row != first)], COLUMNS)
        with store.plan(blocks(store)) as plan:
            assert plan.is_empty
            assert plan.counts == Counts(given=1, duplicates=3, unchanged=1)
