"""
A mirror whose snapshot is in tables: plan, send, commit, each step noted in the head before what it is about to do.

::

    batch_<audience>_<digest>_head          one row, see the module head
    …_b<nonce>                              the base: id, and the attributes a0, a1, …
    …_e<nonce>                              what changed since the base: id, op (+ present, - absent), attributes
    …_d<nonce>                              the changes of one try: id, n, o, u, op (+ - = !), attributes
    …_x<nonce>, …_r<nonce>                  ids that are not valid, and ids of which Batch has rejected a write
    …_log                                   the changes of earlier runs, with keep_changes

All but the head and the log are made by CREATE TABLE AS and filled at once, so each counts as a whole or not at all.
They are real tables: a temporary one dies with the connection of a worker that was killed.

A run writes what changed, not the set: a snapshot that was written anew each time would write twenty times as much. The
base is made anew when a tenth of it has changed, and after a week.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import UUID

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError, SourceError
from airflow_provider_batch.mirror.claim import RENEWAL_INTERVAL
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.guards import Limits, check_all
from airflow_provider_batch.mirror.snapshot import Pending, Target, Unfinished
from airflow_provider_batch.mirror.spool import private_folder
from airflow_provider_batch.mirror.store import SnapshotSize
from airflow_provider_batch.mirror.tables import head as steps
from airflow_provider_batch.mirror.tables.changes import FIRST, ChangedRows, ChangeFiles, Refused
from airflow_provider_batch.mirror.tables.database import Database, Session
from airflow_provider_batch.mirror.tables.head import Change, Claim, Head, State
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.log import ChangeLog
from airflow_provider_batch.mirror.tables.statements import Query, Statements, bare, first_columns
from airflow_provider_batch.protocol.arguments import FirstRun, check_choice
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.sources.columns import Selection
from airflow_provider_batch.sources.sql import SqlSource

log = logging.getLogger(__name__)

#: Seconds for which a look at the claim is good, and between two notes of the tokens received.
LOOK_INTERVAL: Final = 10.0

#: The base is made anew when it is older, in seconds, or when a larger share of it has changed since.
OLDEST_BASE: Final = 7 * 24 * 3600.0
LARGEST_NET: Final = 0.1

#: Rows that are fetched at once.
_FETCHED: Final = 10_000

_LONGEST_NAME: Final = 24


def tables_name(conn_id: str, target: Target) -> str:
    """Return with what the names of a mirror's tables begin."""
    text = "\0".join((conn_id, target.audience, target.type, target.recipient))
    audience = "".join(char if char.isalnum() and char.isascii() else "_" for char in target.audience[:_LONGEST_NAME])
    return f"batch_{audience.lower()}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


