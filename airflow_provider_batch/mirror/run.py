"""One run of a mirror: what has changed since the last run, sent as a push, and noted once all of it was accepted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from airflow_provider_batch.exceptions import BatchNotFoundError, BatchRequestError
from airflow_provider_batch.mirror.guards import Limits
from airflow_provider_batch.mirror.plan import Mirror, Plan
from airflow_provider_batch.protocol.arguments import FirstRun
from airflow_provider_batch.protocol.audiences.audience import IndexingOutcome
from airflow_provider_batch.protocol.audiences.chunk import CheckedChunks
from airflow_provider_batch.protocol.audiences.conversations import await_indexing, confirmed
from airflow_provider_batch.protocol.audiences.intake import Intake
from airflow_provider_batch.protocol.audiences.results import MirrorResult, result_of
from airflow_provider_batch.protocol.audiences.writes import AudienceWrites, planned
from airflow_provider_batch.protocol.retry import Patience
from airflow_provider_batch.protocol.rows import NAMED_REJECTIONS, Rejection
from airflow_provider_batch.protocol.writes import Sent
from airflow_provider_batch.push.line import Line
from airflow_provider_batch.push.parcels import Journal
from airflow_provider_batch.push.push import Push


@dataclass(frozen=True, slots=True)
class MirrorRun:
    """
    What is sent to whom, and compared with which snapshot.

    :param max_concurrency: calls in flight.
    :param owner: names this run for others; the same in all tries of one task.
    :param is_sorted: whether the source promises ascending ids.
    :param first_run: whether members that Batch has already stay in a run without a snapshot, or are replaced.
    :param full_refresh: replace the audience, whatever the snapshot contains.
    """

    line: Line
    writes: AudienceWrites
    mirror: Mirror
    max_concurrency: int
    owner: str
    is_sorted: bool = False
    first_run: FirstRun = "add"
    full_refresh: bool = False
    limits: Limits = field(default_factory=Limits)

    def run(
        self,
        ids: Intake,
        *,
        journal: Journal | None = None,
        prepare: Callable[[], object] | None = None,
        dry_run: bool = False,
    ) -> MirrorResult:
        """
        Send what has changed since the last run.

        :param ids: the whole set, read once and before the first call.
        :param prepare: called before the first call, if there is one.
        """
        with self.mirror.plan(
            ids.blocks(),
            is_sorted=self.is_sorted,
            first_run=self.first_run,
            full_refresh=self.full_refresh,
        ) as plan:
            plan.check(self.limits)
            writes = replace(self.writes, replaces=plan.replaces)
            chunks = CheckedChunks(plan.adds, plan.removes, size=writes.chunk_size, allow_empty=plan.replaces)
            if dry_run:
                sent = planned(chunks, time.monotonic)
            elif plan.is_settled:
                sent = self._settle(plan)
            else:
                sent = self._send(writes, chunks, plan, journal, prepare)
            return self._result(writes, chunks, sent, plan, ids)

    def _settle(self, plan: Plan) -> Sent:
        """Send nothing: Batch has the new set, though what made it so may not have been confirmed yet."""
        self.mirror.drop_claim(self.owner)
        # A retry whose earlier try sent everything, but did not see it indexed, goes on waiting.
        waiting = plan.unconfirmed
        if waiting and self._await_earlier(plan, 0.0) is None:
            self.mirror.confirm(waiting)
            waiting = ()
        return Sent(indexing_tokens=waiting, earlier_calls=len(waiting))

    def _send(
        self,
        writes: AudienceWrites,
        chunks: CheckedChunks,
        plan: Plan,
        journal: Journal | None,
        prepare: Callable[[], object] | None,
    ) -> Sent:
        if plan.unconfirmed:
            self._confirm_earlier(plan)
        if prepare is not None:
            prepare()
        rejected: list[str] = []

        def note(rejection: Rejection, id_: Any) -> None:
            rejected.append(id_)
            if self.writes.on_rejection is not None:
                self.writes.on_rejection(rejection, id_)

        push = Push(self.line, replace(writes, on_rejection=note), writes.audience_name, self.max_concurrency)
        with plan.begin(self.owner) as attempt:
            sent = push.run(
                chunks,
                total=chunks.total,
                journal=journal,
                series=attempt.series,
                on_receipt=lambda receipt: attempt.renew(),
            )
            attempt.commit(sent.indexing_tokens, rejected=rejected)
        return sent

    def _confirm_earlier(self, plan: Plan) -> None:
        """
        Wait until what the last run sent is indexed.

        No page promises that writes are applied in order: an id that the last run added must not be removed before.
        """
        self.line.log.info(
            "%s: waiting for the last run's writes, which are not known to be indexed", self.writes.audience_name
        )
        timeout = self.writes.patience.timeout
        if (outcome := self._await_earlier(plan, timeout)) is not None:
            confirmed(outcome, self.writes.audience_name, timeout)

    def _await_earlier(self, plan: Plan, timeout: float) -> IndexingOutcome | None:
        """
        Ask for the last run's writes until they are indexed, or so many seconds have passed.

        None means that Batch no longer knows a token. How long one lives is not documented, and an expired token must
        not block every run from then on.
        """
        name = self.writes.audience_name
        waiting = partial(await_indexing, self.writes.dialect, name, plan.unconfirmed)
        try:
            return self.line.wait(waiting, Patience(self.writes.patience.poke_interval, timeout))
        except (BatchNotFoundError, BatchRequestError) as error:
            self.line.log.warning("%s: Batch does not report the state of the last run's writes: %s", name, error)
            return None

    def _result(
        self, writes: AudienceWrites, chunks: CheckedChunks, sent: Sent, plan: Plan, ids: Intake
    ) -> MirrorResult:
        result = result_of(
            MirrorResult,
            writes,
            chunks,
            sent,
            unchanged=0 if plan.replaces else plan.counts.unchanged,
            members=plan.counts.given,
            replaced=plan.replaces,
        )
        return replace(
            result,
            duplicates=result.duplicates + plan.counts.duplicates,
            rejected=result.rejected + ids.rejected,
            rejections=(*ids.rejections, *result.rejections)[:NAMED_REJECTIONS],
        )
