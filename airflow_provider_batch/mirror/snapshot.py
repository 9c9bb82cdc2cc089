"""
What is kept between runs: the ids that Batch has, as far as they are known, and those that are uncertain.

::

    00000012.head.json              which snapshot counts, and of which audience it is; the highest number counts
    00000012-5f3a9c1e.ids.gz        the lines of generation 12, sorted
    00000012-5f3a9c1e.flags.gz      of profiles: which attributes were set on each of them, see the module flags
    00000012-0b7d2e64.pending.gz    what one try that found generation 12 may send: a line of JSON, and the ids
                                    (of profiles with their flags)
    00000012-0b7d2e64.tokens.json   the tokens that this try has received, and whether it has ended
    00000012.confirmed              Batch has indexed what was sent for generation 12
    claim.json, claim-….json        which run is at work, see the module claim

What is kept true: at every moment, the newest head names a complete snapshot, and every id that may have been sent
since is in a pending file that this head does not have as settled. So a worker may be killed between any two
operations, and two tries may be alive at once.

A head is written last and in one piece, because neither a disk nor an object store changes two files at once: one
small file decides which of the others count. It is created, never overwritten: of two tries that want to commit the
same generation, one succeeds. The head before it is kept, with its snapshot. All other names contain a nonce, so that
no try overwrites what another one has written, and none that is late can hide what a later one has sent.

A pending file counts until a head has it in ``settled``: its own try's, which was complete, or that of a later run,
which has sent all of its ids again. One that has not ended by then may go on sending for a moment. So its ids are sent
once more, by the run after: its file is an *echo* in the head, and settled by the next one.

A confirmation is a file of its own, because it is written without the claim, and must not touch a head.

Format 1 had one ``head.json`` and one ``00000012.pending.gz``, which were overwritten; both are still read.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from heapq import merge
from itertools import chain, groupby
from pathlib import Path
from typing import Final, NoReturn

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError
from airflow_provider_batch.mirror.flags import Names, flag_line
from airflow_provider_batch.mirror.folder import Folder, open_private
from airflow_provider_batch.mirror.gzip_files import UNREADABLE, decompressed
from airflow_provider_batch.mirror.lines import BLOCK_SIZE, SEPARATOR, id_parts, lines_in, text_of
from airflow_provider_batch.mirror.spool import read_texts
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.mirror.tries import Pending, Tries, Unfinished
from airflow_provider_batch.protocol.rows import in_blocks

_FORMAT: Final = 2
_HEAD: Final = re.compile(r"(\d{8})\.head\.json")
_FIRST_HEAD: Final = "head.json"  # that of format 1
_SNAPSHOT: Final = re.compile(r"(\d{8})-[0-9a-f]+\.ids\.gz")
_FLAGS: Final = re.compile(r"(\d{8})-[0-9a-f]+\.flags\.gz")
_PENDING: Final = re.compile(r"(\d{8})(-[0-9a-f]+)?\.pending\.gz")
_TOKENS: Final = re.compile(r"(\d{8})(-[0-9a-f]+)?\.tokens\.json")
_CONFIRMED: Final = re.compile(r"(\d{8})\.confirmed")
_REMEDY: Final = "to send everything and start a new snapshot, pass full_refresh=True."

#: What reading a truncated or changed file raises, and what parsing one does.
_UNREADABLE: Final[tuple[type[Exception], ...]] = (*UNREADABLE, UnicodeDecodeError)
_UNPARSABLE: Final = (ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True)
class Head:
    """
    The snapshot that counts: the number of its lines, the digest of its text, and the tokens of its push.

    :param settled: names of pending files that do not count any more.
    :param echoes: those that count once more, because their tries had not ended when they were covered.
    :param names: of profiles: the keys of all attributes that were ever sent, by which their flags are read.
    """

    generation: int
    snapshot: str
    count: int
    sha256: str
    target: Target
    indexing_tokens: tuple[str, ...]
    written_at: str
    settled: tuple[str, ...] = ()
    echoes: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.generation:08d}.head.json"

    def to_json(self) -> bytes:
        """Return the content of its file."""
        fields = {"format": _FORMAT, **asdict(self)}
        if self.names is None:
            del fields["names"]
        return json.dumps(fields | fields.pop("target"), indent=1).encode()


@dataclass(frozen=True, slots=True)
class State(Tries):
    """
    The state of a mirror that a plan starts from.

    :param head_name: the file of the newest head, which may be damaged.
    :param ignored: names of pending files that do not count.
    """

    head_name: str | None = None
    head: Head | None = None
    ignored: frozenset[str] = frozenset()
    is_confirmed: bool = False

    def check_unchanged(self, folder: Folder) -> None:
        """
        Check that no other run has ended or begun since.

        :raises MirrorConflictError: otherwise.
        """
        names = folder.list_files()
        pending = {*filter(_PENDING.fullmatch, names)} - self.ignored
        if _newest_head(names) != self.head_name or pending != {one.name for one in self.unfinished}:
            raise conflict(folder)

    def settle(self, own: str, folder: Folder) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """
        Return which pending files the next head has as settled, and which as echoes.

        :param own: that of the try that commits.
        """
        echoed = self.head.echoes if self.head else ()
        done = {own, *(one.name for one in self.unfinished if one.has_ended or one.name in echoed)}
        echoes = [one.name for one in self.unfinished if one.name not in done]
        settled = done | {name for name in folder.list_files() if name in self.ignored}
        return tuple(sorted(settled)), tuple(sorted(echoes))


def conflict(folder: Folder) -> MirrorConflictError:
    """Return the error of a run that another one has overtaken."""
    return MirrorConflictError(
        f"another run changed the mirror in {folder} after this run had compared its ids with it. Retry."
    )


def read_state(folder: Folder, target: Target | None, *, starts_anew: bool = False) -> State:
    """
    Read the state of an audience's mirror.

    :param target: what the snapshot has to be of; None for anything.
    :param starts_anew: the snapshot will not be used, so it may be damaged.
    :raises SnapshotError: if it is damaged, of another audience, or newer than this package.
    """
    names = folder.list_files()
    head_name = _newest_head(names)
    pending = sorted(filter(_PENDING.fullmatch, names))
    try:
        head = None if head_name is None else _parse_head(folder, head_name, target)
        generation = head.generation if head else 0
        is_confirmed = _confirmed_name(generation) in names
        settled = frozenset(head.settled if head else ())
        unfinished = tuple(_read_unfinished(folder, name) for name in pending if name not in settled)
        # What Batch rejects is noted right before the head is written.
        after_a_head = [one.name for one in unfinished if one.pending.owner]
        after_a_head += filter(_CONFIRMED.fullmatch, names)
        newest = max((int(name[:8]) for name in after_a_head), default=0)
        if newest > generation:
            _raise_lost(folder, newest, head_name)
        return State(generation, unfinished, head_name, head, settled, is_confirmed)
    except SnapshotError:
        if not starts_anew:
            raise
        return State(_unused_generation(names), head_name=head_name, ignored=frozenset(pending))


def _raise_lost(folder: Folder, generation: int, head_name: str | None) -> NoReturn:
    """Raise the error for a head that is missing, as it was deleted by somebody else."""
    if _newest_head(folder.list_files()) != head_name:  # no: another run has ended since the files were listed
        raise conflict(folder)
    raise _damaged(folder, f"{generation:08d}.head.json", "the file is missing, but others of its run are there")


def read_earlier_heads(folder: Folder, head: Head) -> list[Head]:
    """Return the heads before *head* whose files are kept and can be read, the newest first."""
    names = folder.list_files()
    heads = []
    for name in sorted(filter(_HEAD.fullmatch, names), reverse=True):
        with suppress(SnapshotError, MirrorConflictError):
            if name < head.name and (earlier := _parse_head(folder, name, head.target)).snapshot in names:
                heads.append(earlier)
    return heads


def is_snapshot_folder(folder: Folder) -> bool:
    """Whether runs of a mirror have written to *folder*."""
    return any(_newest_head([name]) or _PENDING.fullmatch(name) for name in folder.list_files())


def read_snapshot(folder: Folder, head: Head) -> Iterator[bytes]:
    """
    Yield the text of the snapshot in parts of whole lines.

    :raises SnapshotError: at the latest after the last block, if they are not what was written.
    """
    digest, count = hashlib.sha256(), 0
    for text in _read_gzip(folder, head.snapshot):
        digest.update(text)
        count += text.count(b"\n")
        yield text
    if (count, digest.hexdigest()) != (head.count, head.sha256):
        raise _damaged(folder, head.snapshot, "the content is not what was written")


def read_flags(folder: Folder, head: Head) -> Iterator[bytes]:
    """
    Yield the text of the flags of a snapshot of profiles in parts of whole lines.

    :raises SnapshotError: at the latest after the last block, if there are not as many as profiles.
    """
    if head.names is None:
        raise _damaged(folder, head.name, "it does not have which attributes were set")
    name, count = flags_name(head.snapshot), 0
    for text in _read_gzip(folder, name):
        count += text.count(b"\n")
        yield text
    if count != head.count:
        raise _damaged(folder, name, "the content is not what was written")


def read_pending_ids(folder: Folder, state: State) -> Iterator[list[str]]:
    """
    Yield the lines of the ids that unfinished tries may have sent, in ascending order and each once.

    :raises SnapshotError: if they cannot be read.
    """
    files = [map(_without_flags, read_unfinished_ids(folder, one)) for one in state.unfinished]
    if len(files) < 2:
        return chain.from_iterable(files)
    lines = merge(*map(chain.from_iterable, files))
    return in_blocks((line for line, _ in groupby(lines)), BLOCK_SIZE)


def _without_flags(lines: list[str]) -> list[str]:
    return id_parts(lines) if lines and SEPARATOR in lines[0] else lines


def read_pending_flags(folder: Folder, state: State, names: Names) -> Iterator[str]:
    """
    Yield the lines of what unfinished tries may have set, in ascending order of their ids.

    :param names: those by which the flags are to be read.
    :raises SnapshotError: if they cannot be read.
    """
    return merge(*(_read_flags_of(folder, one, names) for one in state.unfinished))


def _read_flags_of(folder: Folder, unfinished: Unfinished, names: Names) -> Iterator[str]:
    theirs = Names(unfinished.pending.names)
    for line in chain.from_iterable(read_unfinished_ids(folder, unfinished)):
        id_, _, flags = line.partition(SEPARATOR)
        yield flag_line(id_, names.flags(theirs.keys_of(flags)))


def read_unfinished_ids(folder: Folder, unfinished: Unfinished) -> Iterator[list[str]]:
    """
    Yield the lines of one pending file.

    :raises SnapshotError: at the latest after the last block, if they are not what was written.
    """
    count = -1  # the first line is the Pending
    for text in _read_gzip(folder, unfinished.name):
        lines = lines_in(text)
        yield lines[1:] if count < 0 else lines
        count += len(lines)
    if count != unfinished.pending.count:
        raise _damaged(folder, unfinished.name, "the file is truncated")


def snapshot_name(generation: int, nonce: str) -> str:
    """Return the name of a snapshot's file."""
    return f"{generation:08d}-{nonce}.ids.gz"


