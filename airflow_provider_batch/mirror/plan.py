"""
What a run sends, decided before its first call; and the transaction that commits the new snapshot.

What is kept true: an id whose membership may differ from the snapshot is noted as uncertain before it is sent, and
stays so until a later run has sent it again; twice, if its try may still have been alive in the meantime.

- All ids of a plan are noted before the first call: a killed worker notes nothing afterwards, and a call without an
  answer may have been applied. Batch reports how many ids an audience has, but not which ones
  (https://doc.batch.com/developer/api/cep/audiences/view), so they cannot be looked up later.
- A plan sends all uncertain ids again, and its note holds them. So those of tries that have ended are not needed any
  more. A try that was killed or overtaken has not ended: a heartbeat can be lost while a worker goes on, and a frozen
  one wakes up at any moment. What it noted stays uncertain for one generation more (the *echo*).
- No call is made unless the claim was held a second ago at most, and after the note was written. So whoever takes the
  claim over finds the notes of all who may still be sending.
- A replace drops all former members (https://doc.batch.com/developer/api/cep/audiences/replace). After one that failed,
  any member may be missing: only another replace makes the audience certain again.
- An id that Batch rejects is neither added nor removed, so the new snapshot may be wrong about it: it stays uncertain.
- The new snapshot is committed once every call is accepted, since Batch documents no failed state of an accepted write.
  But such a write may be applied later, and Batch documents no order in which it applies writes. If this run removed
  an id that a write of the last run is still to add, the id might stay. So a run first waits for the tokens of the last
  run, and for those that unfinished tries have noted. Within one run, no two writes oppose each other: each id is sent
  once.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, starmap
from pathlib import Path
from typing import Any, Final, TypeVar

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError
from airflow_provider_batch.mirror import snapshot
from airflow_provider_batch.mirror.claim import Claim, release_claim_of
from airflow_provider_batch.mirror.diff import Counts, SortedBlock, as_uncertain, differences, with_uncertain
from airflow_provider_batch.mirror.flags import FlagFile, Names, flag_line
from airflow_provider_batch.mirror.folder import Folder, folder_at
from airflow_provider_batch.mirror.gzip_files import decompressed
from airflow_provider_batch.mirror.lines import SEPARATOR, Lines, line_of, lines_in, text_of, with_texts
from airflow_provider_batch.mirror.order import ascending, in_order
from airflow_provider_batch.mirror.snapshot import Head, State
from airflow_provider_batch.mirror.spool import CompressedFile, LineFile, private_folder, read_texts
from airflow_provider_batch.mirror.status import MirrorStatus, read_status
from airflow_provider_batch.mirror.store import STORE_ERRORS, Plan, SnapshotSize, Transaction
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.mirror.tries import Pending
from airflow_provider_batch.protocol.arguments import FirstRun, check_choice

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds between two notes of the tokens that a run has received: a killed one loses no more than those.
_NOTE_INTERVAL: Final = 10.0


class FolderMirror:
    """
    One audience, and the folder with what was sent to it: a :class:`.store.Store`.

    :param path: a folder for this audience of this connection alone: a path as :func:`.folder.folder_at` takes it.
    """

    def __init__(self, path: Any, target: Target, clock: Callable[[], float] = time.time) -> None:
        self.folder: Folder = folder_at(path)
        self.target = target
        self.clock = clock

    def to_check(self, ids: object) -> object:
        """See :meth:`.store.Store.to_check`."""
        return ids

    @contextmanager
    def plan(
        self,
        blocks: Iterable[list[str]],
        *,
        is_sorted: bool = False,
        first_run: FirstRun = "add",
        full_refresh: bool = False,
        resends: bool = False,
        keys: Collection[str] | None = None,
        checkpoint: Callable[[], object] = lambda: None,
    ) -> Iterator[FolderPlan]:
        """
        See :meth:`.store.Store.plan`.

        :param resends: treat all that the snapshot holds as uncertain, so that every id of the new set is sent.
        :param keys: of profiles: those of all their attributes. The snapshot then has flags, see the module flags.
        :raises InvalidMemberError: if *is_sorted* is not true of the source.
        """
        check_choice("first_run", first_run)
        state = snapshot.read_state(self.folder, self.target, starts_anew=full_refresh)
        replaces = full_refresh or (state.head is None and first_run == "replace") or state.replaces
        with private_folder() as local, ExitStack() as stack:
            lines = with_texts(blocks)
            if not is_sorted:
                lines = stack.enter_context(closing(in_order(lines, local)))  # DuckDB stops before its files go
            lines = _with(checkpoint, lines)
            with closing(_PlanFiles(local, replaces)) as files:
                if keys is not None:
                    files.flags = self._flags(state, keys, files.flags_path, starts_anew=replaces)
                old = () if replaces else self._old_lines(state, resends)
                counts = files.compare(lines, old, self.target.audience)
            yield FolderPlan(self, state, replaces, counts, files)

    def confirm(self, indexing_tokens: Sequence[str] | None = None) -> SnapshotSize | None:
        """See :meth:`.store.Store.confirm`."""
        state = snapshot.read_state(self.folder, self.target, starts_anew=False)
        if state.head is None:
            raise SnapshotError(f"{self.folder} holds no snapshot to confirm. Run the mirror again.")
        if indexing_tokens is None or tuple(indexing_tokens) == state.head.indexing_tokens:
            snapshot.write_confirmed(self.folder, state.head)
        elif indexing_tokens or not state.is_confirmed:
            return None
        return SnapshotSize(state.head.count, state.uncertain)

    def inspect(self, ids: Sequence[str]) -> MirrorStatus:
        """See :meth:`.store.Store.inspect`."""
        return read_status(self.folder, ids, now=self.clock(), target=self.target)

    def release(self, owner: str) -> None:
        """Give back the claim that a killed try of *owner* left."""
        release_claim_of(self.folder, owner)

    def _old_lines(self, state: State, resends: bool) -> Iterator[bytes]:
        old = () if state.head is None else snapshot.read_snapshot(self.folder, state.head)
        old = map(as_uncertain, old) if resends else old
        return self._read(state, with_uncertain(old, snapshot.read_pending_ids(self.folder, state)))

    def _flags(self, state: State, keys: Collection[str], path: Path, *, starts_anew: bool) -> FlagFile:
        if starts_anew:
            return FlagFile(Names().including(keys), iter(()), iter(()), path)
        names = Names((state.head and state.head.names) or ())
        for one in state.unfinished:
            names = names.including(one.pending.names)
        names = names.including(keys)
        old = iter(()) if state.head is None else snapshot.read_flags(self.folder, state.head)
        noted = snapshot.read_pending_flags(self.folder, state, names)
        return FlagFile(names, self._read(state, old), self._read(state, noted), path)

    def _read(self, state: State, parts: Iterable[T]) -> Iterator[T]:
        try:
            yield from parts
        except SnapshotError:
            state.check_unchanged(self.folder)  # another run may have deleted what it does not need
            raise


def _with(checkpoint: Callable[[], object], blocks: Iterable[Lines]) -> Iterator[Lines]:
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
        self.flags_path = local / "flags.gz"
        self.flags: FlagFile | None = None

    def compare(self, lines: Iterable[Lines], old: Iterable[bytes], audience_name: str) -> Counts:
        counts = Counts()
        for found in differences(self._copied(ascending(lines, counts, audience_name)), old, counts):
            touched, removed = (found.ids(), found.removes) if self.flags is None else self.flags.add(found)
            self.adds.write(found.adds)
            self.removes.write(removed)
            if not self._replaces and touched:
                self.touched.write(text_of(touched).encode(), len(touched))
        if self.flags is not None:
            self.flags.copy_rest()
        return counts

    def touched_lines(self, ids: Iterable[str]) -> list[str]:
        """Return the sorted lines of *ids*, with their flags if there are any."""
        lines = sorted(map(line_of, ids))
        if self.flags is None:
            return lines
        wanted = dict.fromkeys(lines, "")
        with self.touched.path.open("rb") as file, decompressed(file) as content:
            for line in chain.from_iterable(map(lines_in, read_texts(content))):
                id_, _, flags = line.partition(SEPARATOR)
                if id_ in wanted:
                    wanted[id_] = flags
        return list(starmap(flag_line, wanted.items()))

    def _copied(self, blocks: Iterator[SortedBlock]) -> Iterator[SortedBlock]:
        for block in blocks:
            self.snapshot.write(block.text, len(block.lines))
            yield block

    def close(self) -> None:
        with ExitStack() as stack:
            for file in (self.snapshot, self.adds, self.removes, self.touched, self.flags):
                if file is not None:
                    stack.callback(file.close)


class FolderPlan(Plan):
    """What a run sends; its ids ascend."""

    def __init__(self, mirror: FolderMirror, state: State, replaces: bool, counts: Counts, files: _PlanFiles) -> None:
        self.audience_name = mirror.target.audience
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
    def names(self) -> Names:
        """The list by which the flags of ids to remove are read."""
        return self._files.flags.names if self._files.flags else Names()

    @property
    def unconfirmed_tokens(self) -> tuple[str, ...]:
        """The indexing tokens of the last run, unless its writes are confirmed as indexed."""
        return () if self._state.head is None or self._state.is_confirmed else self._state.head.indexing_tokens

    @property
    def unfinished_tokens(self) -> tuple[str, ...]:
        """The indexing tokens of tries that have not committed."""
        return self._state.unfinished_tokens

    @contextmanager
    def begin(self, owner: str) -> Iterator[FolderTransaction]:
        """See :meth:`.store.Plan.begin`; it takes the claim."""
        claim = Claim(self._mirror.folder, owner, self._mirror.clock)
        try:
            self._state.check_unchanged(self._mirror.folder)
            with self._noted(owner, claim).ending() as transaction:
                yield transaction
        finally:
            try:
                claim.release()
            except STORE_ERRORS as error:
                log.warning("the claim on a mirror could not be released and will expire: %s", _cause(error))

    def _noted(self, owner: str, claim: Claim) -> FolderTransaction:
        """Write the new snapshot, and note what may be sent from now on."""
        folder, state, files = self._mirror.folder, self._state, self._files
        nonce = secrets.token_hex(8)
        head = self._write_snapshot(nonce)
        pending = state.pending(owner, nonce, head.sha256, replaces=self.replaces, count=files.touched.count)
        pending = replace(pending, names=head.names or ())
        pending_name = snapshot.write_pending(folder, state.generation, pending, files.touched.path)
        try:
            claim.check()
        except MirrorConflictError:
            snapshot.delete_pending(folder, [pending_name])  # nothing was sent
            raise
        with suppress(OSError):  # otherwise they are read once more
            snapshot.delete_pending(folder, (one.name for one in state.unfinished if one.has_ended))
        return FolderTransaction(self._mirror, state, pending, pending_name, claim, head, files)

    def _write_snapshot(self, nonce: str) -> Head:
        """Write the new snapshot, and return the head that will make it the one that counts."""
        folder, files, generation = self._mirror.folder, self._files, self._state.generation + 1
        name = snapshot.snapshot_name(generation, nonce[:8])
        folder.upload(name, files.snapshot.path)
        if files.flags is not None:
            folder.upload(snapshot.flags_name(name), files.flags_path)
        names = None if files.flags is None else self.names.keys
        count, sha256 = files.snapshot.count, files.snapshot.sha256
        return Head(generation, name, count, sha256, self._mirror.target, (), "", names=names)


class FolderTransaction(Transaction):
    """A run that may send, under its claim."""

    def __init__(
        self,
        mirror: FolderMirror,
        state: State,
        pending: Pending,
        pending_name: str,
        claim: Claim,
        head: Head,
        files: _PlanFiles,
    ) -> None:
        super().__init__()
        self.series = pending.series + (pending.sha256 if pending.replaces else "")
        self._mirror = mirror
        self._state = state
        self._pending = pending
        self._pending_name = pending_name
        self._claim = claim
        self._head = head
        self._files = files
        self._noted = 0
        self._noted_at = mirror.clock()
        self._lock = threading.Lock()

    def look(self) -> None:
        """See :meth:`.store.Transaction.look`."""
        self._claim.look()
        with self._lock:
            if self._noted < len(self._tokens) and self._mirror.clock() - self._noted_at >= _NOTE_INTERVAL:
                self._note(has_ended=False)

    def commit(self, indexing_tokens: Sequence[str], *, rejected: Sequence[str] = ()) -> Head:
        """See :meth:`.store.Transaction.commit`."""
        folder = self._mirror.folder
        self._claim.check()
        now = datetime.fromtimestamp(self._mirror.clock(), UTC)
        settled, echoes = self._state.settle(self._pending_name, folder)
        head = replace(
            self._head,
            indexing_tokens=tuple(indexing_tokens),
            written_at=now.isoformat(timespec="seconds"),
            settled=settled,
            echoes=echoes,
        )
        if rejected:
            lines = self._files.touched_lines(map(str, rejected))
            snapshot.write_rejected(folder, head.generation, lines, head.names or ())
        snapshot.commit(folder, head)
        self._is_committed = True
        try:
            snapshot.delete_outdated(folder, head, self._state.head)
        except STORE_ERRORS as error:
            log.warning("files of earlier runs in %s could not be deleted: %s", folder, _cause(error))
        return head

    def _note(self, *, has_ended: bool) -> None:
        tokens = list(self._tokens)
        snapshot.write_tokens(self._mirror.folder, self._pending_name, tokens, has_ended=has_ended)
        self._noted, self._noted_at = len(tokens), self._mirror.clock()

    def _note_overtaken(self) -> None:
        folder, nonce = self._mirror.folder, secrets.token_hex(8)
        pending = replace(self._pending, nonce=nonce, series=nonce)
        again = snapshot.write_pending(folder, self._state.generation, pending, self._files.touched.path)
        snapshot.write_tokens(folder, again, self._tokens, has_ended=True)


def _cause(error: Exception) -> str:
    return type(error).__name__
