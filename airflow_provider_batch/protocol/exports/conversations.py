"""
Conversations about exports: ask for one, wait until it is done, and get the addresses of its files.

A request for an export is attempted again after an answer that leaves open whether it was accepted: an export too many
reaches no customer. Batch itself deletes it.
"""

from __future__ import annotations

from typing import Final

from airflow_provider_batch.exceptions import BatchError, ExportFailedError, ExportTimeoutError
from airflow_provider_batch.protocol.exports import decode, encode
from airflow_provider_batch.protocol.exports.export import Export, ExportQuery, ExportState
from airflow_provider_batch.protocol.flow import Flow, exchange, no_retry, stops_everyone
from airflow_provider_batch.protocol.pages import Page
from airflow_provider_batch.protocol.retry import Delay, Polling
from airflow_provider_batch.protocol.wire import Sleep

#: Seconds between two polls at least: a poke interval of 0 must not flood Batch.
_SHORTEST_PAUSE: Final = 0.1


def request(version: str, query: ExportQuery, delay: Delay) -> Flow[str]:
    """Ask for an export and return its id."""
    return (yield from exchange(encode.request_export(version, query), decode.export_id, delay))


def view(version: str, export_id: str, delay: Delay) -> Flow[Export]:
    """Return the export as it is now."""
    return (yield from exchange(encode.view_export(version, export_id), decode.export, delay))


def page(version: str, start: str | None, delay: Delay) -> Flow[Page]:
    """Return one page of the list of exports; without *start*, the first one."""
    return (yield from exchange(encode.list_exports(version, start), decode.exports_page, delay))


def address(version: str, file_id: str, delay: Delay) -> Flow[str]:
    """Return a new address of a file, which lives 20 minutes."""
    return (yield from exchange(encode.download(version, file_id), decode.address, delay))


def await_export(version: str, export_id: str, polling: Polling) -> Flow[Export]:
    """
    Poll an export until it is done; after a transient error (no answer, 429, 5xx) the wait goes on.

    :raises ExportFailedError: if Batch reports ERROR.
    :raises ExportTimeoutError: if the deadline comes first.
    """
    polls = failures = 0
    last = "not polled"
    while True:
        failure: BatchError | None = None
        try:
            export = yield from view(version, export_id, no_retry)
        except BatchError as error:
            if not error.retryable:
                raise
            failure, failures, last = error, failures + 1, str(error)
            pause = polling.delay(failures, error, 0.0)
        else:
            if export.state is ExportState.SUCCESS:
                return export
            check(export)
            polls, failures, last = polls + 1, 0, f"last state {export.reported_state}"
            pause = polling.spacing(polls)
        left = polling.deadline - polling.now()
        if left <= 0:
            raise ExportTimeoutError(
                f"{export_id}: the export is not done in time; {last}. A retry takes it up (Airflow 3.3 and later), or "
                "raise export_timeout.",
                export_id=export_id,
            )
        pause = max(_SHORTEST_PAUSE, polling.spacing(failures) if pause is None else pause)
        yield Sleep(min(left, pause), everyone=stops_everyone(failure), retries=failure)


def check(export: Export) -> None:
    """
    Check that the export has not failed.

    :raises ExportFailedError: if it has.
    """
    if export.state is ExportState.ERROR:
        raise ExportFailedError(
            f"{export.id}: Batch reports that the export has failed (ERROR). Run the task again for a new one; if that "
            "fails too, check its arguments, and ask Batch's support with this id.",
            export_id=export.id,
        )
