"""
Two sorted sequences of lines -> what to add and what to remove.

What is kept true: an id is left out only if the snapshot holds the same line and no unfinished try may have sent it.

An uncertain id must not pass for unchanged, whatever the snapshot holds: an unfinished try may have removed it, or
changed its attributes. So it goes into the comparison with a mark in place of its digest, which no line of the new set
has, and comes out as an id to add or to remove. Appended to the result instead, it could be sent twice, with opposing
actions: Batch documents no order in which it applies calls, so each id goes into one.

Both sides are sorted, so a merge needs the memory of two blocks; sets would need all ids of both sides. A merge of
single ids would take several steps of Python for each. But on most days most lines agree, so the texts of both sides
are compared, not their lines: a short part after a difference, and twice as much each time it agrees. Both are UTF-8,
which sorts as code points do. Where one side has ids that the other lacks, a search that doubles its steps finds their
end. So a line of the snapshot that has not changed never becomes an object of Python.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple

from airflow_provider_batch.mirror.lines import BLOCK_SIZE, SEPARATOR, id_part, id_parts, lines_in, text_of
from airflow_provider_batch.protocol.rows import in_blocks

#: In place of a digest: an id that an unfinished try may have sent, in the snapshot or not. No digest looks like these.
_UNCERTAIN: Final = SEPARATOR + "?"
_UNCERTAIN_NEW: Final = SEPARATOR + "!"

_SEPARATOR: Final = SEPARATOR.encode()

#: Bytes that are compared at once, right after a difference; and at the end of the search for the next one.
_SHORTEST: Final = 1024
_FEW: Final = 64


@dataclass
class Counts:
    """The result of a comparison; every id of the new set is in exactly one of ``added`` … ``unchanged``."""

    #: Ids of the new set, and repeated values.
    given: int = 0
    duplicates: int = 0
    #: Not in the snapshot.
    added: int = 0
    #: In the snapshot with other attributes or tags.
    changed: int = 0
    #: In the snapshot, but an unfinished try may have removed them.
    resent: int = 0
    #: In the snapshot, and not sent.
    unchanged: int = 0
    #: In the snapshot, not in the new set.
    removed: int = 0
    #: In neither, but an unfinished try may have added them.
    withdrawn: int = 0

    @property
    def adds(self) -> int:
        """The number of ids to add."""
        return self.added + self.changed + self.resent

    @property
    def removes(self) -> int:
        """The number of ids to remove."""
        return self.removed + self.withdrawn


class SortedBlock(NamedTuple):
    """Ascending lines of the new set, and the text of the same lines as a snapshot holds them."""

    lines: list[str]
    text: bytes


#: A block of the new set without lines.
_NOTHING: Final = SortedBlock([], b"")


class Difference(NamedTuple):
    """Lines to add and ids to remove; all sort after those of the previous difference."""

    adds: list[str]
    removes: list[str]

    def ids(self) -> list[str]:
        """Return the ids of both, in ascending order."""
        return sorted(id_parts(self.adds) + self.removes)


def differences(new: Iterable[SortedBlock], old: Iterable[bytes], counts: Counts) -> Iterator[Difference]:
    """
    Compare the new set with the lines of a snapshot, block by block.

    :param old: the text of a snapshot in parts of whole lines, from :func:`with_uncertain`.
    :param counts: updated, except for ``given`` and ``duplicates``.
    """
    parts = filter(None, old)
    theirs, at = b"", 0
    for block in new:
        start, adds_before = 0, counts.adds
        while start < len(block.text):
            if at == len(theirs):
                theirs, at = next(parts, b""), 0
            found = _Found()
            if theirs:
                start, at = _merge(block.text, start, theirs, at, counts, found)
            else:
                start = found.add(block.text, start, len(block.text), counts)
            yield found.difference(block, counts)
        counts.unchanged += len(block.lines) - (counts.adds - adds_before)
    for rest in chain([theirs[at:]], parts):
        yield _Found(removes=[rest]).difference(_NOTHING, counts)


@dataclass
class _Found:
    """Parts of the texts of both sides: lines to add, and lines whose ids are to be removed."""

    adds: list[bytes] = field(default_factory=list)
    removes: list[bytes] = field(default_factory=list)

    def add(self, text: bytes, start: int, end: int, counts: Counts) -> int:
        """Add the lines of new ids from *start* to *end*, and return that."""
        counts.added += text.count(b"\n", start, end)
        self.adds.append(text[start:end])
        return end

    def difference(self, block: SortedBlock, counts: Counts) -> Difference:
        """Return what was found, with the lines of *block* as they are sent."""
        adds = lines_in(b"".join(self.adds))
        if adds and _SEPARATOR in block.text:
            adds = list(map(dict(zip(lines_in(block.text), block.lines, strict=True)).__getitem__, adds))
        return Difference(adds, _removed(b"".join(self.removes), counts))


def _merge(ours: bytes, start: int, theirs: bytes, at: int, counts: Counts, found: _Found) -> tuple[int, int]:
    """Merge from *start* and *at* until one side is used up; return how far both were read."""
    while True:
        same = _common_size(ours, start, theirs, at)
        start += same
        at += same
        if start == len(ours) or at == len(theirs):
            return start, at
        our_end, their_end = ours.index(b"\n", start) + 1, theirs.index(b"\n", at) + 1
        our_line, their_line = ours[start : our_end - 1], theirs[at : their_end - 1]
        our_id, their_id = our_line.partition(_SEPARATOR)[0], their_line.partition(_SEPARATOR)[0]
        if our_id == their_id:
            _count_sent_again(their_line.decode(), counts)
            found.adds.append(ours[start:our_end])
            start, at = our_end, their_end
        elif our_id < their_id:
            start = found.add(ours, start, _end_before(their_id, ours, our_end), counts)
        else:
            end = _end_before(our_id, theirs, their_end)
            found.removes.append(theirs[at:end])
            at = end
        if start == len(ours) or at == len(theirs):
            return start, at


def _common_size(one: bytes, start: int, other: bytes, at: int) -> int:
    """Return how many bytes both texts have in common from *start* and *at*, in whole lines."""
    end, step = start, _SHORTEST
    while one[end : end + step] == other[at : at + step]:
        end += step
        at += step
        if end >= len(one):
            return len(one) - start
        step *= 2
    step = min(step, len(one) - end, len(other) - at)
    while step > _FEW:
        half = step // 2
        if one[end : end + half] == other[at : at + half]:
            end += half
            at += half
            step -= half
        else:
            step = half
    # As numbers, they differ from the first bit on in which their bytes do.
    differing = int.from_bytes(one[end : end + step], "big") ^ int.from_bytes(other[at : at + step], "big")
    end += step - (differing.bit_length() + 7) // 8
    return max(0, one.rfind(b"\n", start, end) + 1 - start)


def _count_sent_again(old: str, counts: Counts) -> None:
    if old.endswith(_UNCERTAIN_NEW):
        counts.added += 1
    elif old.endswith(_UNCERTAIN):
        counts.resent += 1
    else:
        counts.changed += 1


def _removed(text: bytes, counts: Counts) -> list[str]:
    lines = lines_in(text)
    withdrawn = sum(line.endswith(_UNCERTAIN_NEW) for line in lines) if _UNCERTAIN_NEW.encode() in text else 0
    counts.withdrawn += withdrawn
    counts.removed += len(lines) - withdrawn
    return id_parts(lines) if _SEPARATOR in text else lines


def _end_before(bound: bytes, text: bytes, at: int) -> int:
    """Return where the lines from *at* on end that sort before *bound*, which is mostly near."""
    step = _SHORTEST
    while at < len(text) and text[at : text.index(b"\n", at)] < bound:
        end = text.find(b"\n", at + step) + 1 or len(text)
        lines = text[at : end - 1].split(b"\n")
        before = bisect_left(lines, bound)
        at += sum(map(len, lines[:before])) + before
        step *= 2
    return at


def with_uncertain(old: Iterable[bytes], pending: Iterable[list[str]]) -> Iterator[bytes]:
    """
    Mark the ids of a snapshot that an unfinished try may have sent, and insert those that it does not hold.

    :param old: the text of the snapshot, in parts of whole lines.
    :param pending: the sorted lines of these ids.
    """
    ids = chain.from_iterable(pending)
    next_id = next(ids, None)
    for text in old:
        if next_id is None:
            yield text
            continue
        block = lines_in(text)
        marked: list[str] = []
        at = 0
        while next_id is not None and block and next_id <= id_part(block[-1]):
            end = bisect_left(block, next_id, at)
            marked += block[at:end]
            is_known = id_part(block[end]) == next_id
            marked.append(next_id + (_UNCERTAIN if is_known else _UNCERTAIN_NEW))
            at = end + is_known
            next_id = next(ids, None)
        yield text_of(marked + block[at:]).encode()
    for rest in in_blocks(ids if next_id is None else chain([next_id], ids), BLOCK_SIZE):
        yield text_of([id_ + _UNCERTAIN_NEW for id_ in rest]).encode()


def as_uncertain(part: bytes) -> bytes:
    """Return lines of a snapshot as those of ids that an unfinished try may have sent."""
    return text_of([id_ + _UNCERTAIN for id_ in id_parts(lines_in(part))]).encode()
