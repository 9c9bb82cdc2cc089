"""The base of the operators that push ids."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, cast

from airflow_provider_batch.operators.counted_push import CountedPush, task_journal
from airflow_provider_batch.operators.parameters import PushParameters
from airflow_provider_batch.protocol.arguments import read_seconds
from airflow_provider_batch.tasks.airflow_arguments import AirflowArguments
from airflow_provider_batch.tasks.audience import AudienceTask
from airflow_provider_batch.tasks.deferral import defer_until_indexed
from airflow_provider_batch.tasks.failure import fail_without_retry
from airflow_provider_batch.tasks.outlets import awaited, check_outlets, emit_outlet_events, suppress_outlet_events

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_batch.protocol.audiences.audience import CustomAudience
    from airflow_provider_batch.protocol.audiences.results import PushResult
    from airflow_provider_batch.tasks.journal import TaskStateJournal
    from airflow_provider_batch.tasks.mapped import Expansion, Use


class PushOperator(CountedPush, AudienceTask, takes=PushParameters):
    """
    An operator that pushes ids to one audience and, with ``wait_for_indexing``, waits until they are indexed.

    An audience among its ``outlets`` (:func:`~airflow_provider_batch.assets.custom_audience.custom_audience_asset`)
    needs ``wait_for_indexing``: its event means that the audience is indexed, and has the counts as extra.

    Mapped tasks (``.partial(…).expand(…)``) push the shards of a source side by side, and one
    :class:`~airflow_provider_batch.sensors.custom_audience.CustomAudienceIndexingSensor` waits for the tokens of all.
    They run in any order, so tasks that may undo what another of them does to the same audience are refused before the
    first call, unless ``mapped_by`` promises that they cannot. Two tasks of one DAG know nothing of each other: between
    one that removes and one that adds the same ids, mapped or not, put the wait for the tokens of the first.
    """

    def __init__(self, *, wait_for_indexing: bool = False, **kwargs: Unpack[PushParameters]) -> None:
        self.audience_name = kwargs["audience_name"]
        del kwargs["audience_name"]  # type: ignore[misc]  # Airflow does not know it
        self.audience_type = kwargs.pop("audience_type")
        self.batch_conn_id = kwargs.pop("batch_conn_id")
        self.create_if_missing = kwargs.pop("create_if_missing")
        self.chunk_size = kwargs.pop("chunk_size")
        self.max_concurrency = kwargs.pop("max_concurrency")
        self.on_invalid_id = kwargs.pop("on_invalid_id")
        self.trim_ids = kwargs.pop("trim_ids")
        self.on_rejected_chunk = kwargs.pop("on_rejected_chunk")
        self.max_rejected = kwargs.pop("max_rejected")
        self.skip_on_empty = kwargs.pop("skip_on_empty")
        self.wait_for_indexing = wait_for_indexing
        self.deferrable = kwargs.pop("deferrable")
        self.poke_interval = read_seconds("poke_interval", kwargs.pop("poke_interval"))
        self.indexing_timeout = read_seconds("indexing_timeout", kwargs.pop("indexing_timeout"))
        self.is_dry_run = kwargs.pop("dry_run")  # Airflow's own dry_run is a method
        self.mapped_by = kwargs.pop("mapped_by")
        super().__init__(**cast(AirflowArguments, kwargs))
        check_outlets(self, waits=wait_for_indexing)

    @property
    def recipient(self) -> str:
        """The audience's name."""
        return self.audience_name

    @abstractmethod
    def push(self, context: Context, journal: TaskStateJournal | None) -> PushResult:
        """Send the ids; *journal* holds what an earlier try has sent."""

    def shared_arguments(self, journal: TaskStateJournal | None) -> dict[str, Any]:
        """Return the arguments that every method of the hook takes that pushes ids."""
        return {
            "audience_type": self.audience_type,
            "chunk_size": self.chunk_size,
            "max_concurrency": self.max_concurrency,
            "on_invalid_id": self.on_invalid_id,
            "trim_ids": self.trim_ids,
            "on_rejected_chunk": self.on_rejected_chunk,
            "create_if_missing": self.create_if_missing,
            "journal": journal,
            "dry_run": self.is_dry_run,
        }

    @abstractmethod
    def mapped_use(self, expansion: Expansion) -> Use:
        """Return what all mapped tasks of this operator do together, as far as their arguments are known."""

    def pre_execute(self, context: Context) -> None:
        """Refuse mapped tasks that may undo what another one does."""
        from airflow_provider_batch.tasks.mapped import check_mapped

        super().pre_execute(context)
        with fail_without_retry():
            check_mapped(self, context)

    def indexed(self, indexing_tokens: Sequence[str], audience: dict[str, Any] | None) -> str | None:
        """
        Continue after all these writes were indexed, and return what a person should know, if anything.

        :param audience: the last view, if one was needed.
        """
        return None

    def own_replace(self, indexing_tokens: Sequence[str]) -> str | None:
        """Return which of the tokens is that of a replace, if this operator replaces."""
        return None

    def execute(self, context: Context) -> list[str]:
        """Push the ids, and wait if ``wait_for_indexing`` is set."""
        from airflow_provider_batch.tasks.closing import closing_failure

        journal = task_journal(context)
        with fail_without_retry(journal), closing_failure(self.log, self.audience_name):
            result: PushResult = self.checked_push(context, journal)
            audience, difference, began = None, None, time.monotonic()
            if self.wait_for_indexing and not self.is_dry_run:
                view = self._wait(awaited(self, result.indexing_tokens), result)
                audience = view.to_dict() if view else None
                difference = self.indexed(result.indexing_tokens, audience)
        if journal is not None:
            journal.clear()
        if self.is_dry_run:
            suppress_outlet_events(self)
        emit_outlet_events(self, context, self._counts or {}, audience)
        self._close(result.summary(), audience, time.monotonic() - began, difference)
        return result.indexing_tokens

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[str]:
        """Return the tokens, now that the trigger has seen them confirmed."""
        from airflow_provider_batch.hooks.metrics import report_indexed, report_polls
        from airflow_provider_batch.protocol.audiences.results import COUNTS
        from airflow_provider_batch.tasks.closing import closing_failure
        from airflow_provider_batch.triggers.custom_audience import IndexingEvent

        journal = task_journal(context)
        indexed = IndexingEvent.from_payload(event)
        report_polls(self.batch_conn_id, indexed.polls, audience=self.audience_name)
        with fail_without_retry(journal), closing_failure(self.log, self.audience_name):
            indexed.raise_unless_finished()
            if indexed.warning:
                self.log.warning("%s: %s", self.audience_name, indexed.warning)
            if indexed.audience is not None:
                report_indexed(self.batch_conn_id, self.audience_name, indexed.audience.get("nb_ids"), indexed.seconds)
            difference = self.indexed(indexed.own_tokens, indexed.audience)
        if journal is not None:
            journal.clear()
        summary = indexed.counts or {}
        self._counts = {name: summary[name] for name in COUNTS if name in summary}
        emit_outlet_events(self, context, self._counts, indexed.audience)
        if summary:
            self._close(summary, indexed.audience, indexed.seconds, difference)
        return indexed.own_tokens

    def _close(
        self,
        summary: Mapping[str, Any],
        audience: Mapping[str, Any] | None,
        seconds: float | None,
        difference: str | None,
    ) -> None:
        from airflow_provider_batch.tasks.closing import closing_line

        line = closing_line(
            summary, audience=audience, waits=self.wait_for_indexing, seconds=seconds, difference=difference
        )
        self.log.info("%s", line)

    def _wait(self, indexing_tokens: list[str], result: PushResult) -> CustomAudience | None:
        own_replace = self.own_replace(indexing_tokens)
        if not self.deferrable:
            return self.hook.wait_for_indexing(
                self.audience_name,
                indexing_tokens,
                audience_type=self.audience_type,
                poke_interval=self.poke_interval,
                timeout=self.indexing_timeout,
                own_replace=own_replace,
            )
        from airflow_provider_batch.hooks.metrics import report_indexed

        start_time = time.time()
        # Deferring costs two starts of a worker: view the state once before.
        checked = self.hook.check_indexing(
            self.audience_name, indexing_tokens, audience_type=self.audience_type, own_replace=own_replace
        )
        if checked.pending:
            defer_until_indexed(
                self,
                indexing_tokens,
                confirmed=len(indexing_tokens) - len(checked.pending),
                start_time=start_time,
                timeout=self.indexing_timeout,
                own_replace=own_replace,
                counts=result.summary(),
            )
        if checked.audience is not None:
            seconds = time.time() - start_time
            report_indexed(self.batch_conn_id, self.audience_name, checked.audience.nb_ids, seconds)
        return checked.audience
