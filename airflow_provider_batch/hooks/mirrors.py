"""Mirrors of audiences as Python calls: send what has changed, note that it is indexed, and look into the snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_batch.exceptions import DriftError, InvalidArgumentError
from airflow_provider_batch.hooks.members import MemberHook
from airflow_provider_batch.hooks.metrics import report_drift
from airflow_provider_batch.hooks.stores import check_one_store, folder_mirror, table_mirror
from airflow_provider_batch.hooks.xcoms import concatenated

if TYPE_CHECKING:
    from airflow_provider_batch.mirror.status import MirrorStatus
    from airflow_provider_batch.mirror.store import Store
    from airflow_provider_batch.mirror.target import Target
    from airflow_provider_batch.protocol.arguments import FirstRun, OnDrift, OnInvalidId, OnRejectedChunk
    from airflow_provider_batch.protocol.audiences.results import MirrorResult
    from airflow_provider_batch.protocol.audiences.writes import AudienceWrites
    from airflow_provider_batch.protocol.rows import OnRejection
    from airflow_provider_batch.push.parcels import Journal


class MirrorHook(MemberHook):
    """The part of the hook that keeps audiences equal to a set of ids."""

    def mirror_custom_audience(
        self,
        audience_name: str,
        ids: Iterable[object] | str | None,
        *,
        snapshot_path: Any = None,
        snapshot_schema: str | None = None,
        keep_changes: int = 0,
        audience_type: str = "custom_ids",
        chunk_size: int = 10_000,
        max_concurrency: int | None = None,
        on_invalid_id: OnInvalidId = "fail",
        trim_ids: bool = False,
        on_rejected_chunk: OnRejectedChunk = "fail",
        first_run: FirstRun = "add",
        full_refresh: bool = False,
        is_sorted: bool = False,
        allow_empty: bool = False,
        max_shrink: float | None = None,
        max_changes: float | None = None,
        create_if_missing: bool = False,
        owner: str = "a program",
        poke_interval: float = 10.0,
        indexing_timeout: float = 3600.0,
        on_rejection: OnRejection | None = None,
        journal: Journal | None = None,
        dry_run: bool = False,
    ) -> MirrorResult:
        """
        Send changes so that the audience has exactly *ids* among the ids that this mirror manages.

        What earlier runs sent is read from a snapshot, which advances once Batch has accepted every call. All ids are
        read, once, before the first call. Call :meth:`confirm_mirror` when the returned tokens are indexed. For the
        arguments not described here, see :meth:`update_custom_audience`.

        :param ids: same forms as ``add_ids`` there.
        :param snapshot_path: a folder (:class:`pathlib.Path` or Airflow's ``ObjectStoragePath``) for the snapshots of
            all audiences; each has a folder of its own in it.
        :param snapshot_schema: instead of *snapshot_path*: a schema for tables with the snapshot, in the database that
            the ids come from. They are compared there, and only what changed is read. *ids* is then a
            :class:`~airflow_provider_batch.sources.sql.SqlSource`.
        :param keep_changes: with *snapshot_schema*: for how many days a table keeps each run's changes; 0 for none.
        :param first_run: without a snapshot: ``add`` keeps the members that Batch has already, ``replace`` does not.
        :param full_refresh: replace the whole audience and start a new snapshot.
        :param is_sorted: whether the ids ascend in the order of their code points, which is checked; for a folder.
        :param allow_empty: whether no ids at all may remove all members.
        :param max_shrink: how much smaller the set may get: a share of the last one (float), or a count (int).
        :param max_changes: how many ids may be sent: a share of the last set (float), or a count (int); not checked in
            a first run.
        :param owner: identifies the run to concurrent ones; the same for all tries of one task.
        :raises MirrorConflictError: if another run uses the same snapshot.
        :raises SnapshotError: if the snapshot is damaged, or of another audience.
        :raises GuardError: if a limit forbids the changes; nothing was sent.
        """
        from airflow_provider_batch.mirror.guards import Limits
        from airflow_provider_batch.mirror.run import MirrorRun
        from airflow_provider_batch.protocol.retry import Patience

        window = self._window(max_concurrency)
        writes = replace(
            self._writes(audience_name, audience_type, chunk_size, on_rejected_chunk, on_rejection),
            patience=Patience(poke_interval, indexing_timeout),
        )
        limits = Limits(max_shrink, max_changes, allow_empty)
        if snapshot_schema and trim_ids:
            raise InvalidArgumentError("trim_ids: the database compares the ids. Trim them in the query.")
        of_run = {"source": ids, "owner": owner, "is_dry_run": dry_run, "keep_changes": keep_changes}
        store = self._store(writes, snapshot_path, snapshot_schema, getattr(ids, "hook", None), **of_run)
        with self._line(audience_name) as line, self._intake(writes, on_invalid_id, trim_ids) as intake:
            run = MirrorRun(line, writes, store, window, owner, is_sorted, first_run, full_refresh, limits)
            result = run.run(
                intake(store.to_check(concatenated(ids)), "ids"),
                journal=journal,
                prepare=partial(self._create_if_missing, writes) if create_if_missing else None,
                dry_run=dry_run,
            )
        self._report_push(result)
        return result

    def confirm_mirror(
        self,
        audience_name: str,
        *,
        snapshot_path: Any = None,
        snapshot_schema: str | None = None,
        database: Any = None,
        audience_type: str = "custom_ids",
        indexing_tokens: Sequence[str] | None = None,
        nb_ids: int | None = None,
        on_drift: OnDrift = "warn",
    ) -> str | None:
        """
        Note that the writes of a mirror's last run are indexed; return how the numbers of ids differ, None if not.

        :param snapshot_path: as in :meth:`mirror_custom_audience`, like *snapshot_schema*.
        :param database: with *snapshot_schema*: the hook of its database.
        :param indexing_tokens: those that are indexed; nothing is done if another run has sent something since.
        :param nb_ids: how many ids Batch has, from the view of the last token; None to request the view.
        :param on_drift: ``warn``, ``fail`` or ``ignore`` if the snapshot has another number.
        :raises DriftError: if it has, and ``on_drift`` is ``fail``.
        """
        from airflow_provider_batch.mirror.guards import drift
        from airflow_provider_batch.protocol.arguments import check_choice

        check_choice("on_drift", on_drift)
        writes = self._writes(audience_name, audience_type)
        size = self._store(writes, snapshot_path, snapshot_schema, database).confirm(indexing_tokens)
        if size is None:
            self.log.info("%s: not confirmed, as another run has sent ids since", audience_name)
            return None
        if on_drift == "ignore":
            return None
        if nb_ids is None:
            nb_ids = self.get_custom_audience(audience_name, audience_type=audience_type).nb_ids
        message = drift(nb_ids, *size)
        if nb_ids is not None:
            report_drift(self.batch_conn_id, audience_name, abs(nb_ids - size.ids) if message else 0)
        if message is None:
            return None
        if on_drift == "fail":
            raise DriftError(f"{audience_name}: {message}")
        self.log.warning("%s: %s", audience_name, message)
        return message

    def inspect_mirror(
        self,
        audience_name: str,
        *,
        snapshot_path: Any = None,
        snapshot_schema: str | None = None,
        database: Any = None,
        audience_type: str = "custom_ids",
        ids: Iterable[object] | str | None = (),
    ) -> MirrorStatus:
        """
        Return what is known of a mirror: what it sent last, when, what is uncertain; and whether *ids* are among it.

        It reads the snapshot alone: Batch reports how many ids an audience has, but not which ones.

        :param snapshot_path: as in :meth:`mirror_custom_audience`, like *snapshot_schema*.
        :param database: with *snapshot_schema*: the hook of its database, which needs to read only.
        :param ids: the ids to look up; same forms as ``add_ids`` of :meth:`update_custom_audience`.
        :raises InvalidMemberError: if one of them is not valid, so that it cannot have been sent.
        :raises SnapshotError: if the snapshot is damaged, or of another audience.
        :raises MirrorConflictError: if a run changed the snapshot while it was read.
        """
        writes = self._writes(audience_name, audience_type)
        store = self._store(writes, snapshot_path, snapshot_schema, database)
        with self._intake(writes, "fail", False) as intake:
            wanted = [id_ for block in intake(concatenated(ids), "ids").blocks() for id_ in block]
        return store.inspect(wanted)

    def _store(
        self, writes: AudienceWrites, snapshot_path: Any, snapshot_schema: str | None, database: Any, **of_run: Any
    ) -> Store:
        """
        Return the mirror in either place.

        :param of_run: what only a mirror in tables has to know of a run; without it, it is read or confirmed.
        """
        check_one_store(snapshot_path, snapshot_schema)
        target = self._target(writes)
        if not snapshot_schema:
            return folder_mirror(self.batch_conn_id, target, snapshot_path)
        rules = writes.dialect.members
        return table_mirror(self.batch_conn_id, target, snapshot_schema, rules, database, **of_run)

    def _target(self, writes: AudienceWrites) -> Target:
        from airflow_provider_batch.mirror.target import Target

        return Target(writes.audience_name, writes.audience_type, self._settings.credentials.digest)
