"""The modes, which all operators share that push what a source yields."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Unpack, cast

from airflow_provider_batch.operators.counted_push import SOURCE_FIELDS, owner_of, skip_backfill
from airflow_provider_batch.operators.parameters import PushParameters, SourceParameters
from airflow_provider_batch.operators.push import PushOperator
from airflow_provider_batch.operators.rejects import rejects_file
from airflow_provider_batch.protocol.arguments import Mode, read_limit, read_switch
from airflow_provider_batch.tasks.storage import storage_path

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_batch.protocol.audiences.results import PushResult
    from airflow_provider_batch.tasks.journal import TaskStateJournal
    from airflow_provider_batch.tasks.mapped import Expansion, Use

#: The modes whose source is the whole audience.
_WHOLE: Final = ("replace", "mirror")


class SourcePushOperator(PushOperator, takes=SourceParameters):
    """
    An operator that pushes what a source yields, in one of five modes.

    ``add`` and ``remove`` apply to every id. In ``actions`` a column holds the action of each row: of several changes
    of one id the last counts, and all ids are held until it is known. ``replace`` makes the ids the only members, as
    :class:`~airflow_provider_batch.operators.custom_audience.CustomAudienceReplaceOperator` does.

    ``mirror`` sends what has changed since its last run, so that the audience holds exactly the given ids among those
    this mirror manages. What that run sent is kept under ``snapshot_path``, in a folder for each connection and
    audience: sorted, compressed, as plain ids (or, for a query, in tables of its database: ``snapshot_schema``). The
    snapshot moves on when every call was accepted; a run that dies half-way leaves a note of what it may have sent, and
    the next run corrects it. Of two runs at once, one fails. The ids are read once, whole, and before the first call
    (of tables, only those that have changed). The run waits until its writes are indexed, so that a later one
    cannot overtake them, unless ``wait_for_indexing=False`` leaves that to the next run.

    Mapped tasks can ``add`` or ``remove`` shards of a source; of an id in several shards with attributes, those of one
    shard stay. ``actions`` needs ``mapped_by="id"``: each shard has all rows of its ids. Several ``replace`` or
    ``mirror`` for the same audience are refused, since each would remove what the others have added. In a backfill,
    both modes skip the task: the set of an earlier day must not become today's audience.
    """

    template_fields: Sequence[str] = ("audience_name", "audience_type", *SOURCE_FIELDS)

    def __init__(self, **kwargs: Unpack[SourceParameters]) -> None:
        self.mode: Mode = kwargs.pop("mode")
        self.rejects_path = kwargs.pop("rejects_path")
        self.allow_empty = kwargs.pop("allow_empty")
        self.max_shrink = kwargs.pop("max_shrink")
        self.snapshot_path = kwargs.pop("snapshot_path")
        self.first_run = kwargs.pop("first_run")
        self.full_refresh = kwargs.pop("full_refresh")
        self.is_sorted = kwargs.pop("is_sorted")
        self.max_changes = kwargs.pop("max_changes")
        self.on_drift = kwargs.pop("on_drift")
        waits = bool(kwargs.pop("wait_for_indexing"))
        super().__init__(wait_for_indexing=waits, **cast(PushParameters, kwargs))

    @abstractmethod
    def source(self, context: Context) -> AbstractContextManager[Any]:
        """Yield the values, once opened: ids, members, or changes of them."""

    def pre_execute(self, context: Context) -> None:
        """Skip a backfill that would undo today's audience."""
        super().pre_execute(context)
        if self.mode in _WHOLE:
            skip_backfill(context, self.recipient, self.mode, "members")

    @property
    def skips_no_ids(self) -> bool:
        """Whether a source without ids skips the task; of a mirror, ``skip_on_empty`` means that nothing changed."""
        return self.skip_on_empty and self.mode != "mirror"

    def own_replace(self, indexing_tokens: Sequence[str]) -> str | None:
        """Return the token of the first call, which may be a replace."""
        return next(iter(indexing_tokens), None) if self.mode in _WHOLE else None

    def mapped_use(self, expansion: Expansion) -> Use:
        """Return what the mode does; one that differs between the tasks adds here and removes there."""
        if self.mode in _WHOLE:
            return "the only ids"
        if expansion.names is None and self.mode == "add":
            # Those that get another mode from upstream are refused, so the others may go on.
            return "one action"
        return "actions" if self.mode == "actions" or expansion.varies("mode") else "one action"

    def push(self, context: Context, journal: TaskStateJournal | None) -> PushResult:
        """Read the source and send what the mode requires."""
        with rejects_file(self.rejects_path) as on_rejection, self.source(context) as values:
            common = self.shared_arguments(journal) | {"on_rejection": on_rejection}
            if self.mode in ("add", "remove", "actions"):
                argument = {"add": "add_ids", "remove": "remove_ids", "actions": "changes"}[self.mode]
                return self.hook.update_custom_audience(self.audience_name, **{argument: values}, **common)
            common |= {
                "allow_empty": read_switch("allow_empty", self.allow_empty),
                "max_shrink": read_limit(self.max_shrink, "max_shrink"),
                "poke_interval": self.poke_interval,
                "indexing_timeout": self.indexing_timeout,
            }
            if self.mode == "replace":
                return self.hook.replace_custom_audience(self.audience_name, values, **common)
            return self.hook.mirror_custom_audience(
                self.audience_name,
                values,
                **self.snapshot_arguments(),
                first_run=self.first_run,
                full_refresh=read_switch("full_refresh", self.full_refresh),
                is_sorted=self.is_sorted,
                max_changes=read_limit(self.max_changes, "max_changes"),
                owner=owner_of(context),
                **common,
            )

    def snapshot_arguments(self) -> dict[str, Any]:
        """Return the hook's arguments that choose where a mirror keeps its snapshot."""
        return {"snapshot_path": storage_path(self.snapshot_path)}

    def confirmation_arguments(self) -> dict[str, Any]:
        """Return the hook's arguments that find the snapshot again, once its writes are indexed."""
        return self.snapshot_arguments()

    def indexed(self, indexing_tokens: Sequence[str], audience: dict[str, Any] | None) -> str | None:
        """Note it for the next run of a mirror, compare the numbers of ids, and return the difference."""
        if self.mode != "mirror":
            return None
        return self.hook.confirm_mirror(
            self.audience_name,
            **self.confirmation_arguments(),
            audience_type=self.audience_type,
            indexing_tokens=indexing_tokens,
            nb_ids=audience["nb_ids"] if audience else None,
            on_drift=self.on_drift,
        )
