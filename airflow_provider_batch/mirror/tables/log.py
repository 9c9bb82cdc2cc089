"""
The log of a mirror: who entered and left, when, and whose id was left out, and why; one table, for plain SQL.

What is kept true: the changes of every committed run are in the log once. They are appended after the commit, so that
a log that cannot be written fails no run: the head has them as *unlogged* until that is done, and keeps their tables.
What a run could not append, the next one does. Of changes that are in the log already nothing is appended.

Neither of two that append at once would see the other's rows. So a run keeps its claim until it has appended; and it
appends in the transaction in which the head forgets the changes, which fails if it was overtaken. (Where the database
has no transactions, one that is overtaken during its INSERT has its changes in the log twice; SELECT DISTINCT has them
once.)

A run that changes nothing has no commit. If it found ids that are not valid, it appends these before it ends; the next
run would find the same ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from airflow_provider_batch.mirror.store import STORE_ERRORS
from airflow_provider_batch.mirror.tables.database import AbsentTableError, Session
from airflow_provider_batch.mirror.tables.head import Change
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.statements import never_accepted, quoted

R = TypeVar("R")

log = logging.getLogger(__name__)

TABLE: Final = "log"
_DAY: Final = 24 * 3600.0


class ChangeLog:
    """
    The log of one mirror.

    :param days: for how long it keeps changes; 0 for no log.
    """

    def __init__(self, keeper: Keeper, days: int) -> None:
        self._keeper = keeper
        self._days = days

    @property
    def is_kept(self) -> bool:
        """Whether there is one."""
        return self._days > 0

    def keep(self, session: Session, changes: Sequence[Change], now: float, forget: Callable[[], R]) -> R | None:
        """
        Append what of *changes* is not in the log yet, and drop what is too old.

        :param forget: what is done in the same transaction; what it raises undoes the rest.
        :return: what *forget* returns; None if something failed, which is left to the next run.
        """
        write = partial(self._write, session, now=now, forget=forget)
        try:
            try:
                return write(changes)
            except AbsentTableError:
                return write(self._prepared(session, changes))
        except STORE_ERRORS as error:
            log.warning("the log of %s could not be written; the next run does it: %s", self._keeper, error)
            return None

    def _write(self, session: Session, changes: Sequence[Change], now: float, forget: Callable[[], R]) -> R:
        table = self._keeper.table(session, TABLE)
        with session.transaction():
            for change in changes:
                session.execute(*self._insertion(session, table, change))
            self._forget(session, now)
            return forget()

    def _prepared(self, session: Session, changes: Sequence[Change]) -> list[Change]:
        """Make the log if there is none, and return those of *changes* whose tables all exist."""
        if not self._has(session, TABLE):
            self._create(session)
        left = [change for change in changes if all(self._has(session, name) for name in change.tables)]
        if len(left) < len(changes):
            log.warning("the log of %s lacks the changes of a run: somebody has dropped their table", self._keeper)
        return left

    def _has(self, session: Session, name: str) -> bool:
        try:
            session.rows(f"SELECT 1 FROM {self._keeper.table(session, name)} WHERE 1 = 0")
        except AbsentTableError:
            return False
        return True

    def _create(self, session: Session) -> None:
        session.execute(self._creation(session, self._keeper.table(session, TABLE)))
        self._keeper.publish(session, TABLE)

    def _forget(self, session: Session, now: float) -> None:
        dialect = session.dialect
        bound = dialect.moment.format(dialect.placeholder)
        statement = f"DELETE FROM {self._keeper.table(session, TABLE)} WHERE {quoted('at', dialect)} < {bound}"
        session.execute(statement, [_text(now - self._days * _DAY)])

    def _creation(self, session: Session, table: str) -> str:
        dialect = session.dialect
        at = dialect.moment.format("'2026-01-01 00:00:00'")
        # Of '', MySQL would make a column that takes no missing id.
        texts = ", ".join(
            f"{dialect.string.format('NULL')} AS {name}" for name in ("run", "id", "op", "why", "changes")
        )
        return (
            f"CREATE TABLE {table} AS SELECT {at} AS {quoted('at', dialect)}, {texts} FROM (SELECT 1 AS one) q "
            "WHERE 1 = 0"
        )

    def _insertion(self, session: Session, table: str, change: Change) -> tuple[str, list[str]]:
        dialect = session.dialect
        mark, place = dialect.placeholder, partial(self._keeper.table, session)
        joins, is_new = never_accepted(list(map(place, change.refused)))
        is_rejected, why = "1 = 0", "''"
        if change.invalid:
            joins += f" LEFT JOIN {place(change.invalid)} x ON x.id = d.id"
            why = "COALESCE(x.why, '')"
        if change.rejected:
            joins += f" LEFT JOIN {place(change.rejected)} r ON r.id = d.id"
            is_rejected = "r.why IS NOT NULL"
        reason = (
            # Before the reasons: a count of those who left must not include ids that were perhaps never sent.
            f"CASE WHEN {is_rejected} THEN 'rejected by Batch' WHEN d.op = '-' AND {is_new} THEN 'withdrawn' "
            f"WHEN {why} <> '' THEN {why} "
            "WHEN d.op = '!' THEN 'the id is missing, empty or too long' "
            f"WHEN d.op = '+' AND {is_new} THEN 'new' WHEN d.op = '+' AND d.u = 1 THEN 'sent again' "
            "WHEN d.op = '+' THEN 'other attributes' ELSE 'gone' END"
        )
        columns = f"{quoted('at', dialect)}, run, id, op, why, changes"
        moved = f"d.op <> '+' OR {is_new} OR {is_rejected}" if change.replaces else "d.op <> '='"
        rows = [(f"CASE WHEN {is_rejected} THEN '!' ELSE d.op END", reason, moved)]
        if change.replaces and change.rejected:  # whom Batch had before, it has not any more
            rows.append(("'-'", "'gone'", f"{is_rejected} AND NOT ({is_new})"))
        queries = [
            f"SELECT {dialect.moment.format(mark)}, {dialect.string.format(mark)}, "
            f"{dialect.as_text('d.id')}, {op}, {why}, {dialect.string.format(mark)} "
            f"FROM {place(change.changes)} d{joins} WHERE ({condition}) "
            f"AND NOT EXISTS (SELECT 1 FROM {table} l WHERE l.changes = {mark})"
            for op, why, condition in rows
        ]
        parameters = [_text(change.at), change.run, change.changes, change.changes]
        return f"INSERT INTO {table} ({columns}) {' UNION ALL '.join(queries)}", parameters * len(queries)


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
