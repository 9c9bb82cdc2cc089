"""Operators that write attributes of Batch's profiles."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Unpack, cast, get_args

from airflow_provider_batch.assets.custom_audience import ATTRIBUTES
from airflow_provider_batch.operators.counted_push import (
    SOURCE_FIELDS,
    CountedPush,
    owner_of,
    skip_backfill,
    task_journal,
)
from airflow_provider_batch.operators.profile_parameters import ProfileParameters
from airflow_provider_batch.operators.rejects import rejects_file
from airflow_provider_batch.protocol.arguments import (
    ProfileMode,
    check_profiles_per_call,
    read_limit,
    read_switch,
)
from airflow_provider_batch.tasks.airflow_arguments import AirflowArguments
from airflow_provider_batch.tasks.failure import fail_without_retry
from airflow_provider_batch.tasks.outlets import (
    check_not_shared,
    check_profile_outlets,
    emit_profile_events,
    suppress_outlet_events,
)
from airflow_provider_batch.tasks.storage import storage_path

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_provider_batch.protocol.profiles.results import ProfilesResult
    from airflow_provider_batch.sources.profile_columns import ProfileColumns
    from airflow_provider_batch.tasks.journal import TaskStateJournal


class ProfilesPushOperator(CountedPush, takes=ProfileParameters):
    """
    An operator that writes the profiles that a source yields, in one of two modes.

    ``update`` sends every row. ``changed`` sends those that differ from what its last run sent, by a snapshot: of each
    profile it has the id, a digest of the attributes, and which of them were set. The snapshot moves on when every call
    was accepted; a run that dies half-way leaves a note of what it may have sent, and the next run sends it again. Of
    two runs at once, one fails. In a backfill, the task is skipped.

    In both modes all rows are read and checked before the first call, and of several rows of one profile the last
    counts. With ``snapshot_schema``, only the rows that differ are read, and of several always the same one counts.
    Batch reports nothing about profiles after it has accepted them, so there is nothing to wait for.

    The attributes among its ``outlets`` (:func:`~airflow_provider_batch.assets.profiles.profiles_asset`) have an event
    when Batch has accepted them, with the counts as extra.
    """

    modes = get_args(ProfileMode)
    id_noun = "profile"
    template_fields: Sequence[str] = SOURCE_FIELDS

    def __init__(self, **kwargs: Unpack[ProfileParameters]) -> None:
        self.mode = kwargs.pop("mode")
        self.id_column = kwargs.pop("id_column")
        self.attribute_columns = kwargs.pop("attribute_columns")
        self.nulls = kwargs.pop("nulls")
        self.batch_conn_id = kwargs.pop("batch_conn_id")
        self.route = kwargs.pop("route")
        self.chunk_size = kwargs.pop("chunk_size")
        self.max_concurrency = kwargs.pop("max_concurrency")
        self.on_invalid_id = kwargs.pop("on_invalid_id")
        self.rejects_path = kwargs.pop("rejects_path")
        self.max_rejected = kwargs.pop("max_rejected")
        self.skip_on_empty = kwargs.pop("skip_on_empty")
        self.snapshot_path = kwargs.pop("snapshot_path")
        self.on_gone = kwargs.pop("on_gone")
        self.full_refresh = kwargs.pop("full_refresh")
        self.allow_empty = kwargs.pop("allow_empty")
        self.max_shrink = kwargs.pop("max_shrink")
        self.max_changes = kwargs.pop("max_changes")
        self.is_dry_run = kwargs.pop("dry_run")  # Airflow's own dry_run is a method
        super().__init__(**cast(AirflowArguments, kwargs))
        check_profiles_per_call(self.chunk_size, self.route)
        if self.attribute_columns is not None:
            from airflow_provider_batch.protocol.profiles.table import chosen_keys  # few DAG files need it

            chosen_keys(self.attribute_columns)
        check_profile_outlets(self)

    @abstractmethod
    def source(self, context: Context) -> AbstractContextManager[Any]:
        """Yield the profiles, once opened."""

    @property
    def recipient(self) -> str:
        """The profiles of the connection."""
        from airflow_provider_batch.protocol.profiles.results import push_name

        return push_name(self.batch_conn_id)

    @property
    def dataset(self) -> str:
        """The attributes of all profiles."""
        return ATTRIBUTES

    @property
    def skips_no_ids(self) -> bool:
        """Whether a source without rows skips the task; in mode ``changed``, ``skip_on_empty`` is for no changes."""
        return self.skip_on_empty and self.mode == "update"

    def columns(self) -> ProfileColumns:
        """Return the names of the columns to read."""
        from airflow_provider_batch.sources.profile_columns import ProfileColumns

        return ProfileColumns(self.id_column, attribute_columns=self.attribute_columns)

    def pre_execute(self, context: Context) -> None:
        """Skip a backfill that would undo today's attributes, and refuse mapped tasks that undo each other's."""
        from airflow_provider_batch.tasks.mapped import check_mapped_profiles

        super().pre_execute(context)
        if self.mode == "changed":
            skip_backfill(context, self.recipient, self.mode, "attributes")
        with fail_without_retry():
            check_mapped_profiles(self, context)

    def check_outlets(self, context: Context) -> None:
        """Check that the outlets are the attributes that the task writes, and that their event comes once for all."""
        check_profile_outlets(self)
        check_not_shared(self, context, "Give the outlet to a task after them.")

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the profiles, and return the summary."""
        from airflow_provider_batch.tasks.closing import closing_failure, profiles_line

        journal = task_journal(context)
        with fail_without_retry(journal), closing_failure(self.log, self.recipient):
            result: ProfilesResult = self.checked_push(context, journal)
        if journal is not None:
            journal.clear()
        if self.is_dry_run:
            suppress_outlet_events(self)
        emit_profile_events(self, context, result.counts())
        self.log.info("%s", profiles_line(self.recipient, result.summary()))
        return result.summary()

    def push(self, context: Context, journal: TaskStateJournal | None) -> ProfilesResult:
        """Read the source, and send what the mode requires."""
        with rejects_file(self.rejects_path) as on_rejection, self.source(context) as values:
            common: dict[str, Any] = {
                "id_column": str(self.id_column),
                "attribute_columns": self.attribute_columns,
                "nulls": self.nulls,
                "route": self.route,
                "chunk_size": self.chunk_size,
                "max_concurrency": self.max_concurrency,
                "on_invalid_id": self.on_invalid_id,
                "on_rejection": on_rejection,
                "journal": journal,
                "dry_run": self.is_dry_run,
            }
            if self.mode == "update":
                return self.hook.update_profiles(values, **common)
            return self.hook.mirror_profiles(
                values,
                **self.snapshot_arguments(),
                on_gone=self.on_gone,
                full_refresh=read_switch("full_refresh", self.full_refresh),
                allow_empty=read_switch("allow_empty", self.allow_empty),
                max_shrink=read_limit(self.max_shrink, "max_shrink"),
                max_changes=read_limit(self.max_changes, "max_changes"),
                owner=owner_of(context),
                **common,
            )

    def snapshot_arguments(self) -> dict[str, Any]:
        """Return the hook's arguments that choose where the snapshot is kept."""
        return {"snapshot_path": storage_path(self.snapshot_path)}


