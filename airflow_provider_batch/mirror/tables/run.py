"""One run of a mirror in tables: its claim, the comparison in the database, and what it leaves behind."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError, SourceError
from airflow_provider_batch.mirror.tables import head as steps
from airflow_provider_batch.mirror.tables.changes import FIRST, ChangeFiles, Refused
from airflow_provider_batch.mirror.tables.database import AbsentTableError, Session
from airflow_provider_batch.mirror.tables.head import Change, Claim, Head, State
from airflow_provider_batch.mirror.tables.statements import Query, Statements, bare, first_columns
from airflow_provider_batch.protocol.arguments import FirstRun
from airflow_provider_batch.sources.columns import Selection
from airflow_provider_batch.sources.sql import SqlSource

if TYPE_CHECKING:
    from airflow_provider_batch.mirror.tables.mirror import TableMirror

log = logging.getLogger(__name__)

#: The base is made anew when it is older, in seconds, or when a larger share of it has changed since.
OLDEST_BASE: Final = 7 * 24 * 3600.0
LARGEST_NET: Final = 0.1

#: Rows that are fetched at once.
_FETCHED: Final = 10_000


class TableRun:
    """What the steps of one run share: its claim, its nonce, and the state that it found."""

    def __init__(self, mirror: TableMirror, *, starts_anew: bool) -> None:
        self.mirror = mirror
        self.nonce = secrets.token_hex(6)
        now = mirror.clock()
        self.claim = Claim(mirror.owner, secrets.token_hex(8), now, now)
        self.starts_anew = starts_anew
        self.state = State()
        self.is_confirmed = True
        self.changes = f"d{self.nonce}"
        self._first_tables = (self.changes, f"t{self.nonce}")
        self.has_begun = False
        self.is_released = False
        self.is_settled = False
        self.has_invalid = False
        self.replaces = self.resends = False
        self.refused: str | None = None
        self.statements: Statements
        self.query: Query
        self.columns: tuple[tuple[str, str], ...] = ()
        self.shape = ""

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Take the claim for the time of the block; a dry run reads the head only."""
        keeper, mirror = self.mirror.keeper, self.mirror
        with mirror.database.session() as session:
            if mirror.is_dry_run:
                self._found(keeper.read(session, starts_anew=self.starts_anew))
            else:
                step = partial(steps.claimed, claim=self.claim, tables=self._first_tables)
                head = keeper.change(session, step, starts_anew=self.starts_anew)
                self.is_released = False
                self._found(head)
        try:
            self._check_target()
            if not mirror.is_dry_run:
                self._repair()
            yield
        except (AbsentTableError, SnapshotError):
            self._check_unchanged()
            raise
        finally:
            if not mirror.is_dry_run and not self.is_released:
                self._release()

    def must_replace(self, first_run: FirstRun) -> bool:
        """Whether the audience is replaced although nobody asks for it now."""
        return (self.state.members is None and first_run == "replace") or self.state.unfinished.replaces

    def compare(
        self, blocks: Iterable[list[str]], files: ChangeFiles, *, replaces: bool, resends: bool = False
    ) -> None:
        """Make the table of changes, and read it."""
        self.replaces, self.resends = replaces, resends
        mirror = self.mirror
        assert mirror.source is not None  # noqa: S101 - the plan has checked it
        with mirror.database.session() as session:
            selection = self._prepare(session, mirror.source)
            relation = self._changes(session, mirror.source.parameters)
            parameters = mirror.source.parameters if mirror.is_dry_run else None
            sql = self.statements.read(relation, replaces=replaces, repeated=mirror.is_dry_run)
            mirror.changed.open(session.stream(sql, parameters, _FETCHED), selection)
            files.fill(blocks, mirror.changed, mirror.rules)
            if not mirror.is_dry_run:
                files.counts.duplicates += session.number(self.statements.repeated(relation))
                if files.refused or self.query.digested is not None:
                    self._correct(session, files.refused)
        counts, before = files.counts, self.state.members if not replaces else None
        counts.unchanged = (before or 0) - files.known_moves
        counts.given += counts.unchanged
        if counts.unchanged and self.statements.pools_unchanged:
            counts.duplicates -= counts.unchanged - 1  # they were counted as one, which is repeated
        self.is_settled = before is not None and not (counts.adds or counts.removes)
        self.has_invalid = files.has_invalid

    def update(self, session: Session, step: Callable[[State], State]) -> Head:
        """Change the head by a step that needs the claim."""
        return self.mirror.keeper.change(session, step, starts_anew=self.starts_anew)

    def extend(self, session: Session, *tables: str) -> None:
        """Note the tables that are about to be made."""
        self.update(session, partial(steps.extended, claim=self.claim, tables=tables, now=self.mirror.clock()))

    def create(self, session: Session, name: str, query: str, parameters: Any = None, *, what: str = "") -> str:
        """Make a table that was noted, and return its full name."""
        table = self.mirror.keeper.table(session, name)
        what = what or f"CREATE TABLE in the schema {self.mirror.keeper.schema}"
        session.execute(self.statements.create(table, query), parameters, what=what)
        return table

    def snapshot(self, session: Session) -> tuple[str | None, str | None]:
        """Return the full names of base and net of the state that was found, if they are used."""
        return (None, None) if self.replaces else self._found_tables(session)

    def entry(self, now: float, rejected: str | None = None) -> Change:
        """Return what the log has to know of this run."""
        return Change(now, self.mirror.owner, self.changes, self.refused, rejected, self.replaces)

    def needs_base(self, now: float, moved: int = 0) -> bool:
        """Whether the base is made anew: it is old, of another shape, or *moved* ids more leave too little of it."""
        state = self.state
        is_small = state.net_count + moved <= LARGEST_NET * state.base_count
        return not is_small or self.columns != state.columns or now - state.based_at > OLDEST_BASE

    def sweep(self, session: Session, state: State, *, but: Sequence[str] = ()) -> None:
        """Drop what *state*, which a change of this run has made, does not name any more."""
        keeper, dropped = self.mirror.keeper, []
        now = self.mirror.clock()
        try:
            for name in steps.outdated(state, self.claim, now):
                if name in but:
                    continue
                keeper.drop(session, name)
                dropped.append(name)
            if steps.cleaned(state, dropped, now) != state:
                keeper.change(session, partial(steps.cleaned, dropped=dropped, now=now))
        except (SourceError, SnapshotError, MirrorConflictError) as error:
            log.warning("tables of earlier runs in %s could not be dropped: %s", keeper, error)

    def _found(self, head: Head | None) -> None:
        if head is not None:
            self.state = head.state
            self.is_confirmed = head.is_confirmed

    def _found_tables(self, session: Session) -> tuple[str | None, str | None]:
        table, state = partial(self.mirror.keeper.table, session), self.state
        if state.members is None:
            return None, None
        return table(state.base) if state.base else None, table(state.net) if state.net else None

    def _check_unchanged(self) -> None:
        """
        Check that no other run has dropped what this one was about to read.

        :raises MirrorConflictError: otherwise.
        """
        with self.mirror.database.session() as session:
            head = self.mirror.keeper.read(session, starts_anew=True)
        if head is None or self.is_released:
            return
        if not self.mirror.is_dry_run:
            steps.check_held(head.state, self.claim)
        elif head.state.named != self.state.named:
            raise steps.conflict()

    def _check_target(self) -> None:
        theirs, ours = self.state.target, self.mirror.target
        if theirs not in (None, ours) and not self.starts_anew:
            raise SnapshotError(
                f"{self.mirror.keeper} holds the snapshot of another audience. Pass another snapshot_schema; or, to "
                "replace the audience and start a new snapshot, pass full_refresh=True."
            )

    def _repair(self) -> None:
        """Do what the last run was to do after its commit; what may have values is not left until this one ends."""
        if self.mirror.settings is not None:
            with self.mirror.database.session() as session:
                self.sweep(session, self.state, but=self._first_tables)
        if self.state.unlogged:
            with self.mirror.database.session() as session:
                head = self.mirror.keeper.open(session, starts_anew=self.starts_anew)
                self.state = self.mirror.log.keep(session, head, self.mirror.clock()).state

    def _release(self) -> None:
        mirror = self.mirror
        try:
            with mirror.database.session() as session:
                if self.is_settled:
                    self._renew_base(session)
                    if self.has_invalid:
                        mirror.log.keep_invalid(session, self.entry(mirror.clock()))
                head = mirror.keeper.change(session, partial(steps.released, claim=self.claim))
                if not self.has_begun:  # otherwise its UPDATE may still be applied
                    self.sweep(session, head.state)
        except (SourceError, SnapshotError, MirrorConflictError) as error:
            log.warning("the claim on a mirror could not be released and will expire: %s", type(error).__name__)

    def count(self, session: Session, table: str) -> int:
        """Return the number of rows of a table."""
        return session.number(f"SELECT COUNT(*) FROM {table}")

    def _renew_base(self, session: Session) -> None:
        """Make an old base anew although nothing changed, so that it does not keep what left for long."""
        now = self.mirror.clock()
        if self.state.net is None or not self.needs_base(now):
            return
        name, table = f"b{self.nonce}", partial(self.mirror.keeper.table, session)
        self.extend(session, name)
        known = self.statements.known(*self.snapshot(session))
        made = self.create(session, name, self.statements.new_base(table(self.changes), known))
        step = partial(steps.rebased, claim=self.claim, base=name, count=self.count(session, made), now=now)
        self.update(session, step)

    def _prepare(self, session: Session, source: SqlSource) -> Selection[int]:
        sql = bare(source.sql)
        names = session.columns(first_columns(sql), source.parameters)
        selection = source.columns.select([name for name, _ in names], "the query")
        others = [key for key in selection.keys if key != selection.id]
        self.columns = tuple(names[key] for key in others)
        most = min(self.mirror.rules.max_id_length, session.dialect.longest)
        # Beside placeholders, a percent sign is written twice.
        is_doubled = source.parameters is not None and session.dialect.placeholder == "%s"
        written = [name.replace("%", "%%") if is_doubled else name for name, _ in names]
        self.query = Query(sql, written[selection.id], tuple(written[key] for key in others), most)
        if self.mirror.settings is not None:
            session.prepare_digests()
            self.columns = tuple(sorted(self.columns))
            self.query = replace(self.query, digested=tuple(sorted(self.query.others)))
            self.columns = (*self.columns, ("", self.mirror.settings))
        self.statements = Statements(session.dialect, self.query)
        self.shape = _digest(sql, *names[selection.id], *self.query.others)
        if self.shape != self.state.shape or self.replaces:
            self._check_casts(session, source.parameters)
        return _moved(selection, others)

    def _check_casts(self, session: Session, parameters: Any) -> None:
        """Check for some rows that the database makes the same text of an id as this package makes of its value."""
        for raw, text in session.rows(self.statements.cast(), parameters, what="the query"):
            is_text = isinstance(raw, str | int | UUID) and not isinstance(raw, bool)
            if not is_text or str(raw)[: self.query.most] != text[: self.query.most]:
                raise SourceError(
                    f"the query: the column {self.query.id!r} has values of type {type(raw).__name__}, of which the "
                    "database makes another text than this package. Cast it to text in the query."
                )

    def _changes(self, session: Session, parameters: Any) -> str:
        """Make the table of changes, and return its name; of a dry run, return the query."""
        statements, base, net = self.statements, *self.snapshot(session)
        today = statements.today()
        self._check_counts(session, base, net)
        if not self.mirror.is_dry_run and not session.dialect.full_join:
            staged = self.create(session, f"t{self.nonce}", today, parameters, what="the query")
            today, parameters = f"SELECT * FROM {staged}", None
        tries = () if self.replaces else self.state.tries
        uncertain = [statements.sent(self.mirror.keeper.table(session, steps.table_of(one))) for one in tries]
        has_same_shape = self.columns == self.state.columns and not self.resends
        if self.replaces and self.mirror.log.is_kept and not self.mirror.is_dry_run:
            known, has_same_shape = self._replaced(session), False
        else:
            known = statements.known(base, net, with_attributes=has_same_shape)
        query = statements.changes(today, known, uncertain, same_shape=has_same_shape)
        if self.mirror.is_dry_run:
            return f"(\n{query}\n)"
        table = self.create(session, self.changes, query, parameters, what="the comparison of the query")
        if not session.dialect.full_join:
            self.mirror.keeper.drop(session, f"t{self.nonce}")
        return table

    def _replaced(self, session: Session) -> str | None:
        """Return the query for what a replace takes out, which the log is to have; None if it cannot be known."""
        tables = self._found_tables(session)
        try:
            self._check_counts(session, *tables)
        except SnapshotError:
            return None  # a replace is how a damaged snapshot is mended
        return self.statements.known(*tables, with_attributes=False)

    def _check_counts(self, session: Session, *tables: str | None) -> None:
        """Check that nobody has changed the snapshot."""
        for table, count in zip(tables, (self.state.base_count, self.state.net_count), strict=True):
            if table and self._count_or_none(session, table) != count:
                raise SnapshotError(
                    f"{table} does not have the {count:,} rows that were written. Nothing was sent; to replace the "
                    "audience and start a new snapshot, pass full_refresh=True."
                )

    def _count_or_none(self, session: Session, table: str) -> int | None:
        try:
            return self.count(session, table)
        except AbsentTableError:
            return None

    def _correct(self, session: Session, refused: list[Refused]) -> None:
        """Make the table of changes anew: as it is kept, and with what is a valid id as this package has found it."""
        names = f"x{self.nonce}", f"c{self.nonce}"
        self.extend(session, *names)
        changes, table = self.mirror.keeper.table(session, self.changes), None
        if refused:
            table = self.create(session, names[0], self.statements.ids(changes))
            session.insert(table, self.statements.id_values(), refused)
            self.refused = names[0]
        self.create(session, names[1], self.statements.corrected(changes, table))
        if self.query.digested is not None:
            self.mirror.keeper.drop(session, self.changes)
        self.changes = names[1]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _moved(selection: Selection[int], others: list[int]) -> Selection[int]:
    """Return the selection for rows of the changes, in which the id is first."""
    place = {key: FIRST + number for number, key in enumerate(others)}
    attributes = tuple((place[key], name) for key, name in selection.attributes)
    tags = None if selection.tags is None else place[selection.tags]
    return replace(selection, id=0, attributes=attributes, tags=tags)
