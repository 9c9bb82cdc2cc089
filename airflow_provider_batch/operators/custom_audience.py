"""Operators that change Batch's custom audiences."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowSkipException, conf

from airflow_provider_batch.operators.failing import hopeless_fails
from airflow_provider_batch.operators.rendering import RendersIdsAsCounts

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_provider_batch.hooks.batch import BatchHook
    from airflow_provider_batch.operators.journal import TaskStateJournal


class CustomAudienceUpdateOperator(RendersIdsAsCounts):
    """
    Add ids to an existing custom audience of Batch, remove ids from it, or both.

    Returns the indexing tokens, one a call, so that a sensor takes ``indexing_tokens=update.output``; pushes the
    XCom ``summary`` with the counts: audience, type, added, removed, duplicates, rejected (and the first reasons),
    calls, seconds. Bad input and refusals (400, 401, 403, 404) fail without retries; what may pass is first tried
    again call by call, then left to the DAG's retries. On Airflow 3.3 and later a retry sends only what is left, and
    waits for what it knows; before, it sends everything again, which is safe: an id has one action in a run. See https://doc.batch.com/developer/api/mep/custom-audience/1.0/update.

    :param audience_name: an existing audience: letters, digits, ``_`` and ``-``, at most 255. (templated)
    :param add_ids: ids to add: an iterable of str or int, of rows of one column, or an upstream task's output. An id
        has at most 128 characters. (templated)
    :param remove_ids: ids to remove, likewise; they win over ``add_ids``. (templated)
    :param audience_type: ``custom_ids`` or ``advertising_ids``. (templated)
    :param batch_conn_id: the Airflow connection. (templated)
    :param chunk_size: ids in one call, at most 10,000.
    :param max_concurrency: calls in flight, at most 64; None for what the connection says.
    :param on_invalid_id: ``fail`` before anything is sent, or ``skip`` what is no id and report it.
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
    """

    id_fields = ("add_ids", "remove_ids")
    template_fields: Sequence[str] = ("audience_name", "add_ids", "remove_ids", "audience_type", "batch_conn_id")
    ui_color = "#d8efe6"

    def __init__(
        self,
        *,
        audience_name: str,
        add_ids: Iterable[object] | XComArg | str | None = None,
        remove_ids: Iterable[object] | XComArg | str | None = None,
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name
        self.add_ids = add_ids
        self.remove_ids = remove_ids
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

    @cached_property
    def hook(self) -> BatchHook:
        """The hook of the connection; imported here so that parsing a DAG file does not pay for it."""
        from airflow_provider_batch.hooks.batch import BatchHook

        return BatchHook(self.batch_conn_id)

    def execute(self, context: Context) -> list[str]:
        """Push the ids, and wait if that is asked for."""
        journal = _journal(context)
        ti = context.get("ti")
        if journal is None and getattr(ti, "try_number", 1) > 1:
            self.log.info("Airflow before 3.3 keeps nothing between two tries: everything is sent again, which is safe")
        with hopeless_fails(journal):
            result = self.hook.update_custom_audience(
                self.audience_name,
                add_ids=self.ids("add_ids"),
                remove_ids=self.ids("remove_ids"),
                audience_type=self.audience_type,
                chunk_size=self.chunk_size,
                max_concurrency=self.max_concurrency,
                on_invalid_id=self.on_invalid_id,
                on_rejected_chunk=self.on_rejected_chunk,
                journal=journal,
            )
            if ti is not None:
                ti.xcom_push(key="summary", value=result.summary())
            result.check_rejected(self.max_rejected)
            if not result.indexing_tokens and self.skip_on_empty:
                raise AirflowSkipException(f"{self.audience_name}: nothing to send")
            if result.indexing_tokens and self.wait_for_indexing:
                self._wait(result.indexing_tokens)
        if journal is not None:
            journal.clear()
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
        if journal is not None:
            journal.clear()
        return list(indexed.indexing_tokens)

    def on_kill(self) -> None:
        """Send no further call and give up any wait; what Batch has accepted stays."""
        self.hook.stop()

    def _wait(self, indexing_tokens: list[str]) -> None:
        if not self.deferrable:
            self.hook.wait_for_indexing(
                self.audience_name,
                indexing_tokens,
                poke_interval=self.poke_interval,
                timeout=self.indexing_timeout,
            )
            return
        # Deferring costs two starts of a worker: ask once before.
        checked = self.hook.check_indexing(self.audience_name, indexing_tokens)
        if checked.pending:
            self._defer(indexing_tokens, confirmed=len(indexing_tokens) - len(checked.pending))

    def _defer(self, indexing_tokens: list[str], confirmed: int) -> None:
        from airflow_provider_batch.triggers.custom_audience import DEFERRAL_GRACE, CustomAudienceIndexingTrigger

        now = time.time()
        trigger = CustomAudienceIndexingTrigger(
            batch_conn_id=self.batch_conn_id,
            audience_name=self.audience_name,
            indexing_tokens=indexing_tokens,
            confirmed=confirmed,
            poke_interval=self.poke_interval,
            start_time=now,
            end_time=now + self.indexing_timeout,
        )
        timeout = timedelta(seconds=self.indexing_timeout) + DEFERRAL_GRACE
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)


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
