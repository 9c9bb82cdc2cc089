"""
Whether a database can hold a mirror: tried with tables of its own, and without a call to Batch.

The dialects that are called experimental have been checked for their syntax only. This is how their users find out.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Final, NamedTuple

from airflow_provider_batch.exceptions import BatchError, SourceError
from airflow_provider_batch.mirror.tables.database import Database
from airflow_provider_batch.mirror.tables.head import Claim, State
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.log import TABLE
from airflow_provider_batch.mirror.tables.mirror import TableMirror
from airflow_provider_batch.mirror.tables.statements import Query, Statements
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.sql import SqlSource

_RULES: Final = MemberRules("check", 128, kinds=frozenset({"text", "number"}), most_attributes=10)
_TARGET: Final = Target("check", "custom_ids", "check")
_RUNS, _ROUNDS = 4, 5

_ACCENT: Final = unicodedata.normalize("NFC", "e\u0301")
_DECOMPOSED: Final = unicodedata.normalize("NFD", _ACCENT)

#: Ids that must not be taken for the same, as a query's literals.
_ALIKE: Final = {
    "letters that differ in case": ("Ab", "ab", "AB"),
    "blanks at the end": ("a", "a ", "a  "),
    "blanks at the beginning": ("b", " b"),
    "accents, composed and decomposed": (_ACCENT, _DECOMPOSED, "e"),
    "letters that a language takes for the same": ("ss", "\u00df", "\u01c6", "d\u017e"),
    "128 characters of four bytes": ("\U0001f600" * 128, "\U0001f600" * 127 + "\U0001f601"),
}


#: Rows that must not have the same digest, as a query's literals.
_UNLIKE: Final = (
    *(("'ab'", "'c'"), ("'a'", "'bc'"), ("'abc'", "''"), ("'abc'", "NULL"), ("''", "'abc'"), ("NULL", "'abc'")),
    *(("'-'", "NULL"), ("NULL", "'-'"), ("'a'", "NULL"), ("'a '", "NULL"), ("'A'", "NULL")),
    *((f"'{_ACCENT}'", "NULL"), (f"'{_DECOMPOSED}'", "NULL"), ("NULL", "NULL")),
)


class Finding(NamedTuple):
    """One trap: what it is, and what is wrong; empty if it holds."""

    trap: str
    fault: str


class Check:
    """
    The traps of one database.

    :param database: an Airflow hook for it, or any object whose ``get_conn`` returns a DB-API connection.
    """

    def __init__(self, database: object, schema: str) -> None:
        self._hook = database
        self._database = Database(database.get_conn)  # type: ignore[attr-defined]  # as a source requires it
        self._keeper = Keeper(schema, f"batch_check_{secrets.token_hex(4)}")

    def dialect(self) -> str:
        """Return the name of the database's dialect, and whether it is experimental."""
        with self._database.session() as session:
            return session.dialect.name + (" (experimental)" if session.dialect.is_experimental else "")

    def run(self) -> Iterator[Finding]:
        """Try one trap after the other, and drop all tables at the end."""
        traps: list[tuple[str, Callable[[], str]]] = [
            ("rights: CREATE TABLE, SELECT, UPDATE, DROP TABLE", self._rights),
            *((trap, lambda ids=ids: self._alike(ids)) for trap, ids in _ALIKE.items()),
            ("NULL, empty and too long ids, and repetitions", self._invalid),
            ("integers", lambda: self._plan("SELECT 7 AS id UNION ALL SELECT 70", ["7", "70"], [])),
            ("attributes: NULL, empty text, case", self._attributes),
            ("rows of which only a digest is kept", self._digests),
            ("a second run sends what changed, and the log has it", self._history),
            ("of several changes at once, one succeeds", self._compare_and_set),
        ]
        try:
            for trap, check in traps:
                try:
                    yield Finding(trap, check())
                except BatchError as error:
                    yield Finding(trap, str(error))
        finally:
            drop_tables(self._database, self._keeper)

    def _rights(self) -> str:
        with self._database.session() as session:
            head = self._keeper.open(session, starts_anew=False)
            if self._keeper.replace(session, head, State()) is None:
                return "an UPDATE of the head was not found again"
        return drop_tables(self._database, self._keeper)

    def _alike(self, ids: tuple[str, ...]) -> str:
        whole = " UNION ALL ".join(f"SELECT '{id_}' AS id" for id_ in ids)
        return self._plan(whole, [*ids], []) or self._plan(f"{whole} UNION ALL SELECT '{ids[0]}'", [], [], keeps=True)

    def _invalid(self) -> str:
        query = (
            "SELECT 'a' AS id UNION ALL SELECT 'a' UNION ALL SELECT NULL UNION ALL SELECT '' UNION ALL SELECT '"
            + "x" * 129
            + "'"
        )
        return self._plan(query, ["a"], [])

    def _attributes(self) -> str:
        rows = "SELECT 'a' AS id, 'gold' AS plan UNION ALL SELECT 'b', NULL UNION ALL SELECT 'c', 'x'"
        other = "SELECT 'a' AS id, 'Gold' AS plan UNION ALL SELECT 'b', '' UNION ALL SELECT 'c', 'x'"
        return self._plan(rows, ["a", "b", "c"], []) or self._plan(other, ["a", "b"], [], keeps=True)

    def _digests(self) -> str:
        """Look for two rows of one digest; of a database that has none, there is nothing to look for."""
        with self._database.session() as session:
            if not session.dialect.digest:
                return ""
            session.prepare_digests()
            # Not every SQLite has such functions.
            numbers = ("1e0", "1e0 / 49 * 49") if session.dialect.name == "sqlite" else ("SQRT(4)", "SQRT(2) * SQRT(2)")
            for values in (_UNLIKE, [(number, "1") for number in numbers]):
                rows = " UNION ALL ".join(
                    f"SELECT '{place}' AS id, {one} AS x, {other} AS y" for place, (one, other) in enumerate(values)
                )
                query = Query(rows, "id", (), len(values), ("x", "y"))
                digests = f"SELECT w.digest FROM (\n{Statements(session.dialect, query).today()}\n) w"
                found = {str(digest) for (digest,) in session.rows(digests)}
                # PostgreSQL may be set to return two numbers as one; what is sent of both is the same.
                unlike = {repr(row[1:]) for row in session.rows(rows)}
                if len(found) < len(unlike):
                    return f"{len(unlike)} rows have {len(found)} digests"
        return ""

    def _history(self) -> str:
        fault = self._plan("SELECT 'a' AS id UNION ALL SELECT 'b'", ["a", "b"], [])
        fault = fault or self._plan("SELECT 'b' AS id UNION ALL SELECT 'c'", ["c"], ["a"], keeps=True)
        if fault:
            return fault
        with self._database.session() as session:
            table = self._keeper.table(session, TABLE)
            rows = {(str(id_), str(op)) for id_, op in session.rows(f"SELECT id, op FROM {table}")}
        return "" if rows >= {("a", "+"), ("b", "+"), ("c", "+"), ("a", "-")} else "the log lacks changes"

    def _compare_and_set(self) -> str:
        drop_tables(self._database, self._keeper)
        with self._database.session() as session:
            self._keeper.open(session, starts_anew=False)
        together = Barrier(_RUNS)

        def run(number: int) -> list[bool]:
            won = []
            with self._database.session() as session:
                for _ in range(_ROUNDS):
                    head = self._keeper.open(session, starts_anew=False)
                    together.wait(300)
                    try:
                        mine = State(claim=Claim(str(number), "", 0.0, 0.0))
                        won.append(self._keeper.replace(session, head, mine) is not None)
                    except SourceError:
                        won.append(False)
                    together.wait(300)
            return won

        with ThreadPoolExecutor(_RUNS) as threads:
            rounds = list(zip(*threads.map(run, range(_RUNS)), strict=True))
        winners = [sum(won) for won in rounds]
        return "" if max(winners) == 1 and any(winners) else f"winners in each round: {winners}"

    def _plan(self, query: str, adds: list[str], removes: list[str], *, keeps: bool = False) -> str:
        """Plan and commit a run; return what is wrong with it."""
        if not keeps:
            drop_tables(self._database, self._keeper)
        columns = Columns("id", attribute_columns=["plan"] if "plan" in query else None)
        source = SqlSource(self._hook, query, None, columns)
        mirror = TableMirror(self._database, self._keeper, _TARGET, _RULES, source, owner="check", keep_changes=1)
        ids = MemberIntake(mirror.changed, "ids", name="check", rules=_RULES, block_size=1000, on_invalid_id="skip")
        with mirror.plan(ids.blocks()) as plan:
            found = sorted(plan.adds), sorted(plan.removes)
            if not plan.is_empty:
                with plan.begin("check") as transaction:
                    transaction.commit([])
        if found == (sorted(adds), sorted(removes)):
            return ""
        return (
            f"to add: {len(found[0])} ids instead of {len(adds)}; to remove: {len(found[1])} instead of {len(removes)}"
        )


def drop_tables(database: Database, keeper: Keeper, others: Iterable[str] = ()) -> str:
    """
    Drop all tables of one mirror; the head last, as it names the others.

    :param others: tables to drop besides those that the head names.
    :return: what is wrong, which is nothing.
    :raises SourceError: if a table cannot be dropped.
    """
    with database.session() as session:
        head = keeper.read(session, starts_anew=True)
        state = head.state if head else State()
        for name in sorted({*state.named, *(name for name, *_ in state.trash), *others, TABLE} - {"head"}):
            keeper.drop(session, name)
        keeper.drop(session, "head")
    return ""