def flags_name(snapshot: str) -> str:
    """Return the name of the file with the flags of a snapshot."""
    return snapshot.replace(".ids.gz", ".flags.gz")


def write_confirmed(folder: Folder, head: Head) -> None:
    """Note that Batch has indexed what was sent for *head*."""
    folder.write(_confirmed_name(head.generation), b"")


def pending_head(pending: Pending) -> bytes:
    """Return the first part of a pending file; the compressed lines of the ids follow it."""
    fields = {"format": _FORMAT, **asdict(pending)}
    if not pending.names:
        del fields["names"]
    return gzip.compress(json.dumps(fields).encode() + b"\n", 1, mtime=0)


def write_pending(folder: Folder, generation: int, pending: Pending, ids: Path) -> str:
    """
    Note what a run is about to send, and return the name of the file.

    :param ids: a local file with the compressed lines of all ids that are uncertain from now on.
    """
    whole = ids.with_suffix(".whole")
    with open_private(whole) as file, ids.open("rb") as content:
        file.write(pending_head(pending))
        shutil.copyfileobj(content, file, 1 << 20)
    name = _pending_name(generation, pending.nonce)
    folder.upload(name, whole)
    return name


def write_tokens(folder: Folder, pending_name: str, indexing_tokens: Sequence[str], *, has_ended: bool) -> None:
    """Note the tokens that the try of a pending file has received, and whether it makes no more calls."""
    content = {"indexing_tokens": list(indexing_tokens), "has_ended": has_ended}
    folder.write(_tokens_name(pending_name), json.dumps(content).encode())


