"""
Two sorted sequences of lines -> what to add and what to remove.

What is kept true: an id is left out only if the snapshot holds the same line and no unfinished try may have sent it.

An uncertain id must not pass for unchanged, whatever the snapshot holds: an unfinished try may have removed it, or
changed its attributes. So it goes into the comparison with a mark in place of its digest, which no line of the new set
has, and comes out as an id to add or to remove. Appended to the result instead, it could be sent twice, with opposing
actions: Batch documents no order in which it applies calls, so each id goes into one.

Both sides are sorted, so a merge needs the memory of two blocks; sets would need all ids of both sides. A merge of
single ids would take several steps of Python for each. But on most days most lines agree, so slices of both sides are
compared at once, in C: short ones after a difference, and twice as long each time they agree. Where one side has ids
that the other lacks, a search that doubles its steps finds their end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, compress, count
from operator import ne
from typing import Final, NamedTuple

from airflow_provider_batch.mirror.lines import BLOCK_SIZE, SEPARATOR, id_part, id_parts
from airflow_provider_batch.protocol.audiences.intake import in_blocks

#: In place of a digest: an id that an unfinished try may have sent, in the snapshot or not. No digest looks like these.
_UNCERTAIN: Final = SEPARATOR + "?"
_UNCERTAIN_NEW: Final = SEPARATOR + "!"

#: Lines that are compared at once, right after a difference.
_SHORTEST: Final = 32


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
    """Ascending lines of the new set; ``stored`` are the same as a snapshot holds them, and ``text`` is their text."""

    lines: list[str]
    stored: list[str]
    text: str


class Difference(NamedTuple):
    """Lines to add and ids to remove; all sort after those of the previous difference."""

    adds: list[str]
    removes: list[str]

    def ids(self) -> list[str]:
        """Return the ids of both, in ascending order."""
        return sorted(id_parts(self.adds) + self.removes)


def differences(new: Iterable[SortedBlock], old: Iterable[list[str]], counts: Counts) -> Iterator[Difference]:
    """
    Compare the new set with the lines of a snapshot, block by block.

    :param old: lines of a snapshot, from :func:`with_uncertain`.
    :param counts: updated, except for ``given`` and ``duplicates``.
    """
    blocks = filter(None, old)
    olds: list[str] = []
    at = 0
    for block in new:
        start = 0
        while start < len(block.stored):
            if at == len(olds):
                olds, at = next(blocks, []), 0
            if not olds:
                counts.added += len(block.lines) - start
                yield Difference(block.lines[start:], [])
                break
            found = Difference([], [])
            start, at = _merge(block, start, olds, at, counts, found)
            yield found
    for rest in chain([olds[at:]], blocks):
        yield Difference([], _removed(rest, counts))


def _merge(
    new: SortedBlock, start: int, olds: list[str], at: int, counts: Counts, found: Difference
) -> tuple[int, int]:
    """Merge from *start* and *at* until one side is used up; return how far both were read."""
    lines, news, _ = new
    length = _SHORTEST
    while start < len(news) and at < len(olds):
        ours, theirs = news[start : start + length], olds[at : at + length]
        same = next(compress(count(), map(ne, ours, theirs)), min(len(ours), len(theirs)))
        if same:
            counts.unchanged += same
            start += same
            at += same
            length = min(2 * length, BLOCK_SIZE) if same == length else _SHORTEST
            continue
        our_id, (their_id, *_) = id_part(news[start]), olds[at].partition(SEPARATOR)
        if our_id == their_id:
            _count_sent_again(olds[at], counts)
            found.adds.append(lines[start])
            start += 1
            at += 1
        elif our_id < their_id:
            end = _end_before(their_id, news, start)
            counts.added += end - start
            found.adds.extend(lines[start:end])
            start = end
        else:
            end = _end_before(our_id, olds, at)
            found.removes.extend(_removed(olds[at:end], counts))
            at = end
    return start, at


def _count_sent_again(old: str, counts: Counts) -> None:
    if old.endswith(_UNCERTAIN_NEW):
        counts.added += 1
    elif old.endswith(_UNCERTAIN):
        counts.resent += 1
    else:
        counts.changed += 1


def _removed(lines: list[str], counts: Counts) -> list[str]:
    withdrawn = sum(line.endswith(_UNCERTAIN_NEW) for line in lines)
    counts.withdrawn += withdrawn
    counts.removed += len(lines) - withdrawn
    return id_parts(lines)


def _end_before(bound: str, lines: list[str], start: int) -> int:
    """Return where the lines of ids before *bound* end, which is mostly near."""
    step = 1
    while start + step < len(lines) and lines[start + step] < bound:
        step *= 2
    return bisect_left(lines, bound, start + step // 2, min(start + step, len(lines)))


def with_uncertain(old: Iterable[list[str]], pending: Iterable[list[str]]) -> Iterator[list[str]]:
    """
    Mark the ids of a snapshot that an unfinished try may have sent, and insert those that it does not hold.

    :param pending: the sorted lines of these ids.
    """
    ids = chain.from_iterable(pending)
    next_id = next(ids, None)
    for block in old:
        if next_id is None:
            yield block
            continue
        marked: list[str] = []
        at = 0
        while next_id is not None and block and next_id <= id_part(block[-1]):
            end = bisect_left(block, next_id, at)
            marked += block[at:end]
            is_known = id_part(block[end]) == next_id
            marked.append(next_id + (_UNCERTAIN if is_known else _UNCERTAIN_NEW))
            at = end + is_known
            next_id = next(ids, None)
        yield marked + block[at:]
    for rest in in_blocks(ids if next_id is None else chain([next_id], ids), BLOCK_SIZE):
        yield [id_ + _UNCERTAIN_NEW for id_ in rest]


def as_uncertain(block: list[str]) -> list[str]:
    """Return the lines of a snapshot as those of ids that an unfinished try may have sent."""
    return [id_ + _UNCERTAIN for id_ in id_parts(block)]
