"""Exports of profiles: ask for them, wait, and read their files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_batch.hooks.base import BatchBaseHook

if TYPE_CHECKING:
    from airflow_provider_batch.protocol.arguments import ExportType
    from airflow_provider_batch.protocol.exports.export import Export, ExportFile, ExportQuery


class ExportHook(BatchBaseHook):
    """The part of the hook that brings exports back. Only the Customer Engagement Platform has them."""

    def export_profiles(
        self,
        export_type: ExportType = "attributes",
        *,
        attributes: Sequence[str] | None = None,
        identifiers: Sequence[str] | None = ("custom_id",),
        segment: str | None = None,
        events: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
        poke_interval: float = 30.0,
        export_timeout: float = 3600.0,
    ) -> Iterator[dict[str, Any]]:
        """
        Ask for an export, wait until it is done, and yield its records, part after part.

        See https://doc.batch.com/developer/api/cep/profiles/export. For the arguments see :meth:`request_export`.

        :param poke_interval: the most seconds between two polls; the pauses begin with one second and double.
        :param export_timeout: seconds after which the wait ends.
        :raises ExportFailedError: if Batch reports ERROR.
        :raises ExportTimeoutError: if the export is not done in time.
        """
        from airflow_provider_batch.protocol.exports.export import ExportQuery

        query = ExportQuery(export_type, attributes, identifiers, segment, events, channels, since, until)
        export_id = self.request_export(query)
        export = self.wait_for_export(export_id, poke_interval=poke_interval, timeout=export_timeout)
        for file in export.files:
            with self.open_part(file) as (_, records):
                for _, record in records:
                    yield record

    def list_exports(self) -> Iterator[dict[str, Any]]:
        """
        Yield the exports of the last months as Batch shows them; each page is requested when it is needed.

        See https://doc.batch.com/developer/api/cep/exports/list.
        """
        from airflow_provider_batch.protocol.exports import conversations
        from airflow_provider_batch.protocol.pages import unseen

        version = self._exports_version()
        seen: set[str] = set()
        start: str | None = None
        while True:
            page = self._ask(conversations.page(version, start, self._settings.backoff), resource="exports")
            yield from map(dict, unseen(page, "id", seen))
            if (start := page.next_start) is None:
                return

    def request_export(self, query: ExportQuery) -> str:
        """
        Ask for an export and return its id, without waiting.

        :param query: what it shall hold.
        """
        from airflow_provider_batch.protocol.exports import conversations

        asking = conversations.request(self._exports_version(), query, self._settings.backoff)
        export_id = self._ask(asking, resource="exports")
        self.log.info("%s: requested", export_id)
        return export_id

    def get_export(self, export_id: str) -> Export:
        """
        Return an export as it is now.

        See https://doc.batch.com/developer/api/cep/exports/view.

        :param export_id: what :meth:`request_export` returned.
        """
        from airflow_provider_batch.protocol.exports import conversations

        view = conversations.view(self._exports_version(), export_id, self._settings.backoff)
        return self._ask(view, resource="exports")

    def wait_for_export(self, export_id: str, *, poke_interval: float = 30.0, timeout: float = 3600.0) -> Export:
        """
        Poll an export until it is done.

        :param export_id: what :meth:`request_export` returned.
        :param poke_interval: the most seconds between two polls; the pauses begin with one second and double.
        :param timeout: seconds after which the wait ends.
        :raises ExportFailedError: if Batch reports ERROR.
        :raises ExportTimeoutError: if it is not done in time.
        """
        from airflow_provider_batch.protocol.exports import conversations
        from airflow_provider_batch.protocol.retry import Patience

        version = self._exports_version()
        started = time.monotonic()
        with self._line(resource="exports") as line:
            export = line.wait(
                partial(conversations.await_export, version, export_id), Patience(poke_interval, timeout)
            )
        self.log.info("%s: done after %.0f s, %d parts", export_id, time.monotonic() - started, len(export.files))
        return export

    @contextmanager
    def open_part(self, file: ExportFile) -> Iterator[tuple[int, Iterator[tuple[str, dict[str, Any]]]]]:
        """
        Download one part to a temporary file; yield its size in bytes, and its records as text and value.

        Its address gets no key and no header of ours, and is never logged.

        See https://doc.batch.com/developer/api/cep/exports/download.

        :param file: a part of an export that is done.
        :raises ExportError: if it cannot be downloaded, or has another size than Batch reports.
        """
        from airflow_provider_batch.results.parts import Parts

        with self._line(resource="exports") as line, Parts(line, self._exports_version()).opened(file) as opened:
            yield opened

    def _exports_version(self) -> str:
        return self._version_of("cep", "exports")
