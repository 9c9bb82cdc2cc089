"""Operators that read statistics: of orchestrations, campaigns and transactional messages."""

from __future__ import annotations

import hashlib
import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack, cast

from airflow_provider_batch.exceptions import InvalidArgumentError, counted
from airflow_provider_batch.operators.statistics_parameters import StatisticsParameters
from airflow_provider_batch.protocol.arguments import list_in_text
from airflow_provider_batch.tasks.airflow_arguments import AirflowArguments
from airflow_provider_batch.tasks.batch import BatchTask
from airflow_provider_batch.tasks.failure import fail_without_retry
from airflow_provider_batch.tasks.files import WrittenFile, check_own_path, files_lineage, report_files
from airflow_provider_batch.tasks.memory import Memory, may_go_on
from airflow_provider_batch.tasks.storage import storage_path

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath, XComArg
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_batch.results.pieces import Pieces
    from airflow_provider_batch.results.statistics import Figures, Reading

#: The key of what was read in the state store of the task instance.
_KEY: Final = "statistics"

#: The most rows that are returned: an XCom must not hold more.
_MOST_ROWS: Final = 10_000

#: The endings of a path that is a file, and not a folder.
_FILE_ENDINGS: Final = (".jsonl", ".ndjson", ".json")

#: How many of the missing ones the summary names.
_NAMED: Final = 100