def write_rejected(folder: Folder, generation: int, lines: list[str], names: tuple[str, ...] = ()) -> None:
    """
    Note that the sorted *lines* of ids are uncertain, as Batch rejected them.

    :param names: those of their flags.
    """
    nonce = secrets.token_hex(8)
    pending = Pending(owner="", series=nonce, nonce=nonce, replaces=False, count=len(lines), names=names)
    ids = gzip.compress(text_of(lines).encode(), 1, mtime=0)
    folder.write(_pending_name(generation, nonce), pending_head(pending) + ids)


def commit(folder: Folder, head: Head) -> None:
    """
    Make *head* the one that counts.

    :raises MirrorConflictError: if another run was first.
    """
    if not folder.create(head.name, head.to_json()) or _newest_head(folder.list_files()) != head.name:
        raise conflict(folder)


def delete_pending(folder: Folder, names: Iterable[str]) -> None:
    """Delete pending files, and what belongs to them."""
    for name in names:
        folder.delete(name)  # before the tokens: without them it would count as one whose try has not ended
        folder.delete(_tokens_name(name))


def delete_outdated(folder: Folder, head: Head, before: Head | None) -> None:
    """Delete all that *head* leaves without use, except *before* and its snapshot. Only after it was committed."""
    names = folder.list_files()
    delete_pending(folder, (name for name in head.settled if name in names))
    kept = {head.snapshot, *([before.snapshot, before.name] if before else ())}
    kept |= set(map(flags_name, kept))
    kinds = (_HEAD, _SNAPSHOT, _FLAGS, _CONFIRMED, _TOKENS)
    for name in names:
        found = next(filter(None, (kind.fullmatch(name) for kind in kinds)), None)
        # A later run may have begun by now, and written a snapshot of its own.
        is_outdated = found is not None and int(found[1]) < head.generation + (found.re in (_SNAPSHOT, _FLAGS))
        is_used = name in kept or (found is not None and found.re is _TOKENS and _pending_of(name) in names)
        if name == _FIRST_HEAD or (is_outdated and not is_used):
            folder.delete(name)
    folder.sweep()


