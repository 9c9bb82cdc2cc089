"""The head in its database: read, made where there is none, and changed by steps."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from airflow_provider_batch.exceptions import SnapshotError, SourceError, SourceUnavailableError
from airflow_provider_batch.mirror.tables.database import AbsentTableError, Session
from airflow_provider_batch.mirror.tables.head import FORMAT, Head, State, conflict
from airflow_provider_batch.mirror.tables.statements import schema_prefix

#: How often a step is tried on a head that others change at the same time.
_STEPS: Final = 20


class Keeper:
    """
    The tables of one mirror in a schema, and their head.

    :param schema: a schema in which the connection may create tables; with its catalogue, ``catalogue.schema``.
    :param name: what the names of all its tables begin with.
    """

    def __init__(self, schema: str, name: str) -> None:
        if "%" in schema:
            raise SnapshotError("snapshot_schema: some drivers take a % for a placeholder. Use a schema without one.")
        self.schema = schema
        self.name = name

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    def table(self, session: Session, name: str) -> str:
        """Return the full name of one of the tables."""
        return f"{schema_prefix(self.schema, session.dialect)}{self.name}_{name}"

    def read(self, session: Session, *, starts_anew: bool = False) -> Head | None:
        """
        Return the head; None if there is none.

        :param starts_anew: the snapshot will not be used, so the state may be damaged.
        :raises SnapshotError: if there is one that cannot be read or used.
        """
        table = self.table(session, "head")
        try:
            rows = session.rows(
                f"SELECT format, version, nonce, confirmed, state FROM {table}", what="SELECT", reads_rows=False
            )
        except AbsentTableError:
            return None
        except SourceUnavailableError:
            raise
        except SourceError as error:
            raise SnapshotError(
                f"{table} cannot be read as the head of a mirror: {_reason(error)}. Grant USAGE of the schema and "
                "SELECT on it; or, if it is not a table of this package, pass another snapshot_schema."
            ) from None
        if len(rows) != 1:
            raise SnapshotError(f"{table} has {len(rows):,} rows instead of one. Drop it to start a new snapshot.")
        return self._parsed(table, rows[0], starts_anew)

    def open(self, session: Session, *, starts_anew: bool) -> Head:
        """
        Return the head, which is made first where there is none.

        :raises SnapshotError: as :meth:`read`, and if it cannot be made.
        """
        if head := self.read(session, starts_anew=starts_anew):
            return head
        fault: SourceError | None = None
        try:
            what = f"CREATE TABLE in the schema {self.schema}"
            session.execute(self._creation(session), what=what, reads_rows=False)
        except SourceError as error:
            fault = error  # another run may have made it at the same moment
        if head := self.read(session, starts_anew=starts_anew):
            return head
        if isinstance(fault, SourceUnavailableError):
            raise fault
        raise SnapshotError(
            f"{_reason(fault)}. The connection needs a schema of that name, USAGE of it, and the right to make tables "
            "in it (CREATE)."
        )

    def change(
        self, session: Session, step: Callable[[State], State], *, starts_anew: bool = False, known: Head | None = None
    ) -> Head:
        """
        Change the head by one step, on whatever state it has by now.

        :param step: may be called repeatedly; what it raises ends the change.
        :param known: the head as it was last seen; it is read only if it is another one by now.
        """
        for _ in range(_STEPS):
            head, known = known or self.open(session, starts_anew=starts_anew), None
            if changed := self.replace(session, head, step(head.state)):
                return changed
        raise conflict()

    def replace(self, session: Session, head: Head, state: State) -> Head | None:
        """
        Put *state* in place of that of *head*; None if another run was first.

        :raises SourceError: if the database refuses, and the head is as it was.
        """
        nonce, version = secrets.token_hex(8), head.version + 1
        fault: SourceError | None = None
        mark = session.dialect.placeholder
        if head.version == 0:
            self.publish(session, "head")
        table, columns = self.table(session, "head"), _columns(state)
        assignments = ", ".join(f"{name} = {mark}" for name in columns)
        try:
            session.execute(
                f"{session.dialect.limit}UPDATE {table} SET version = {version}, nonce = {mark}, {assignments} "
                # Where somebody has dropped the head, that of others may be as old.
                f"WHERE version = {head.version} AND nonce = {mark}",
                [nonce, *columns.values(), head.nonce],
                what=f"UPDATE of {table}",
                reads_rows=False,
            )
        except SourceError as error:
            fault = error
        # What it holds now may be what this UPDATE was to mend.
        found = self.read(session, starts_anew=True)
        if found and (found.version, found.nonce) == (version, nonce):
            return found
        if fault and found and found.version == head.version:
            raise fault
        return None

    def publish(self, session: Session, name: str) -> None:
        """Let rows of one of the tables change, even if the database publishes all tables."""
        if session.dialect.publish:
            publish = session.dialect.publish.format(self.table(session, name))
            with suppress(SourceError):  # where nothing is published, it makes no difference
                session.execute(f"{session.dialect.limit}{publish}")

    def confirm(self, session: Session, generation: int) -> None:
        """Note that Batch has indexed what was sent for *generation*; it needs no claim, and is not a step."""
        table = self.table(session, "head")
        session.execute(
            f"{session.dialect.limit}UPDATE {table} SET confirmed = {generation} WHERE generation = {generation}",
            what=f"UPDATE of {table}",
            reads_rows=False,
        )

    def claimant(self, session: Session) -> str:
        """Return the nonce of the claim; empty if nobody has it."""
        rows = session.rows(f"SELECT claim FROM {self.table(session, 'head')}")
        return str(rows[0][0]) if len(rows) == 1 else ""

    def drop(self, session: Session, name: str) -> None:
        """
        Drop one of the tables, if it exists.

        :raises SourceError: if that fails, for example because somebody is reading it.
        """
        table = self.table(session, name)
        drop = f"{session.dialect.limit}DROP TABLE IF EXISTS {table}"
        for statement in filter(None, (session.dialect.before_drop, drop)):
            session.execute(statement, what=f"DROP TABLE of {table}", reads_rows=False)

    def _parsed(self, table: str, row: Sequence[Any], starts_anew: bool) -> Head:
        format_, version, nonce, confirmed, text = row
        if isinstance(nonce, bytes):
            raise SnapshotError(
                f"{table}: the connection returns text as bytes. Set its encoding, as with client_encoding=utf8."
            )
        try:
            format_, version, confirmed = map(int, (format_, version, confirmed))
        except (TypeError, ValueError):
            raise SnapshotError(f"{table} is not a table of this package. Pass another snapshot_schema.") from None
        if format_ > FORMAT:
            raise SnapshotError(
                f"{table} was written by a newer version of this package. Upgrade the package; or, to start a new "
                "snapshot, drop it and pass full_refresh=True."
            )
        try:
            state = State.from_json(str(text))
        except (KeyError, TypeError, ValueError):
            if not starts_anew:
                raise SnapshotError(
                    f"{table}: its state cannot be read. Nothing was sent; to send everything and start a new "
                    "snapshot, pass full_refresh=True."
                ) from None
            state = State(generation=confirmed + 1)
        return Head(version, str(nonce), confirmed, state)

    def _creation(self, session: Session) -> str:
        dialect = session.dialect
        numbers = {"format": FORMAT, "version": 0, "confirmed": 0, "generation": 0, "members": 0}
        texts = ("nonce", "claim", "claimed_by", "base", "net", "state")
        columns = [f"{dialect.integer.format(value)} AS {name}" for name, value in numbers.items()]
        columns += [f"{dialect.string.format(repr(''))} AS {name}" for name in texts]
        return f"CREATE TABLE {self.table(session, 'head')}{dialect.head} AS SELECT {', '.join(columns)}"


def _columns(state: State) -> dict[str, object]:
    """Return the columns besides the version; all but the last one repeat what the state has, for whoever joins."""
    return {
        "claim": state.claim.nonce if state.claim else "",
        "claimed_by": state.claim.owner if state.claim else "",
        "generation": state.generation,
        "members": state.members or 0,
        "base": state.base or "",
        "net": state.net or "",
        "state": state.to_json(),
    }


def _reason(fault: SourceError | None) -> str:
    return str(fault or "the head could not be found again").removesuffix(".")
