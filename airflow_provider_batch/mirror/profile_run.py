"""
One run that sends the profiles that differ from what was sent before.

What is kept true: a profile is left out only if its row is the same as in the snapshot, and no unfinished try may have
sent another one. The comparison, and the transaction that commits the new snapshot, are those of an audience's mirror:
a line is an id, and a digest of its attributes.

What becomes of a profile whose row has gone: nothing; or those attributes are deleted from it that this mirror has set
on it, by the flags that the snapshot has of each profile. Others of the same names are not this mirror's. What a try
may have set is noted before its first call, so no flag is ever missing, however it ends. A row that is not valid has
not gone: its profile stays as it is, and is noted as uncertain until its row is valid or gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from itertools import chain
from typing import Any

from airflow_provider_batch.exceptions import EmptySetError, SnapshotError
from airflow_provider_batch.mirror.flags import Names
from airflow_provider_batch.mirror.guards import Limits, check_changes, check_shrink
from airflow_provider_batch.mirror.plan import FolderMirror
from airflow_provider_batch.mirror.profile_rows import Compared, FolderRows, ProfileRows, TableRows
from airflow_provider_batch.mirror.store import Plan, Transaction
from airflow_provider_batch.mirror.tables.database import AbsentTableError
from airflow_provider_batch.mirror.tables.mirror import TableMirror
from airflow_provider_batch.profiles.push import Again, ProfilePush
from airflow_provider_batch.protocol.arguments import OnGone
from airflow_provider_batch.protocol.dialect import ProfileRoute
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.profiles.intake import PROFILES, ProfileIntake
from airflow_provider_batch.protocol.profiles.results import ProfilesMirrorResult, push_name
from airflow_provider_batch.protocol.profiles.table import joined, nulls, split
from airflow_provider_batch.protocol.profiles.writes import ProfileChunk
from airflow_provider_batch.protocol.rows import Rejection, in_blocks
from airflow_provider_batch.protocol.writes import Sent
from airflow_provider_batch.push.parcels import Journal
from airflow_provider_batch.push.push import planned


@dataclass(frozen=True)
class _Changes:
    """What a plan sends: the profiles to set, then those to clear; they can be read again and again."""

    plan: Plan
    rows: ProfileRows
    #: Those by which the flags of the profiles to clear are read; None if none is cleared.
    names: Names | None
    #: The profiles that are not to set, and have not gone either: their rows are not valid.
    kept: Set[str] = field(default=frozenset(), repr=False)

    @cached_property
    def cleared(self) -> int:
        """How many profiles are cleared."""
        return sum(1 for _ in self._gone())

    def __len__(self) -> int:
        return len(self.plan.adds) + self.cleared

    def chunks(self, size: int) -> Iterator[ProfileChunk]:
        """See :meth:`.profiles.push.Chunked.chunks`."""
        given = (joined(id_, id_.extras) for id_ in self.plan.adds if isinstance(id_, AnnotatedId))
        for number, lines in enumerate(in_blocks(chain(given, self._gone()), size), 1):
            before = (number - 1) * size
            cleared = min(len(lines), max(0, before + len(lines) - len(self.plan.adds)))
            yield ProfileChunk(number, lines, partial(self._rejection, before, lines), cleared)

    def _gone(self) -> Iterator[bytes]:
        """Yield the profiles to clear, without those on which nothing was set."""
        if (names := self.names) is None:
            return
        field = lru_cache(lambda flags: nulls(names.keys_of(flags)))
        for id_ in self.plan.removes:
            if isinstance(id_, AnnotatedId) and "1" in id_.extras and id_ not in self.kept:
                yield joined(id_, field(id_.extras))

    def _rejection(self, before: int, lines: Sequence[bytes], index: int, reason: str) -> Rejection:
        if before + index < len(self.plan.adds):
            return self.rows.rejection(before + index, split(lines[index])[0], reason)
        return Rejection(PROFILES, before + index, reason, "a profile whose row has gone")


@dataclass(frozen=True, slots=True)
class ProfileMirrorRun:
    """
    Where a run sends, how, and which snapshot it is compared with.

    :param owner: identifies this run to others; the same in all tries of one task.
    :param on_gone: what becomes of the attributes of a profile whose row has gone.
    :param full_refresh: send every row, whatever the snapshot holds; it may be damaged.
    """

    push: ProfilePush
    mirror: FolderMirror | TableMirror
    owner: str
    on_gone: OnGone = "keep"
    full_refresh: bool = False
    limits: Limits = field(default_factory=Limits)

    def run(self, intake: ProfileIntake, *, journal: Journal | None, dry_run: bool) -> ProfilesMirrorResult:
        """
        Send what differs from what was sent before.

        :param intake: all rows; for a mirror in tables, the intake of what it finds changed.
        """
        line = self.push.line
        with self._rows(intake) as rows, self._compared(rows) as compared:
            plan = compared.plan
            kept = {id_ for id_ in plan.removes if id_ in intake.skipped_ids} if intake.skipped_ids else set[str]()
            self._check(plan, intake, len(kept))
            changes = _Changes(plan, rows, compared.names if self.on_gone == "clear" else None, kept)
            route, size = self.push.calls(len(changes))
            if dry_run:
                sent = planned(changes.chunks(size))
            elif plan.is_empty:
                self.mirror.release(self.owner)  # the claim of a killed try
                sent = Sent()
            else:
                with plan.begin(self.owner) as transaction, line.transport.watched(transaction.look):
                    sent = self._send(route, size, changes, transaction, journal)
            return self.push.result(
                ProfilesMirrorResult,
                route,
                intake,
                sent,
                duplicates=compared.duplicates,
                cleared=sent.removed,
                unchanged=plan.counts.unchanged,
                profiles=plan.counts.given,
            )

    @contextmanager
    def _rows(self, intake: ProfileIntake) -> Iterator[ProfileRows]:
        check = self.push.line.check
        if isinstance(self.mirror, TableMirror):
            yield TableRows(self.mirror, intake, check)
            return
        with self.push.spooled(intake) as spooled:
            yield FolderRows(self.mirror, spooled, intake, check)

    @contextmanager
    def _compared(self, rows: ProfileRows) -> Iterator[Compared]:
        """Compare the profiles with the snapshot, from which a full refresh knows the rows that have gone."""
        with ExitStack() as stack:
            try:
                found = stack.enter_context(rows.compared(resends=self.full_refresh))
            except (SnapshotError, AbsentTableError) as error:
                if not self.full_refresh:
                    raise
                self.push.line.log.warning("%s", error)
                found = stack.enter_context(rows.compared(full_refresh=True))
            yield found

    def _send(
        self, route: ProfileRoute, size: int, changes: _Changes, transaction: Transaction, journal: Journal | None
    ) -> Sent:
        # Nothing of them is sent, so what was set on them before is noted again.
        rejected = set(changes.kept)

        def on_rejection(rejection: Rejection, row: Any) -> None:
            rejected.add(row["custom_id"])
            if self.push.on_rejection is not None:
                self.push.on_rejection(rejection, row)

        def on_doubt(lines: Sequence[bytes]) -> None:
            rejected.update(split(line)[0] for line in lines)

        push = replace(self.push, on_rejection=on_rejection, on_doubt=on_doubt)
        sent = push.send(route, Again(changes, size), len(changes), journal, series=transaction.series)
        push.line.check()
        # Batch reports nothing more about accepted calls, so no later run has to wait for them.
        transaction.commit((), rejected=list(rejected))
        return sent

    def _check(self, plan: Plan, intake: ProfileIntake, kept: int = 0) -> None:
        """Check that the new set does not look like a mistake."""
        name, counts = push_name(self.push.batch_conn_id), plan.counts
        if not counts.given and not self.limits.allow_empty:
            found = "there are no rows"
            for first in intake.rejections[:1]:
                reason = first.reason.removesuffix(".")
                found = f"no row is valid, {intake.rejected:,} were rejected; the first: {first.where}: {reason}"
            raise EmptySetError(f"{name}: {found}. If that is intended, pass allow_empty=True.")
        if plan.before is None:
            return
        check_shrink(name, plan.before, counts.given, self.limits.max_shrink)
        if not (plan.replaces or self.full_refresh):
            removes = counts.removes - kept if self.on_gone == "clear" else 0
            check_changes(name, plan.before, counts.adds, removes, self.limits.max_changes)
