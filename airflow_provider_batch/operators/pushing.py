"""What all operators of Batch's audiences share, and what all those share that push ids."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator, conf

from airflow_provider_batch.exceptions import EmptySetError
from airflow_provider_batch.links.batch import BatchDashboardLink, keep_dashboard_url
from airflow_provider_batch.operators.failing import hopeless_fails
from airflow_provider_batch.operators.outlets import (
    awaited,
    check_alone,
    check_outlets,
    check_own,
    tell_outlets,
    withhold_events,
)
from airflow_provider_batch.operators.rendering import RendersIdsAsCounts
from airflow_provider_batch.protocol.shares import check_limit

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_batch.hooks.batch import BatchHook
    from airflow_provider_batch.operators.journal import TaskStateJournal
    from airflow_provider_batch.operators.mapping import Expansion, MappedBy, Use
    from airflow_provider_batch.protocol.model import CustomAudience, PushResult


class AudienceOperator(BaseOperator):
    """An operator that speaks with Batch over one connection, about audiences of one type."""

    batch_conn_id: str
    #: Whether it ends when the audience is indexed, so that an outlet may say that.
    wait_for_indexing = False
    operator_extra_links = (BatchDashboardLink(),)
    ui_color = "#d8efe6"

    def pre_execute(self, context: Context) -> None:
        """Refuse outlets that would say what the task does not know, and keep the address for the link."""
        super().pre_execute(context)
        with hopeless_fails():
            check_outlets(self, waits=self.wait_for_indexing)
            check_own(self)
            check_alone(self, context)
        keep_dashboard_url(self, context)

    @cached_property
    def hook(self) -> BatchHook:
        """The hook of the connection; imported here so that parsing a DAG file does not pay for it."""
        from airflow_provider_batch.hooks.batch import BatchHook

        return BatchHook(self.batch_conn_id)

    def on_kill(self) -> None:
        """Send no further call and give up any wait; what Batch has accepted stays."""
        self.hook.stop()


class PushOperator(RendersIdsAsCounts, AudienceOperator):
    """
    An operator that pushes ids to one audience, and waits for them if that is asked for.

    Returns the indexing tokens, one a call, so that a sensor takes ``indexing_tokens=push.output``; pushes the XCom
    ``summary`` with the counts. Bad input and refusals (400, 401, 403, 404) fail without retries; what may pass is
    first tried again call by call, then left to the DAG's retries. On Airflow 3.3 and later a retry sends only what is
    left, and waits for what it knows; before, it sends everything again, which is safe.

    An audience among its ``outlets`` (:func:`~airflow_provider_batch.assets.custom_audience.custom_audience_asset`)
    takes ``wait_for_indexing``: its event says that the audience is indexed, and has the counts as extra.

    Mapped tasks (``.partial(…).expand(…)``) push the shards of a source side by side, and one
    :class:`~airflow_provider_batch.sensors.custom_audience.CustomAudienceIndexingSensor` waits for the tokens of all.
    They run in any order, so tasks that may undo what another of them does to the same audience are refused before the
    first call, unless ``mapped_by`` says why they can't. Two tasks of one DAG know nothing of each other: between one
    that removes and one that adds the same ids, mapped or not, put the wait for the tokens of the first.

    :param audience_name: an existing audience: letters, digits, ``_`` and ``-``, at most 255. (templated)
    :param audience_type: ``custom_ids``; on the Mobile Engagement Platform also ``advertising_ids`` or
        ``install_ids``. (templated)
    :param batch_conn_id: the Airflow connection. (templated)
    :param chunk_size: ids in one call, at most 10,000.
    :param max_concurrency: calls in flight, at most 64; None for what the connection says.
    :param on_invalid_id: ``fail``, or ``skip`` what is no id and report it.
    :param on_rejected_chunk: ``fail`` when Batch refuses a call (400), or ``bisect``: send it in ever smaller parts
        until the refused ids stand alone, send the rest, and report their positions.
    :param max_rejected: how many skipped or refused values are tolerated: a count (int) or a share of all (float);
        with more the task fails, after everything else was sent. None for any number.
    :param skip_on_empty: skip the task when there is nothing to send, instead of succeeding.
    :param wait_for_indexing: wait until Batch has indexed every call.
    :param deferrable: wait in the triggerer instead of the worker.
    :param poke_interval: the most seconds (or a timedelta) between two questions for the state; they begin with one
        second and double.
    :param indexing_timeout: seconds (or a timedelta) to wait at most before the task fails.
    :param dry_run: check and count everything, and send nothing.
    :param mapped_by: of mapped tasks that add and remove: ``id`` promises that all rows of an id are in one of them.
        ``audience`` promises that no two push to the same audience over the same connection; it need not be said where
        those are all that the tasks are mapped over.
    """

    #: What the task has pushed, once that is known.
    _counts: Mapping[str, Any] | None = None

    def __init__(
        self,
        *,
        audience_name: str,
        audience_type: str = "custom_ids",
        batch_conn_id: str = "batch_default",
        chunk_size: int = 10_000,
        max_concurrency: int | None = None,
        on_invalid_id: Literal["fail", "skip"] = "fail",
        on_rejected_chunk: Literal["fail", "bisect"] = "fail",
        max_rejected: float | None = None,
        skip_on_empty: bool = False,
        wait_for_indexing: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 10,
        indexing_timeout: float | timedelta = 3600,
        dry_run: bool = False,
        mapped_by: MappedBy | None = None,
        **kwargs: Any,
    ) -> None:
        if mapped_by not in (None, "id", "audience"):
            raise ValueError(f"mapped_by: {mapped_by!r:.80} is none of id, audience")
        check_limit(max_rejected, "max_rejected")
        super().__init__(**kwargs)
        self.audience_name = audience_name
        self.audience_type = audience_type
        self.batch_conn_id = batch_conn_id
        self.chunk_size = chunk_size
        self.max_concurrency = max_concurrency
        self.on_invalid_id = on_invalid_id
        self.on_rejected_chunk = on_rejected_chunk
        self.max_rejected = max_rejected
        self.skip_on_empty = skip_on_empty
        self.wait_for_indexing = wait_for_indexing
        self.deferrable = deferrable
        self.poke_interval = seconds("poke_interval", poke_interval)
        self.indexing_timeout = seconds("indexing_timeout", indexing_timeout)
        self.is_dry_run = dry_run  # Airflow's own dry_run is a method
        self.mapped_by = mapped_by
        check_outlets(self, waits=wait_for_indexing)

    @abstractmethod
    def push(self, context: Context, journal: TaskStateJournal | None) -> PushResult:
        """Send the ids; *journal* knows what an earlier try has sent."""

    @abstractmethod
    def mapped_use(self, expansion: Expansion) -> Use:
        """Return what all mapped tasks of this operator do together, by what is known of their arguments."""

    def pre_execute(self, context: Context) -> None:
        """Refuse mapped tasks that may undo what another of them does."""
        super().pre_execute(context)
        if getattr(context.get("ti"), "map_index", -1) >= 0:
            from airflow_provider_batch.operators.mapping import check_mapped

            with hopeless_fails():
                check_mapped(self, context)

    def indexed(self, indexing_tokens: Sequence[str], audience: dict[str, Any] | None) -> None:
        """Go on after all these writes were indexed; *audience* is the last view, if one was needed."""

    def own_replace(self, indexing_tokens: Sequence[str]) -> str | None:
        """Return which of the tokens is that of a replace, if this operator replaces."""
        return None

    def execute(self, context: Context) -> list[str]:
        """Push the ids, and wait if that is asked for."""
        journal = _journal(context)
        ti = context.get("ti")
        if journal is None and getattr(ti, "try_number", 1) > 1:
            self.log.info("Airflow before 3.3 keeps nothing between two tries: everything is sent again, which is safe")
        with hopeless_fails(journal):
            try:
                result = self.push(context, journal)
            except EmptySetError:
                if not self.skip_on_empty:
                    raise
                raise AirflowSkipException(f"{self.audience_name}: there are no ids") from None
            self._counts = result.counts()
            if ti is not None:
                ti.xcom_push(key="summary", value=result.summary())
            result.check_rejected(self.max_rejected)
            if not result.calls and self.skip_on_empty:
                raise AirflowSkipException(f"{self.audience_name}: nothing to send")
            audience = None
            if self.wait_for_indexing and not self.is_dry_run:
                audience = self._wait(awaited(self, result.indexing_tokens))
                self.indexed(result.indexing_tokens, audience.to_dict() if audience else None)
        if journal is not None:
            journal.clear()
        if self.is_dry_run:
            withhold_events(self)
        tell_outlets(self, context, self._counts, audience.to_dict() if audience else None)
        return result.indexing_tokens

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[str]:
        """Return the tokens, now that the trigger has seen them confirmed."""
        from airflow_provider_batch.triggers.custom_audience import IndexingEvent

        journal = _journal(context)
        indexed = IndexingEvent.from_payload(event)
        with hopeless_fails(journal):
            indexed.raise_unless_finished()
            if indexed.warning:
                self.log.warning("%s: %s", self.audience_name, indexed.warning)
            self.indexed(indexed.own_tokens, indexed.audience)
        if journal is not None:
            journal.clear()
        self._counts = indexed.counts
        tell_outlets(self, context, indexed.counts or {}, indexed.audience)
        return indexed.own_tokens

    def openlineage_inputs(self) -> list[Any]:
        """Return the OpenLineage datasets that the ids come from; a transfer knows its tables or files."""
        return []

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Tell OpenLineage of the audience, with the ids that were added or removed as its rows; a dry run has none."""
        from airflow_provider_batch.operators.lineage import audience_lineage

        sent = self._counts
        try:
            inputs = self.openlineage_inputs()
        except Exception as error:  # noqa: BLE001 - of a database or a parser; the audience was written all the same
            self.log.warning("lineage: where the ids come from could not be told: %s", type(error).__name__)
            inputs = []
        return audience_lineage(
            self.batch_conn_id,
            self.audience_name,
            rows=sent["added"] + sent["removed"] if sent else None,
            inputs=inputs,
            written=not self.is_dry_run,
        )

    def _wait(self, indexing_tokens: list[str]) -> CustomAudience | None:
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
        # Deferring costs two starts of a worker: ask once before.
        checked = self.hook.check_indexing(
            self.audience_name, indexing_tokens, audience_type=self.audience_type, own_replace=own_replace
        )
        if checked.pending:
            defer_until_indexed(
                self,
                indexing_tokens,
                confirmed=len(indexing_tokens) - len(checked.pending),
                start_time=time.time(),
                timeout=self.indexing_timeout,
                own_replace=own_replace,
                counts=self._counts,
            )
        return checked.audience