def _newest_head(names: Sequence[str]) -> str | None:
    return max(filter(_HEAD.fullmatch, names), default=_FIRST_HEAD if _FIRST_HEAD in names else None)


def _unused_generation(names: Iterable[str]) -> int:
    matches = (kind.fullmatch(name) for name in names for kind in (_HEAD, _SNAPSHOT, _PENDING))
    return 1 + max((int(found[1]) for found in matches if found), default=0)


def _parse_head(folder: Folder, name: str, target: Target | None) -> Head:
    content = folder.read(name)
    if content is None:  # two other runs have ended since the files were listed
        raise conflict(folder)
    try:
        fields = json.loads(content)
        if fields.pop("format") > _FORMAT:
            raise SnapshotError(
                f"{folder}/{name} was written by a newer version of this package. Upgrade the package; or, {_REMEDY}"
            )
        theirs = Target(**{key: fields.pop(key) for key in ("audience", "type", "recipient")})
        lists = {key: tuple(fields.get(key, ())) for key in ("indexing_tokens", "settled", "echoes")}
        head = Head(**{**fields, **lists, "target": theirs, "names": _tuple_or_none(fields.get("names"))})
        if not (type(head.generation) is type(head.count) is int and _SNAPSHOT.fullmatch(head.snapshot)):
            raise ValueError
        if name not in (head.name, _FIRST_HEAD) or not all(map(_PENDING.fullmatch, head.settled + head.echoes)):
            raise ValueError
    except _UNPARSABLE:
        raise _damaged(folder, name, "the file cannot be read") from None
    if target is not None and theirs != target:
        raise SnapshotError(
            f"{folder} holds the snapshot of {_difference(theirs, target)}. Pass another snapshot_path; or, {_REMEDY}"
        )
    return head


