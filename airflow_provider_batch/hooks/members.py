"""The members of audiences as Python calls: add and remove them, or replace them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_batch.exceptions import GuardError, InvalidArgumentError, counted
from airflow_provider_batch.hooks.audiences import AudienceHook
from airflow_provider_batch.hooks.base import one_at_a_time
from airflow_provider_batch.hooks.lineage import report_audience
from airflow_provider_batch.hooks.metrics import report_push
from airflow_provider_batch.hooks.xcoms import concatenated

if TYPE_CHECKING:
    from airflow_provider_batch.protocol.arguments import OnInvalidId, OnRejectedChunk
    from airflow_provider_batch.protocol.audiences.chunk import Chunks
    from airflow_provider_batch.protocol.audiences.intake import IntakeOf
    from airflow_provider_batch.protocol.audiences.results import PushResult
    from airflow_provider_batch.protocol.audiences.writes import AudienceWrites
    from airflow_provider_batch.protocol.rows import OnRejection
    from airflow_provider_batch.push.parcels import Journal


class MemberHook(AudienceHook):
    """The part of the hook that fills audiences."""

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
                adds, removes = read_changes(changes, intake)
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
            if max_shrink is not None and not is_new:
                self._check_shrink(writes, chunks.total or 0, max_shrink, may_be_missing=create_if_missing and dry_run)
            result = self._push(writes, chunks, window, journal, dry_run)
        # An empty stream shows that only at its end; then nothing was sent.
        check_not_empty(audience_name, result.calls, allow_empty=False)
        return result

    def _writes(
        self,
        audience_name: str,
        audience_type: str,
        chunk_size: int = 10_000,
        on_rejected_chunk: OnRejectedChunk = "fail",
        on_rejection: OnRejection | None = None,
    ) -> AudienceWrites:
        """Return how the members are written; this checks all arguments of a push except its ids."""
        from airflow_provider_batch.protocol.arguments import check_choice
        from airflow_provider_batch.protocol.audiences import encode
        from airflow_provider_batch.protocol.audiences.writes import AudienceWrites

        dialect = self._settings.dialect(audience_type)
        encode.check_write(dialect, audience_name, audience_type, chunk_size)
        check_choice("on_rejected_chunk", on_rejected_chunk)
        notify = one_at_a_time(on_rejection)
        return AudienceWrites(dialect, audience_name, audience_type, chunk_size, on_rejected_chunk, notify)

    @contextmanager
    def _intake(self, writes: AudienceWrites, on_invalid_id: OnInvalidId, trim_ids: bool) -> Iterator[IntakeOf]:
        """Yield the function that checks one argument; the files with the ids that it puts aside last as long."""
        from airflow_provider_batch.sources.id_file import id_files

        with id_files() as put_aside:
            yield writes.intake(on_invalid_id, trim_ids, partial(self.log.warning, "%s"), self.pause, put_aside)

    def _push(
        self, writes: AudienceWrites, chunks: Chunks, window: int, journal: Journal | None, dry_run: bool
    ) -> PushResult:
        from airflow_provider_batch.protocol.audiences.results import PushResult, result_of
        from airflow_provider_batch.push.push import Push, digest, planned

        if dry_run:
            result = result_of(PushResult, writes, chunks, planned(chunks))
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
        self._report_push(result)
        return result

    def _check_shrink(self, writes: AudienceWrites, given: int, max_shrink: float, *, may_be_missing: bool) -> None:
        """Check the size of an audience that is to be replaced; one that a dry run has not created has no members."""
        from airflow_provider_batch.mirror.guards import check_shrink

        name = writes.audience_name
        if may_be_missing and self._find(writes.dialect, name) is None:
            return
        there = self.get_custom_audience(name, audience_type=writes.audience_type).nb_ids
        if there is None:
            raise GuardError(f"{name}: max_shrink needs the number of ids, which Batch does not report. Leave it out.")
        check_shrink(name, there, given, max_shrink, whose="the audience")

    def _report_push(self, result: PushResult) -> None:
        """Report to lineage, metrics and the log what became of the values."""
        from airflow_provider_batch.protocol.audiences.results import MirrorResult

        if not result.dry_run:
            report_push(self.batch_conn_id, result)
            if result.calls:
                report_audience(self, result.audience_name)
        added, removed = ("to add", "to remove") if result.dry_run else ("added", "removed")
        counts = [f"{result.added:,} {added}", f"{result.removed:,} {removed}"]
        if isinstance(result, MirrorResult):
            counts.append(f"{result.unchanged:,} unchanged")
        self._report(result, [*counts, counted(result.duplicates, "duplicate")])
