"""
What is kept between runs: the ids that Batch has, as far as they are known, and those that are uncertain.

::

    head.json                       which snapshot counts, and what it is of: written last, and in one piece
    00000012-5f3a9c1e.ids.gz        the lines of generation 12, sorted; the one before is kept, too
    00000012.pending.gz             what an unfinished try may have sent since generation 12
    00000012.confirmed              Batch has indexed what was sent for generation 12
    claim.json, claim-….json        who is at work

A snapshot's name holds a nonce, so that a run that is long past its time can never write over another's.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError
from airflow_provider_batch.mirror.folder import TEMPORARY, Folder
from airflow_provider_batch.mirror.spool import read_lines

_FORMAT: Final = 1
_HEAD: Final = "head.json"
_SNAPSHOT: Final = re.compile(r"(\d{8})-[0-9a-f]+\.ids\.gz")
_PENDING: Final = re.compile(r"(\d{8})\.pending\.gz")
_CONFIRMED: Final = re.compile(r"(\d{8})\.confirmed")
_REMEDY: Final = "full_refresh=True replaces the audience and begins anew"

#: What reading a file raises that was cut or changed.
_DAMAGES: Final = (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class Target:
    """What a snapshot is of; ``recipient`` is a digest of the app or project that the ids go to."""

    audience: str
    type: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Head:
    """The snapshot that counts: how many lines it has, the digest of its text, and the tokens of its last push."""

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
    What is known of unfinished tries: whose the last was, and whether the audience's content is wholly unknown.

    ``series`` is the same for tries of one owner that follow each other without another one's in between.
    """

    owner: str
    series: str
    nonce: str
    replaces: bool
    count: int

    def to_gzip(self) -> bytes:
        """Return the beginning of the file; the ids follow it, compressed by themselves."""
        return gzip.compress(json.dumps({"format": _FORMAT, **asdict(self)}).encode() + b"\n", 1, mtime=0)


@dataclass(frozen=True, slots=True)
class Base:
    """What a plan starts from; ``raw`` is the head as it stands, to see whether another run has moved it on."""

    raw: bytes | None
    head: Head | None
    generation: int
    pending: Pending | None
    is_confirmed: bool = False

    def check_still(self, folder: Folder, pending: Pending | None) -> None:
        """
        Return if no other run has ended since, and the last try that began is the one that noted *pending*.

        :raises MirrorConflictError: otherwise.
        """
        if folder.read(_HEAD) != self.raw or _read_pending(folder, self.generation) != pending:
            raise MirrorConflictError(
                f"another run has moved the mirror in {folder} on since this one compared its ids with it; try again"
            )


def read_base(folder: Folder, target: Target, *, anew: bool) -> Base:
    """
    Read what an audience's mirror has come to.

    :param anew: nothing of it will be used, so damages do not matter.
    :raises SnapshotError: if it is damaged, of another audience, or newer than this package.
    """
    raw = folder.read(_HEAD)
    try:
        head = None if raw is None else _head(raw, target, folder)
        generation = head.generation if head else 0
        is_confirmed = folder.read(_confirmed_name(generation)) is not None
        return Base(raw, head, generation, _read_pending(folder, generation), is_confirmed)
    except SnapshotError:
        if not anew:
            raise
        return Base(raw, None, _unused_generation(folder), None)


def read_snapshot(folder: Folder, head: Head) -> Iterator[list[str]]:
    """
    Yield the lines of the snapshot in blocks.

    :raises SnapshotError: at the latest after the last of them, if they are not what was written.
    """
    digest, count = hashlib.sha256(), 0
    for lines, text in _unpacked(folder, head.snapshot):
        digest.update(text.encode())
        count += len(lines)
        yield lines
    if (count, digest.hexdigest()) != (head.count, head.sha256):
        raise _damaged(folder, head.snapshot, "it is not what was written")


def read_pending_ids(folder: Folder, base: Base) -> Iterator[list[str]]:
    """
    Yield the lines of the ids that an unfinished try may have sent.

    :raises SnapshotError: if they cannot be read.
    """
    if base.pending is None:
        return
    name = _pending_name(base.generation)
    count = -1  # the first line is no id
    for lines, _ in _unpacked(folder, name):
        yield lines[1:] if count < 0 else lines
        count += len(lines)
    if count != base.pending.count:
        raise _damaged(folder, name, "it is cut")


