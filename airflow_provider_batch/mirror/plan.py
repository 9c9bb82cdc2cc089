"""What a run is going to send, made before the first call; and the run itself, which moves the snapshot on."""

from __future__ import annotations

import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from airflow_provider_batch.exceptions import SnapshotError
from airflow_provider_batch.mirror.claim import Claim, drop_claim
from airflow_provider_batch.mirror.diff import Counts, Stretch, differences, with_uncertain
from airflow_provider_batch.mirror.folder import Folder, folder_at
from airflow_provider_batch.mirror.guards import Limits, check_changes, check_not_empty, check_shrink
from airflow_provider_batch.mirror.lines import as_lines, line_of
from airflow_provider_batch.mirror.order import ascending, in_order
from airflow_provider_batch.mirror.snapshot import (
    Base,
    Head,
    Pending,
    Target,
    drop_pending,
    forget,
    put_confirmed,
    put_head,
    put_pending,
    read_base,
    read_pending_ids,
    read_snapshot,
    snapshot_name,
)
from airflow_provider_batch.mirror.spool import LineFile, PackedFile, Spool
from airflow_provider_batch.protocol.arguments import FirstRun, check_choice

log = logging.getLogger(__name__)


class Standing(NamedTuple):
    """What an audience has by its snapshot: so many ids, of which so many are uncertain, one way or the other."""

    ids: int
    uncertain: int


class Mirror:
    """
    One audience and what was sent to it.

    :param path: a folder for this audience of this connection alone: a path as :func:`.folder.folder_at` takes it.
    :param recipient: a digest of the app or project that the ids go to, and of where it is.
    """

    def __init__(
        self,
        path: Any,
        *,
        audience_name: str,
        audience_type: str,
        recipient: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder: Folder = folder_at(path)
        self.target = Target(audience_name, audience_type, recipient)
        self.clock = clock

    def plan(
        self,
        blocks: Iterable[list[str]],
        *,
        is_sorted: bool = False,
        first_run: FirstRun = "add",
        full_refresh: bool = False,
        memory_limit: str = "512MB",
        temporary_folder: Path | None = None,
    ) -> Plan:
        """
        Read the whole new set, compare it with the snapshot, and return what is to be sent. Nothing is sent yet.

        :param blocks: lists of ids that were checked, such as those of an ``Intake``.
        :param is_sorted: the source promises ascending ids, by code points; checked.
        :param first_run: without a snapshot, whether the members that Batch may have stay or are replaced.
        :param full_refresh: replace the audience, whatever the snapshot says; also the way out of a damaged one.
        :param memory_limit: for DuckDB, which sorts what is not sorted and more than a million ids.
        :param temporary_folder: a local one, with room for about three times the text of all ids.
        :raises InvalidMemberError: if a source that promised to be sorted is not.
        :raises SnapshotError: if what was kept of the last run cannot be used.
        """
        check_choice("first_run", first_run)
        base = read_base(self.folder, self.target, anew=full_refresh)
        replaces = (
            full_refresh
            or (base.head is None and first_run == "replace")
            or (base.pending is not None and base.pending.replaces)
        )
        with ExitStack() as stack:
            local = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="batch-mirror-", dir=temporary_folder)))
            lines = as_lines(blocks)
            if not is_sorted:
                lines = in_order(lines, local, memory_limit=memory_limit)
            found = _Found(local, replaces)
            with found:
                old = () if replaces else with_uncertain(self._old(base), read_pending_ids(self.folder, base))
                counts = found.compare(lines, old, self.target.audience)
            return Plan(self, base, replaces, counts, found, stack.pop_all())

    def confirm(self, indexing_tokens: Sequence[str] | None = None) -> Standing | None:
        """
        Note that Batch has indexed all that was sent, and return what the audience has by the snapshot.

        :param indexing_tokens: what was waited for. Where the snapshot is another run's by now, whose writes nobody
            has waited for, nothing is noted, and None is returned.
        :raises SnapshotError: if there is no snapshot that can be used.
        """
        base = read_base(self.folder, self.target, anew=False)
        if base.head is None:
            raise SnapshotError(f"{self.folder} has no snapshot any more")
        if indexing_tokens is None or tuple(indexing_tokens) == base.head.indexing_tokens:
            put_confirmed(self.folder, base.head)
        elif indexing_tokens or not base.is_confirmed:
            return None
        return Standing(base.head.count, base.pending.count if base.pending else 0)

    def drop_claim(self, owner: str) -> None:
        """Let others work, where a killed try of *owner* has left its claim and a plan of the next one is settled."""
        drop_claim(self.folder, owner)

    def _old(self, base: Base) -> Iterable[list[str]]:
        return () if base.head is None else read_snapshot(self.folder, base.head)


