"""
A mirror whose snapshot is in tables: plan, send, commit, each step noted in the head before what it is about to do.

::

    batch_<audience>_<digest>_head          one row, see the module head
    …_b<nonce>                              the base: id, and the attributes a0, a1, …
    …_e<nonce>                              what changed since the base: id, op (+ present, - absent), attributes
    …_t<nonce>, …_u<nonce>                  without FULL JOIN: the rows of the query; the ids that are uncertain
    …_d<nonce>, …_c<nonce>                  the changes of one try: id, n, o, u, op (+ - = !), attributes; corrected
    …_x<nonce>                              ids that are not valid, by which they are corrected
    …_r<nonce>, …_y<nonce>                  ids of which Batch has rejected a write; before it is known which are new
    …_log                                   the changes of earlier runs, with keep_changes

All but the head, the log and SQLite's rows of the query are made by CREATE TABLE AS and filled at once, so each counts
as a whole or not at all. They are real tables: a temporary one dies with the connection of a worker that was killed.

A run writes what changed, not the set: a snapshot that was written anew each time would write twenty times as much. The
base is made anew when a tenth of it has changed, and after a week.

Where no values may be kept (*settings*: for profiles), base and net have a digest of the columns instead, and flags of
which attributes were set (see the module flags in mirror/). The database makes the digest in the statement that reads
the source. The worker reads the rows whose digest is another one from the table of changes, which has their values,
too, for as long as it is read. So the digest that is kept is that of the values that were sent, whatever the source has
by then. Before the first call, another table of changes takes its place, without values.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Final

from airflow_provider_batch.exceptions import SnapshotError
from airflow_provider_batch.mirror.spool import private_folder
from airflow_provider_batch.mirror.status import MirrorStatus
from airflow_provider_batch.mirror.store import SnapshotSize
from airflow_provider_batch.mirror.tables.changes import ChangedRows, ChangeFiles
from airflow_provider_batch.mirror.tables.claim import TableClaim
from airflow_provider_batch.mirror.tables.comparison import Comparison
from airflow_provider_batch.mirror.tables.database import Database
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.log import ChangeLog
from airflow_provider_batch.mirror.tables.plan import TablePlan
from airflow_provider_batch.mirror.tables.status import read_status
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.protocol.arguments import FirstRun, check_choice
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.sources.sql import SqlSource

_LONGEST_NAME: Final = 24


def tables_name(conn_id: str, target: Target) -> str:
    """Return what the names of a mirror's tables begin with."""
    text = "\0".join((conn_id, target.audience, target.type, target.recipient))
    return f"batch_{audience_part(target.audience)}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def audience_part(audience_name: str) -> str:
    """Return the part of such a name that comes from the audience; that of another audience may be the same."""
    shortened = audience_name[:_LONGEST_NAME].lower()
    return "".join(char if char.isalnum() and char.isascii() else "_" for char in shortened)


class TableMirror:
    """
    One audience, and the tables with what was sent to it.

    :param source: the query; None if the mirror is only to be confirmed.
    :param rules: what is a valid member.
    :param owner: identifies the run to others; the same for all tries of one task.
    :param is_dry_run: reads only: no table is made, and no claim is taken.
    :param settings: of profiles: what decides, besides the columns of a row, what is sent of it; None for an audience.
        With it, the snapshot has no values. A run with other settings finds every row changed.
    :param key_of: of profiles: returns the key of the attribute in a column.
    :param deletes: of profiles: whether a missing value deletes its attribute.
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
        settings: str | None = None,
        key_of: Callable[[str], str] = str,
        deletes: bool = False,
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
        self.settings = settings
        self.key_of = key_of
        self.deletes = deletes
        self.clock = clock
        self.log = ChangeLog(keeper, keep_changes)
        #: What the checks of ids have to read.
        self.changed = ChangedRows()

    def to_check(self, ids: object) -> ChangedRows:
        """See :meth:`.store.Store.to_check`."""
        return self.changed

    @contextmanager
    def plan(
        self,
        blocks: Iterable[list[str]],
        *,
        is_sorted: bool = False,
        first_run: FirstRun = "add",
        full_refresh: bool = False,
        resends: bool = False,
        checkpoint: Callable[[], object] = lambda: None,
    ) -> Iterator[TablePlan]:
        """
        Let the database compare the query with the snapshot, and yield what to send: see :meth:`.store.Store.plan`.

        :param blocks: the ids of an intake of :attr:`changed`.
        :param is_sorted: has no effect: the database joins, and sorts what it returns.
        :param resends: find every row changed.
        """
        check_choice("first_run", first_run)
        if self.source is None:
            raise SnapshotError("a mirror without a query cannot be planned")
        claim = TableClaim(self, starts_anew=full_refresh)
        with ExitStack() as held:
            local = held.enter_context(private_folder())
            with self.database.session() as session:
                held.enter_context(claim.held(session))
                is_first = claim.state.members is None
                replaces = full_refresh or claim.state.unfinished.replaces or (is_first and first_run == "replace")
                comparison = Comparison(self, self.source, claim, replaces=replaces, resends=resends)
                with closing(ChangeFiles(local)) as files:
                    comparison.fill(session, files, _checked(blocks, checkpoint))
            try:
                yield TablePlan(comparison, files)
            finally:
                comparison.settle(files)

    def confirm(self, indexing_tokens: Sequence[str] | None = None) -> SnapshotSize | None:
        """See :meth:`.store.Store.confirm`."""
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

    def inspect(self, ids: Sequence[str]) -> MirrorStatus:
        """See :meth:`.store.Store.inspect`."""
        return read_status(self.database, self.keeper, ids, now=self.clock())

    def release(self, owner: str) -> None:
        """Do nothing: the plan gives back its own claim, which was that of a killed try."""


def _checked(blocks: Iterable[list[str]], checkpoint: Callable[[], object]) -> Iterator[list[str]]:
    for block in blocks:
        checkpoint()
        yield block
