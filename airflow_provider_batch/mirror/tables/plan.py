"""What a run of a mirror in tables sends, and the transaction that commits its snapshot."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from airflow_provider_batch.mirror.claim import RENEWAL_INTERVAL
from airflow_provider_batch.mirror.flags import Names
from airflow_provider_batch.mirror.store import Plan, Transaction
from airflow_provider_batch.mirror.tables import head as steps
from airflow_provider_batch.mirror.tables.changes import ChangeFiles
from airflow_provider_batch.mirror.tables.comparison import Comparison
from airflow_provider_batch.mirror.tables.database import Session
from airflow_provider_batch.mirror.tables.head import Claim, Head, State
from airflow_provider_batch.mirror.tries import Pending, Unfinished

#: Seconds for which a look at the claim is good, and between two notes of the tokens received. Here a look opens a
#: connection and runs a query; in a folder, where it reads a file or two, it is good for one second.
LOOK_INTERVAL: Final = 10.0

#: How many copies a run that was overtaken makes to note what it may have sent, while others change the head.
_COPIES: Final = 5


class TablePlan(Plan):
    """What a run sends, as the database has found it."""

    def __init__(self, comparison: Comparison, files: ChangeFiles) -> None:
        self.audience_name = comparison.mirror.target.audience
        self.replaces = comparison.replaces
        self.counts = files.counts
        self.adds = files.adds
        self.removes = files.removes
        self._mirror = comparison.mirror
        self._claim = comparison.claim
        self._state = comparison.claim.state
        self._comparison = comparison
        self._files = files

    @property
    def before(self) -> int | None:
        """How many ids the last snapshot has; None without a usable one."""
        return self._state.members

    @property
    def unconfirmed_tokens(self) -> tuple[str, ...]:
        """The indexing tokens of the last run, unless its writes are confirmed as indexed."""
        return () if self._claim.is_confirmed else self._state.indexing_tokens

    @property
    def unfinished_tokens(self) -> tuple[str, ...]:
        """The indexing tokens of tries that have not committed."""
        return self._state.unfinished.unfinished_tokens

    @property
    def names(self) -> Names:
        """The list by which the flags of ids to remove are read."""
        return self._comparison.names

    def rename(self, keys: Collection[str]) -> None:
        """Put *keys* in place of earlier ones of the same names; before :meth:`begin`."""
        self._comparison.names = self._comparison.names.including(keys)

    @contextmanager
    def begin(self, owner: str) -> Iterator[TableTransaction]:
        """
        Note what may be sent from now on; the new snapshot is written before.

        :raises MirrorConflictError: if another run has taken over.
        """
        count = 0 if self.replaces else self.counts.adds + self.counts.removes
        pending = self._state.unfinished.pending(
            owner, self._claim.nonce, self._files.sha256, replaces=self.replaces, count=count
        )
        with self._mirror.database.session() as session:
            new = self._write_snapshot(session)
            self._claim.has_begun = True
            noted = {"pending": pending, "table": self._comparison.changes, "attributes": self.names.keys}
            self._claim.update(session, steps.begun, planned=self._state, **noted)
        with TableTransaction(self._comparison, pending, new).ending() as transaction:
            yield transaction

    def _write_snapshot(self, session: Session) -> State:
        """Write the new snapshot, and return a state with its fields."""
        comparison, claim, state = self._comparison, self._claim, self._state
        statements, columns = comparison.statements, comparison.columns
        base, net = comparison.snapshot(session)
        new = replace(
            state, target=self._mirror.target, members=self.counts.given, columns=columns, shape=comparison.shape
        )
        if base is None or comparison.needs_base(self._mirror.clock(), self.counts.adds + self.counts.removes):
            known = statements.known(base, net) if columns == state.columns else None
            name, count = comparison.create_base(session, known)
            generation = state.generation + 1
            return replace(new, base=name, base_count=count, base_generation=generation, net=None, net_count=0)
        name, changes = claim.own("e"), self._mirror.keeper.table(session, comparison.changes)
        claim.extend(session, name)
        table = comparison.create(session, name, statements.new_net(changes, net))
        return replace(new, net=name, net_count=comparison.count(session, table))


class TableTransaction(Transaction):
    """A run that may send, under its claim."""

    def __init__(self, comparison: Comparison, pending: Pending, new: State) -> None:
        super().__init__()
        self.series = pending.series + (pending.sha256 if pending.replaces else "")
        self._mirror = comparison.mirror
        self._claim = comparison.claim
        self._comparison = comparison
        self._pending = pending
        self._new = new
        self._own = steps.name_of(self._claim.state.generation, comparison.changes)
        self._noted = 0
        self._looked = self._renewed = self._mirror.clock()
        self._lock = threading.Lock()

    def look(self) -> None:
        """See :meth:`.store.Transaction.look`."""
        with self._lock:
            now = self._mirror.clock()
            if 0 <= now - self._looked < LOOK_INTERVAL:
                return
            if self._noted < len(self._tokens) or now - self._renewed >= RENEWAL_INTERVAL:
                self._note(has_ended=False)
                self._renewed = now
            else:
                with self._mirror.database.session() as session:
                    self._claim.check(session)
            self._looked = now

    def commit(self, indexing_tokens: Sequence[str], *, rejected: Sequence[str] = ()) -> None:
        """See :meth:`.store.Transaction.commit`."""
        mirror, claim, state = self._mirror, self._claim, self._claim.state
        now = mirror.clock()
        with mirror.database.session() as session:
            found = self._write_rejected(session, rejected) if rejected else None
            new = replace(self._new, indexing_tokens=tuple(indexing_tokens), written_at=now)
            if new.base != state.base:
                new = replace(new, based_at=now)
            change = self._comparison.entry(now, claim.own("r") if found else None)
            new = replace(new, unlogged=(*state.unlogged, change) if mirror.log.is_kept else ())
            head = claim.update(session, steps.committed, planned=state, own=self._own, new=new, rejected=found)
            self._is_committed = True
            claim.settle(session, head)

    def _note(self, *, has_ended: bool) -> None:
        tokens, now = list(self._tokens), self._mirror.clock()

        def step(state: State, claim: Claim) -> State:
            state = steps.extended(state, claim, (), now)
            return steps.noted(state, self._own, tokens, has_ended=has_ended)

        with self._mirror.database.session() as session:
            self._claim.update(session, step)
        self._noted = len(tokens)

    def _note_overtaken(self) -> None:
        with self._mirror.database.session() as session:
            for _ in range(_COPIES):
                if self._note_copy(session):
                    return
        raise steps.conflict()

    def _note_copy(self, session: Session) -> Head | None:
        """Note a copy of the changes; None if another run changed the head first, as it may have dropped the copy."""
        keeper, nonce = self._mirror.keeper, secrets.token_hex(6)
        pending = replace(self._pending, nonce=nonce, series=nonce)
        table, now = f"d{nonce}", self._mirror.clock()
        head = keeper.change(session, lambda state: replace(state, trash=steps.noted_tables(state, [table], now)))
        changes = keeper.table(session, self._comparison.changes)
        self._comparison.create(session, table, f"SELECT * FROM {changes}")
        return keeper.replace(session, head, steps.overtaken(head.state, pending, self._tokens, table, now))

    def _write_rejected(self, session: Session, rejected: Sequence[str]) -> Unfinished:
        """Write the ids that Batch rejected, which stay uncertain: they are neither added nor removed."""
        comparison, claim, statements = self._comparison, self._claim, self._comparison.statements
        place = partial(self._mirror.keeper.table, session)
        name, changes = claim.own("r"), place(comparison.changes)
        claim.extend(session, claim.own("y"), name)
        table = comparison.create(session, claim.own("y"), statements.ids(changes))
        ids = sorted(set(map(str, rejected)))
        session.insert(table, statements.id_values(), [(id_, "+", "rejected by Batch") for id_ in ids])
        refused, replaces = list(map(place, comparison.refused)), comparison.replaces
        comparison.create(session, name, statements.rejected(changes, table, refused, replaces=replaces))
        pending = Pending(owner="", series=claim.nonce, nonce=claim.nonce, replaces=False, count=len(ids))
        return Unfinished(steps.name_of(claim.state.generation + 1, name), pending, has_ended=True)
