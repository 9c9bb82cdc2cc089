"""
The wait for an export, in the triggerer. It only reads, and holds nothing but its arguments.

What is kept true is what :mod:`~airflow_provider_batch.triggers.custom_audience` keeps true: it can be started again at
any time, its deadline is a point in time, and errors are events.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_batch.exceptions import BatchError, ExportError, ExportFailedError, ExportTimeoutError
from airflow_provider_batch.triggers.custom_audience import DEFERRAL_GRACE

if TYPE_CHECKING:
    from airflow_provider_batch.transport.traffic import Traffic


@dataclass(frozen=True, slots=True)
class ExportEvent:
    """
    How a wait ended.

    ``finished``: the export is done. ``failed``: Batch reports ERROR. ``timeout``: it is not done in time. ``error``:
    the wait failed for the reason in ``message``, ``retryable`` if it was transient. ``polls`` are the calls that the
    wait made.
    """

    status: Literal["finished", "failed", "timeout", "error"]
    export_id: str
    start_time: float
    message: str = ""
    retryable: bool = False
    polls: dict[str, int] | None = field(default=None, compare=False)

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> ExportEvent:
        """Return the event that :meth:`to_payload` turned into *payload*."""
        return cls(**payload)

    def to_payload(self) -> dict[str, Any]:
        """Return the event in JSON's types."""
        return asdict(self)

    def raise_unless_finished(self) -> None:
        """
        Raise unless the export is done.

        :raises ExportError: if it is not.
        """
        if self.status == "finished":
            return
        kinds: dict[str, type[ExportError]] = {"failed": ExportFailedError, "timeout": ExportTimeoutError}
        error = kinds.get(self.status, ExportError)(self.message, export_id=self.export_id)
        error.retryable = self.retryable
        raise error


class ProfilesExportTrigger(BaseTrigger):
    """
    Poll an export until it is done, and fire one :class:`ExportEvent`.

    :param batch_conn_id: the Airflow connection; the keys themselves are not stored.
    :param export_id: the export.
    :param poke_interval: the most seconds between two polls; the pauses begin with one second and double.
    :param start_time: when the wait began, in seconds since the epoch.
    :param end_time: its deadline, in seconds since the epoch.
    """

    def __init__(
        self, *, batch_conn_id: str, export_id: str, poke_interval: float, start_time: float, end_time: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow wrote it without types
        self.batch_conn_id = batch_conn_id
        self.export_id = export_id
        self.poke_interval = poke_interval
        self.start_time = start_time
        self.end_time = end_time

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments of this trigger."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "batch_conn_id": self.batch_conn_id,
                "export_id": self.export_id,
                "poke_interval": self.poke_interval,
                "start_time": self.start_time,
                "end_time": self.end_time,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire one event."""
        from airflow_provider_batch.transport.traffic import Traffic

        traffic = Traffic()
        try:
            await self._await_export(traffic)
            event = self._event("finished")
        except ExportFailedError as error:
            event = self._event("failed", error)
        except ExportTimeoutError as error:
            event = self._event("timeout", error)
        except (BatchError, AirflowNotFoundException) as error:
            event = self._event("error", error)
        yield TriggerEvent(replace(event, polls=traffic.counts()).to_payload())

    async def _await_export(self, traffic: Traffic) -> None:
        # Imported here, as the worker that defers does not need them.
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

        from airflow_provider_batch.protocol.exports import conversations
        from airflow_provider_batch.protocol.flow import arun
        from airflow_provider_batch.protocol.retry import Patience
        from airflow_provider_batch.transport.aio import open_transport
        from airflow_provider_batch.transport.settings import read_settings

        connection = await get_async_connection(self.batch_conn_id)
        settings = read_settings(connection, await get_async_extra_dejson(connection))
        patience = Patience(self.poke_interval, self.end_time - self.start_time)
        version = settings.credentials.platform.dialects[0].version
        polling = settings.polling(patience, time.time, started=self.start_time)
        # A last poll may begin right before the deadline; it has to end before Airflow's own timeout.
        timeout = min(settings.timeout, DEFERRAL_GRACE.total_seconds() / 2)
        async with open_transport(settings.credentials, timeout=timeout, pace=settings.pace) as transport:
            wait = conversations.await_export(version, self.export_id, polling)
            await arun(wait, traffic.of(transport.perform))

    def _event(
        self, status: Literal["finished", "failed", "timeout", "error"], error: Exception | None = None
    ) -> ExportEvent:
        return ExportEvent(
            status,
            self.export_id,
            self.start_time,
            message=str(error) if error else "",
            retryable=isinstance(error, BatchError) and error.retryable,
        )
