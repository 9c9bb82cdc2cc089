"""
What pushes and waits did, as metrics of Airflow: in StatsD, Datadog or OpenTelemetry, whichever it is set up for.

The floors below know no Airflow: they count, and the hook reports. Tags are the connection's id and, where there is
one, the audience or the other resource; never an id of a member, of which there are too many, and which are private.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow_provider_batch.protocol.audiences.results import PushResult
    from airflow_provider_batch.protocol.profiles.results import ProfilesResult
    from airflow_provider_batch.transport.traffic import Traffic

_log = logging.getLogger(__name__)

#: Seconds for which a collector of OpenTelemetry may hold up a task, see :func:`_flush`.
_FLUSH_TIMEOUT: Final = 2.0


def report_traffic(conn_id: str, traffic: Traffic, **tags: str | None) -> None:
    """Report the calls of one piece of work, whether it succeeded or not; nothing if it made none."""
    if not traffic.attempts:
        return
    with _Metrics(conn_id, **tags) as metrics:
        metrics.count(**traffic.counts())
        metrics.time("pace_wait", traffic.pace_seconds)


def report_polls(conn_id: str, polls: Mapping[str, int] | None, **tags: str | None) -> None:
    """
    Report the calls of a wait in the triggerer, once its task goes on.

    :param polls: :meth:`Traffic.counts`, as its event brings them; an event of an older triggerer has none.
    """
    if polls and polls["attempts"]:
        with _Metrics(conn_id, **tags) as metrics:
            metrics.count(**polls)


def report_push(conn_id: str, result: PushResult) -> None:
    """Report what became of the values of one push."""
    counts = {
        "ids.added": result.added,
        "ids.removed": result.removed,
        "ids.unchanged": getattr(result, "unchanged", 0),  # only a mirror's result has it
        "ids.invalid": result.rejected - result.rejected_by_batch,
        "ids.rejected": result.rejected_by_batch,
    }
    with _Metrics(conn_id, audience=result.audience_name) as metrics:
        metrics.count(**counts)


def report_profiles_push(conn_id: str, result: ProfilesResult) -> None:
    """Report what became of the rows of one push of profiles."""
    counts = {
        "profiles.accepted": result.accepted,
        "profiles.cleared": getattr(result, "cleared", 0),  # only a mirror's result has them
        "profiles.unchanged": getattr(result, "unchanged", 0),
        "profiles.invalid": result.rejected - result.rejected_by_batch,
        "profiles.rejected": result.rejected_by_batch,
    }
    with _Metrics(conn_id) as metrics:
        metrics.count(**counts)


def report_export(conn_id: str, export_type: str, rows: int, seconds: float) -> None:
    """
    Report an export that was brought back.

    :param seconds: how long that took, from the request to the last file.
    """
    with _Metrics(conn_id, export_type=export_type) as metrics:
        metrics.gauge("export.rows", rows)
        metrics.time("export.duration", seconds)


def report_statistics(conn_id: str, subject: str, rows: int, missing: int) -> None:
    """
    Report statistics that were read.

    :param subject: what they are of.
    :param missing: how many of them could not be read.
    """
    with _Metrics(conn_id, subject=subject) as metrics:
        metrics.gauge("statistics.rows", rows)
        metrics.gauge("statistics.missing", missing)


def report_indexed(conn_id: str, audience_name: str, nb_ids: int | None, seconds: float | None) -> None:
    """
    Report that all writes of a push are indexed.

    :param nb_ids: how many ids the audience has, by its last view.
    :param seconds: how long the wait took; either is None if it is not known.
    """
    with _Metrics(conn_id, audience=audience_name) as metrics:
        if seconds is not None:
            metrics.time("indexing_wait", seconds)
        if nb_ids is not None:
            metrics.gauge("audience.size", nb_ids)


def report_drift(conn_id: str, audience_name: str, ids: int) -> None:
    """
    Report by how many ids Batch's count and a snapshot differ.

    :param ids: at least 0, as StatsD takes a negative gauge for a change of the last one.
    """
    with _Metrics(conn_id, audience=audience_name) as metrics:
        metrics.gauge("audience.drift", ids)


class _Metrics:
    """Metrics with the same tags. Whatever is wrong with where they go, the push goes on."""

    def __init__(self, conn_id: str, **tags: str | None) -> None:
        self._tags = {"conn_id": conn_id} | {name: value for name, value in tags.items() if value}

    def __enter__(self) -> _Metrics:
        return self

    def __exit__(self, *_: object) -> None:
        _flush()

    def count(self, **counts: int) -> None:
        for name, count in counts.items():
            self._send("incr", name, count)

    def gauge(self, name: str, value: float) -> None:
        self._send("gauge", name, value)

    def time(self, name: str, seconds: float) -> None:
        self._send("timing", name, timedelta(seconds=seconds))

    def _send(self, kind: str, name: str, value: Any) -> None:
        try:
            # That of Airflow 3's task SDK, or of Airflow 2: a worker sets up no other one.
            from airflow.providers.common.compat.sdk import Stats

            getattr(Stats, kind)(f"batch.{name}", value, tags=self._tags)
        except Exception as error:  # noqa: BLE001 - of any client for metrics
            _log.warning("the metric batch.%s could not be sent: %s", name, type(error).__name__)


def _flush() -> None:
    """Send what OpenTelemetry has collected: before 3.1, Airflow ends the process of a task without that."""
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

    telemetry = sys.modules.get("opentelemetry.metrics")
    flush = getattr(telemetry.get_meter_provider(), "force_flush", None) if telemetry else None
    if flush is None or AIRFLOW_V_3_1_PLUS:
        return

    def flush_quietly() -> None:
        with suppress(Exception):  # the exporter has logged it
            flush()

    thread = Thread(target=flush_quietly, daemon=True)
    thread.start()
    thread.join(_FLUSH_TIMEOUT)
