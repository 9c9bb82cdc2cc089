"""
What is kept between runs: the ids that Batch has, as far as they are known, and those that are uncertain.

::

    head.json                       which snapshot counts, and of which audience it is
    00000012-5f3a9c1e.ids.gz        the lines of generation 12, sorted; the previous snapshot is kept, too
    00000012.pending.gz             what an unfinished try may have sent since generation 12
    00000012.confirmed              Batch has indexed what was sent for generation 12
    claim.json, claim-….json        which run is at work

What is kept true: at every moment, the head names a complete snapshot, and its pending file holds every id that may
have been sent since. So a worker may be killed between any two operations.

The head is written last and in one piece, because neither a disk nor an object store changes two files at once: one
small file decides which of the others count. A single snapshot file that is overwritten would hold the new set while
the pending file is still that of the old one, or the other way round. The numbers connect the files: a new head makes
the old pending file invalid without touching it. A snapshot's name contains a nonce, so that a run that has lost its
claim cannot overwrite the snapshot that another run's head names. A confirmation is a file of its own, because it is
written without the claim, and must not overwrite the head of a later run.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError
from airflow_provider_batch.mirror.folder import TEMPORARY, Folder
from airflow_provider_batch.mirror.lines import text_of
from airflow_provider_batch.mirror.spool import read_lines

_FORMAT: Final = 1
HEAD: Final = "head.json"
_SNAPSHOT: Final = re.compile(r"(\d{8})-[0-9a-f]+\.ids\.gz")
_PENDING: Final = re.compile(r"(\d{8})\.pending\.gz")
_CONFIRMED: Final = re.compile(r"(\d{8})\.confirmed")
_REMEDY: Final = "to replace the audience and start a new snapshot, pass full_refresh=True."

#: What reading a truncated or changed file raises, and what parsing one does.
_UNREADABLE: Final = (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError)
_UNPARSABLE: Final = (ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True)
class Target:
    """What a snapshot is of; ``recipient`` is a digest of the app or project that the ids go to, and of its host."""

    audience: str
    type: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Head:
    """The snapshot that counts: the number of its lines, the digest of its text, and the tokens of its push."""

    generation: int
    snapshot: str
    count: int
    sha256: str
    target: Target
    indexing_tokens: tuple[str, ...]
    written_at: str

    def to_json(self) -> bytes:
        """Return the content of ``head.json``."""
        fields = {"format": _FORMAT, **asdict(self)}
        return json.dumps(fields | fields.pop("target"), indent=1).encode()


@dataclass(frozen=True, slots=True)
class Pending:
    """
    What is known of unfinished tries: the owner of the last one, and whether any member may have been replaced.

    ``series`` is the same for tries of one owner that follow each other with no other owner's in between.
    """

    owner: str
    series: str
    nonce: str
    replaces: bool
    count: int

    def to_gzip(self) -> bytes:
        """Return the first part of the file; the compressed lines of the ids follow it."""
        return gzip.compress(json.dumps({"format": _FORMAT, **asdict(self)}).encode() + b"\n", 1, mtime=0)


@dataclass(frozen=True, slots=True)
class State:
    """The state of a mirror that a plan starts from; ``head_json`` is the head as it was read."""

    head_json: bytes | None
    head: Head | None
    generation: int
    pending: Pending | None
    is_confirmed: bool = False

    def check_unchanged(self, folder: Folder, pending: Pending | None) -> None:
        """
        Check that no other run has ended since, and that the last one to begin noted *pending*.

        :raises MirrorConflictError: otherwise.
        """
        if folder.read(HEAD) != self.head_json or _read_pending(folder, self.generation) != pending:
            raise MirrorConflictError(
                f"another run changed the mirror in {folder} after this run had compared its ids with it. Retry."
            )


def read_state(folder: Folder, target: Target, *, starts_anew: bool) -> State:
    """
    Read the state of an audience's mirror.

    :param starts_anew: the snapshot will not be used, so it may be damaged.
    :raises SnapshotError: if it is damaged, of another audience, or newer than this package.
    """
    content = folder.read(HEAD)
    try:
        head = None if content is None else _parse_head(content, target, folder)
        generation = head.generation if head else 0
        is_confirmed = folder.read(_confirmed_name(generation)) is not None
        return State(content, head, generation, _read_pending(folder, generation), is_confirmed)
    except SnapshotError:
        if not starts_anew:
            raise
        return State(content, None, _unused_generation(folder), None)


def read_snapshot(folder: Folder, head: Head) -> Iterator[list[str]]:
    """
    Yield the lines of the snapshot in blocks.

    :raises SnapshotError: at the latest after the last block, if they are not what was written.
    """
    digest, count = hashlib.sha256(), 0
    for lines, text in _read_gzip(folder, head.snapshot):
        digest.update(text.encode())
        count += len(lines)
        yield lines
    if (count, digest.hexdigest()) != (head.count, head.sha256):
        raise _damaged(folder, head.snapshot, "the content is not what was written")


def read_pending_ids(folder: Folder, state: State) -> Iterator[list[str]]:
    """
    Yield the lines of the ids that an unfinished try may have sent.

    :raises SnapshotError: if they cannot be read.
    """
    if state.pending is None:
        return
    name = _pending_name(state.generation)
    count = -1  # the first line is the Pending
    for lines, _ in _read_gzip(folder, name):
        yield lines[1:] if count < 0 else lines
        count += len(lines)
    if count != state.pending.count:
        raise _damaged(folder, name, "the file is truncated")


def snapshot_name(generation: int, nonce: str) -> str:
    """Return the name of a snapshot's file."""
    return f"{generation:08d}-{nonce}.ids.gz"


