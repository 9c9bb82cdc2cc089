"""One run of a mirror: what changed since the last run is sent as a push, and committed once all of it was accepted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from airflow_provider_batch.exceptions import BatchNotFoundError, BatchRequestError
from airflow_provider_batch.mirror.guards import Limits
from airflow_provider_batch.mirror.store import Plan, Store
from airflow_provider_batch.protocol.arguments import FirstRun
from airflow_provider_batch.protocol.audiences.audience import IndexingOutcome
from airflow_provider_batch.protocol.audiences.chunk import CheckedChunks
from airflow_provider_batch.protocol.audiences.conversations import await_indexing, confirmed
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.audiences.results import MirrorResult, result_of
from airflow_provider_batch.protocol.audiences.writes import AudienceWrites
from airflow_provider_batch.protocol.retry import Patience
from airflow_provider_batch.protocol.rows import NAMED_REJECTIONS, Rejection
from airflow_provider_batch.protocol.writes import Sent
from airflow_provider_batch.push.line import Line
from airflow_provider_batch.push.parcels import Journal
from airflow_provider_batch.push.push import Push, planned


@dataclass(frozen=True, slots=True)
class MirrorRun:
    """
    Where a run sends, how, and which snapshot it is compared with.

    :param max_concurrency: calls in flight at most.
    :param owner: identifies this run to others; the same in all tries of one task.
    :param is_sorted: see :meth:`.Store.plan`, as for ``first_run`` and ``full_refresh``.
    """

    line: Line
    writes: AudienceWrites
    store: Store
    max_concurrency: int
    owner: str
    is_sorted: bool = False
    first_run: FirstRun = "add"
    full_refresh: bool = False
    limits: Limits = field(default_factory=Limits)

    def run(
        self,
        ids: MemberIntake,
        *,
        journal: Journal | None = None,
        prepare: Callable[[], object] | None = None,
        dry_run: bool = False,
    ) -> MirrorResult:
        """
        Send what changed since the last run.

        :param ids: the whole set, read once and before the first call.
        :param prepare: called before the first call, if there is one.
        """
        with self.store.plan(
            ids.blocks(),
            is_sorted=self.is_sorted,
            first_run=self.first_run,
            full_refresh=self.full_refresh,
            checkpoint=self.line.check,
        ) as plan:
            self.line.check()
            plan.check(self.limits)
            writes = replace(self.writes, replaces=plan.replaces)
            chunks = CheckedChunks(plan.adds, plan.removes, size=writes.chunk_size, allow_empty=plan.replaces)
            if dry_run:
                sent = planned(chunks)
            elif plan.is_empty:
                sent = self._send_nothing(plan)
            else:
                sent = self._send(writes, chunks, plan, journal, prepare)
            return self._result(writes, chunks, sent, plan, ids)

    def _send_nothing(self, plan: Plan) -> Sent:
        """Return the unconfirmed tokens of the last run: if this is its retry, the wait for them goes on."""
        self.store.release(self.owner)
        tokens = plan.unconfirmed_tokens
        if tokens and self._await_tokens(tokens, 0.0) is None:
            self.store.confirm(tokens)
            tokens = ()
        return Sent(indexing_tokens=tokens, earlier_calls=len(tokens))

    def _send(
        self,
        writes: AudienceWrites,
        chunks: CheckedChunks,
        plan: Plan,
        journal: Journal | None,
        prepare: Callable[[], object] | None,
    ) -> Sent:
        name = writes.audience_name
        if tokens := plan.tokens_to_await:
            self.line.log.info("%s: waiting until the writes of the last run are indexed", name)
            if (outcome := self._await_tokens(tokens, writes.patience.timeout)) is not None:
                confirmed(outcome, name, writes.patience.timeout)
        if prepare is not None:
            prepare()
        rejected: list[str] = []

        def on_rejection(rejection: Rejection, id_: Any) -> None:
            rejected.append(id_)
            if self.writes.on_rejection is not None:
                self.writes.on_rejection(rejection, id_)

        with plan.begin(self.owner) as transaction, self.line.transport.watched(transaction.look):
            writes = replace(writes, on_rejection=on_rejection, on_token=transaction.accepted)
            push = Push(self.line, writes, name, self.max_concurrency)
            sent = push.run(chunks, total=chunks.total, journal=journal, series=transaction.series)
            self.line.check()
            transaction.commit(sent.indexing_tokens, rejected=rejected)
        return sent

    def _await_tokens(self, indexing_tokens: Sequence[str], timeout: float) -> IndexingOutcome | None:
        """
        Poll writes of earlier tries until they are indexed, or *timeout* seconds have passed.

        Return None if none is left to wait for, but Batch no longer recognises one: it documents no lifetime of
        tokens, and an expired one must not block all further runs.
        """
        name, deadline = self.writes.audience_name, time.monotonic() + timeout
        outcome: IndexingOutcome | None = None
        unknown: Exception | None = None
        for position, token in enumerate(indexing_tokens):
            waiting = partial(await_indexing, self.writes.dialect, name, [token])
            left = max(0.0, deadline - time.monotonic())
            try:
                outcome = self.line.wait(waiting, Patience(self.writes.patience.poke_interval, left))
            except (BatchNotFoundError, BatchRequestError) as error:
                unknown = unknown or error
                continue
            if outcome.pending:
                return replace(outcome, pending=tuple(indexing_tokens[position:]))
        if unknown:
            self.line.log.warning("%s: Batch does not report the state of the last run's writes: %s", name, unknown)
        return None if unknown else outcome

    def _result(
        self, writes: AudienceWrites, chunks: CheckedChunks, sent: Sent, plan: Plan, ids: MemberIntake
    ) -> MirrorResult:
        result = result_of(
            MirrorResult,
            writes,
            chunks,
            sent,
            unchanged=plan.counts.unchanged,
            members=plan.counts.given,
            replaced=plan.replaces,
        )
        return replace(
            result,
            duplicates=result.duplicates + plan.counts.duplicates,
            rejected=result.rejected + ids.rejected,
            rejections=(*ids.rejections, *result.rejections)[:NAMED_REJECTIONS],
        )