class ProfilesUpdateOperator(ProfilesPushOperator, takes=ProfileParameters):
    """
    Set attributes of profiles of Batch's Customer Engagement Platform; profiles that it does not know are created.

    Returns the summary, which is also the XCom ``summary``: route, accepted, duplicates, rejected (and the first
    reasons), calls, seconds; in mode ``changed`` also unchanged, cleared, profiles. *Accepted* is all that can be
    known: Batch has no view of a profile. Sending a row again is safe, as attributes are set. See
    https://doc.batch.com/developer/api/cep/profiles/update and
    https://doc.batch.com/developer/api/cep/profiles/mass-update-profile.

    :param profiles: rows, or an upstream task's output. A row is a dict with ``custom_id`` and attributes beside it, or
        ``{"custom_id": …, "attributes": {…}}``. Values are text, numbers, booleans, dates, lists of text, and
        ``{"$add": […]}`` or ``{"$remove": […]}`` for items of a list. (templated)
    """

    id_fields = ("profiles",)
    template_fields: Sequence[str] = ("profiles", *ProfilesPushOperator.template_fields)

    def __init__(
        self, *, profiles: Iterable[object] | XComArg | str | None, **kwargs: Unpack[ProfileParameters]
    ) -> None:
        self.profiles = profiles
        super().__init__(**kwargs)

    def source(self, context: Context) -> AbstractContextManager[Any]:
        """Open the profiles."""
        return nullcontext(self.given("profiles"))
