"""What every operator that pushes does around its push: the journal, the counts, the limits, the lineage."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_batch.exceptions import EmptySetError
from airflow_provider_batch.operators.rendered_ids import RendersIdsAsCounts
from airflow_provider_batch.tasks.batch import BatchTask, is_mapped

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_batch.tasks.journal import TaskStateJournal

#: What is templated of every operator that pushes what a source yields.
SOURCE_FIELDS: Final = (
    *("batch_conn_id", "rejects_path", "snapshot_path", "full_refresh", "allow_empty", "max_shrink", "max_changes"),
)


class CountedPush(RendersIdsAsCounts, BatchTask):
    """An operator whose push returns counts: see :class:`~airflow_provider_batch.protocol.results.Outcome`."""

    max_rejected: float | None
    skip_on_empty: bool
    is_dry_run: bool

    #: What the task has pushed, once that is known.
    _counts: Mapping[str, Any] | None = None

    @property
    @abstractmethod
    def recipient(self) -> str:
        """What messages call the recipient."""

    @property
    def dataset(self) -> str:
        """What lineage calls the recipient, within its connection."""
        return self.recipient

    @abstractmethod
    def push(self, context: Context, journal: TaskStateJournal | None) -> Any:
        """Send what is to be sent; *journal* holds what an earlier try has sent."""

    @property
    def skips_no_ids(self) -> bool:
        """Whether a source without ids skips the task where it would otherwise fail."""
        return self.skip_on_empty

    def checked_push(self, context: Context, journal: TaskStateJournal | None) -> Any:
        """Push, keep the summary as an XCom, and return the result if it is within its limits."""
        ti = context.get("ti")
        if journal is None and getattr(ti, "try_number", 1) > 1:
            self.log.info("Airflow before 3.3 keeps nothing between two tries: everything is sent again, which is safe")
        try:
            result = self.push(context, journal)
        except EmptySetError:
            if not self.skips_no_ids:
                raise
            raise AirflowSkipException(f"{self.recipient}: the source has no {self.id_noun}s") from None
        self._counts = result.counts()
        if ti is not None:
            ti.xcom_push(key="summary", value=result.summary())
        result.check_rejected(self.max_rejected)
        if not result.calls and self.skip_on_empty:
            raise AirflowSkipException(f"{self.recipient}: nothing to send")
        return result

    def openlineage_inputs(self) -> list[Any]:
        """Return the OpenLineage datasets that the ids come from: the tables or files of a transfer."""
        return []

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Report the recipient to OpenLineage, with the number of ids that were written; a dry run has none."""
        from airflow_provider_batch.tasks.lineage import audience_lineage

        try:
            inputs = self.openlineage_inputs()
        except Exception as error:  # noqa: BLE001 - of a database or a parser; the recipient was written all the same
            self.log.warning("lineage: the source of the %ss is unknown: %s", self.id_noun, type(error).__name__)
            inputs = []
        return audience_lineage(
            self.batch_conn_id,
            self.dataset,
            rows=None if self._counts is None else sum(self._counts.get(name, 0) for name in _WRITTEN),
            inputs=inputs,
            written=not self.is_dry_run,
        )


#: The counts of what was written: ids of an audience, profiles.
_WRITTEN: Final = ("added", "removed", "accepted", "cleared")


def task_journal(context: Context) -> TaskStateJournal | None:
    """Return the record of what the task instance has delivered; imported where a task runs, as the hook is."""
    from airflow_provider_batch.tasks.journal import TaskStateJournal

    return TaskStateJournal.of(context)


def skip_backfill(context: Context, name: str, mode: str, sent: str) -> None:
    """
    Skip a task whose source is all that there is: in a backfill it would be all that there was.

    :param name: what messages call the recipient.
    :param sent: what is sent, such as ``members``.
    """
    run = context.get("dag_run")
    if run is not None and run.run_type == "backfill":
        raise AirflowSkipException(
            f"{name}: in a backfill, mode={mode!r} could send the {sent} of an earlier day. To send today's {sent}, "
            "trigger a new DAG run."
        )


def owner_of(context: Context) -> str:
    """Name the task instance, whichever try it is."""
    ti = context.get("ti")
    if ti is None:
        return "a task without a name"
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}" + (f"[{ti.map_index}]" if is_mapped(context) else "")