def defer_until_indexed(
    operator: Any,
    indexing_tokens: Sequence[str],
    *,
    start_time: float,
    timeout: float,
    confirmed: int = 0,
    own_replace: str | None = None,
    counts: Mapping[str, Any] | None = None,
) -> NoReturn:
    """
    Wait in the triggerer and go on with the operator's ``execute_complete``.

    :param operator: gives the connection, the audience's name and type, and the poke interval.
    :param start_time: when the wait began, in seconds since the epoch.
    :param timeout: after how many seconds it ends.
    :param confirmed: how many of the tokens, from the first, are known to be confirmed.
    :param counts: what was pushed, for the event of the trigger: nothing else gets past the deferral.
    """
    from airflow_provider_batch.triggers.custom_audience import DEFERRAL_GRACE, CustomAudienceIndexingTrigger

    trigger = CustomAudienceIndexingTrigger(
        batch_conn_id=operator.batch_conn_id,
        audience_name=operator.audience_name,
        audience_type=operator.audience_type,
        indexing_tokens=indexing_tokens,
        confirmed=confirmed,
        own_replace=own_replace,
        poke_interval=operator.poke_interval,
        start_time=start_time,
        end_time=start_time + timeout,
        counts=counts,
    )
    operator.defer(trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=timeout) + DEFERRAL_GRACE)
    raise AssertionError("defer does not return")


def _journal(context: Context) -> TaskStateJournal | None:
    """Return where the task instance keeps what was delivered; imported where a task runs, as the hook is."""
    from airflow_provider_batch.operators.journal import TaskStateJournal

    return TaskStateJournal.of(context)


def seconds(name: str, value: float | timedelta) -> float:
    """Return a time in seconds; it is not templated, so that a wrong one already fails the DAG file."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < math.inf:
        raise ValueError(f"{name}: {value!r} is no time; pass seconds above 0, or a timedelta")
    return number