class _Found:
    """The local files of a plan: the new snapshot, what to add, what to remove, and the ids of both."""

    def __init__(self, local: Path, replaces: bool) -> None:
        self._replaces = replaces
        self.snapshot = PackedFile(local / "snapshot.gz")
        self.adds = LineFile(local / "adds.txt")
        self.removes = LineFile(local / "removes.txt")
        self.touched = PackedFile(local / "touched.gz")

    def compare(self, lines: Iterable[list[str]], old: Iterable[list[str]], audience_name: str) -> Counts:
        """Write all of them; *audience_name* is for errors."""
        counts = Counts()
        for found in differences(self._kept(ascending(lines, counts, audience_name)), old, counts):
            self.adds.write(found.adds)
            self.removes.write(found.removes)
            if not self._replaces and (ids := found.ids()):
                self.touched.write("\n".join(ids) + "\n", len(ids))
        return counts

    def _kept(self, stretches: Iterator[Stretch]) -> Iterator[Stretch]:
        for stretch in stretches:
            self.snapshot.write(stretch.text, len(stretch.lines))
            yield stretch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with ExitStack() as stack:
            for file in (self.snapshot, self.adds, self.removes, self.touched):
                stack.callback(file.close)


class Plan:
    """
    What a run is going to send; holds local files until the end of its ``with`` block.

    ``adds`` and ``removes`` can be read again and again, in the order of ids; no id is in both, and each is there once.
    The same new set on the same state gives the same ones. If the plan ``replaces``, ``adds`` is the whole new set, to
    be sent as what the audience is from then on.
    """

    def __init__(
        self, mirror: Mirror, base: Base, replaces: bool, counts: Counts, found: _Found, files: ExitStack
    ) -> None:
        self.replaces = replaces
        self.counts = counts
        self.adds = Spool(found.adds)
        self.removes = Spool(found.removes)
        self._mirror = mirror
        self._base = base
        self._found = found
        self._files = files

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._files.close()

    @property
    def before(self) -> int | None:
        """How many ids the last snapshot has; None without one that can be used."""
        return self._base.head.count if self._base.head else None

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """The indexing tokens of the last run, if nobody has noted that what they stand for is indexed."""
        return () if self._base.head is None or self._base.is_confirmed else self._base.head.indexing_tokens

    @property
    def is_settled(self) -> bool:
        """Whether Batch has the new set already, so that there is nothing to send and nothing to commit."""
        return self.before is not None and not (self.replaces or self.counts.adds or self.counts.removes)

    def check(self, limits: Limits) -> None:
        """
        Check that the new set does not look like a mistake.

        :param limits: ``max_changes`` does not apply to a set that replaces the audience as a whole.
        :raises GuardError: if it does; the error gives both figures.
        """
        name = self._mirror.target.audience
        check_not_empty(name, self.counts.given, allow_empty=limits.allow_empty)
        if self.before is None:
            return
        check_shrink(name, self.before, self.counts.given, limits.max_shrink)
        if not self.replaces:
            check_changes(name, self.before, self.counts.adds, self.counts.removes, limits.max_changes)

    def begin(self, owner: str) -> Attempt:
        """
        Take the claim and note what is about to be sent: the first call may follow.

        :param owner: see :class:`.claim.Claim`; a name for people, and neither a key nor an id of a member.
        :raises MirrorConflictError: if another run is at work, or has been since the plan was made.
        """
        folder, base = self._mirror.folder, self._base
        claim = Claim(folder, owner, self._mirror.clock)
        with ExitStack() as stack:
            stack.callback(_release, claim)
            base.check_still(folder, base.pending)
            nonce = secrets.token_hex(8)
            snapshot = snapshot_name(base.generation + 1, nonce[:8])
            folder.upload(snapshot, self._found.snapshot.path)
            last = base.pending
            pending = Pending(
                owner=owner,
                series=last.series if last and (last.owner, last.replaces) == (owner, self.replaces) else nonce,
                nonce=nonce,
                replaces=self.replaces,
                count=self._found.touched.count,
            )
            # What was uncertain before is in the plan, as something to add or to remove: nothing is forgotten.
            put_pending(folder, base.generation, pending, self._found.touched.path)
            return Attempt(self._mirror, base, pending, claim, self._head(snapshot), stack.pop_all())

    def _head(self, snapshot: str) -> Head:
        new = self._found.snapshot
        return Head(self._base.generation + 1, snapshot, new.count, new.sha256, self._mirror.target, (), "")


