"""The sensor that waits until Batch has indexed what was pushed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Unpack

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_batch.exceptions import IndexingTimeoutError, InvalidArgumentError, counted
from airflow_provider_batch.protocol.arguments import TRANSFER_MODES
from airflow_provider_batch.protocol.audiences.tokens import LAST_WRITE, describe_tokens, read_indexing_tokens
from airflow_provider_batch.tasks.airflow_arguments import AirflowArguments, SensorArguments
from airflow_provider_batch.tasks.audience import AudienceTask
from airflow_provider_batch.tasks.deferral import defer_until_indexed
from airflow_provider_batch.tasks.failure import fail_without_retry
from airflow_provider_batch.tasks.mapped import were_skipped
from airflow_provider_batch.tasks.memory import Memory
from airflow_provider_batch.tasks.outlets import awaited, emit_outlet_events

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg
    from airflow.providers.openlineage.extractors import OperatorLineage


#: The key of a rescheduled sensor's progress in the state store of the task instance.
_PROGRESS: Final = "indexing"


class CustomAudienceIndexingSensor(AudienceTask, BaseSensorOperator, takes=AirflowArguments):
    """
    Wait until Batch has indexed every write behind the tokens of one push, or of several mapped ones.

    Returns the audience's view: name, type, description, nb_ids, created, updated, indexing_state. Without
    tokens it ends at once and returns None. Each poke starts with the first token that is not yet confirmed (in mode
    ``reschedule`` only from Airflow 3.3 on); after a transient error (no answer, 429, 5xx) the next poke tries again.
    ``REPLACED`` counts as confirmed, with a warning; an undocumented state never does. The event of an audience among
    its ``outlets`` (:func:`~airflow_provider_batch.assets.custom_audience.custom_audience_asset`) has ``nb_ids`` and
    ``indexing_state`` as extra; with such an outlet and no tokens it waits for the last write, whoever made it. See
    https://doc.batch.com/developer/api/cep/audiences/view and https://doc.batch.com/api/custom-audience/1.0/get/.

    :param audience_name: the audience that was pushed to. (templated)
    :param indexing_tokens: one token, a list of them, or the lists of mapped tasks. (templated)
    :param audience_type: its type, which on the Mobile Engagement Platform selects the version of the API. (templated)
    :param batch_conn_id: the Airflow connection that it was pushed with. (templated)
    :param deferrable: poke once in the worker, then wait in the triggerer.
    """

    template_fields: Sequence[str] = ("audience_name", "indexing_tokens", "audience_type", "batch_conn_id")
    wait_for_indexing = True
    #: The audience as it was last seen, once it is indexed.
    _view: Mapping[str, Any] | None = None

    def __init__(
        self,
        *,
        audience_name: str,
        indexing_tokens: str | Iterable[Any] | XComArg,
        audience_type: str = "custom_ids",
        batch_conn_id: str = "batch_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        defaults = kwargs.get("default_args") or {}
        if "mode" not in kwargs and defaults.get("mode") in TRANSFER_MODES:  # meant for the transfers of the DAG
            kwargs["mode"] = "poke"
        super().__init__(**kwargs)
        self.audience_name = audience_name
        self.indexing_tokens = indexing_tokens
        self.audience_type = audience_type
        self.batch_conn_id = batch_conn_id
        self.deferrable = deferrable
        self._confirmed: int | None = None
        self._pending: tuple[str, ...] = ()
        self._tokens: Sequence[str] = ()

    def execute(self, context: Context) -> Any:
        """Poke until all tokens are confirmed; or poke once and defer."""
        self._confirmed = None
        began = time.time()
        if self.deferrable:
            return self._indexed(context, self._poke_or_defer(context), time.time() - began)
        try:
            view = super().execute(context)
        except AirflowSensorTimeout as timeout:
            raise AirflowSensorTimeout(f"{timeout} {self._missing()}") from None
        except AirflowSkipException:
            self.hook.pause()  # raises where ``never_fail`` has made a skip of a stop
            raise
        # The process that rescheduled itself first has not noted when it began.
        return self._indexed(context, view, None if self.reschedule else time.time() - began)

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll the tokens that are not yet confirmed, up to the first that still is not."""
        with fail_without_retry():
            self._tokens = tokens = awaited(self, self._read_tokens(context))
            if self._confirmed is None:
                self._confirmed = self._load_progress(context, tokens)
            outcome = self.hook.check_indexing(
                self.audience_name, tokens[self._confirmed :], audience_type=self.audience_type
            )
        self._confirmed = len(tokens) - len(outcome.pending)
        self._pending = outcome.pending
        if outcome.pending:
            of_all = counted(len(tokens), "write")
            self.log.info("%s: %d of %s confirmed", self.audience_name, self._confirmed, of_all)
            self._save_progress(context, tokens)
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=outcome.audience.to_dict() if outcome.audience else None)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any] | None:
        """Return the trigger's last view."""
        from airflow_provider_batch.hooks.metrics import report_polls
        from airflow_provider_batch.triggers.custom_audience import IndexingEvent

        indexed = IndexingEvent.from_payload(event)
        report_polls(self.batch_conn_id, indexed.polls, audience=self.audience_name)
        with fail_without_retry():
            try:
                indexed.raise_unless_finished()
            except IndexingTimeoutError as timeout:
                raise AirflowSensorTimeout(str(timeout)) from None
        if indexed.warning:
            self.log.warning("%s: %s", self.audience_name, indexed.warning)
        self._tokens = indexed.indexing_tokens
        return self._indexed(context, indexed.audience, indexed.seconds)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Report the audience to OpenLineage, with the number of its ids as its rows."""
        from airflow_provider_batch.tasks.lineage import audience_lineage

        rows = self._view.get("nb_ids") if self._view else None
        return audience_lineage(self.batch_conn_id, self.audience_name, rows=rows)

    def _indexed(self, context: Context, view: dict[str, Any] | None, seconds: float | None) -> dict[str, Any] | None:
        from airflow_provider_batch.hooks.metrics import report_indexed

        self._view = view
        if view is not None:
            report_indexed(self.batch_conn_id, self.audience_name, view.get("nb_ids"), seconds)
            writes = "the last write" if list(self._tokens) == [LAST_WRITE] else counted(len(self._tokens), "write")
            ids = "an unknown number of ids" if view.get("nb_ids") is None else counted(view["nb_ids"], "id")
            after = f", after {seconds:,.0f} s" if seconds is not None else ""
            self.log.info("%s: %s confirmed; the audience has %s%s", self.audience_name, writes, ids, after)
        emit_outlet_events(self, context, {"audience": self.audience_name, "type": self.audience_type}, view)
        return view

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        """Wait here, where on_kill() ends it, and not where the base class sleeps for what this returns."""
        interval: float = super()._get_next_poke_interval(*args, **kwargs)
        if self.reschedule:
            return interval
        self.hook.pause(interval)
        return 0.0

    def _read_tokens(self, context: Context) -> list[str]:
        try:
            return read_indexing_tokens(self.indexing_tokens)
        except InvalidArgumentError:
            # Only then can a missing XCom be meant: ``trigger_rule`` has let the sensor start nonetheless.
            if not were_skipped(self.task_id, "indexing_tokens", context):
                raise
            return []

    def _poke_or_defer(self, context: Context) -> Any:
        start_time = time.time()
        # A deferral costs two starts of a worker, so poke once before.
        try:
            poked = self.poke(context)
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:  # as the loop of the other modes does
                raise AirflowSkipException(str(error)) from error
            raise
        if not poked.is_done:
            defer_until_indexed(self, self._pending, start_time=start_time, timeout=self.timeout)
        return poked.xcom_value

    def _load_progress(self, context: Context, tokens: list[str]) -> int:
        """Return how many tokens earlier processes of a rescheduled sensor confirmed; known from Airflow 3.3 on."""
        memory = self._memory(context)
        known = memory.recall(_PROGRESS, same_try=True) if memory else {}
        confirmed = known.get("confirmed") if known.get("of") == _digest(tokens) else None
        return confirmed if isinstance(confirmed, int) and 0 <= confirmed < len(tokens) else 0

    def _save_progress(self, context: Context, tokens: list[str]) -> None:
        if (memory := self._memory(context)) is not None:
            memory.keep(_PROGRESS, {"of": _digest(tokens), "confirmed": self._confirmed})

    def _memory(self, context: Context) -> Memory | None:
        return Memory.of(context) if self.reschedule else None

    def _missing(self) -> str:
        return f"Not confirmed in {self.audience_name}: {describe_tokens(self._pending)}"


def _digest(tokens: list[str]) -> str:
    return hashlib.sha256("\n".join(tokens).encode()).hexdigest()
