"""What a run of a mirror in tables sends, and the transaction that commits its snapshot."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError, SourceError
from airflow_provider_batch.mirror.claim import RENEWAL_INTERVAL
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.flags import Names
from airflow_provider_batch.mirror.guards import Limits, check_all
from airflow_provider_batch.mirror.snapshot import Pending, Unfinished
from airflow_provider_batch.mirror.tables import head as steps
from airflow_provider_batch.mirror.tables.changes import ChangeFiles
from airflow_provider_batch.mirror.tables.database import Session
from airflow_provider_batch.mirror.tables.head import State
from airflow_provider_batch.mirror.tables.run import TableRun

log = logging.getLogger(__name__)

#: Seconds for which a look at the claim is good, and between two notes of the tokens received.
LOOK_INTERVAL: Final = 10.0


class TablePlan:
    """What a run sends: a :class:`.store.Plan`."""

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

    @property
    def names(self) -> Names:
        """Those by which the flags of ids to remove are read."""
        return self._run.names

    def rename(self, keys: Collection[str]) -> None:
        """Put *keys* in place of earlier ones of the same names; before :meth:`begin`."""
        self._run.names = self._run.names.including(keys)

    def check(self, limits: Limits) -> None:
        """See :meth:`.store.Plan.check`."""
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
            noted: dict[str, Any] = {"pending": pending, "table": run.changes, "attributes": run.names.keys}
            step = partial(steps.begun, planned=planned, claim=run.claim, **noted)
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
        if base is None or run.needs_base(now, moved):
            name = f"b{run.nonce}"
            run.extend(session, name)
            known = statements.known(base, net) if run.columns == state.columns else None
            table = run.create(session, name, statements.new_base(changes, known))
            count, generation = run.count(session, table), state.generation + 1
            return replace(new, base=name, base_count=count, base_generation=generation, net=None, net_count=0)
        name = f"e{run.nonce}"
        run.extend(session, name)
        table = run.create(session, name, statements.new_net(changes, net))
        return replace(new, net=name, net_count=run.count(session, table))


class TableTransaction:
    """A run that may send: a :class:`.store.Transaction`."""

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
        """See :meth:`.store.Transaction.look`."""
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
        """See :meth:`.store.Transaction.accepted`."""
        self._tokens.append(indexing_token)

    def commit(self, indexing_tokens: Sequence[str], *, rejected: Sequence[str] = ()) -> None:
        """See :meth:`.store.Transaction.commit`."""
        run = self._run
        now = run.mirror.clock()
        with run.mirror.database.session() as session:
            found = self._write_rejected(session, rejected) if rejected else None
            new = replace(self._new, indexing_tokens=tuple(indexing_tokens), written_at=now)
            if new.base != run.state.base:
                new = replace(new, based_at=now)
            change = run.entry(now, f"r{run.nonce}" if found else None)
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
        """Note all ids as uncertain once more: the last call may have come after what others sent and settled since."""
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
        name, changes = f"r{run.nonce}", run.mirror.keeper.table(session, run.changes)
        names = (f"y{run.nonce}", name) if run.query.digested is not None else (name,)
        run.extend(session, *names)
        table = run.create(session, names[0], run.statements.ids(changes))
        ids = sorted(set(map(str, rejected)))
        session.insert(table, run.statements.id_values(), [(id_, "+", "rejected by Batch") for id_ in ids])
        if table != run.mirror.keeper.table(session, name):
            run.create(session, name, run.statements.rejected(changes, table))
        pending = Pending(owner="", series=run.nonce, nonce=run.nonce, replaces=False, count=len(ids))
        return Unfinished(steps.name_of(run.state.generation + 1, name), pending, (), has_ended=True)
