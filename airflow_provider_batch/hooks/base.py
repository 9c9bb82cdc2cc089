"""The connection to Batch, which is looked up on first use."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_batch.exceptions import InvalidArgumentError, PushStoppedError, counted
from airflow_provider_batch.hooks.metrics import report_traffic

if TYPE_CHECKING:
    import requests

    from airflow_provider_batch.protocol.audiences.results import PushResult
    from airflow_provider_batch.protocol.flow import Flow
    from airflow_provider_batch.protocol.profiles.results import ProfilesResult
    from airflow_provider_batch.protocol.rows import OnRejection, Rejection
    from airflow_provider_batch.push.line import Line
    from airflow_provider_batch.transport.blocking import BlockingTransport
    from airflow_provider_batch.transport.pace import Pace
    from airflow_provider_batch.transport.settings import Settings

R = TypeVar("R")


class BatchBaseHook(BaseHook):
    """
    A hook with a connection to Batch. Threads may share it.

    :param batch_conn_id: id of the Airflow connection.
    """

    def __init__(self, batch_conn_id: str) -> None:
        super().__init__()
        self.batch_conn_id = batch_conn_id
        self._stopped = threading.Event()
        self._in_progress: set[BlockingTransport] = set()

    def get_conn(self) -> requests.Session:
        """
        Return a session with the connection's headers and timeout. It never follows a redirect.

        :raises BatchConfigurationError: if the connection cannot be used.
        """
        return self._session

    @property
    def dashboard_url(self) -> str:
        """The URL of Batch's dashboard, from the connection; it contains no key."""
        return self._settings.dashboard_url

    def stop(self) -> None:
        """
        Stop for good, from another thread or a signal: no further call is sent, and every wait and reading ends.

        A call under way has three seconds left for its answer.

        Whatever is in progress, or begins later, raises PushStoppedError.
        """
        self._stopped.set()
        for transport in tuple(self._in_progress):
            transport.stop()

    def pause(self, seconds: float = 0.0) -> None:
        """
        Wait for so many seconds.

        :raises PushStoppedError: if the hook is stopped before they are over.
        """
        if self._stopped.is_set() or (seconds > 0 and self._stopped.wait(seconds)):
            raise PushStoppedError

    def _window(self, max_concurrency: int | None) -> int:
        """Return how many calls may be in flight: the argument, or else the connection's value."""
        from airflow_provider_batch.protocol.arguments import check_count
        from airflow_provider_batch.transport import MAX_CONNECTIONS

        if max_concurrency is None:
            return self._settings.max_concurrency
        return check_count("max_concurrency", max_concurrency, MAX_CONNECTIONS)

    def _version_of(self, platform_name: str, what: str) -> str:
        """
        Return the version of the API that the connection's platform has.

        :param platform_name: the only platform that has *what*.
        :raises InvalidArgumentError: if the connection's is another one.
        """
        platform = self._settings.credentials.platform
        if platform.name != platform_name:
            full = {"cep": "Customer", "mep": "Mobile"}[platform_name]
            raise InvalidArgumentError(
                f"batch_conn_id: only the {full} Engagement Platform has {what}, but the platform of the connection "
                f"{self.batch_conn_id!r} is {platform.name}. Use a connection with platform {platform_name}."
            )
        return platform.dialects[0].version

    def _report(self, result: PushResult | ProfilesResult, counts: Iterable[str], route: str = "") -> None:
        """Log what became of the values of a push, and its first rejections."""
        self.log.info(
            "%s%s: %s, %s rejected in %s%s%s and %.1f s",
            "dry run, nothing is sent: " if result.dry_run else "",
            result.name,
            ", ".join(counts),
            f"{result.rejected:,}",
            counted(result.calls, "call"),
            route,
            f", {result.earlier_calls:,} of them in an earlier try," if result.earlier_calls else "",
            result.seconds,
        )
        for rejection in result.rejections:
            self.log.warning("rejected %s: %s", rejection.where, rejection.reason)

    def _ask(self, flow: Flow[R], audience_name: str | None = None, *, resource: str | None = None) -> R:
        """Run *flow* on a line of its own, and return its value."""
        with self._line(audience_name, resource=resource) as line:
            return line.ask(flow)

    @contextmanager
    def _line(self, audience_name: str | None = None, *, resource: str | None = None) -> Iterator[Line]:
        """Open a line for one piece of work. At its end, the calls are reported under the audience or the resource."""
        # Imported here, as is requests: with the hook, they would cost everybody who imports that 100 ms.
        from airflow_provider_batch.push.line import Line
        from airflow_provider_batch.transport.blocking import BlockingTransport

        settings = self._settings
        transport = BlockingTransport(self._session, settings.credentials, self._pace, timeout=settings.timeout)
        self._in_progress.add(transport)
        try:
            self.pause()  # only now, as stop() ends what it finds: a stop right before it would be missed
            yield Line(settings, transport, self.log)
        finally:
            self._in_progress.discard(transport)
            report_traffic(self.batch_conn_id, transport.traffic, audience=audience_name, resource=resource)

    @cached_property
    def _settings(self) -> Settings:
        from airflow_provider_batch.transport.settings import read_settings

        connection = self.get_connection(self.batch_conn_id)
        # Airflow masks passwords by itself; here the login is a key as well.
        mask_secret(connection.login)
        return read_settings(connection, connection.extra_dejson)

    @cached_property
    def _session(self) -> requests.Session:
        from airflow_provider_batch.transport.blocking import open_session

        settings = self._settings
        return open_session(settings.credentials, timeout=settings.timeout)

    @cached_property
    def _pace(self) -> Pace:
        # Kept for the life of the hook: the process shares a pace only as long as it is referenced.
        return self._settings.pace


def one_at_a_time(on_rejection: OnRejection | None) -> OnRejection | None:
    """Return *on_rejection*, if there is one, under a lock: several threads may call it at once."""
    if on_rejection is None:
        return None
    lock = threading.Lock()

    def notify(rejection: Rejection, value: object) -> None:
        with lock:
            on_rejection(rejection, value)

    return notify
