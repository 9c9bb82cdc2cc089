"""
The claim of one run on a mirror in tables: taken, held while its steps change the head, and given back.

It is a part of the head. So one UPDATE both checks that the run still has the claim and changes what depends on it, and
nobody can take over in between. In a folder, where no file is changed on a condition, that takes a chain of files (see
the module claim in mirror/).

As there, a claim expires half an hour after it was last renewed: whenever the run is about to make a table, and once a
minute while it sends. A run that was overtaken fails at its next step or look. What it has sent since is uncertain for
one generation more; what it was about to make is in the head's list of tables to drop.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError, SourceError
from airflow_provider_batch.mirror.store import STORE_ERRORS
from airflow_provider_batch.mirror.tables import head as steps
from airflow_provider_batch.mirror.tables.database import AbsentTableError, Session
from airflow_provider_batch.mirror.tables.head import Claim, Head, State

if TYPE_CHECKING:
    from airflow_provider_batch.mirror.tables.mirror import TableMirror

log = logging.getLogger(__name__)


class TableClaim:
    """
    The exclusive right to work on a mirror, and the state that the run found; a dry run reads the state alone.

    :param starts_anew: the snapshot will not be used, so the state may be damaged.
    """

    def __init__(self, mirror: TableMirror, *, starts_anew: bool) -> None:
        self.nonce = secrets.token_hex(6)
        self.state = State()
        self.is_confirmed = True
        #: Whether the run's own try may be in the head: even an UPDATE that has failed can be applied late.
        self.has_begun = False
        #: Whether the claim was given back.
        self.is_released = False
        self._mirror = mirror
        self._starts_anew = starts_anew
        now = mirror.clock()
        self._entry = Claim(mirror.owner, secrets.token_hex(8), now, now)
        #: The head as this run has last seen it.
        self._head: Head | None = None
        #: The tables that the run may make from the start.
        self._first_tables: tuple[str, ...] = (self.own("d"),)

    def own(self, kind: str) -> str:
        """Return the name of this run's table of a kind, see the module :mod:`.tables.mirror`."""
        return f"{kind}{self.nonce}"

    @contextmanager
    def held(self, session: Session) -> Iterator[None]:
        """
        Hold the claim for the time of the block.

        :param session: takes it; it may be closed before the block ends.
        :raises MirrorConflictError: if another run has it.
        :raises SnapshotError: if the snapshot is damaged, or of another audience.
        """
        mirror = self._mirror
        if mirror.is_dry_run:
            head = mirror.keeper.read(session, starts_anew=self._starts_anew)
        else:
            if not session.dialect.full_join:  # the query is staged, and what is uncertain
                self._first_tables = (*self._first_tables, self.own("t"), self.own("u"))
            head = self.update(session, steps.claimed, tables=self._first_tables)
        if head is not None:
            self.state, self.is_confirmed = head.state, head.is_confirmed
        try:
            self._check_target()
            if head and not mirror.is_dry_run:
                if head.version == 1:
                    self._check_shared()
                self._repair(head)
            yield
        except (AbsentTableError, SnapshotError):
            self._check_unchanged()  # then what is missing was dropped by a run that has taken over
            raise
        finally:
            if not mirror.is_dry_run and not self.is_released:
                self._release()

    def update(self, session: Session, step: Callable[..., State], **arguments: object) -> Head:
        """
        Change the head by a step that needs the claim.

        :param arguments: those of the step, besides the state and the claim.
        """
        step = partial(step, claim=self._entry, **arguments)
        change = partial(self._mirror.keeper.change, session, step, starts_anew=self._starts_anew)
        self._head = change(known=self._head)
        return self._head

    def extend(self, session: Session, *tables: str) -> None:
        """Note that the run is alive, and the tables that it is about to make."""
        self.update(session, steps.extended, tables=tables, now=self._mirror.clock())

    def check(self, session: Session) -> None:
        """
        Check that no other run has taken over.

        :raises MirrorConflictError: if one has.
        """
        if self._mirror.keeper.claimant(session) != self._entry.nonce:
            raise steps.conflict()

    def settle(self, session: Session, head: Head) -> None:
        """Do what is left after the commit, which has made *head*: write the log, give the claim back, drop tables."""
        self.has_begun = False
        with suppress(*STORE_ERRORS):  # then the claim is given back as the block ends
            if head.state.claim is not None:
                head = self._log(session, head, steps.released) or self.update(session, steps.released)
            self.is_released = True
            self.sweep(session, head)

    def sweep(self, session: Session, head: Head, *, but: Sequence[str] = ()) -> None:
        """Drop what *head*, which a step of this run has made under its claim, does not name any more."""
        keeper, now = self._mirror.keeper, self._mirror.clock()
        dropped: list[str] = []
        fault: Exception | None = None
        for name in steps.outdated(head.state, now):
            try:
                if name not in but:
                    keeper.drop(session, name)
                    dropped.append(name)
            except STORE_ERRORS as error:  # others may have values, or ids that have left
                fault = fault or error
        try:
            if steps.cleaned(head.state, dropped, now) != head.state:
                self._head = keeper.change(session, partial(steps.cleaned, dropped=dropped, now=now), known=head)
        except STORE_ERRORS as error:
            fault = fault or error
        if fault:
            log.warning("tables of earlier runs in %s could not be dropped: %s", keeper, fault)

    def _check_shared(self) -> None:
        """
        Check that another connection sees the head, which has just been made.

        :raises SnapshotError: otherwise.
        """
        keeper, is_seen = self._mirror.keeper, True
        with suppress(SourceError), self._mirror.database.session() as session:  # it may be the only one for now
            is_seen = keeper.read(session, starts_anew=True) is not None
        if not is_seen:
            raise SnapshotError(
                f"{keeper}: another connection does not see its tables, as in a database in memory. Use one that all "
                "connections share, such as that in a file."
            )

    def _check_target(self) -> None:
        theirs, ours = self.state.target, self._mirror.target
        if theirs not in (None, ours) and not self._starts_anew:
            raise SnapshotError(
                f"{self._mirror.keeper} holds the snapshot of another audience. Pass another snapshot_schema; or, to "
                "send everything and start a new snapshot, pass full_refresh=True."
            )

    def _check_unchanged(self) -> None:
        """
        Check that no other run has dropped what this one was about to read.

        :raises MirrorConflictError: otherwise.
        """
        with self._mirror.database.session() as session:
            head = self._mirror.keeper.read(session, starts_anew=True)
        if head is None or self.is_released:
            return
        if not self._mirror.is_dry_run:
            steps.check_held(head.state, self._entry)
        elif head.state.named != self.state.named:
            raise steps.conflict()

    def _repair(self, head: Head) -> None:
        """
        Do what the last run was to do after its commit; what may have values is not left until this one ends.

        On connections of its own: one that is lost by that fails no run.
        """
        mirror = self._mirror
        if head.state.unlogged and mirror.log.is_kept:
            with mirror.database.session() as session:
                head = self._log(session, head, steps.logged) or head
            self.state = head.state
        if mirror.settings is not None:
            with mirror.database.session() as session:
                self.sweep(session, head, but=self._first_tables)

    def _log(self, session: Session, head: Head, step: Callable[..., State]) -> Head | None:
        """Append to the log what is not in it yet, and return the head that has forgotten it; None if it cannot be."""
        mirror, changes = self._mirror, head.state.unlogged

        def forget() -> Head:
            # Only if it is the newest one: a change that was tried again would be in another transaction.
            changed = mirror.keeper.replace(session, head, step(head.state, self._entry, changes))
            if changed is None:
                raise MirrorConflictError("another run changed this mirror meanwhile")
            return changed

        found = mirror.log.keep(session, changes, mirror.clock(), forget)
        self._head = found or head
        return found

    def _release(self) -> None:
        try:
            with self._mirror.database.session() as session:
                head = self.update(session, steps.released)
                if not self.has_begun:  # otherwise the head may yet name a table that is not in it now
                    self.sweep(session, head)
        except MirrorConflictError:
            pass  # another run has taken over, or the answer to the COMMIT was lost that has given it back
        except STORE_ERRORS as error:
            log.warning("the claim on a mirror could not be released and will expire: %s", type(error).__name__)