def write_confirmed(folder: Folder, head: Head) -> None:
    """Note that Batch has indexed what was sent for *head*."""
    folder.write(_confirmed_name(head.generation), b"")


def write_pending(folder: Folder, generation: int, pending: Pending, ids: Path) -> None:
    """
    Note what a run is about to send.

    :param ids: a local file with the compressed lines of all ids that are uncertain from now on.
    """
    whole = ids.with_suffix(".whole")
    with whole.open("wb") as file, ids.open("rb") as content:
        file.write(pending.to_gzip())
        shutil.copyfileobj(content, file, 1 << 20)
    folder.upload(_pending_name(generation), whole)


def write_rejected(folder: Folder, generation: int, lines: list[str]) -> None:
    """Note that the sorted *lines* of ids are uncertain, as Batch rejected them."""
    nonce = secrets.token_hex(8)
    pending = Pending(owner="", series=nonce, nonce=nonce, replaces=False, count=len(lines))
    ids = gzip.compress(text_of(lines).encode(), 1, mtime=0)
    folder.write(_pending_name(generation), pending.to_gzip() + ids)


def delete_outdated(folder: Folder, head: Head, before: Head | None, *, keep_pending: bool) -> None:
    """
    Delete all that does not count beside *head*, except the snapshot of *before*. Only for the holder of the claim.

    :param keep_pending: keep the pending file of *head*; otherwise a try that never wrote its head has left it.
    """
    kept = {head.snapshot, before.snapshot if before else "", _confirmed_name(head.generation)}
    if keep_pending:
        kept.add(_pending_name(head.generation))
    for name in folder.list_files():
        ours = name.endswith(TEMPORARY) or any(kind.fullmatch(name) for kind in (_SNAPSHOT, _PENDING, _CONFIRMED))
        if ours and name not in kept:
            folder.delete(name)


def _unused_generation(folder: Folder) -> int:
    matches = (kind.fullmatch(name) for name in folder.list_files() for kind in (_SNAPSHOT, _PENDING))
    return 1 + max((int(found[1]) for found in matches if found), default=0)


def _parse_head(content: bytes, target: Target, folder: Folder) -> Head:
    try:
        fields = json.loads(content)
        if fields.pop("format") > _FORMAT:
            raise SnapshotError(
                f"{folder}/{HEAD} was written by a newer version of this package. Upgrade the package; or, {_REMEDY}"
            )
        theirs = Target(**{name: fields.pop(name) for name in ("audience", "type", "recipient")})
        head = Head(target=theirs, indexing_tokens=tuple(fields.pop("indexing_tokens")), **fields)
        if not (type(head.generation) is type(head.count) is int and _SNAPSHOT.fullmatch(head.snapshot)):
            raise ValueError
    except _UNPARSABLE:
        raise _damaged(folder, HEAD, "the file cannot be read") from None
    if theirs != target:
        raise SnapshotError(
            f"{folder} holds the snapshot of {_difference(theirs, target)}. Pass another snapshot_path; or, {_REMEDY}"
        )
    return head


def _difference(theirs: Target, ours: Target) -> str:
    if theirs.audience != ours.audience:
        return f"another audience, {theirs.audience!r:.80}"
    if theirs.type != ours.type:
        return f"an audience of another type, {theirs.type!r:.80}"
    return "an audience of another app or project, or at another host"


def _confirmed_name(generation: int) -> str:
    return f"{generation:08d}.confirmed"


def _pending_name(generation: int) -> str:
    return f"{generation:08d}.pending.gz"


def _read_pending(folder: Folder, generation: int) -> Pending | None:
    name = _pending_name(generation)
    try:
        with folder.open(name) as file, gzip.open(file, "rb") as content:
            fields = json.loads(content.readline())
            fields.pop("format")
            return Pending(**fields)
    except FileNotFoundError:
        return None
    except (*_UNREADABLE, *_UNPARSABLE):
        raise _damaged(folder, name, "the file cannot be read") from None


def _read_gzip(folder: Folder, name: str) -> Iterator[tuple[list[str], str]]:
    try:
        with folder.open(name) as file, gzip.open(file, "rb") as content:
            yield from read_lines(content)  # type: ignore[arg-type]  # a reader of bytes
    except FileNotFoundError:
        raise _damaged(folder, name, "the file is missing") from None
    except _UNREADABLE:
        raise _damaged(folder, name, "the file is truncated or damaged") from None


def _damaged(folder: Folder, name: str, reason: str) -> SnapshotError:
    return SnapshotError(f"{folder}/{name}: {reason}. Nothing was sent; {_REMEDY}")