class Attempt:
    """
    A run that may send: ends with :meth:`commit`, or leaves what it may have sent as uncertain for the next one.

    ``series`` is the same in a retry if no other run has sent anything in between, and, behind a replace, if the set is
    the same one: what is noted of this try under another series must not be taken for delivered.
    """

    def __init__(
        self, mirror: Mirror, base: Base, pending: Pending, claim: Claim, head: Head, ending: ExitStack
    ) -> None:
        self.series = pending.series + (head.sha256 if pending.replaces else "")
        self._mirror = mirror
        self._base = base
        self._pending = pending
        self._claim = claim
        self._head = head
        self._ending = ending

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._ending.close()

    def renew(self) -> None:
        """
        Say that this run is still at work, for every receipt; most often that costs nothing.

        :raises MirrorConflictError: if another run has taken over.
        """
        self._claim.renew()

    def commit(self, indexing_tokens: Sequence[str], *, rejected: Sequence[str] = ()) -> Head:
        """
        Let the new snapshot count: every call was accepted.

        :param rejected: ids of the plan that Batch refuses: they stay uncertain, so that the next run sends them again.
        :raises MirrorConflictError: if another run has taken over; the snapshot is left to that one.
        """
        folder = self._mirror.folder
        self._claim.check()
        self._base.check_still(folder, self._pending)
        now = datetime.fromtimestamp(self._mirror.clock(), UTC)
        head = replace(self._head, indexing_tokens=tuple(indexing_tokens), written_at=now.isoformat(timespec="seconds"))
        if rejected:
            self._keep_uncertain(head.generation, rejected)
        put_head(folder, head)
        try:
            if not rejected:  # what an attempt at the same generation may have left that did not come to its end
                drop_pending(folder, head.generation)
            forget(folder, head, self._base.head)
        except OSError as error:
            log.warning("files of earlier runs in %s could not be deleted: %s", folder, type(error).__name__)
        return head

    def _keep_uncertain(self, generation: int, ids: Sequence[str]) -> None:
        lines = sorted(map(line_of, map(str, ids)))
        with tempfile.TemporaryDirectory(prefix="batch-mirror-") as local:
            path = Path(local, "uncertain.gz")
            with PackedFile(path) as file:
                file.write("\n".join(lines) + "\n", len(lines))
            nonce = secrets.token_hex(8)
            pending = Pending(owner="", series=nonce, nonce=nonce, replaces=False, count=len(lines))
            put_pending(self._mirror.folder, generation, pending, path)


def _release(claim: Claim) -> None:
    try:
        claim.release()
    except OSError as error:
        log.warning("the claim on a mirror could not be given back, and will die: %s", type(error).__name__)