class StatisticsOperator(BatchTask, takes=StatisticsParameters):
    """An operator that reads the figures of everything that a list has."""

    template_fields: Sequence[str] = ("path", "path_conn_id", "since", "until", "batch_conn_id")
    #: The name of the file in a folder.
    file_name: ClassVar[str]
    #: What was written, once that is known.
    _files: Sequence[WrittenFile] = ()

    def __init__(self, **kwargs: Unpack[StatisticsParameters]) -> None:
        self.path = kwargs.pop("path")
        self.since = kwargs.pop("since")
        self.until = kwargs.pop("until")
        self.path_conn_id = kwargs.pop("path_conn_id")
        self.on_missing = kwargs.pop("on_missing")
        self.batch_conn_id = kwargs.pop("batch_conn_id")
        super().__init__(**cast(AirflowArguments, kwargs))
        if self.path_conn_id is not None and self.path is None:
            raise InvalidArgumentError("path_conn_id: has no effect without path. Drop it, or pass path.")

    @abstractmethod
    def reading(self) -> Reading:
        """Return what is to be read."""

    def execute(self, context: Context) -> list[Any]:
        """Read all figures, and write or return them."""
        from airflow_provider_batch.hooks.metrics import report_statistics
        from airflow_provider_batch.tasks.closing import closing_failure, statistics_line

        started = time.monotonic()
        with fail_without_retry(), closing_failure(self.log, "statistics"):
            check_own_path(context)
            reading = self.reading()
            if not self.path:
                rows, read, missing = self._collect(reading)
                result: list[Any] = rows
                count = len(rows)
            else:
                result, count, read, missing = self._write(context, reading)
        summary = {
            "rows": count,
            reading.subject.name: read,
            "missing": [{reading.subject.key: each.key, "reason": str(each.failure)} for each in missing[:_NAMED]],
            "missing_count": len(missing),
            "seconds": round(time.monotonic() - started, 1),
        }
        if (ti := context.get("ti")) is not None:
            ti.xcom_push(key="summary", value=summary)
        report_files(self, context, self._files, summary)
        subject = reading.subject
        report_statistics(self.batch_conn_id, subject.name, count, len(missing))
        what, path = counted(read, subject.noun), str(self._files[0].path) if self._files else None
        self.log.info("%s", statistics_line(f"statistics of {subject.name}", summary, what, path))
        return result

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Report the file to OpenLineage, with the number of its rows."""
        return files_lineage(self._files)

    def _collect(self, reading: Reading) -> tuple[list[dict[str, Any]], int, list[Figures]]:
        """Return all rows, how many were read, and those that are missing."""
        rows: list[dict[str, Any]] = []
        missing: list[Figures] = []
        read = 0
        for figures in self.hook.read_statistics(reading):
            if figures.failure is not None:
                self._note(figures, missing)
                continue
            read += 1
            rows += figures.lines
            if len(rows) > _MOST_ROWS:
                raise InvalidArgumentError(
                    f"path: there are more than {_MOST_ROWS:,} rows, which is too much to return. Pass a path, or a "
                    "shorter period."
                )
        self._check(reading, missing)
        return rows, read, missing

    def _write(self, context: Context, reading: Reading) -> tuple[list[str], int, int, list[Figures]]:
        """Write all rows to the file; return its path, the number of rows, how many were read, and what is missing."""
        from airflow_provider_batch.results.files import ResultFolder
        from airflow_provider_batch.results.pieces import Pieces

        memory = Memory.of(context)
        target = self._target()
        digest = hashlib.sha256(repr((reading, str(target), self.batch_conn_id)).encode()).hexdigest()
        note = memory.recall(_KEY) if memory is not None else {}
        known = int(note["pieces"]) if note.get("digest") == digest else 0
        pieces = Pieces(ResultFolder(target.parent), target.name, known)
        if pieces.count:
            self.log.info("%s were read by the try before", counted(len(pieces.keys), reading.subject.noun))
        missing: list[Figures] = []
        try:
            self._read(reading, pieces, missing, memory, digest)
            self._check(reading, missing)
            pieces.finish("gzip" if target.name.endswith(".gz") else None)
        except BaseException as error:
            if not may_go_on(context, error):
                pieces.delete()
            raise
        if memory is not None:
            memory.delete(_KEY)
        self._files = [WrittenFile(target, pieces.rows)]
        return [str(target)], pieces.rows, len(pieces.keys), missing

    def _read(
        self, reading: Reading, pieces: Pieces, missing: list[Figures], memory: Memory | None, digest: str
    ) -> None:
        def keep() -> None:
            if memory is not None:
                memory.keep(_KEY, {"digest": digest, "pieces": pieces.count})

        keep()
        try:
            for figures in self.hook.read_statistics(reading, frozenset(pieces.keys)):
                if figures.failure is not None:
                    self._note(figures, missing)
                elif pieces.add(figures):
                    keep()
        finally:
            if pieces.flush():
                keep()

    def _target(self) -> ObjectStoragePath:
        """Return the path of the file."""
        path = storage_path(self.path, self.path_conn_id)
        is_file = path.name.removesuffix(".gz").endswith(_FILE_ENDINGS)
        target: ObjectStoragePath = path if is_file else path / self.file_name
        return target

    def _note(self, figures: Figures, missing: list[Figures]) -> None:
        self.log.warning("%s cannot be read: %s", figures.key, figures.failure)
        missing.append(figures)

    def _check(self, reading: Reading, missing: list[Figures]) -> None:
        from airflow_provider_batch.results.statistics import check_missing

        if self.on_missing == "fail":
            check_missing(reading.subject, missing)


class OrchestrationStatsOperator(StatisticsOperator, takes=StatisticsParameters):
    """
    Read the statistics of all orchestrations of a project of Batch (Customer Engagement Platform).

    Reads the list over all its pages, and the figures of each. There is one row for each orchestration and day, and one
    more for each version of an A/B test; in the row of the day ``version`` is null. A row has every key that Batch
    sends, of the list and of the day, and ``read_at``. With *path* they are written as JSON lines to one file that
    appears when it is complete and replaces that of an earlier run; on Airflow 3.3 and later a retry goes on where the
    try before ended. Returns its path in a list; or, without *path*, the rows (at most 10,000). Pushes the XCom
    ``summary`` with rows, orchestrations, missing, seconds. See
    https://doc.batch.com/developer/api/cep/orchestrations/stats.

    :param status: only those with this status, or one of several, such as ``running``. (templated)
    :param type: only those of this type, or one of several, such as ``campaign``. (templated)
    :param channels: only those of this channel, or one of several, such as ``push``. (templated)
    """

    template_fields: Sequence[str] = (*StatisticsOperator.template_fields, "status", "type", "channels")
    file_name = "orchestration_stats.jsonl.gz"

    def __init__(
        self,
        *,
        status: str | Sequence[str] | None = None,
        type: str | Sequence[str] | None = None,
        channels: str | Sequence[str] | None = None,
        **kwargs: Unpack[StatisticsParameters],
    ) -> None:
        super().__init__(**kwargs)
        self.status = status
        self.type = type
        self.channels = channels

    def reading(self) -> Reading:
        """Return what is to be read."""
        return self.hook.orchestrations_reading(
            self.since,
            self.until,
            status=_filter("status", self.status),
            type=_filter("type", self.type),
            channels=_filter("channels", self.channels),
        )


class CampaignStatsOperator(StatisticsOperator, takes=StatisticsParameters):
    """
    Read the statistics of all campaigns of an app of Batch (Mobile Engagement Platform), with its Live key.

    Reads the list over all its pages, and the figures of each campaign, at 60 calls a minute unless the connection has
    ``requests_per_second``. Batch answers with all days of a campaign; those outside of the period are left out. Rows,
    files, result and summary are as those of :class:`OrchestrationStatsOperator`. See
    https://doc.batch.com/developer/api/mep/campaigns/get.

    :param since: the first day, such as ``{{ ds }}``; by default, of all. (templated)
    :param until: the last day. (templated)
    :param live: only campaigns that are live, or only the others.
    :param from_api: only campaigns that the API has created, or only the others.
    """

    file_name = "campaign_stats.jsonl.gz"

    def __init__(
        self,
        *,
        live: bool | None = None,
        from_api: bool | None = None,
        **kwargs: Unpack[StatisticsParameters],
    ) -> None:
        super().__init__(**kwargs)
        self.live = live
        self.from_api = from_api

    def reading(self) -> Reading:
        """Return what is to be read."""
        return self.hook.campaigns_reading(self.since, self.until, live=self.live, from_api=self.from_api)


class TransactionalStatsOperator(StatisticsOperator, takes=StatisticsParameters):
    """
    Read the statistics of groups of transactional messages of an app (Mobile Engagement Platform), with its Live key.

    Rows, files, result and summary are as those of :class:`OrchestrationStatsOperator`. See
    https://doc.batch.com/developer/api/mep/transactional/stats.

    :param group_ids: the groups; Batch has no list of them. (templated)
    """

    template_fields: Sequence[str] = ("group_ids", *StatisticsOperator.template_fields)
    file_name = "transactional_stats.jsonl.gz"

    def __init__(
        self,
        *,
        group_ids: Sequence[str] | XComArg | str,
        **kwargs: Unpack[StatisticsParameters],
    ) -> None:
        super().__init__(**kwargs)
        self.group_ids = group_ids

    def reading(self) -> Reading:
        """Return what is to be read."""
        given: Any = self.group_ids
        groups: Any = list_in_text(given, "group_ids") if isinstance(given, str) else given
        return self.hook.transactional_reading(groups, self.since, self.until)


def _filter(name: str, given: Any) -> Any:
    """Return the values of a filter, whose list a template may have turned into text."""
    if isinstance(given, str):
        text = given.strip()
        return list_in_text(text, name) if text.startswith("[") else (None if text in ("", "None") else text)
    return given
