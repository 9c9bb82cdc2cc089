"""
What one run finds changed: the database compares the query with the snapshot, in a table of changes.

What is kept true: a row is left out only if the snapshot has the same one, and no try that counts may have sent it. And
all that follows is about the same rows, whatever the query would return by then. So the query runs once, in the
statement that makes the table of changes (or, without FULL JOIN, the one that stages its rows), and everything else
reads this table: what is sent, what the next run takes for uncertain, the new base or net, and the log.

The database knows what differs, and this package knows what is valid. So the rows to add pass the ordinary checks while
the table is read; where these leave out an id, or values must not be kept, a corrected table takes its place before
anything is noted. An id is compared as text of the database's making, but sent as text of this package's making. That
both are the same is tried on some rows whenever the query is new (:meth:`Comparison._check_casts`).

Two simpler ways do not work. To compare in the worker, every row would have to travel. To change the snapshot in place,
by a MERGE, would make it what was sent before Batch has accepted it, and no transaction lasts until then.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from airflow_provider_batch.exceptions import SnapshotError, SourceError
from airflow_provider_batch.mirror.flags import Names
from airflow_provider_batch.mirror.store import STORE_ERRORS
from airflow_provider_batch.mirror.tables import head as steps
from airflow_provider_batch.mirror.tables.changes import FIRST, ChangeFiles, Invalid
from airflow_provider_batch.mirror.tables.claim import TableClaim
from airflow_provider_batch.mirror.tables.database import AbsentTableError, Session
from airflow_provider_batch.mirror.tables.head import Change
from airflow_provider_batch.mirror.tables.statements import Query, Statements, bare, staging
from airflow_provider_batch.protocol.profiles.names import declared
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


class Comparison:
    """
    A query, compared with the snapshot that a run has found.

    :param replaces: compare it with no snapshot, as the audience is replaced.
    :param resends: find every row changed.
    """

    def __init__(
        self, mirror: TableMirror, source: SqlSource, claim: TableClaim, *, replaces: bool, resends: bool
    ) -> None:
        self.mirror = mirror
        self.claim = claim
        self.replaces = replaces
        #: The table of changes, and the one of the ids in it that are not valid; None if all are.
        self.changes = claim.own("d")
        self.invalid: str | None = None
        #: What is known once it was made.
        self.statements: Statements
        self.columns: tuple[tuple[str, str], ...] = ()
        self.shape = ""
        #: The list by which the flags of profiles are read.
        self.names = Names()
        self._query: Query
        #: How many columns it has, and the places of those that are read.
        self._width: int
        self._places: dict[str, int]
        self._source = source
        self._state = claim.state
        self._resends = resends

    @property
    def is_digested(self) -> bool:
        """Whether the snapshot has a digest of each row in place of its values."""
        return self.mirror.settings is not None

    @property
    def refused(self) -> tuple[str, ...]:
        """The tables of the ids that Batch rejected when they were last sent."""
        return tuple(steps.table_of(one) for one in self._state.tries if one.is_rejection)

    def fill(self, session: Session, files: ChangeFiles, blocks: Iterable[list[str]]) -> None:
        """
        Make the table of changes, and read it.

        :param files: get what is to be sent.
        :param blocks: what the checks make of the ids of :attr:`.TableMirror.changed`.
        :raises SourceError: if the query cannot be read.
        :raises SnapshotError: if the snapshot is damaged.
        """
        mirror, source = self.mirror, self._source
        selection = self._prepare(session, source)
        relation = self._changes(session, source.parameters)
        parameters = source.parameters if mirror.is_dry_run else None
        sql = self.statements.read(relation, replaces=self.replaces, repeated=mirror.is_dry_run)
        with closing(session.stream(sql, parameters, _FETCHED)) as rows:  # SQLite is locked until then
            mirror.changed.open(rows, selection, has_flags=self.is_digested)
            files.fill(blocks, mirror.changed, mirror.rules)
        if not mirror.is_dry_run:
            files.counts.duplicates += session.number(self.statements.repeated(relation))
            if files.invalid or self.is_digested:
                self._correct(session, files.invalid)
        counts, before = files.counts, 0 if self.replaces else self._state.members or 0
        counts.unchanged = before - files.known_moves
        counts.given += counts.unchanged
        if counts.unchanged and self.statements.pools_unchanged:
            counts.duplicates -= counts.unchanged - 1  # they were counted as one, which is repeated

    def settle(self, files: ChangeFiles) -> None:
        """
        If nothing changed, do what a commit does otherwise; what fails is left to the next run.

        An old base is made anew, so that an id that has left is not kept in it for long; and the log gets the ids that
        are not valid.
        """
        mirror, state, now = self.mirror, self._state, self.mirror.clock()
        has_changed = self.replaces or state.members is None or files.counts.adds or files.counts.removes
        renews = state.net is not None and self.needs_base(now)
        logs = files.has_invalid and mirror.log.is_kept
        if has_changed or mirror.is_dry_run or not (renews or logs):
            return
        try:
            with mirror.database.session() as session:
                if renews:
                    self._renew_base(session, now)
                if logs:
                    mirror.log.keep(session, [self.entry(now)], now, lambda: None)
        except STORE_ERRORS as error:
            log.warning("%s: the next run makes its base anew: %s", mirror.keeper, type(error).__name__)

    def create(self, session: Session, name: str, query: str, parameters: Any = None, *, what: str = "") -> str:
        """Make a table, which was noted in the head before, and return its full name."""
        table = self.mirror.keeper.table(session, name)
        what = what or f"CREATE TABLE in the schema {self.mirror.keeper.schema}"
        session.create(self.statements.create(table, query), parameters, what=what)
        return table

    def snapshot(self, session: Session) -> tuple[str | None, str | None]:
        """Return the full names of base and net of the state that was found, if they are used."""
        return (None, None) if self.replaces else self._found_tables(session)

    def entry(self, now: float, rejected: str | None = None) -> Change:
        """Return what the log has to know of this run."""
        return Change(now, self.mirror.owner, self.changes, self.invalid, rejected, self.replaces, self.refused)

    def needs_base(self, now: float, moved: int = 0) -> bool:
        """Whether the base is made anew: it is old, has other columns, or *moved* ids more leave too little of it."""
        state = self._state
        is_small = state.net_count + moved <= LARGEST_NET * state.base_count
        return not is_small or self.columns != state.columns or now - state.based_at > OLDEST_BASE

    def _found_tables(self, session: Session) -> tuple[str | None, str | None]:
        table, state = partial(self.mirror.keeper.table, session), self._state
        return table(state.base) if state.base else None, table(state.net) if state.net else None

    def count(self, session: Session, table: str) -> int:
        """Return the number of rows of a table."""
        return session.number(f"SELECT COUNT(*) FROM {table}")

    def create_base(self, session: Session, known: str | None) -> tuple[str, int]:
        """Make a base of the changes and of what is *known*, and return its name and the number of its rows."""
        name, changes = self.claim.own("b"), self.mirror.keeper.table(session, self.changes)
        self.claim.extend(session, name)
        table = self.create(session, name, self.statements.new_base(changes, known))
        if session.dialect.analyze:
            with suppress(SourceError):  # comparisons take longer without it
                session.execute(session.dialect.analyze.format(table))
        return name, self.count(session, table)

    def _renew_base(self, session: Session, now: float) -> None:
        name, count = self.create_base(session, self.statements.known(*self.snapshot(session)))
        self.claim.update(session, steps.rebased, base=name, count=count, now=now)

    def _prepare(self, session: Session, source: SqlSource) -> Selection[int]:
        sql = bare(source.sql)
        names = session.columns(sql, source.parameters)
        written = [name for name, _ in names]
        selection = source.columns.select(_unnumbered(written) if session.dialect.renames else written, "the query")
        name, type_ = names[selection.id]
        if type_ in session.dialect.json:  # whose text of a string has its quotes
            raise SourceError(
                f"the query: the column {name!r} has JSON, which is not an id. Take the text out in the query, as with "
                "#>> '{}'."
            )
        others = [key for key in selection.keys if key != selection.id]
        self.columns = tuple(names[key] for key in others)
        most = min(self.mirror.rules.max_id_length, session.dialect.longest)
        # Beside placeholders, a percent sign is written twice.
        is_doubled = source.parameters is not None and session.dialect.placeholder == "%s"
        written = [name.replace("%", "%%") if is_doubled else name for name in written]
        self._width, self._places = len(names), {written[key]: key for key in selection.keys}
        known = session.dialect.exact
        exact = {written[key]: known[names[key][1]] for key in selection.keys if names[key][1] in known}
        self._query = Query(sql, written[selection.id], tuple(written[key] for key in others), most, exact=exact)
        if self.mirror.settings is not None:
            session.prepare_digests()
            self._digest(self.mirror.settings, {name: written[key] for key, name in selection.attributes})
        self.statements = Statements(session.dialect, self._query)
        self.shape = _short_digest(sql, *names[selection.id], *self._query.others)
        # Of an empty set, no value was checked.
        if self.shape != self._state.shape or self.replaces or not self._state.members:
            self._check_casts(session, source.parameters)
        return _moved(selection, others)

    def _digest(self, settings: str, attributes: dict[str, str]) -> None:
        """
        Have a digest in place of values, and flags of all attributes that were ever sent.

        :param attributes: the columns of those that the query has, by their names.
        """
        self.columns = (*sorted(self.columns), ("", settings))
        keys = {self.mirror.key_of(name): column for name, column in attributes.items()}
        self.names = Names(self._state.attributes).with_new(keys)
        found = {declared(key)[1]: column for key, column in keys.items()}
        flagged = tuple(found.get(declared(key)[1]) for key in self.names.keys)
        digested = tuple(sorted(self._query.others))
        self._query = replace(self._query, digested=digested, flagged=flagged, deletes=self.mirror.deletes)

    def _check_casts(self, session: Session, parameters: Any) -> None:
        """Check for some rows that the database makes the same text of an id as this package makes of its value."""
        for raw, text in session.rows(self.statements.cast(), parameters, what="the query"):
            is_text = isinstance(raw, str | int | UUID) and not isinstance(raw, bool)
            if not is_text or str(raw)[: self._query.most] != text[: self._query.most]:
                raise SourceError(
                    f"the query: the column {self._query.id!r} has values of type {type(raw).__name__}, of which the "
                    "database makes another text than this package. Cast it to text in the query."
                )

    def _changes(self, session: Session, parameters: Any) -> str:
        """Make the table of changes, and return its name; of a dry run, return the query."""
        statements, base, net = self.statements, *self.snapshot(session)
        self._check_counts(session, base, net)
        is_logged = self.mirror.log.is_kept and not self.mirror.is_dry_run
        # A replace takes out, besides, whom Batch has not removed when it was asked to.
        tries = [one for one in self._state.tries if not self.replaces or (is_logged and one.is_rejection)]
        uncertain = statements.uncertain([self.mirror.keeper.table(session, steps.table_of(one)) for one in tries])
        is_staged = not (self.mirror.is_dry_run or session.dialect.full_join)
        if is_staged:
            today, uncertain, parameters = *self._stage(session, uncertain, parameters), None
        else:
            today = statements.today()
        has_same_shape = self.columns == self._state.columns and not self._resends
        if self.replaces and is_logged:
            (base, net), has_same_shape = self._replaced(session), False
        query = statements.changes(today, (base, net), uncertain, same_shape=has_same_shape, is_staged=is_staged)
        if self.mirror.is_dry_run:
            return f"(\n{query}\n)"
        table = self.create(session, self.changes, query, parameters, what="the comparison of the query")
        if is_staged:
            for kind in "tu" if uncertain else "t":
                self.mirror.keeper.drop(session, self.claim.own(kind))
        return table

    def _stage(self, session: Session, uncertain: str, parameters: Any) -> tuple[str, str]:
        """Return the queries for what the source has today, which is read once, and for what is uncertain."""
        if uncertain:
            table = self.create(session, self.claim.own("u"), uncertain)
            uncertain = f"SELECT * FROM {table}"
        return self._stage_today(session, parameters), uncertain

    def _stage_today(self, session: Session, parameters: Any) -> str:
        name = self.claim.own("t")
        # All columns are staged, so not if none but the id is read.
        if not session.dialect.stages_rows or not self._query.others:
            table = self.create(session, name, self.statements.today(), parameters, what="the query")
            return f"SELECT * FROM {table}"
        table, query = self.mirror.keeper.table(session, name), self._query
        what = f"CREATE TABLE in the schema {self.mirror.keeper.schema}"
        session.execute(staging(table, self._width), what=what, reads_rows=False)
        session.execute(f"INSERT INTO {table}\n{query.sql}", parameters, what="the query")
        return Statements(session.dialect, query.staged(table, self._places)).today()

    def _replaced(self, session: Session) -> tuple[str | None, str | None]:
        """Return base and net with what a replace takes out, which the log is to have; None if it cannot be known."""
        tables = self._found_tables(session)
        try:
            self._check_counts(session, *tables)
        except SnapshotError:
            return None, None  # a replace is how a damaged snapshot is mended
        return tables

    def _check_counts(self, session: Session, *tables: str | None) -> None:
        """Check that nobody has changed the snapshot."""
        for table, count in zip(tables, (self._state.base_count, self._state.net_count), strict=True):
            if table and self._count_or_none(session, table) != count:
                raise SnapshotError(
                    f"{table} does not have the {count:,} rows that were written. Nothing was sent; to send "
                    "everything and start a new snapshot, pass full_refresh=True."
                )

    def _count_or_none(self, session: Session, table: str) -> int | None:
        try:
            return self.count(session, table)
        except AbsentTableError:
            return None

    def _correct(self, session: Session, invalid: list[Invalid]) -> None:
        """Make the table of changes anew: as it is kept, and with what is a valid id as this package has found it."""
        names = self.claim.own("x"), self.claim.own("c")
        self.claim.extend(session, *names)
        changes, table = self.mirror.keeper.table(session, self.changes), None
        if invalid:
            table = self.create(session, names[0], self.statements.ids(changes))
            session.insert(table, self.statements.id_values(), invalid)
            self.invalid = names[0]
        self.create(session, names[1], self.statements.corrected(changes, table))
        if self.is_digested:
            self.mirror.keeper.drop(session, self.changes)
        self.changes = names[1]


def _unnumbered(names: list[str]) -> list[str]:
    """Return the names of a query's columns, of which SQLite has numbered those that it takes for the same."""
    folded = {name.casefold() for name in names}
    return [first if (first := name.rpartition(":")[0]) and first.casefold() in folded else name for name in names]


def _short_digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _moved(selection: Selection[int], others: list[int]) -> Selection[int]:
    """Return the selection for rows of the changes, in which the id is first."""
    place = {key: FIRST + number for number, key in enumerate(others)}
    attributes = tuple((place[key], name) for key, name in selection.attributes)
    tags = None if selection.tags is None else place[selection.tags]
    return replace(selection, id=0, attributes=attributes, tags=tags)