def _tuple_or_none(found: list[str] | None) -> tuple[str, ...] | None:
    return None if found is None else tuple(found)


def _difference(theirs: Target, ours: Target) -> str:
    if theirs.audience != ours.audience:
        return f"another audience, {theirs.audience!r:.80}"
    if theirs.type != ours.type:
        return f"an audience of another type, {theirs.type!r:.80}"
    return "another app or project, or of another host"


def _confirmed_name(generation: int) -> str:
    return f"{generation:08d}.confirmed"


def _pending_name(generation: int, nonce: str) -> str:
    return f"{generation:08d}-{nonce}.pending.gz"


def _tokens_name(pending_name: str) -> str:
    return pending_name.replace(".pending.gz", ".tokens.json")


def _pending_of(tokens_name: str) -> str:
    return tokens_name.replace(".tokens.json", ".pending.gz")


def _read_unfinished(folder: Folder, name: str) -> Unfinished:
    try:
        with folder.open(name) as file, decompressed(file) as content:
            fields = json.loads(content.readline())
            fields.pop("format")
            pending = Pending(**{**fields, **{key: tuple(fields.get(key, ())) for key in ("known", "names")}})
    except FileNotFoundError:  # a run has settled it since the files were listed
        raise conflict(folder) from None
    except _UNREADABLE + _UNPARSABLE:
        raise _damaged(folder, name, "the file cannot be read") from None
    try:
        noted = json.loads(folder.read(_tokens_name(name)) or b"{}")
        tokens = tuple(map(str, noted.get("indexing_tokens", ())))
        # Ids that Batch rejected are sent by nobody.
        return Unfinished(name, pending, tokens, not pending.owner or noted.get("has_ended") is True)
    except _UNPARSABLE:
        return Unfinished(name, pending, (), not pending.owner)


def _read_gzip(folder: Folder, name: str) -> Iterator[bytes]:
    """Yield the text of a file in parts of whole lines, which are valid UTF-8."""
    try:
        with folder.open(name) as file, decompressed(file) as content:
            for text in read_texts(content):
                text.decode()
                yield text
    except FileNotFoundError:
        raise _damaged(folder, name, "the file is missing") from None
    except _UNREADABLE:
        raise _damaged(folder, name, "the file is truncated or damaged") from None
    except OSError as error:
        if error.errno != errno.EBUSY:  # FileExpired, of s3fs
            raise
        raise _damaged(folder, name, "the file was overwritten while it was read") from None


def _damaged(folder: Folder, name: str, reason: str) -> SnapshotError:
    return SnapshotError(f"{folder}/{name}: {reason}. Nothing was sent; {_REMEDY}")
