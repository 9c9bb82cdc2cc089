"""The attributes of profiles as Python calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_batch.exceptions import InvalidArgumentError, counted
from airflow_provider_batch.hooks.base import BatchBaseHook, one_at_a_time
from airflow_provider_batch.hooks.lineage import report_profiles
from airflow_provider_batch.hooks.metrics import report_profiles_push
from airflow_provider_batch.hooks.stores import check_one_store, folder_mirror, table_mirror
from airflow_provider_batch.hooks.xcoms import concatenated

if TYPE_CHECKING:
    from airflow_provider_batch.mirror.plan import FolderMirror
    from airflow_provider_batch.mirror.tables.mirror import TableMirror
    from airflow_provider_batch.mirror.target import Target
    from airflow_provider_batch.profiles.push import ProfilePush
    from airflow_provider_batch.protocol.arguments import Nulls, OnGone, OnInvalidId, RouteName
    from airflow_provider_batch.protocol.profiles.intake import ProfileIntake
    from airflow_provider_batch.protocol.profiles.results import ProfilesMirrorResult, ProfilesResult
    from airflow_provider_batch.protocol.rows import OnRejection
    from airflow_provider_batch.push.line import Line
    from airflow_provider_batch.push.parcels import Journal

#: The name of the snapshot in a folder, which has no other of profiles.
_ONLY = "attributes"


class ProfileHook(BatchBaseHook):
    """The part of the hook that writes profiles."""

    def update_profiles(
        self,
        profiles: Iterable[object] | str | None,
        *,
        route: RouteName = "auto",
        chunk_size: int | None = None,
        max_concurrency: int | None = None,
        on_invalid_id: OnInvalidId = "fail",
        nulls: Nulls = "keep",
        on_rejection: OnRejection | None = None,
        journal: Journal | None = None,
        dry_run: bool = False,
        id_column: str = "custom_id",
        attribute_columns: Sequence[str | int] | Mapping[str | int, str] | None = None,
    ) -> ProfilesResult:
        """
        Set attributes of profiles, in as many calls as needed; Batch creates profiles that it does not know.

        See https://doc.batch.com/developer/api/cep/profiles/update and
        https://doc.batch.com/developer/api/cep/profiles/mass-update-profile. All rows are read and checked before the
        first call, and wait in a temporary file. Of several rows of one profile the last counts. Batch reports nothing
        about profiles after it has accepted them.

        :param profiles: rows: dicts with the id and attributes beside it, or with the id and ``attributes``, or
            :class:`~airflow_provider_batch.protocol.profiles.table.Profile`.
        :param route: ``update``, ``mass-update``, or ``auto``: the latter for more than 1,000 profiles.
        :param chunk_size: profiles in one call; None for as many as the route takes, 200 or 10,000.
        :param max_concurrency: calls in flight, at most 64; None for the connection's value.
        :param on_invalid_id: ``fail``, or ``skip`` to send the other rows and count the invalid ones.
        :param nulls: ``keep`` to leave a missing value out, ``clear`` to delete the attribute.
        :param on_rejection: called with each row that is skipped, or that Batch rejects in part, its place and the
            reason; never twice at once, but from several threads.
        :param journal: keeps what Batch accepted for the next try.
        :param dry_run: check and count everything, and send nothing.
        :param id_column: the field of a row with the id.
        :param attribute_columns: the fields to send, or a dict from fields to the names of attributes; None for all.
        :raises InvalidArgumentError: if an argument breaks a documented rule.
        :raises InvalidMemberError: if a row is invalid and is not to be skipped; nothing was sent.
        :raises BatchConfigurationError: if the connection cannot be used, or is not to a project.
        :raises BatchAPIError: if Batch rejects a call, or fails at every attempt.
        :raises BatchConnectionError: if Batch does not answer any attempt.
        """
        notify = one_at_a_time(on_rejection)
        self._check_calls(route, chunk_size)
        intake = self._profiles(profiles, id_column, attribute_columns, nulls, on_invalid_id, notify)
        with self._line(resource="profiles") as line:
            push = self._profile_push(line, max_concurrency, route, chunk_size, notify)
            result = push.run(intake, journal=journal, dry_run=dry_run)
        self._report_profiles(result, intake.unseen)
        return result

    def mirror_profiles(
        self,
        profiles: Iterable[object] | str | None,
        *,
        snapshot_path: Any = None,
        snapshot_schema: str | None = None,
        snapshot_name: str = "",
        on_gone: OnGone = "keep",
        full_refresh: bool = False,
        allow_empty: bool = False,
        max_shrink: float | None = None,
        max_changes: float | None = None,
        owner: str = "a program",
        route: RouteName = "auto",
        chunk_size: int | None = None,
        max_concurrency: int | None = None,
        on_invalid_id: OnInvalidId = "fail",
        nulls: Nulls = "keep",
        on_rejection: OnRejection | None = None,
        journal: Journal | None = None,
        dry_run: bool = False,
        id_column: str = "custom_id",
        attribute_columns: Sequence[str | int] | Mapping[str | int, str] | None = None,
    ) -> ProfilesMirrorResult:
        """
        Set attributes of those profiles whose rows differ from what was sent before.

        What earlier runs sent is read from a snapshot, which holds a digest of the attributes of each profile, and
        which of them were set, but no values. It advances once Batch has accepted every call. For the arguments not
        described here, see :meth:`update_profiles`.

        :param profiles: rows as for :meth:`update_profiles`; with *snapshot_schema* a
            :class:`~airflow_provider_batch.sources.sql.SqlSource`; of several rows of a profile always the same counts.
        :param snapshot_path: a folder (:class:`pathlib.Path` or Airflow's ``ObjectStoragePath``) for the snapshot of
            this table; another table, with other attributes, needs another folder.
        :param snapshot_schema: instead of *snapshot_path*: a schema for tables with the snapshot, in the database that
            *profiles* is a query of. Only the rows that differ are read.
        :param snapshot_name: with *snapshot_schema*: the name of this snapshot among others in the schema. Another
            query needs another name.
        :param on_gone: ``keep`` to leave a profile as it is whose row has gone, ``clear`` to delete the attributes from
            it that this mirror has set on it.
        :param full_refresh: send every row, and start a new snapshot.
        :param allow_empty: whether there may be no rows at all.
        :param max_shrink: how much fewer profiles there may be: a share of the last ones (float), or a count (int).
        :param max_changes: how many profiles may be sent: a share of the last ones (float), or a count (int); not
            checked in a first run.
        :param owner: identifies the run to concurrent ones; the same for all tries of one task.
        :raises MirrorConflictError: if another run uses the same snapshot.
        :raises SnapshotError: if the snapshot is damaged, or of another project.
        :raises GuardError: if a limit forbids the changes; nothing was sent.
        """
        from airflow_provider_batch.mirror.guards import Limits
        from airflow_provider_batch.mirror.profile_run import ProfileMirrorRun
        from airflow_provider_batch.protocol.arguments import check_choice

        notify = one_at_a_time(on_rejection)
        self._check_calls(route, chunk_size)
        check_choice("on_gone", on_gone)
        limits = Limits(max_shrink, max_changes, allow_empty)
        intake_of = partial(
            self._profiles,
            id_column=id_column,
            attribute_columns=attribute_columns,
            nulls=nulls,
            on_invalid_id=on_invalid_id,
            notify=notify,
        )
        check_one_store(snapshot_path, snapshot_schema)
        mirror: FolderMirror | TableMirror
        if snapshot_schema:
            form = intake_of(())  # without rows: what is read of each, which the comparison has to know before
            of_run: dict[str, Any] = {"source": profiles, "owner": owner, "is_dry_run": dry_run}
            of_run |= {"settings": form.settings, "key_of": form.key_of, "deletes": form.clears}
            mirror = self._profile_tables(profiles, snapshot_schema, snapshot_name, of_run)
        else:
            mirror = folder_mirror(self.batch_conn_id, self._profile_target(_ONLY), snapshot_path)
        intake = intake_of(mirror.to_check(profiles))
        with self._line(resource="profiles") as line:
            push = self._profile_push(line, max_concurrency, route, chunk_size, notify)
            run = ProfileMirrorRun(push, mirror, owner, on_gone, full_refresh, limits)
            result = run.run(intake, journal=journal, dry_run=dry_run)
        # What a query lacks is an error of its own; and of one that tables are compared with, few rows are read.
        self._report_profiles(result, () if snapshot_schema else intake.unseen)
        return result

    def _profile_tables(
        self, profiles: object, snapshot_schema: str, snapshot_name: str, of_run: dict[str, Any]
    ) -> TableMirror:
        from airflow_provider_batch.protocol.profiles.table import RULES

        if not snapshot_name:
            raise InvalidArgumentError(
                "snapshot_name: a schema may have snapshots of several queries. Pass a name for that of this one."
            )
        target, database = self._profile_target(snapshot_name), getattr(profiles, "hook", None)
        return table_mirror(self.batch_conn_id, target, snapshot_schema, RULES, database, **of_run)

    def _profile_target(self, name: str) -> Target:
        from airflow_provider_batch.mirror.status import PROFILES_PREFIX
        from airflow_provider_batch.mirror.target import Target

        return Target(f"{PROFILES_PREFIX}{name}", "custom_ids", self._settings.credentials.digest)

    def _check_calls(self, route: RouteName, chunk_size: int | None) -> None:
        """Check the arguments of the calls before anything is read."""
        from airflow_provider_batch.protocol.arguments import check_choice, check_profiles_per_call

        check_choice("route", route)
        self._settings.profile_route("update")
        check_profiles_per_call(chunk_size, route)

    def _profiles(
        self,
        profiles: object,
        id_column: str,
        attribute_columns: Sequence[str | int] | Mapping[str | int, str] | None,
        nulls: Nulls,
        on_invalid_id: OnInvalidId,
        notify: OnRejection | None,
    ) -> ProfileIntake:
        from airflow_provider_batch.protocol.profiles.intake import ProfileIntake
        from airflow_provider_batch.protocol.profiles.results import push_name

        return ProfileIntake(
            concatenated(profiles),
            name=push_name(self.batch_conn_id),
            id_column=id_column,
            attribute_columns=attribute_columns,
            nulls=nulls,
            on_invalid_id=on_invalid_id,
            on_rejection=notify,
            checkpoint=self.pause,
        )

    def _profile_push(
        self,
        line: Line,
        max_concurrency: int | None,
        route: RouteName,
        chunk_size: int | None,
        notify: OnRejection | None,
    ) -> ProfilePush:
        from airflow_provider_batch.profiles.push import ProfilePush

        return ProfilePush(line, self.batch_conn_id, self._window(max_concurrency), route, chunk_size, notify)

    def _report_profiles(self, result: ProfilesResult, unseen: Sequence[str]) -> None:
        from airflow_provider_batch.protocol.profiles.results import ProfilesMirrorResult

        if not result.dry_run:
            report_profiles_push(self.batch_conn_id, result)
            if result.calls:
                report_profiles(self)
        counts = [
            f"{result.accepted:,} {'to send' if result.dry_run else 'accepted'}",
            counted(result.duplicates, "duplicate"),
        ]
        if isinstance(result, ProfilesMirrorResult):
            counts[1:1] = [f"{result.cleared:,} {'to clear' if result.dry_run else 'cleared'}"]
            counts[2:2] = [f"{result.unchanged:,} unchanged"]
        self._report(result, counts, f" ({result.route})")
        if unseen and result.given > result.rejected:
            self.log.warning("attribute_columns: no row has a field %s; check the names", ", ".join(map(repr, unseen)))