def put_head(folder: Folder, head: Head) -> None:
    """Let *head* count from now on."""
    folder.put(_HEAD, head.to_json())


def put_confirmed(folder: Folder, head: Head) -> None:
    """Note that Batch has indexed what was sent for *head*, in a file of its own: a later head may be there by now."""
    folder.put(_confirmed_name(head.generation), b"")


def drop_pending(folder: Folder, generation: int) -> None:
    """Forget what a try has noted that never came to its end."""
    folder.delete(_pending_name(generation))


def put_pending(folder: Folder, generation: int, pending: Pending, ids: Path) -> None:
    """
    Note what a try is about to send.

    :param ids: a local file with the compressed lines of all ids that are uncertain from now on.
    """
    whole = ids.with_suffix(".whole")
    with whole.open("wb") as file, ids.open("rb") as content:
        file.write(pending.to_gzip())
        shutil.copyfileobj(content, file, 1 << 20)
    folder.upload(_pending_name(generation), whole)


def snapshot_name(generation: int, nonce: str) -> str:
    """Return the name of a snapshot's file."""
    return f"{generation:08d}-{nonce}.ids.gz"


def forget(folder: Folder, head: Head, before: Head | None) -> None:
    """Delete all that is behind *head*, but for the snapshot *before* it. Only for whoever holds the claim."""
    kept = {head.snapshot, before.snapshot if before else ""}
    for name in folder.names():
        numbered = _PENDING.fullmatch(name) or _CONFIRMED.fullmatch(name)
        if (
            name.endswith(TEMPORARY)
            or (numbered and int(numbered[1]) != head.generation)
            or (_SNAPSHOT.fullmatch(name) and name not in kept)
        ):
            folder.delete(name)


def _unused_generation(folder: Folder) -> int:
    matches = (kind.fullmatch(name) for name in folder.names() for kind in (_SNAPSHOT, _PENDING))
    return 1 + max((int(found[1]) for found in matches if found), default=0)


def _head(raw: bytes, target: Target, folder: Folder) -> Head:
    try:
        fields = json.loads(raw)
        newer = fields.pop("format") > _FORMAT
        if not newer:
            is_of = Target(**{name: fields.pop(name) for name in ("audience", "type", "recipient")})
            head = Head(target=is_of, indexing_tokens=tuple(fields.pop("indexing_tokens")), **fields)
            _check_kinds(head)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _damaged(folder, _HEAD, "it cannot be read") from None
    if newer:
        raise SnapshotError(
            f"{folder}/{_HEAD} was written by a newer version of this package: upgrade it; or {_REMEDY}"
        )
    if head.target != target:
        raise SnapshotError(
            f"{folder} holds the snapshot of {_difference(head.target, target)}: pass another snapshot_path; "
            f"or {_REMEDY}"
        )
    return head


def _check_kinds(head: Head) -> None:
    if not (type(head.generation) is type(head.count) is int and _SNAPSHOT.fullmatch(head.snapshot)):
        raise ValueError


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
        with folder.open(name) as raw, gzip.open(raw, "rb") as content:
            fields = json.loads(content.readline())
            fields.pop("format")
            return Pending(**fields)
    except FileNotFoundError:
        return None
    except (*_DAMAGES, ValueError, TypeError, KeyError, AttributeError):
        raise _damaged(folder, name, "it cannot be read") from None


def _unpacked(folder: Folder, name: str) -> Iterator[tuple[list[str], str]]:
    try:
        with folder.open(name) as raw, gzip.open(raw, "rb") as content:
            yield from read_lines(content)  # type: ignore[arg-type]  # a reader of bytes
    except FileNotFoundError:
        raise _damaged(folder, name, "it is missing") from None
    except _DAMAGES:
        raise _damaged(folder, name, "it is cut or damaged") from None


def _damaged(folder: Folder, name: str, reason: str) -> SnapshotError:
    return SnapshotError(f"{folder}/{name}: {reason}; nothing was sent. {_REMEDY}")
