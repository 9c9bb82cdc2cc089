"""Two sorted streams of lines -> what to add and what to remove; constant memory, and fast where they agree."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, compress, count
from operator import ne
from typing import Final, NamedTuple

from airflow_provider_batch.mirror.lines import SEPARATOR, id_part, id_parts
from airflow_provider_batch.protocol.audiences.intake import in_blocks

#: In place of a mark: an id of the snapshot, or one beside it, that an unfinished try may have sent. No mark is one.
_UNCERTAIN: Final = SEPARATOR + "?"
_BESIDE: Final = SEPARATOR + "!"

#: How many lines are compared at once, right after a difference and at most.
_SHORTEST: Final = 32
_LONGEST: Final = 8192


@dataclass
class Counts:
    """What a comparison found; every id of the new set is in exactly one of ``added`` … ``unchanged``."""

    #: Ids of the new set, and how many of its values were given again.
    given: int = 0
    duplicates: int = 0
    #: Not in the snapshot.
    added: int = 0
    #: In it with other attributes or tags.
    changed: int = 0
    #: In it, but an unfinished try may have removed them.
    resent: int = 0
    #: In it, and not sent.
    unchanged: int = 0
    #: In the snapshot, not in the new set.
    removed: int = 0
    #: In neither, but an unfinished try may have added them.
    withdrawn: int = 0

    @property
    def adds(self) -> int:
        """How many ids are sent to be added."""
        return self.added + self.changed + self.resent

    @property
    def removes(self) -> int:
        """How many ids are sent to be removed."""
        return self.removed + self.withdrawn


class Stretch(NamedTuple):
    """Lines of the new set in their order: with all that belongs to an id, as a snapshot holds them, as its text."""

    lines: list[str]
    marked: list[str]
    text: str


class Difference(NamedTuple):
    """What to add, and the ids to remove; both lie behind all earlier ones in the order of ids."""

    adds: list[str]
    removes: list[str]

    def ids(self) -> list[str]:
        """Return all ids that are sent, in their order."""
        return sorted(id_parts(self.adds) + self.removes)


def differences(new: Iterable[Stretch], old: Iterable[list[str]], counts: Counts) -> Iterator[Difference]:
    """
    Compare the new set with the lines of a snapshot, stretch by stretch.

    :param old: lines of a snapshot, as :func:`with_uncertain` gives them.
    :param counts: is added to, but for ``given`` and ``duplicates``.
    """
    blocks = filter(None, old)
    olds: list[str] = []
    at = 0
    for stretch in new:
        start = 0
        while start < len(stretch.marked):
            if at == len(olds):
                olds, at = next(blocks, []), 0
            if not olds:
                counts.added += len(stretch.lines) - start
                yield Difference(stretch.lines[start:], [])
                break
            found = Difference([], [])
            start, at = _merge(stretch, start, olds, at, counts, found)
            yield found
    for left in chain([olds[at:]], blocks):
        yield Difference([], _removed(left, counts))


def _merge(new: Stretch, start: int, olds: list[str], at: int, counts: Counts, found: Difference) -> tuple[int, int]:
    """Go on until one side is used up; return how far both were read."""
    lines, news = new.lines, new.marked
    adds, removes = found
    length = _SHORTEST
    while start < len(news) and at < len(olds):
        ours, theirs = news[start : start + length], olds[at : at + length]
        same = next(compress(count(), map(ne, ours, theirs)), min(len(ours), len(theirs)))
        if same:
            counts.unchanged += same
            start += same
            at += same
            length = min(2 * length, _LONGEST) if same == length else _SHORTEST
            continue
        ours_id, (theirs_id, _, mark) = id_part(news[start]), olds[at].partition(SEPARATOR)
        if ours_id == theirs_id:
            _again(mark, counts)
            adds.append(lines[start])
            start += 1
            at += 1
        elif ours_id < theirs_id:
            end = _before(theirs_id, news, start)
            counts.added += end - start
            adds += lines[start:end]
            start = end
        else:
            end = _before(ours_id, olds, at)
            removes += _removed(olds[at:end], counts)
            at = end
    return start, at


def _again(mark: str, counts: Counts) -> None:
    if SEPARATOR + mark == _BESIDE:
        counts.added += 1
    elif SEPARATOR + mark == _UNCERTAIN:
        counts.resent += 1
    else:
        counts.changed += 1


def _removed(lines: list[str], counts: Counts) -> list[str]:
    beside = sum(line.endswith(_BESIDE) for line in lines)
    counts.withdrawn += beside
    counts.removed += len(lines) - beside
    return id_parts(lines)


def _before(bound: str, lines: list[str], start: int) -> int:
    """Return where the lines of ids before *bound* end; most often that is near."""
    step = 1
    while start + step < len(lines) and lines[start + step] < bound:
        step *= 2
    return bisect_left(lines, bound, start + step // 2, min(start + step, len(lines)))


def with_uncertain(old: Iterable[list[str]], pending: Iterable[list[str]]) -> Iterator[list[str]]:
    """
    Mark the ids among the lines of a snapshot that may have been sent since, so that they never pass for unchanged.

    :param pending: their lines, sorted; those that are not in the snapshot are put in.
    """
    ids = (id_ for block in pending for id_ in block)
    next_id = next(ids, None)
    for block in old:
        if next_id is None:
            yield block
            continue
        kept: list[str] = []
        at = 0
        while next_id is not None and block and next_id <= id_part(block[-1]):
            end = bisect_left(block, next_id, at)
            kept += block[at:end]
            is_there = id_part(block[end]) == next_id
            kept.append(next_id + (_UNCERTAIN if is_there else _BESIDE))
            at = end + is_there
            next_id = next(ids, None)
        yield kept + block[at:]
    for rest in in_blocks(ids if next_id is None else chain([next_id], ids), _LONGEST):
        yield [id_ + _BESIDE for id_ in rest]
