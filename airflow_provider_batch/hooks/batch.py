"""Batch's audiences as Python calls: their members here, audiences as a whole in the base class."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_batch import get_provider_info
from airflow_provider_batch.exceptions import (
    BatchNotFoundError,
    BatchRequestError,
    DriftError,
    GuardError,
    InvalidArgumentError,
    counted,
)
from airflow_provider_batch.hooks.audiences import AudienceHook
from airflow_provider_batch.hooks.base import one_at_a_time
from airflow_provider_batch.hooks.exports import ExportHook
from airflow_provider_batch.hooks.lineage import report_audience
from airflow_provider_batch.hooks.metrics import report_drift, report_push
from airflow_provider_batch.hooks.profiles import ProfileHook
from airflow_provider_batch.hooks.statistics import StatisticsHook
from airflow_provider_batch.hooks.stores import check_one_store, folder_mirror, table_mirror
from airflow_provider_batch.hooks.xcoms import concatenated

if TYPE_CHECKING:
    from airflow_provider_batch.mirror.snapshot import Target
    from airflow_provider_batch.mirror.status import MirrorStatus
    from airflow_provider_batch.mirror.store import Store
    from airflow_provider_batch.protocol.arguments import FirstRun, OnDrift, OnInvalidId, OnRejectedChunk
    from airflow_provider_batch.protocol.audiences.audience import CreatedAudience
    from airflow_provider_batch.protocol.audiences.chunk import Chunks
    from airflow_provider_batch.protocol.audiences.intake import MemberIntake
    from airflow_provider_batch.protocol.audiences.results import MirrorResult, PushResult
    from airflow_provider_batch.protocol.audiences.writes import AudienceWrites
    from airflow_provider_batch.protocol.rows import OnRejection
    from airflow_provider_batch.push.parcels import Journal


class BatchHook(AudienceHook, ProfileHook, ExportHook, StatisticsHook):
    """
    Batch's audiences: create, fill, view, list and delete them, and wait for their indexing; exports; statistics.

    The connection (type ``batch``) stands for one app of the Mobile Engagement Platform (login: its Batch API key), or,
    with ``platform`` = ``cep`` in extra, for one project of the Customer Engagement Platform (login: its project key).
    The password is the company's REST API key, the host is the base URL (empty: the public one), and extra may also
    have ``api_version`` (cep only), ``timeout``, ``max_attempts``, ``max_concurrency``, ``requests_per_second`` and
    ``dashboard_url``. The connection is looked up on first use. Threads may share one hook.

    :param batch_conn_id: id of the Airflow connection.
    """

    conn_name_attr = "batch_conn_id"
    default_conn_name = "batch_default"
    conn_type = "batch"
    hook_name = "Batch"

    def __init__(self, batch_conn_id: str = default_conn_name) -> None:
        super().__init__(batch_conn_id)

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the declared fields for Airflow 2's connection form; Airflow 3 reads the declaration itself."""
        from airflow_provider_batch.hooks.connection_form import widgets

        return widgets(_declared_form()["conn-fields"])

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return which standard fields of Airflow 2's connection form are hidden or relabelled."""
        return {name.replace("-", "_"): value for name, value in _declared_form()["ui-field-behaviour"].items()}

    def update_custom_audience(
        self,
        audience_name: str,
        *,
        add_ids: Iterable[object] | str | None = (),
        remove_ids: Iterable[object] | str | None = (),
        audience_type: str = "custom_ids",
        chunk_size: int = 10_000,
        max_concurrency: int | None = None,
        on_invalid_id: OnInvalidId = "fail",
        trim_ids: bool = False,
        on_rejected_chunk: OnRejectedChunk = "fail",
        create_if_missing: bool = False,
        changes: Iterable[object] | None = None,
        on_rejection: OnRejection | None = None,
        journal: Journal | None = None,
        dry_run: bool = False,
    ) -> PushResult:
        """
        Add and remove members of an existing audience, in as many calls as needed.

        See https://doc.batch.com/developer/api/mep/custom-audience/1.0/update and
        https://doc.batch.com/developer/api/cep/audiences/update. An id to add and to remove is
        removed; a repeated id is sent once (from a generator: once a chunk). What is in memory, or can be read again,
        is read once and checked before the first call; a generator is checked as it flows and never held, and its first
        chunk is read before anything is created.

        :param audience_name: an existing audience: letters, digits, ``_`` and ``-``, at most 255.
        :param add_ids: ids to add (at most 128 characters in API 1.0): str, int, rows of one column, or
            :class:`~airflow_provider_batch.protocol.audiences.members.Member` (or dicts of its fields).
        :param remove_ids: ids to remove; same forms as ``add_ids``.
        :param audience_type: ``custom_ids``; on the Mobile Engagement Platform also ``advertising_ids`` or
            ``install_ids``, which API 1.1 takes.
        :param chunk_size: ids in one call, at most 10,000.
        :param max_concurrency: calls in flight, at most 64; None for the connection's value.
        :param on_invalid_id: ``fail``, or ``skip`` to send the others and count the skipped ones.
        :param trim_ids: remove the blanks around every id. Otherwise they belong to it, and a warning counts such ids.
        :param on_rejected_chunk: ``fail`` when Batch rejects a chunk (400), or ``bisect`` to send it in halves, and
            their halves, until the rejected ids stand alone; these are counted and reported by position.
        :param create_if_missing: create the audience first if the list of audiences does not have it.
        :param changes: instead of ``add_ids`` and ``remove_ids``: a stream of
            :class:`~airflow_provider_batch.protocol.audiences.members.Change`. Of several changes of one id the last
            counts, so all ids are held in memory, some 200 bytes each.
        :param on_rejection: called with each skipped or rejected value, its place and the reason; never twice at once,
            but from several threads.
        :param journal: keeps what Batch accepted for the next try; not used for what can be read only once.
        :param dry_run: check and count everything, and send nothing.
        :raises InvalidArgumentError: if an argument breaks a documented rule.
        :raises InvalidMemberError: if a value is invalid and is not to be skipped.
        :raises BatchConfigurationError: if the connection cannot be used.
        :raises BatchAPIError: if Batch rejects a chunk, or fails at every attempt.
        :raises BatchConnectionError: if Batch does not answer any attempt.
        """
        from airflow_provider_batch.protocol.audiences.changes import read_changes
        from airflow_provider_batch.protocol.audiences.chunk import Chunks
        from airflow_provider_batch.protocol.audiences.members import REMOVE_IDS

        window = self._window(max_concurrency)
        writes = self._writes(audience_name, audience_type, chunk_size, on_rejected_chunk, on_rejection)
        if changes is not None and (add_ids or remove_ids):
            raise InvalidArgumentError("changes: passed together with add_ids or remove_ids. Pass one or the other.")
        with self._intake(writes, on_invalid_id, trim_ids) as intake:
            if changes is None:
                adds, removes = intake(concatenated(add_ids), "add_ids"), intake(concatenated(remove_ids), REMOVE_IDS)
            else:
                adds, removes = read_changes(changes, **intake.keywords)
            chunks = Chunks(adds, removes, size=chunk_size, disjoint=changes is not None)
            chunks.check()
            if create_if_missing and not dry_run:
                self._create_if_missing(writes)
            return self._push(writes, chunks, window, journal, dry_run)

    def replace_custom_audience(
        self,
        audience_name: str,
        ids: Iterable[object] | str | None,
        *,
        audience_type: str = "custom_ids",
        chunk_size: int = 10_000,
        max_concurrency: int | None = None,
        on_invalid_id: OnInvalidId = "fail",
        trim_ids: bool = False,
        on_rejected_chunk: OnRejectedChunk = "fail",
        allow_empty: bool = False,
        max_shrink: float | None = None,
        poke_interval: float = 10.0,
        indexing_timeout: float = 3600.0,
        create_if_missing: bool = False,
        on_rejection: OnRejection | None = None,
        journal: Journal | None = None,
        dry_run: bool = False,
    ) -> PushResult:
        """
        Make *ids* the only members of an existing audience.

        See https://doc.batch.com/developer/api/cep/audiences/replace and
        https://doc.batch.com/api/custom-audience/1.1/replace. One call replaces all members by at most 10,000; a second
        one would wipe the first. So the first chunk replaces, the hook waits until that is applied, and the other
        chunks are added. In between, the audience has only a part of its members.

        For the arguments not described here, see :meth:`update_custom_audience`.

        :param ids: same forms as ``add_ids`` there.
        :param allow_empty: whether no ids at all may replace all members.
        :param max_shrink: how much smaller the audience may get, by the ``nb_ids`` that Batch reports before: a share
            of them (float, 0.0 to 1.0), or a count (int); None for any. The ids are then held in memory, to count them.
        :param poke_interval: the most seconds between two polls for the first call.
        :param indexing_timeout: the most seconds to wait for it.
        :raises EmptySetError: if ``ids`` is empty; nothing was sent.
        :raises GuardError: if *max_shrink* forbids so few ids; nothing was sent.
        :raises IndexingTimeoutError: if the first call was not applied in time; the others were not sent.
        """
        from airflow_provider_batch.mirror.guards import check_not_empty
        from airflow_provider_batch.protocol.arguments import check_limit
        from airflow_provider_batch.protocol.audiences.chunk import Chunks
        from airflow_provider_batch.protocol.audiences.members import REMOVE_IDS
        from airflow_provider_batch.protocol.retry import Patience

        window = self._window(max_concurrency)
        writes = replace(
            self._writes(audience_name, audience_type, chunk_size, on_rejected_chunk, on_rejection),
            replaces=True,
            patience=Patience(poke_interval, indexing_timeout),
        )
        check_limit(max_shrink, "max_shrink")
        with self._intake(writes, on_invalid_id, trim_ids) as intake:
            members = intake(concatenated(ids), "ids")
            chunks = Chunks(members, intake((), REMOVE_IDS), size=chunk_size, allow_empty=allow_empty)
            chunks.check()
            if max_shrink is not None:
                members.hold()
            if chunks.total is not None:
                check_not_empty(audience_name, chunks.total, allow_empty=allow_empty)
            is_new = create_if_missing and not dry_run and self._create_if_missing(writes)
            if max_shrink is not None and not (is_new or (create_if_missing and dry_run and self._is_missing(writes))):
                self._check_shrink(writes, chunks.total or 0, max_shrink)
            result = self._push(writes, chunks, window, journal, dry_run)
        # An empty stream shows that only at its end; then nothing was sent.
        check_not_empty(audience_name, result.calls, allow_empty=False)
        return result

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
        check_one_store(snapshot_path, snapshot_schema)
        target, values = self._target(writes), concatenated(ids)
        store: Store
        if snapshot_schema:
            if trim_ids:
                raise InvalidArgumentError("trim_ids: the database compares the ids. Trim them in the query.")
            database, rules = getattr(ids, "hook", None), writes.dialect.members
            run_of = {"source": ids, "owner": owner, "is_dry_run": dry_run, "keep_changes": keep_changes}
            store = tables = table_mirror(self.batch_conn_id, target, snapshot_schema, rules, database, **run_of)
            values = tables.changed
        else:
            store = folder_mirror(self.batch_conn_id, target, snapshot_path)
        with self._line(audience_name) as line, self._intake(writes, on_invalid_id, trim_ids) as intake:
            run = MirrorRun(line, writes, store, window, owner, is_sorted, first_run, full_refresh, limits)
            result = run.run(
                intake(values, "ids"),
                journal=journal,
                prepare=partial(self._create_if_missing, writes) if create_if_missing else None,
                dry_run=dry_run,
            )
        self._report(result)
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

    def _store(self, writes: AudienceWrites, snapshot_path: Any, snapshot_schema: str | None, database: Any) -> Store:
        """Return the mirror in either place, to be read or confirmed."""
        check_one_store(snapshot_path, snapshot_schema)
        target = self._target(writes)
        if not snapshot_schema:
            return folder_mirror(self.batch_conn_id, target, snapshot_path)
        return table_mirror(self.batch_conn_id, target, snapshot_schema, writes.dialect.members, database)

    def _writes(
        self,
        audience_name: str,
        audience_type: str,
        chunk_size: int = 10_000,
        on_rejected_chunk: OnRejectedChunk = "fail",
        on_rejection: OnRejection | None = None,
    ) -> AudienceWrites:
        """Check all arguments of a push except its ids."""
        from airflow_provider_batch.protocol.arguments import check_choice
        from airflow_provider_batch.protocol.audiences import encode
        from airflow_provider_batch.protocol.audiences.writes import AudienceWrites

        dialect = self._settings.dialect(audience_type)
        encode.check_write(dialect, audience_name, audience_type, chunk_size)
        check_choice("on_rejected_chunk", on_rejected_chunk)
        notify = one_at_a_time(on_rejection) if on_rejection else None
        return AudienceWrites(dialect, audience_name, audience_type, chunk_size, on_rejected_chunk, notify)

    @contextmanager
    def _intake(
        self, writes: AudienceWrites, on_invalid_id: OnInvalidId, trim_ids: bool
    ) -> Iterator[partial[MemberIntake]]:
        from airflow_provider_batch.sources.id_file import id_files

        with id_files() as put_aside:
            yield writes.intake(on_invalid_id, trim_ids, partial(self.log.warning, "%s"), self.pause, put_aside)

    def _is_missing(self, writes: AudienceWrites) -> bool:
        return self._find(writes.dialect, writes.audience_name) is None

    def _create_if_missing(self, writes: AudienceWrites) -> bool:
        """Create the audience if it does not exist, and return whether it did not."""
        created = self.create_custom_audience(writes.audience_name, audience_type=writes.audience_type)
        if created.indexing_token:
            self._await_creation(created, created.indexing_token)
        return created.created

    def _await_creation(self, created: CreatedAudience, indexing_token: str) -> None:
        """Wait for a creation: Batch does not document whether it accepts writes before that is applied."""
        try:
            self.wait_for_indexing(created.name, [indexing_token], audience_type=created.type)
        except (BatchRequestError, BatchNotFoundError) as error:
            # By the pages of 2.2 and 2.3, a view accepts the token of an update or a replace only.
            self.log.info("%s: Batch does not report whether the audience is ready: %s", created.name, error)

    def _target(self, writes: AudienceWrites) -> Target:
        from airflow_provider_batch.mirror.snapshot import Target

        return Target(writes.audience_name, writes.audience_type, self._settings.credentials.digest)

    def _push(
        self, writes: AudienceWrites, chunks: Chunks, window: int, journal: Journal | None, dry_run: bool
    ) -> PushResult:
        from airflow_provider_batch.protocol.audiences.results import PushResult, result_of
        from airflow_provider_batch.protocol.audiences.writes import planned
        from airflow_provider_batch.push.push import Push, digest

        if dry_run:
            result = result_of(PushResult, writes, chunks, planned(chunks, time.monotonic))
        else:
            # If the chunks turn out to differ from the journal's, they must be sent from the start, and so read again.
            journal = journal if chunks.rereadable or (chunks.restartable and not writes.replaces) else None
            # What an earlier try sent after a replace may stay only if the whole set is the same.
            series = digest(chunks, writes) if journal is not None and writes.replaces else ""
            try:
                with self._line(writes.audience_name) as line:
                    push = Push(line, writes, writes.audience_name, window)
                    sent = push.run(chunks, total=chunks.total, journal=journal, series=series)
            finally:
                chunks.report_doubts()
            result = result_of(PushResult, writes, chunks, sent)
        self._report(result)
        return result

    def _check_shrink(self, writes: AudienceWrites, given: int, max_shrink: float) -> None:
        from airflow_provider_batch.mirror.guards import check_shrink

        name = writes.audience_name
        there = self.get_custom_audience(name, audience_type=writes.audience_type).nb_ids
        if there is None:
            raise GuardError(f"{name}: max_shrink needs the number of ids, which Batch does not report. Leave it out.")
        check_shrink(name, there, given, max_shrink, whose="the audience")

    def _report(self, result: PushResult) -> None:
        from airflow_provider_batch.protocol.audiences.results import MirrorResult

        if result.calls and result.planned_calls is None:
            report_audience(self, result.audience_name)
        is_dry_run = result.planned_calls is not None
        if not is_dry_run:
            report_push(self.batch_conn_id, result)
        added, removed = ("to add", "to remove") if is_dry_run else ("added", "removed")
        earlier = f", {result.earlier_calls:,} of them in an earlier try," if result.earlier_calls else ""
        self.log.info(
            "%s%s: %s, %s rejected in %s%s and %.1f s",
            "dry run, nothing is sent: " if is_dry_run else "",
            result.audience_name,
            f"{result.added:,} {added}, {result.removed:,} {removed}, "
            + (f"{result.unchanged:,} unchanged, " if isinstance(result, MirrorResult) else "")
            + counted(result.duplicates, "duplicate"),
            f"{result.rejected:,}",
            counted(result.calls, "call"),
            earlier,
            result.seconds,
        )
        for rejection in result.rejections:
            self.log.warning("skipped %s: %s", rejection.where, rejection.reason)


def _declared_form() -> dict[str, Any]:
    form: dict[str, Any] = get_provider_info()["connection-types"][0]
    return form
