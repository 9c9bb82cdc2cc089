"""The operator that brings an export of profiles back."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn, Unpack

from airflow.providers.common.compat.sdk import conf

from airflow_provider_batch.exceptions import (
    BatchNotFoundError,
    BatchRequestError,
    ExportFailedError,
    ResultExistsError,
    counted,
)
from airflow_provider_batch.protocol.arguments import Compression, ExportType, list_in_text, read_seconds
from airflow_provider_batch.tasks.airflow_arguments import AirflowArguments
from airflow_provider_batch.tasks.batch import BatchTask
from airflow_provider_batch.tasks.failure import fail_without_retry
from airflow_provider_batch.tasks.files import WrittenFile, check_own_path, files_lineage, report_files
from airflow_provider_batch.tasks.memory import Memory, may_go_on
from airflow_provider_batch.tasks.parameters import is_template
from airflow_provider_batch.tasks.storage import storage_path

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_batch.protocol.exports.export import Export, ExportQuery
    from airflow_provider_batch.results.files import ResultFolder

#: The key of the export in the state store of the task instance.
_KEY: Final = "export"

#: The parameters for what is exported.
_QUERY: Final = ("export_type", "attributes", "identifiers", "segment", "events", "channels", "since", "until")


class ProfilesExportOperator(BatchTask, takes=AirflowArguments):
    """
    Export profiles, or their events, of a project of Batch (Customer Engagement Platform) into files of JSON lines.

    Asks for the export, waits until it is done, and writes each of its parts to a file of its own in the folder *path*:
    ``attributes-00001.jsonl.gz`` and so on. Nothing is held in memory. The files get their names when all of them are
    complete, so a task that fails leaves nothing there. On Airflow 3.3 and later a retry takes up the export that the
    try before asked for, with the parts that it has already; before, it asks for another one. Returns the paths; pushes
    the XCom ``summary`` with rows, bytes, parts, seconds. See https://doc.batch.com/developer/api/cep/profiles/export.

    :param path: a folder, local or in any storage that Airflow's ObjectStoragePath supports, such as
        ``s3://bucket/profiles/{{ ds }}/``. (templated)
    :param export_type: ``attributes``, ``events`` or ``reachability``. Batch documents the fields of ``attributes`` in
        full; those of the others are passed on as they are. (templated)
    :param attributes: the names of attributes, with ``$`` for those of Batch; only for ``attributes``. (templated)
    :param identifiers: ``custom_id``, ``installation_ids`` or both. (templated)
    :param segment: the code of a segment, for its profiles only. (templated)
    :param events: the names of events, such as ``email_sent``; only for ``events``. (templated)
    :param channels: such as ``email`` or ``push``; not for ``attributes``. (templated)
    :param since: the first moment in RFC 3339, or a day such as ``{{ ds }}``, at most 90 days ago; not for
        ``attributes``. (templated)
    :param until: the last moment, or ``now``; not for ``attributes``. (templated)
    :param path_conn_id: the connection to the storage, where the path does not name it. (templated)
    :param compression: ``gzip``, or None for plain files.
    :param overwrite: replace the files of an earlier export of this type at *path*; otherwise they are an error.
    :param deferrable: wait in the triggerer instead of the worker.
    :param poke_interval: the longest pause between two views of the state, in seconds or as a timedelta; the first
        takes one second, and each twice as long as the one before.
    :param export_timeout: how long to wait before the task fails, in seconds or as a timedelta.
    :param batch_conn_id: the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = (
        *("path", "path_conn_id", "batch_conn_id"),
        *_QUERY,
    )
    #: What was written, once that is known.
    _files: Sequence[WrittenFile] = ()

    def __init__(
        self,
        *,
        path: str | ObjectStoragePath,
        export_type: ExportType = "attributes",
        attributes: Sequence[str] | str | None = None,
        identifiers: Sequence[str] | str | None = ("custom_id",),
        segment: str | None = None,
        events: Sequence[str] | str | None = None,
        channels: Sequence[str] | str | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
        path_conn_id: str | None = None,
        compression: Compression | None = "gzip",
        overwrite: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 30,
        export_timeout: float | timedelta = 3600,
        batch_conn_id: str = "batch_default",
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.export_type = export_type
        self.attributes = attributes
        self.identifiers = identifiers
        self.segment = segment
        self.events = events
        self.channels = channels
        self.since = since
        self.until = until
        self.path_conn_id = path_conn_id
        self.compression = compression
        self.overwrite = overwrite
        self.deferrable = deferrable
        self.poke_interval = read_seconds("poke_interval", poke_interval)
        self.export_timeout = read_seconds("export_timeout", export_timeout)
        self.batch_conn_id = batch_conn_id
        if not any(is_template(self, name, getattr(self, name)) for name in _QUERY):
            self._query()  # checks that its parts go together

    def execute(self, context: Context) -> list[str]:
        """Ask for the export, or take up the one of the try before, and bring it back."""
        from airflow_provider_batch.tasks.closing import closing_failure

        memory = Memory.of(context)
        with fail_without_retry(), closing_failure(self.log, self._name):
            check_own_path(context)
            query, folder = self._query(), self._folder()
            note = self._take_up(memory, query)
            if not note:
                self._check_free(folder)
                folder.delete(folder.find(self._names(hidden=True)))  # of a task that was killed
                note = {
                    "export_id": self.hook.request_export(query),
                    "digest": query.digest,
                    "start_time": time.time(),
                }
            if memory is not None:
                memory.keep(_KEY, note)
            try:
                export = self._await(note)
            except ExportFailedError:
                _forget(memory)  # the next try asks for another one
                raise
            return self._bring_back(context, export, note, folder, memory)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[str]:
        """Bring the export back, now that the trigger has seen that it is done."""
        from airflow_provider_batch.hooks.metrics import report_polls
        from airflow_provider_batch.tasks.closing import closing_failure
        from airflow_provider_batch.triggers.exports import ExportEvent

        memory = Memory.of(context)
        done = ExportEvent.from_payload(event)
        report_polls(self.batch_conn_id, done.polls, resource="exports")
        with fail_without_retry(), closing_failure(self.log, self._name):
            query, folder = self._query(), self._folder()
            note = memory.recall(_KEY, same_try=True) if memory is not None else {}
            if note.get("export_id") != done.export_id:
                note = {"export_id": done.export_id, "digest": query.digest, "start_time": done.start_time}
            try:
                done.raise_unless_finished()
                export = self._await(note)  # again: a server that lags behind must not be taken for an empty export
            except ExportFailedError:
                _forget(memory)
                raise
            return self._bring_back(context, export, note, folder, memory)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Report the files to OpenLineage, with the number of their rows."""
        return files_lineage(self._files)

    @property
    def _name(self) -> str:
        """What the log calls the export."""
        return f"export of {self.export_type}"

    def _query(self) -> ExportQuery:
        from airflow_provider_batch.protocol.exports.export import ExportQuery

        return ExportQuery(
            self.export_type,
            attributes=_names("attributes", self.attributes),
            identifiers=_names("identifiers", self.identifiers),
            segment=self.segment or None,
            events=_names("events", self.events),
            channels=_names("channels", self.channels),
            since=self.since or None,
            until=self.until or None,
        )

    def _folder(self) -> ResultFolder:
        from airflow_provider_batch.results.files import ResultFolder

        return ResultFolder(storage_path(self.path, self.path_conn_id))

    def _names(self, *, hidden: bool = False) -> re.Pattern[str]:
        """Return the pattern of the names of the files of this type."""
        name = rf"{self.export_type}-[0-9]{{5}}\.jsonl(?:\.gz)?"
        return re.compile(rf"\.{name}\.tmp" if hidden else name)

    def _take_up(self, memory: Memory | None, query: ExportQuery) -> dict[str, Any]:
        """Return the note of the export that the try before asked for, if it still exists; empty otherwise."""
        note = memory.recall(_KEY) if memory is not None else {}
        if note.get("digest") != query.digest or not isinstance(note.get("export_id"), str):
            return {}
        try:
            self.hook.get_export(note["export_id"])
        except (BatchNotFoundError, BatchRequestError) as error:
            self.log.info("%s: asking for another one: %s", note["export_id"], error)
            return {}
        self.log.info("%s: taken up, as the try before has asked for it", note["export_id"])
        return note

    def _check_free(self, folder: ResultFolder) -> None:
        if not self.overwrite and (found := folder.find(self._names())):
            raise ResultExistsError(
                f"{self.path}: {counted(len(found), 'file')} of an earlier export, such as {found[0]}. Pass another "
                "path, such as one with {{ ds }}, or overwrite=True."
            )

    def _await(self, note: Mapping[str, Any]) -> Export:
        from airflow_provider_batch.protocol.exports import conversations
        from airflow_provider_batch.protocol.exports.export import ExportState

        export_id = note["export_id"]
        if not self.deferrable:
            return self.hook.wait_for_export(export_id, poke_interval=self.poke_interval, timeout=self.export_timeout)
        # Deferring costs two starts of a worker: view the state once before.
        export = self.hook.get_export(export_id)
        conversations.check(export)
        if export.state is not ExportState.SUCCESS:
            self._defer(export_id)
        return export

    def _defer(self, export_id: str) -> NoReturn:
        from airflow_provider_batch.triggers.custom_audience import DEFERRAL_GRACE
        from airflow_provider_batch.triggers.exports import ProfilesExportTrigger

        now = time.time()
        self.defer(
            trigger=ProfilesExportTrigger(
                batch_conn_id=self.batch_conn_id,
                export_id=export_id,
                poke_interval=self.poke_interval,
                start_time=now,
                end_time=now + self.export_timeout,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.export_timeout) + DEFERRAL_GRACE,
        )
        raise AssertionError("defer does not return")

    def _bring_back(
        self,
        context: Context,
        export: Export,
        note: dict[str, Any],
        folder: ResultFolder,
        memory: Memory | None,
    ) -> list[str]:
        """Write every part under a hidden name, and then give all of them theirs."""
        from airflow_provider_batch.results.files import hidden, suffix

        staged = set(folder.staged())
        names = {file: f"{self.export_type}-{file.number:05}{suffix(self.compression)}" for file in export.files}
        parts: dict[str, list[int]] = {**note.get("parts", {})}
        try:
            for file, name in names.items():
                if file.id not in parts or name not in staged:
                    parts[file.id] = self._bring_part(file, name, folder)
                    if memory is not None:
                        memory.keep(_KEY, {**note, "parts": parts})
            folder.publish(names.values(), replaced=folder.find(self._names()))
        except BaseException as error:
            if not may_go_on(context, error):
                folder.delete(map(hidden, names.values()))
            raise
        _forget(memory)
        return self._report(context, folder, {names[file]: parts[file.id] for file in export.files}, note)

    def _bring_part(self, file: Any, name: str, folder: ResultFolder) -> list[int]:
        with self.hook.open_part(file) as (size, records):
            rows = folder.stage(name, (text for text, _ in records), self.compression)
        self.log.info("part %d: %s, %s", file.number, counted(rows, "row"), counted(size, "byte"))
        return [rows, size]

    def _report(
        self, context: Context, folder: ResultFolder, written: Mapping[str, list[int]], note: Mapping[str, Any]
    ) -> list[str]:
        from airflow_provider_batch.hooks.metrics import report_export
        from airflow_provider_batch.tasks.closing import export_line

        self._files = [WrittenFile(folder.path(name), rows) for name, (rows, _) in written.items()]
        summary = {
            "rows": sum(rows for rows, _ in written.values()),
            "bytes": sum(size for _, size in written.values()),
            "parts": len(written),
            "seconds": round(time.time() - note["start_time"], 1),
        }
        if (ti := context.get("ti")) is not None:
            ti.xcom_push(key="summary", value=summary)
        report_files(self, context, self._files, summary)
        report_export(self.batch_conn_id, self.export_type, summary["rows"], summary["seconds"])
        self.log.info("%s", export_line(self._name, summary, str(self.path)))
        return [str(file.path) for file in self._files]


def _names(name: str, given: Any) -> Any:
    """Return a list of names, which a template may have turned into text."""
    if isinstance(given, str):
        return list_in_text(given, name) if given.strip() not in ("", "None") else None
    return given


def _forget(memory: Memory | None) -> None:
    if memory is not None:
        memory.delete(_KEY)
