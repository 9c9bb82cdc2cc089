"""
The wait for Batch's indexing, in the triggerer. It only reads.

What is kept true: the trigger can be started again at any time, in any triggerer, or in two at once. It holds nothing
but its arguments, and a poll changes nothing. So the deadline is an argument, and a point in time instead of a
duration: a restart does not prolong the wait. Airflow's own timeout fails the task without naming the tokens, so it
comes later, for a triggerer that is gone. Errors are events as well: what a trigger raises would fail the task before
its ``execute_complete`` decides whether a retry can help.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_batch.exceptions import BatchError, IndexingError, IndexingTimeoutError
from airflow_provider_batch.protocol.audiences.tokens import LAST_WRITE

if TYPE_CHECKING:
    from airflow_provider_batch.transport.traffic import Traffic

#: How much later than the trigger's deadline Airflow's own timeout comes.
DEFERRAL_GRACE: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class IndexingEvent:
    """
    How a wait ended.

    ``finished``: every token is confirmed, ``audience`` is the last view. ``timeout``: those in ``pending`` are not.
    ``error``: the wait failed for the reason in ``message``, ``retryable`` if it was transient. ``counts`` is the
    summary of what the task had pushed before the wait, ``seconds`` how long the wait took, ``polls`` the calls that it
    made.
    """

    status: Literal["finished", "timeout", "error"]
    audience_name: str
    indexing_tokens: tuple[str, ...]
    audience: dict[str, Any] | None = None
    pending: tuple[str, ...] = ()
    message: str = ""
    warning: str = ""
    retryable: bool = False
    counts: dict[str, Any] | None = None
    seconds: float | None = field(default=None, compare=False)
    polls: dict[str, int] | None = field(default=None, compare=False)

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> IndexingEvent:
        """Return the event that :meth:`to_payload` turned into *payload*."""
        lists = {name: tuple(payload[name]) for name in ("indexing_tokens", "pending")}
        return cls(**{**payload, **lists})

    def to_payload(self) -> dict[str, Any]:
        """Return the event in JSON's types."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def own_tokens(self) -> list[str]:
        """The tokens of the task's own writes; there may be none."""
        return [token for token in self.indexing_tokens if token != LAST_WRITE]

    def raise_unless_finished(self) -> None:
        """
        Raise unless every token is confirmed.

        :raises IndexingTimeoutError: if the deadline came first.
        :raises IndexingError: if the state could not be read.
        """
        if self.status == "timeout":
            raise IndexingTimeoutError(
                self.message,
                audience_name=self.audience_name,
                indexing_token=self.pending[0],
                indexing_tokens=self.pending,
            )
        if self.status == "error":
            error = IndexingError(self.message, audience_name=self.audience_name)
            error.retryable = self.retryable
            raise error


class CustomAudienceIndexingTrigger(BaseTrigger):
    """
    Poll one indexing token after the other until all are confirmed, and fire one :class:`IndexingEvent`.

    :param batch_conn_id: the Airflow connection; the keys themselves are not stored.
    :param audience_name: the audience of the tokens.
    :param indexing_tokens: all tokens of the push.
    :param audience_type: its type, which on the Mobile Engagement Platform selects the version of the API.
    :param confirmed: how many of the tokens, from the first, are known to be confirmed.
    :param own_replace: the token of a replace of the same run, for which ``REPLACED`` needs no warning.
    :param poke_interval: the most seconds between two polls; the pauses begin with one second and double.
    :param start_time: when the wait began, in seconds since the epoch.
    :param end_time: its deadline, in seconds since the epoch.
    :param counts: what the task has pushed; returned with the event.
    """

    def __init__(
        self,
        *,
        batch_conn_id: str,
        audience_name: str,
        indexing_tokens: Sequence[str],
        poke_interval: float,
        start_time: float,
        end_time: float,
        audience_type: str = "custom_ids",
        confirmed: int = 0,
        own_replace: str | None = None,
        counts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow wrote it without types
        self.batch_conn_id = batch_conn_id
        self.audience_name = audience_name
        self.indexing_tokens = list(indexing_tokens)
        self.poke_interval = poke_interval
        self.start_time = start_time
        self.end_time = end_time
        self.audience_type = audience_type
        self.confirmed = confirmed
        self.own_replace = own_replace
        self.counts = dict(counts) if counts is not None else None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments of this trigger."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "batch_conn_id": self.batch_conn_id,
                "audience_name": self.audience_name,
                "indexing_tokens": self.indexing_tokens,
                "poke_interval": self.poke_interval,
                "start_time": self.start_time,
                "end_time": self.end_time,
                "audience_type": self.audience_type,
                "confirmed": self.confirmed,
                "own_replace": self.own_replace,
                "counts": self.counts,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire one event."""
        from airflow_provider_batch.transport.traffic import Traffic

        traffic = Traffic()
        try:
            event = await self._await_indexing(traffic)
        except IndexingTimeoutError as error:
            event = self._event("timeout", message=str(error), pending=error.indexing_tokens)
        except BatchError as error:
            event = self._event("error", message=str(error), retryable=error.retryable)
        except AirflowNotFoundException as error:
            event = self._event("error", message=str(error))
        yield TriggerEvent(replace(event, polls=traffic.counts()).to_payload())

    async def _await_indexing(self, traffic: Traffic) -> IndexingEvent:
        # Imported here, as the worker that defers does not need them.
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

        from airflow_provider_batch.protocol.audiences import conversations
        from airflow_provider_batch.protocol.flow import arun
        from airflow_provider_batch.protocol.retry import Patience
        from airflow_provider_batch.transport.aio import open_transport
        from airflow_provider_batch.transport.settings import read_settings

        connection = await get_async_connection(self.batch_conn_id)
        settings = read_settings(connection, await get_async_extra_dejson(connection))
        patience = Patience(self.poke_interval, self.end_time - self.start_time)
        wait = conversations.await_indexing(
            settings.dialect(self.audience_type),
            self.audience_name,
            self.indexing_tokens[self.confirmed :],
            settings.polling(patience, time.time, started=self.start_time),
        )
        # A last poll may begin right before the deadline; it has to end before Airflow's own timeout.
        timeout = min(settings.timeout, DEFERRAL_GRACE.total_seconds() / 2)
        async with open_transport(settings.credentials, timeout=timeout, pace=settings.pace) as transport:
            outcome = await arun(wait, traffic.of(transport.perform))
        audience = conversations.confirmed(outcome, self.audience_name, time.time() - self.start_time)
        warning = conversations.replaced_warning(outcome.replaced, self.own_replace)
        return self._event("finished", audience=audience.to_dict() if audience else None, warning=warning)

    def _event(self, status: Literal["finished", "timeout", "error"], **facts: Any) -> IndexingEvent:
        seconds = time.time() - self.start_time
        return IndexingEvent(
            status, self.audience_name, tuple(self.indexing_tokens), counts=self.counts, seconds=seconds, **facts
        )
