"""One run of a mirror: what has changed since the last one, sent as a push, and noted once all of it was accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_batch.exceptions import BatchNotFoundError, BatchRequestError
from airflow_provider_batch.hooks.connection import Settings
from airflow_provider_batch.hooks.pushing import Push
from airflow_provider_batch.mirror.plan import FirstRun, Mirror, Plan
from airflow_provider_batch.protocol import flow
from airflow_provider_batch.protocol.chunk import CheckedChunks
from airflow_provider_batch.protocol.intake import Intake
from airflow_provider_batch.protocol.model import (
    IndexingOutcome,
    MirrorResult,
    PushResult,
    Receipt,
    Rejection,
)
from airflow_provider_batch.protocol.shares import check_limit
from airflow_provider_batch.resume import Journal

if TYPE_CHECKING:
    from airflow_provider_batch.transport.blocking import BlockingTransport


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What a run may do without being taken for a mistake.

    :param max_shrink: how much smaller the set may get: a share of the last one (float), or a count (int).
    :param max_changes: how many ids may be sent, likewise.
    :raises InvalidArgumentError: if one of them is neither.
    """

    max_shrink: float | None = None
    max_changes: float | None = None
    allow_empty: bool = False

    def __post_init__(self) -> None:
        check_limit(self.max_shrink, "max_shrink")
        check_limit(self.max_changes, "max_changes")


@dataclass(frozen=True, slots=True)
class MirrorRun:
    """
    What is sent to whom, and against which snapshot.

    :param owner: who is at work; the same over the tries of one task.
    :param is_sorted: whether the source promises ascending ids.
    """

    push: Push
    mirror: Mirror
    owner: str
    is_sorted: bool = False
    first_run: FirstRun = "add"
    full_refresh: bool = False
    limits: Limits = Limits()

    def run(
        self,
        ids: Intake,
        settings: Settings,
        transport: BlockingTransport,
        log: Any,
        *,
        journal: Journal | None = None,
        prepare: Callable[[], object] | None = None,
        dry_run: bool = False,
    ) -> MirrorResult:
        """
        Send what has changed since the last run.

        :param ids: the whole set, read once and before the first call.
        :param prepare: is called before the first call, if there is one.
        """
        with self.mirror.plan(
            ids.blocks(),
            is_sorted=self.is_sorted,
            first_run=self.first_run,
            full_refresh=self.full_refresh,
        ) as plan:
            plan.check(
                max_shrink=self.limits.max_shrink,
                max_changes=self.limits.max_changes,
                allow_empty=self.limits.allow_empty,
            )
            push = replace(self.push, replaces=plan.replaces)
            if dry_run:
                return self._result(push.count(_chunks(push, plan), log), plan, ids)
            if plan.is_settled:
                self.mirror.drop_claim(self.owner)
                # A retry whose earlier try sent everything, but did not see it indexed, goes on waiting.
                waiting = plan.unconfirmed
                if waiting and self._ask(plan, 0.0, settings, transport, log) is None:
                    self.mirror.confirm(waiting)
                    waiting = ()
                return self._result(push.nothing_new(waiting), plan, ids)
            if plan.unconfirmed:
                self._wait_for_earlier(plan, settings, transport, log)
            if prepare is not None:
                prepare()
            return self._send(push, plan, ids, settings, transport, log, journal)

    def _send(
        self,
        push: Push,
        plan: Plan,
        ids: Intake,
        settings: Settings,
        transport: BlockingTransport,
        log: Any,
        journal: Journal | None,
    ) -> MirrorResult:
        refused: list[str] = []

        def note(rejection: Rejection, id_: Any) -> None:
            refused.append(id_)
            if self.push.on_rejection is not None:
                self.push.on_rejection(rejection, id_)

        with plan.begin(self.owner) as attempt:

            def renew(receipt: Receipt) -> None:
                attempt.renew()

            result = replace(push, on_rejection=note).run(
                _chunks(push, plan),
                settings,
                transport,
                log,
                journal=journal,
                series=attempt.series,
                on_receipt=renew,
            )
            attempt.commit(result.indexing_tokens, refused=refused)
        return self._result(result, plan, ids)

    def _wait_for_earlier(self, plan: Plan, settings: Settings, transport: BlockingTransport, log: Any) -> None:
        """
        Wait until what the last run sent is indexed.

        No page promises that writes are processed in their order: an id that it added must not be removed before.
        """
        log.info("%s: the last run's writes are not known to be indexed: waiting for them", self.push.audience_name)
        patience = self.push.indexing.timeout
        if (outcome := self._ask(plan, patience, settings, transport, log)) is not None:
            flow.confirmed(outcome, self.push.audience_name, patience)

    def _ask(
        self, plan: Plan, patience: float, settings: Settings, transport: BlockingTransport, log: Any
    ) -> IndexingOutcome | None:
        """
        Ask for the last run's writes until they are indexed, or so many seconds have passed.

        How long a token lives is on no page: None says that Batch does not know one any more, which must not block all
        runs from then on.
        """
        indexing = replace(self.push.indexing, timeout=patience)
        wait = indexing.wait(settings, self.push.dialect, self.push.audience_name, plan.unconfirmed)
        try:
            return flow.run(wait, transport.perform)
        except (BatchNotFoundError, BatchRequestError) as error:
            log.warning(
                "%s: Batch does not tell the state of the last run's writes: %s", self.push.audience_name, error
            )
            return None

    def _result(self, result: PushResult, plan: Plan, ids: Intake) -> MirrorResult:
        fields = {name: getattr(result, name) for name in PushResult.__dataclass_fields__}
        fields["duplicates"] += plan.counts.duplicates
        fields["rejected"] += ids.rejected
        fields["rejections"] = (*ids.rejections, *result.rejections)
        return MirrorResult(
            **fields,
            unchanged=0 if plan.replaces else plan.counts.unchanged,
            members=plan.counts.given,
            replaced=plan.replaces,
        )


def _chunks(push: Push, plan: Plan) -> CheckedChunks:
    return CheckedChunks(plan.adds, plan.removes, size=push.chunk_size, allow_empty=plan.replaces)