class TableMirror:
    """
    One audience, and the tables with what was sent to it.

    :param source: the query; None if the mirror is only to be confirmed.
    :param rules: what is a valid member.
    :param owner: identifies the run to others; the same for all tries of one task.
    :param is_dry_run: reads only: no table is made, and no claim is taken.
    :param keep_changes: for how many days the log keeps changes; 0 for no log.
    """

    def __init__(
        self,
        database: Database,
        keeper: Keeper,
        target: Target,
        rules: MemberRules,
        source: SqlSource | None = None,
        *,
        owner: str = "",
        is_dry_run: bool = False,
        keep_changes: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self.keeper = keeper
        self.target = target
        self.rules = rules
        self.source = source
        self.owner = owner
        self.is_dry_run = is_dry_run
        self.clock = clock
        self.log = ChangeLog(keeper, keep_changes)
        #: What the checks of ids have to read.
        self.changed = ChangedRows()

    @contextmanager
    def plan(
        self,
        blocks: Iterable[list[str]],
        *,
        is_sorted: bool = False,
        first_run: FirstRun = "add",
        full_refresh: bool = False,
        checkpoint: Callable[[], object] = lambda: None,
    ) -> Iterator[TablePlan]:
        """
        Let the database compare the query with the snapshot, and yield what to send; nothing is sent yet.

        :param blocks: the ids of an ``Intake`` of :attr:`changed`.
        :param is_sorted: has no use here.
        :param first_run: as for a mirror in a folder, like the others.
        """
        check_choice("first_run", first_run)
        if self.source is None:
            raise SnapshotError("a mirror without a query cannot be planned")
        run = TableRun(self, starts_anew=full_refresh)
        with run.claimed(), private_folder() as local:
            with closing(ChangeFiles(local)) as files:
                run.compare(_checked(blocks, checkpoint), files, replaces=full_refresh or run.must_replace(first_run))
            yield TablePlan(run, files)

    def confirm(self, indexing_tokens: Sequence[str] | None = None) -> SnapshotSize | None:
        """See :meth:`.plan.Mirror.confirm`."""
        with self.database.session() as session:
            head = self.keeper.read(session)
            if head is None or head.state.members is None:
                raise SnapshotError(f"{self.keeper} holds no snapshot to confirm. Run the mirror again.")
            state = head.state
            if indexing_tokens is None or tuple(indexing_tokens) == state.indexing_tokens:
                self.keeper.confirm(session, state.generation)
            elif indexing_tokens or not head.is_confirmed:
                return None
            return SnapshotSize(state.members or 0, state.unfinished.uncertain)

    def release(self, owner: str) -> None:
        """Do nothing: the plan gives back its own claim, which was that of a killed try."""


def _checked(blocks: Iterable[list[str]], checkpoint: Callable[[], object]) -> Iterator[list[str]]:
    for block in blocks:
        checkpoint()
        yield block


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
        self.has_begun = False
        self.is_released = False
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
                tables = [self.changes, f"t{self.nonce}"]
                step = partial(steps.claimed, claim=self.claim, tables=tables)
                head = keeper.change(session, step, starts_anew=self.starts_anew)
                self.is_released = False
                self._found(head)
        try:
            self._check_target()
            if not mirror.is_dry_run:
                self._repair()
            yield
        finally:
            if not mirror.is_dry_run and not self.is_released:
                self._release()

    def must_replace(self, first_run: FirstRun) -> bool:
        """Whether the audience is replaced although nobody asks for it now."""
        return (self.state.members is None and first_run == "replace") or self.state.unfinished.replaces

    def compare(self, blocks: Iterable[list[str]], files: ChangeFiles, *, replaces: bool) -> None:
        """Make the table of changes, and read it."""
        self.replaces = replaces
        mirror = self.mirror
        assert mirror.source is not None  # noqa: S101 - the plan has checked it
        with mirror.database.session() as session:
            selection = self._prepare(session, mirror.source)
            relation = self._changes(session, mirror.source.parameters)
            parameters = mirror.source.parameters if mirror.is_dry_run else None
            sql = self.statements.read(relation, repeated=mirror.is_dry_run)
            mirror.changed.open(session.stream(sql, parameters, _FETCHED), selection)
            files.fill(blocks, mirror.changed, mirror.rules)
            if not mirror.is_dry_run:
                files.counts.duplicates += session.number(self.statements.repeated(relation))
                if files.refused:
                    self._correct(session, files.refused)
        counts, before = files.counts, self.state.members if not replaces else None
        counts.unchanged = (before or 0) - files.known_moves
        counts.given += counts.unchanged

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
        if self.replaces or self.state.members is None:
            return None, None
        base, net = self.state.base, self.state.net
        table = partial(self.mirror.keeper.table, session)
        return table(base) if base else None, table(net) if net else None

    def sweep(self, session: Session, state: State) -> None:
        """Drop what *state*, of this run, does not name any more."""
        keeper, dropped = self.mirror.keeper, []
        now = self.mirror.clock()
        try:
            for name in steps.outdated(state, now):
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

    def _check_target(self) -> None:
        theirs, ours = self.state.target, self.mirror.target
        if theirs not in (None, ours) and not self.starts_anew:
            raise SnapshotError(
                f"{self.mirror.keeper} holds the snapshot of another audience. Pass another snapshot_schema; or, to "
                "replace the audience and start a new snapshot, pass full_refresh=True."
            )

    def _repair(self) -> None:
        """Do what the last run was to do after its commit."""
        if self.state.unlogged:
            with self.mirror.database.session() as session:
                head = self.mirror.keeper.open(session, starts_anew=self.starts_anew)
                self.state = self.mirror.log.keep(session, head, self.mirror.clock()).state

    def _release(self) -> None:
        mirror = self.mirror
        try:
            with mirror.database.session() as session:
                head = mirror.keeper.change(session, partial(steps.released, claim=self.claim))
                if not self.has_begun:  # otherwise its UPDATE may still be applied
                    self.sweep(session, head.state)
        except (SourceError, SnapshotError, MirrorConflictError) as error:
            log.warning("the claim on a mirror could not be released and will expire: %s", type(error).__name__)

    def _prepare(self, session: Session, source: SqlSource) -> Selection[int]:
        sql = bare(source.sql)
        names = session.columns(first_columns(sql), source.parameters)
        selection = source.columns.select([name for name, _ in names], "the query")
        others = [key for key in selection.keys if key != selection.id]
        self.columns = tuple(names[key] for key in others)
        most = min(self.mirror.rules.max_id_length, session.dialect.longest)
        self.query = Query(sql, names[selection.id][0], tuple(name for name, _ in self.columns), most)
        self.statements = Statements(session.dialect, self.query)
        self.shape = _digest(sql, self.query.id, *self.query.others)
        if self.shape != self.state.shape or self.replaces:
            self._check_casts(session, source.parameters)
        return _moved(selection, others)

    def _check_casts(self, session: Session, parameters: Any) -> None:
        """Check for some rows that the database makes the same text of an id as this package makes of its value."""
        for raw, text in session.rows(self.statements.cast(), parameters):
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
        if not self.mirror.is_dry_run:
            self._check_counts(session, base, net)
            if not session.dialect.full_join:
                staged = self.create(session, f"t{self.nonce}", today, parameters, what="the query")
                today, parameters = f"SELECT * FROM {staged}", None
        tries = () if self.replaces else self.state.tries
        uncertain = [statements.sent(self.mirror.keeper.table(session, steps.table_of(one))) for one in tries]
        has_same_shape = self.columns == self.state.columns
        known = statements.known(base, net, with_attributes=has_same_shape)
        query = statements.changes(today, known, uncertain, same_shape=has_same_shape)
        if self.mirror.is_dry_run:
            return f"(\n{query}\n)"
        table = self.create(session, self.changes, query, parameters, what="the comparison of the query")
        if not session.dialect.full_join:
            self.mirror.keeper.drop(session, f"t{self.nonce}")
        return table

    def _check_counts(self, session: Session, *tables: str | None) -> None:
        """Check that nobody has changed the snapshot."""
        for table, count in zip(tables, (self.state.base_count, self.state.net_count), strict=True):
            if table and session.number(f"SELECT COUNT(*) FROM {table}") != count:
                raise SnapshotError(
                    f"{table} does not have the {count:,} rows that were written. Nothing was sent; to replace the "
                    "audience and start a new snapshot, pass full_refresh=True."
                )

    def _correct(self, session: Session, refused: list[Refused]) -> None:
        """Make the table of changes anew, with what is a valid id as this package has found it."""
        names = f"x{self.nonce}", f"c{self.nonce}"
        self.extend(session, *names)
        changes = self.mirror.keeper.table(session, self.changes)
        table = self.create(session, names[0], self.statements.ids(changes))
        session.insert(table, self.statements.id_values(), refused)
        self.create(session, names[1], self.statements.corrected(changes, table))
        self.refused, self.changes = names[0], names[1]

    refused: str | None = None
    replaces = False


class TablePlan:
    """What a run sends, as :class:`.plan.Plan`."""

    def __init__(self, run: TableRun, files: ChangeFiles) -> None:
        self.replaces = run.replaces
        self.counts: Counts = files.counts
        self.adds = files.adds
        self.removes = files.removes
        self._run = run
        self._files = files

    @property
    def before(self) -> int | None:
        """How many ids the last snapshot has; None without a usable one."""
        return self._run.state.members

    @property
    def unconfirmed_tokens(self) -> tuple[str, ...]:
        """The indexing tokens of the last run, unless its writes are confirmed as indexed."""
        return () if self._run.is_confirmed else self._run.state.indexing_tokens

    @property
    def tokens_to_await(self) -> tuple[str, ...]:
        """The tokens of all that may not be applied yet: those of unfinished tries, too."""
        return tuple(dict.fromkeys(self.unconfirmed_tokens + self._run.state.unfinished.unfinished_tokens))

    @property
    def is_empty(self) -> bool:
        """Whether the snapshot is the new set already, so that there is nothing to send and nothing to commit."""
        return self.before is not None and not (self.replaces or self.counts.adds or self.counts.removes)

    def check(self, limits: Limits) -> None:
        """See :meth:`.plan.Plan.check`."""
        check_all(self._run.mirror.target.audience, self.counts, self.before, limits, replaces=self.replaces)

    @contextmanager
    def begin(self, owner: str) -> Iterator[TableTransaction]:
        """
        Note what may be sent from now on; the new snapshot is written before.

        :raises MirrorConflictError: if another run has taken over.
        """
        run, files = self._run, self._files
        mirror, planned = run.mirror, run.state
        count = files.counts.adds + files.counts.removes
        pending = planned.unfinished.pending(
            owner, run.nonce, files.sha256, replaces=self.replaces, count=0 if self.replaces else count
        )
        with mirror.database.session() as session:
            new = self._write_snapshot(session)
            step = partial(steps.begun, planned=planned, claim=run.claim, pending=pending, table=run.changes)
            run.has_begun = True
            run.update(session, step)
        transaction = TableTransaction(run, pending, new)
        with transaction.ending():
            yield transaction

    def _write_snapshot(self, session: Session) -> State:
        """Write the new snapshot, and return a state with its fields."""
        run, files = self._run, self._files
        state, mirror, statements = run.state, run.mirror, run.statements
        changes = mirror.keeper.table(session, run.changes)
        base, net = run.snapshot(session)
        new = replace(state, target=mirror.target, members=files.counts.given, columns=run.columns, shape=run.shape)
        now, moved = mirror.clock(), files.counts.adds + files.counts.removes
        is_large = state.net_count + moved > LARGEST_NET * state.base_count
        if base is None or is_large or run.columns != state.columns or now - state.based_at > OLDEST_BASE:
            name = f"b{run.nonce}"
            run.extend(session, name)
            known = statements.known(base, net) if run.columns == state.columns else None
            table = run.create(session, name, statements.new_base(changes, known))
            return replace(new, base=name, base_count=_count(session, table), based_at=now, net=None, net_count=0)
        name = f"e{run.nonce}"
        run.extend(session, name)
        table = run.create(session, name, statements.new_net(changes, net))
        return replace(new, net=name, net_count=_count(session, table))


class TableTransaction:
    """A run that may send, as :class:`.plan.Transaction`."""

    def __init__(self, run: TableRun, pending: Pending, new: State) -> None:
        self.series = pending.series + (pending.sha256 if pending.replaces else "")
        self._run = run
        self._pending = pending
        self._new = new
        self._own = steps.name_of(run.state.generation, run.changes)
        self._tokens: list[str] = []
        self._noted = 0
        self._looked = self._renewed = run.mirror.clock()
        self._is_committed = False
        self._lock = threading.Lock()

    def look(self) -> None:
        """See :meth:`.plan.Transaction.look`."""
        with self._lock:
            now = self._run.mirror.clock()
            if 0 <= now - self._looked < LOOK_INTERVAL:
                return
            with self._run.mirror.database.session() as session:
                if self._noted < len(self._tokens) or now - self._renewed >= RENEWAL_INTERVAL:
                    self._note(session, has_ended=False)
                    self._renewed = now
                elif self._run.mirror.keeper.claimant(session) != self._run.claim.nonce:
                    raise steps.conflict()
            self._looked = now

    def accepted(self, indexing_token: str) -> None:
        """Remember the token of a write, for the next run to wait for if this one fails; called by any thread."""
        self._tokens.append(indexing_token)

    def commit(self, indexing_tokens: Sequence[str], *, rejected: Sequence[str] = ()) -> None:
        """See :meth:`.plan.Transaction.commit`."""
        run = self._run
        now = run.mirror.clock()
        with run.mirror.database.session() as session:
            found = self._write_rejected(session, rejected) if rejected else None
            new = replace(self._new, indexing_tokens=tuple(indexing_tokens))
            change = Change(now, run.mirror.owner, run.changes, run.refused, f"r{run.nonce}" if found else None)
            new = replace(new, unlogged=(*run.state.unlogged, change) if run.mirror.log.is_kept else ())
            head = run.update(
                session,
                partial(steps.committed, planned=run.state, claim=run.claim, own=self._own, new=new, rejected=found),
            )
            self._is_committed = run.is_released = True
            head = run.mirror.log.keep(session, head, now)
            run.sweep(session, head.state)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Note at the end, if the run fails, which tokens it has received, and whether it makes no more calls."""
        has_ended = False
        try:
            yield
            has_ended = True
        except MirrorConflictError:
            has_ended = True
            self._note_overtaken()
            raise
        except Exception:
            has_ended = True  # after any other kind, such as a timeout of Airflow, a thread may have been left behind
            raise
        finally:
            if not self._is_committed:
                try:
                    with self._run.mirror.database.session() as session:
                        self._note(session, has_ended=has_ended)
                except (SourceError, SnapshotError, MirrorConflictError) as error:
                    log.warning("the tokens of this run could not be noted: %s", type(error).__name__)

    def _note(self, session: Session, *, has_ended: bool) -> None:
        run, tokens = self._run, list(self._tokens)
        now = run.mirror.clock()

        def step(state: State) -> State:
            state = steps.extended(state, run.claim, (), now)
            return steps.noted(state, self._own, tokens, has_ended=has_ended)

        run.update(session, step)
        self._noted = len(tokens)

    def _note_overtaken(self) -> None:
        """The call that it was making may have come after all that others have sent, and settled, since."""
        run = self._run
        keeper = run.mirror.keeper
        nonce = secrets.token_hex(6)
        pending = replace(self._pending, nonce=nonce, series=nonce)
        with suppress(SourceError, SnapshotError, MirrorConflictError), run.mirror.database.session() as session:
            table, now = f"d{nonce}", run.mirror.clock()
            head = keeper.change(session, lambda state: replace(state, trash=steps.noted_tables(state, [table], now)))
            run.create(session, table, f"SELECT * FROM {keeper.table(session, run.changes)}")
            # Only if nobody has dropped it since.
            keeper.replace(session, head, steps.overtaken(head.state, pending, self._tokens, table, now))

    def _write_rejected(self, session: Session, rejected: Sequence[str]) -> Unfinished:
        """Write the ids that Batch rejected, which stay uncertain: they are neither added nor removed."""
        run = self._run
        name = f"r{run.nonce}"
        run.extend(session, name)
        table = run.create(session, name, run.statements.ids(run.mirror.keeper.table(session, run.changes)))
        ids = sorted(set(map(str, rejected)))
        session.insert(table, run.statements.id_values(), [(id_, "+", "rejected by Batch") for id_ in ids])
        pending = Pending(owner="", series=run.nonce, nonce=run.nonce, replaces=False, count=len(ids))
        return Unfinished(steps.name_of(run.state.generation + 1, name), pending, (), has_ended=True)


def _count(session: Session, table: str) -> int:
    return session.number(f"SELECT COUNT(*) FROM {table}")


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _moved(selection: Selection[int], others: list[int]) -> Selection[int]:
    """Return the selection for rows of the changes, in which the id is first."""
    place = {key: FIRST + number for number, key in enumerate(others)}
    attributes = tuple((place[key], name) for key, name in selection.attributes)
    return Selection(id=0, attributes=attributes, tags=None if selection.tags is None else place[selection.tags])
