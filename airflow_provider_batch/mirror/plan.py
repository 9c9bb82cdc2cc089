"""
What a run sends, decided before its first call; and the transaction that commits the new snapshot.

What is kept true: an id whose membership may differ from the snapshot is noted as uncertain before it is sent, and
stays so until a later run has sent it again.

- All ids of a plan are noted before the first call: a killed worker notes nothing afterwards, and a call without an
  answer may have been applied. Batch reports how many ids an audience has, but not which ones
  (https://doc.batch.com/developer/api/cep/audiences/view), so they cannot be looked up later.
- A plan sends all uncertain ids again. So its note may replace the previous one, and nothing is lost.
- A replace drops all former members (https://doc.batch.com/developer/api/cep/audiences/replace). After one that failed,
  any member may be missing: only another replace makes the audience certain again.
- An id that Batch rejects is neither added nor removed, so the new snapshot may be wrong about it: it stays uncertain.
- The new snapshot is committed once every call is accepted, since Batch documents no failed state of an accepted write.
  But such a write may be applied later, and Batch documents no order in which it applies writes. If this run removed
  an id that a write of the last run is still to add, the id might stay. So a run first waits for the tokens of the last
  run. Within one run, no two writes oppose each other: each id is sent once.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from airflow_provider_batch.exceptions import SnapshotError
from airflow_provider_batch.mirror import snapshot
from airflow_provider_batch.mirror.claim import Claim
from airflow_provider_batch.mirror.diff import Counts, SortedBlock, differences, with_uncertain
from airflow_provider_batch.mirror.folder import Folder, folder_at
from airflow_provider_batch.mirror.guards import Limits, check_changes, check_not_empty, check_shrink
from airflow_provider_batch.mirror.lines import as_lines, line_of, text_of
from airflow_provider_batch.mirror.order import ascending, in_order
from airflow_provider_batch.mirror.snapshot import Head, Pending, State, Target
from airflow_provider_batch.mirror.spool import CompressedFile, LineFile
from airflow_provider_batch.protocol.arguments import FirstRun, check_choice

log = logging.getLogger(__name__)


class SnapshotSize(NamedTuple):
    """The number of ids in a snapshot, and the number of ids that Batch may have or not."""

    ids: int
    uncertain: int


class Mirror:
    """
    One audience and what was sent to it.

    :param path: a folder for this audience of this connection alone: a path as :func:`.folder.folder_at` takes it.
    """

    def __init__(self, path: Any, target: Target, clock: Callable[[], float] = time.time) -> None:
        self.folder: Folder = folder_at(path)
        self.target = target
        self.clock = clock

    @contextmanager
    def plan(
        self,
        blocks: Iterable[list[str]],
        *,
        is_sorted: bool = False,
        first_run: FirstRun = "add",
        full_refresh: bool = False,
        checkpoint: Callable[[], object] = lambda: None,
    ) -> Iterator[Plan]:
        """
        Read the whole new set, compare it with the snapshot, and yield what to send; nothing is sent yet.

        :param blocks: lists of valid ids, such as those of an ``Intake``.
        :param is_sorted: the source yields ids in ascending order of their code points; this is checked.
        :param first_run: without a snapshot: ``add`` keeps the members that Batch may have, ``replace`` replaces them.
        :param full_refresh: replace the audience, whatever the snapshot holds; it may be damaged.
        :param checkpoint: called for each block of the sorted set; what it raises ends the comparison.
        :raises InvalidMemberError: if *is_sorted* is not true of the source.
        :raises SnapshotError: if the snapshot cannot be used.
        """
        check_choice("first_run", first_run)
        state = snapshot.read_state(self.folder, self.target, starts_anew=full_refresh)
        replaces = (
            full_refresh
            or (state.head is None and first_run == "replace")
            or (state.pending is not None and state.pending.replaces)
        )
        with tempfile.TemporaryDirectory(prefix="batch-mirror-") as local:
            lines = as_lines(blocks)
            if not is_sorted:
                lines = in_order(lines, Path(local))
            lines = _with(checkpoint, lines)
            with closing(_PlanFiles(Path(local), replaces)) as files:
                counts = files.compare(lines, () if replaces else self._old_lines(state), self.target.audience)
            yield Plan(self, state, replaces, counts, files)

    def confirm(self, indexing_tokens: Sequence[str] | None = None) -> SnapshotSize | None:
        """
        Note that Batch has indexed everything that was sent, and return what the audience has by the snapshot.

        :param indexing_tokens: the tokens that were waited for. If the snapshot is that of another run by now, and its
            writes are not confirmed, nothing is noted and None is returned.
        :raises SnapshotError: unless there is a usable snapshot.
        """
        state = snapshot.read_state(self.folder, self.target, starts_anew=False)
        if state.head is None:
            raise SnapshotError(f"{self.folder} holds no snapshot to confirm. Run the mirror again.")
        if indexing_tokens is None or tuple(indexing_tokens) == state.head.indexing_tokens:
            snapshot.write_confirmed(self.folder, state.head)
        elif indexing_tokens or not state.is_confirmed:
            return None
        return SnapshotSize(state.head.count, state.pending.count if state.pending else 0)

    def _old_lines(self, state: State) -> Iterator[list[str]]:
        old = () if state.head is None else snapshot.read_snapshot(self.folder, state.head)
        return with_uncertain(old, snapshot.read_pending_ids(self.folder, state))


def _with(checkpoint: Callable[[], object], blocks: Iterable[list[str]]) -> Iterator[list[str]]:
    for block in blocks:
        checkpoint()
        yield block


class _PlanFiles:
    """The local files of a plan: the new snapshot, the ids to add, those to remove, and the lines of both."""

    def __init__(self, local: Path, replaces: bool) -> None:
        self._replaces = replaces
        self.snapshot = CompressedFile(local / "snapshot.gz")
        self.adds = LineFile(local / "adds.txt")
        self.removes = LineFile(local / "removes.txt")
        self.touched = CompressedFile(local / "touched.gz")

    def compare(self, lines: Iterable[list[str]], old: Iterable[list[str]], audience_name: str) -> Counts:
        counts = Counts()
        for found in differences(self._copied(ascending(lines, counts, audience_name)), old, counts):
            self.adds.write(found.adds)
            self.removes.write(found.removes)
            if not self._replaces and (ids := found.ids()):
                self.touched.write(text_of(ids), len(ids))
        return counts

    def _copied(self, blocks: Iterator[SortedBlock]) -> Iterator[SortedBlock]:
        for block in blocks:
            self.snapshot.write(block.text, len(block.lines))
            yield block

    def close(self) -> None:
        with ExitStack() as stack:
            for file in (self.snapshot, self.adds, self.removes, self.touched):
                stack.callback(file.close)


class Plan:
    """
    What a run sends; its local files last as long as the ``with`` block of :meth:`Mirror.plan`.

    ``adds`` and ``removes`` can be read repeatedly, in ascending order; each id is in one of them, once. The same new
    set and the same state of the mirror give the same plan. If the plan ``replaces``, ``adds`` is the whole new set,
    which replaces all members.
    """

    def __init__(self, mirror: Mirror, state: State, replaces: bool, counts: Counts, files: _PlanFiles) -> None:
        self.replaces = replaces
        self.counts = counts
        self.adds = files.adds
        self.removes = files.removes
        self._mirror = mirror
        self._state = state
        self._files = files

    @property
    def before(self) -> int | None:
        """How many ids the last snapshot has; None without a usable one."""
        return self._state.head.count if self._state.head else None

    @property
    def unconfirmed_tokens(self) -> tuple[str, ...]:
        """The indexing tokens of the last run, unless its writes are confirmed as indexed."""
        return () if self._state.head is None or self._state.is_confirmed else self._state.head.indexing_tokens

    @property
    def is_empty(self) -> bool:
        """Whether the snapshot is the new set already, so that there is nothing to send and nothing to commit."""
        return self.before is not None and not (self.replaces or self.counts.adds or self.counts.removes)

    def check(self, limits: Limits) -> None:
        """
        Check that the new set does not look like a mistake.

        :param limits: ``max_changes`` does not apply to a plan that replaces the audience.
        :raises GuardError: if it does; the error gives the numbers.
        """
        name = self._mirror.target.audience
        check_not_empty(name, self.counts.given, allow_empty=limits.allow_empty)
        if self.before is None:
            return
        check_shrink(name, self.before, self.counts.given, limits.max_shrink)
        if not self.replaces:
            check_changes(name, self.before, self.counts.adds, self.counts.removes, limits.max_changes)

    @contextmanager
    def begin(self, owner: str) -> Iterator[Transaction]:
        """
        Take the claim, and note what may be sent from now on.

        :param owner: see :class:`.claim.Claim`; readable, and neither a key nor an id of a member.
        :raises MirrorConflictError: if another run is at work, or has been since the plan was made.
        """
        folder, state, files = self._mirror.folder, self._state, self._files
        claim = Claim(folder, owner, self._mirror.clock)
        try:
            state.check_unchanged(folder, state.pending)
            nonce = secrets.token_hex(8)
            name = snapshot.snapshot_name(state.generation + 1, nonce[:8])
            folder.upload(name, files.snapshot.path)
            last = state.pending
            pending = Pending(
                owner=owner,
                series=last.series if last and (last.owner, last.replaces) == (owner, self.replaces) else nonce,
                nonce=nonce,
                replaces=self.replaces,
                count=files.touched.count,
            )
            snapshot.write_pending(folder, state.generation, pending, files.touched.path)
            count, sha256 = files.snapshot.count, files.snapshot.sha256
            head = Head(state.generation + 1, name, count, sha256, self._mirror.target, (), "")
            yield Transaction(self._mirror, state, pending, claim, head)
        finally:
            try:
                claim.release()
            except OSError as error:
                log.warning("the claim on a mirror could not be released and will expire: %s", type(error).__name__)


class Transaction:
    """
    A run that may send. It ends with :meth:`commit`; otherwise all that it may have sent stays uncertain.

    ``series`` stays the same in a retry if no other run has sent anything in between and, for a replace, if the set is
    the same: what a journal noted under another series does not count as delivered.
    """

    def __init__(self, mirror: Mirror, state: State, pending: Pending, claim: Claim, head: Head) -> None:
        self.series = pending.series + (head.sha256 if pending.replaces else "")
        self._mirror = mirror
        self._state = state
        self._pending = pending
        self._claim = claim
        self._head = head

    def renew(self) -> None:
        """
        Extend the claim; called after every receipt, and mostly free.

        :raises MirrorConflictError: if another run has taken over.
        """
        self._claim.renew()

    def commit(self, indexing_tokens: Sequence[str], *, rejected: Sequence[str] = ()) -> Head:
        """
        Make the new snapshot the one that counts: every call was accepted.

        :param rejected: ids of the plan that Batch rejected; the next run sends them again.
        :raises MirrorConflictError: if another run has taken over; the snapshot is left to that one.
        """
        folder = self._mirror.folder
        self._claim.check()
        self._state.check_unchanged(folder, self._pending)
        now = datetime.fromtimestamp(self._mirror.clock(), UTC)
        head = replace(self._head, indexing_tokens=tuple(indexing_tokens), written_at=now.isoformat(timespec="seconds"))
        if rejected:
            snapshot.write_rejected(folder, head.generation, sorted(map(line_of, map(str, rejected))))
        folder.write(snapshot.HEAD, head.to_json())
        try:
            snapshot.delete_outdated(folder, head, self._state.head, keep_pending=bool(rejected))
        except OSError as error:
            log.warning("files of earlier runs in %s could not be deleted: %s", folder, type(error).__name__)
        return head
