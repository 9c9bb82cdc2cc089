"""The connection to Batch, and its verbs as Python calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

from airflow_provider_batch import get_provider_info
from airflow_provider_batch.delivery import check_max_concurrency, push
from airflow_provider_batch.exceptions import BatchError, BatchRequestError, InvalidArgumentError
from airflow_provider_batch.hooks.connection import Settings, read_settings
from airflow_provider_batch.hooks.progress import Progress
from airflow_provider_batch.protocol import encode, flow
from airflow_provider_batch.protocol.chunk import Chunks
from airflow_provider_batch.protocol.dialect import MEP_1_0
from airflow_provider_batch.protocol.intake import OnInvalidId
from airflow_provider_batch.protocol.model import Chunk, CustomAudience, IndexingOutcome, PushResult, Receipt, Request
from airflow_provider_batch.resume import Journal, Parcel, pack
from airflow_provider_batch.transport.pace import Pace

if TYPE_CHECKING:
    import requests

    from airflow_provider_batch.transport.blocking import BlockingTransport

R = TypeVar("R")

_DIALECT: Final = MEP_1_0

#: How many rejected values a result names; the others are only counted.
_NAMED_REJECTIONS: Final = 20


class BatchHook(BaseHook):
    """
    Push ids to Batch's custom audiences and ask how far their indexing is.

    The connection (type ``batch``) has the app's Batch API key as login, the company's REST API key as password,
    the base URL as host (empty: the public one) and in extra ``timeout``, ``max_attempts``, ``max_concurrency``
    and ``requests_per_second``. It is looked up on first use. The threads of a task may share one hook.

    :param batch_conn_id: id of the Airflow connection.
    """

    conn_name_attr = "batch_conn_id"
    default_conn_name = "batch_default"
    conn_type = "batch"
    hook_name = "Batch"

    def __init__(self, batch_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.batch_conn_id = batch_conn_id
        self._at_work: set[threading.Event] = set()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Draw the declared fields in Airflow 2's connection form; Airflow 3 reads the declaration itself."""
        from airflow_provider_batch.hooks.connection_form import widgets

        return widgets(_declared_form()["conn-fields"])

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Hide and relabel the standard fields of Airflow 2's connection form."""
        return {name.replace("-", "_"): value for name, value in _declared_form()["ui-field-behaviour"].items()}

    def get_conn(self) -> requests.Session:
        """
        Return a session with the connection's headers and timeout; it never follows a redirect.

        :raises BatchConfigurationError: if the connection cannot be used.
        """
        return self._session

    def update_custom_audience(
        self,
        audience_name: str,
        *,
        add_ids: Iterable[object] | str | None = (),
        remove_ids: Iterable[object] | str | None = (),
        audience_type: str = "custom_ids",
        chunk_size: int = 10_000,
        max_concurrency: int | None = None,
        on_invalid_id: OnInvalidId = "fail",
        on_rejected_chunk: Literal["fail", "bisect"] = "fail",
        journal: Journal | None = None,
    ) -> PushResult:
        """
        Add and remove members of an existing audience, in as many calls as needed.

        See https://doc.batch.com/developer/api/mep/custom-audience/1.0/update. An id to add and to remove is
        removed; a repeated id goes once (in a generator: once a chunk). What is in memory, or can be read twice,
        is checked before the first call; a generator is checked as it flows and never held.

        :param audience_name: an existing audience: letters, digits, ``_`` and ``-``, at most 255.
        :param add_ids: ids of at most 128 characters: str, int, or rows of one column; None for none.
        :param remove_ids: ids to take out, likewise.
        :param audience_type: ``custom_ids`` or ``advertising_ids``.
        :param chunk_size: ids in one call, at most 10,000.
        :param max_concurrency: calls in flight, at most 64; None for what the connection says.
        :param on_invalid_id: ``fail``, or ``skip`` to send the rest and count what was left out.
        :param on_rejected_chunk: ``fail`` when Batch refuses a chunk (400), or ``bisect`` to send it in ever smaller
            parts until the refused ids stand alone; the rest is sent, and they are counted and named by position.
        :param journal: notes what was accepted and knows it the next time; not used for what can be read only once.
        :raises InvalidArgumentError: if an argument breaks a documented rule.
        :raises InvalidMemberError: if a value is no id and is not to be skipped.
        :raises BatchConfigurationError: if the connection cannot be used.
        :raises BatchAPIError: if Batch refuses a chunk, or keeps failing for longer than is worth trying.
        :raises BatchConnectionError: if Batch cannot be reached for so long.
        """
        encode.check_update(_DIALECT, audience_name, audience_type, chunk_size)
        if on_rejected_chunk not in ("fail", "bisect"):
            raise InvalidArgumentError(f"on_rejected_chunk: {on_rejected_chunk!r:.80} is neither 'fail' nor 'bisect'")
        chunks = Chunks(
            _concatenated(add_ids),
            _concatenated(remove_ids),
            size=chunk_size,
            max_length=_DIALECT.max_id_length,
            on_invalid_id=on_invalid_id,
        )
        settings = self._settings
        window = check_max_concurrency(settings.max_concurrency if max_concurrency is None else max_concurrency)
        tokens: list[str] = []
        if not chunks.rereadable:
            journal = None  # what can be read but once cannot be sent again, should it begin otherwise than it did
        with self._transport() as transport:
            chunks.check()
            progress = Progress(self.log, audience_name, chunks.total)

            def encode_chunk(chunk: Chunk) -> Request:
                return encode.update_custom_audience(_DIALECT, audience_name, audience_type, chunk)

            def send(parcel: Parcel) -> Receipt:
                try:
                    return parcel.receipt(flow.run(flow.write(parcel.request, settings.backoff), transport.perform))
                except BatchRequestError as error:
                    if error.status != 400 or on_rejected_chunk != "bisect":
                        raise
                written = flow.run(flow.write_around(parcel.chunk, encode_chunk, settings.backoff), transport.perform)
                return parcel.receipt(*written.indexing_tokens, refused=written.refused)

            receipts = push(
                partial(pack, chunks, encode_chunk, settings.credentials.digest if journal else None),
                send,
                max_concurrency=window,
                stopped=transport.stopped,
                journal=journal,
            )
            for receipt in receipts:
                progress.count(receipt)
                tokens.extend(receipt.indexing_tokens)
        result = PushResult(
            audience_name=audience_name,
            audience_type=audience_type,
            indexing_tokens=tokens,
            added=progress.added,
            removed=progress.removed,
            duplicates=chunks.duplicates,
            rejected=chunks.rejected + len(progress.refused),
            rejections=(*chunks.rejections, *progress.refused)[:_NAMED_REJECTIONS],
            seconds=progress.seconds,
        )
        self._tell(result)
        return result

    def get_custom_audience(self, audience_name: str, indexing_token: str | None = None) -> CustomAudience:
        """
        Ask once for an audience and the state of the write behind the token; without one, of the last write.

        See https://doc.batch.com/api/custom-audience/1.0/get/.

        :raises BatchAPIError: if Batch refuses, or keeps failing for longer than is worth trying.
        :raises BatchConnectionError: if Batch cannot be reached for so long.
        """
        return self._run(flow.view(_DIALECT, audience_name, indexing_token, self._settings.backoff))

    def wait_for_indexing(
        self,
        audience_name: str,
        indexing_tokens: Sequence[str],
        *,
        poke_interval: float = 10.0,
        timeout: float = 3600.0,
    ) -> CustomAudience | None:
        """
        Ask for one token after the other until all are applied, and return the last view.

        :param poke_interval: the most seconds between two questions; they begin with one and double.
        :param timeout: seconds after which what is not confirmed counts as not confirmed, whatever its state.
        :raises IndexingTimeoutError: then, with the tokens in question.
        """
        outcome = self._await_indexing(audience_name, indexing_tokens, poke_interval, timeout)
        return flow.confirmed(outcome, audience_name, timeout)

    def check_indexing(self, audience_name: str, indexing_tokens: Sequence[str]) -> IndexingOutcome:
        """
        Ask for one token after the other up to the first that is not confirmed, and say which are left.

        What may pass (no answer, 429, 5xx) leaves its token unconfirmed, with the reason in ``last_error``.
        """
        outcome = self._await_indexing(audience_name, indexing_tokens, 0.0, 0.0)
        if outcome.last_error:
            self.log.warning("%s", outcome.last_error)
        return outcome

    def test_connection(self) -> tuple[bool, str]:
        """Ask for one audience of the app: it takes both keys and changes nothing."""
        try:
            if self._run(flow.can_list(_DIALECT, flow.no_retry)):
                return True, "Batch accepted both keys"
            return False, "the host answers, but not with a list of audiences; is it Batch's?"
        except (BatchError, AirflowNotFoundException) as error:
            return False, str(error)

    def stop(self) -> None:
        """Stop what the hook is doing, from another thread or a signal: no further call is sent, no wait goes on."""
        for stopped in tuple(self._at_work):
            stopped.set()

    def _await_indexing(
        self, audience_name: str, indexing_tokens: Sequence[str], poke_interval: float, timeout: float
    ) -> IndexingOutcome:
        settings = self._settings
        outcome = self._run(
            flow.await_indexing(
                _DIALECT,
                audience_name,
                indexing_tokens,
                delay=settings.patient_backoff(poke_interval),
                spacing=settings.spacing(poke_interval),
                deadline=time.monotonic() + timeout,
                now=time.monotonic,
            )
        )
        if outcome.replaced:
            self.log.warning("%s: %s", audience_name, flow.replaced_warning(outcome.replaced))
        return outcome

    def _run(self, conversation: flow.Flow[R]) -> R:
        with self._transport() as transport:
            return flow.run(conversation, transport.perform)

    @contextmanager
    def _transport(self) -> Iterator[BlockingTransport]:
        # requests is imported where it is used: importing a hook must not cost a DAG file 100 ms.
        from airflow_provider_batch.transport.blocking import BlockingTransport

        settings = self._settings
        transport = BlockingTransport(self._session, settings.credentials, self._pace, timeout=settings.timeout)
        self._at_work.add(transport.stopped)
        try:
            yield transport
        finally:
            self._at_work.discard(transport.stopped)

    @cached_property
    def _settings(self) -> Settings:
        connection = self.get_connection(self.batch_conn_id)
        # Airflow masks passwords by itself; the login is a key here, too.
        mask_secret(connection.login)
        return read_settings(connection, connection.extra_dejson)

    @cached_property
    def _session(self) -> requests.Session:
        from airflow_provider_batch.transport.blocking import open_session

        settings = self._settings
        return open_session(settings.credentials, timeout=settings.timeout)

    @cached_property
    def _pace(self) -> Pace:
        return self._settings.pace

    def _tell(self, result: PushResult) -> None:
        self.log.info(
            "%s: %d added, %d removed, %d duplicates, %d rejected in %d calls and %.1f s",
            result.audience_name,
            result.added,
            result.removed,
            result.duplicates,
            result.rejected,
            result.calls,
            result.seconds,
        )
        for rejection in result.rejections:
            self.log.warning("skipped %s[%d]: %s", rejection.argument, rejection.position, rejection.reason)


def _concatenated(values: Any) -> Any:
    """Return the items of a mapped task's lazy result one after the other, everything else as it is."""
    if not isinstance(values, _lazy_result_type()):
        return values
    return [
        value for item in values for value in (item if isinstance(item, list | tuple | set | frozenset) else [item])
    ]


def _lazy_result_type() -> type[Sequence[Any]]:
    try:
        from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

        return LazyXComSequence
    except ImportError:  # Airflow 2
        from airflow.models.xcom import LazyXComSelectSequence

        return LazyXComSelectSequence


def _declared_form() -> dict[str, Any]:
    form: dict[str, Any] = get_provider_info()["connection-types"][0]
    return form
