"""
Blocks of ids -> the chunks of a push, one for each call.

What is kept true: an id goes with one action, and at most once. Within one call a removal wins over an addition
(https://doc.batch.com/developer/api/mep/custom-audience/1.0/update), but no page promises that calls are applied in the
order in which they arrive. If an id were in two calls with two actions, chance would decide. So an id to add and to
remove is removed, and only one chunk has it.

To find the ids that are on both sides, one side must be in memory: by default the ids to remove, some 150 bytes each,
while the ids to add flow past them; the removals go last. The sides swap only if the removals are a stream and the
additions are in memory already. If one side is empty, as in most pushes, nothing is held but one chunk.

Two simpler ways do not work. Sorting both sides would hold both. Sending the removals as they come and the additions
later would need a wait for the indexing of every removal in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, KeysView, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, filterfalse, islice, repeat
from typing import Final, Protocol

from airflow_provider_batch.protocol.audiences.block import Block, LazyBlock
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.audiences.members import REMOVE_IDS
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.rows import Rejection


@dataclass(frozen=True, slots=True)
class Chunk:
    """
    The ids of one call; numbers count from 1.

    :param origins: the blocks of the ids, from which an error takes the place of an id.
    """

    number: int
    add_ids: Sequence[str] = field(repr=False)
    remove_ids: Sequence[str] = field(repr=False)
    origins: tuple[Block | LazyBlock, ...] = field(default=(), repr=False, compare=False)

    def __len__(self) -> int:
        return self.added + self.removed

    @property
    def added(self) -> int:
        """How many ids it adds."""
        return len(self.add_ids)

    @property
    def removed(self) -> int:
        """How many ids it removes."""
        return len(self.remove_ids)

    def halves(self) -> tuple[Chunk, Chunk]:
        """Return the first and the second half of the ids."""
        middle = len(self) // 2
        adds, removes = self.add_ids, self.remove_ids
        cut = max(0, middle - len(adds))
        return (
            replace(self, add_ids=adds[:middle], remove_ids=removes[:cut]),
            replace(self, add_ids=adds[middle:], remove_ids=removes[cut:]),
        )

    def only(self, parts: Sequence[Chunk]) -> Chunk:
        """Return the chunk with only the ids of *parts*."""
        return replace(
            self,
            add_ids=[id_ for part in parts for id_ in part.add_ids],
            remove_ids=[id_ for part in parts for id_ in part.remove_ids],
        )

    def lazy(self, read: Callable[[], Iterable[str]]) -> Chunk:
        """
        Return the chunk without its ids, if they are one block that is plain: they take twice the memory of their call.

        :param read: returns the ids if they are needed after all: to search for those that Batch rejects.
        """
        if len(self.origins) != 1 or self.origins[0] is not (self.add_ids or self.remove_ids) or not self.plain:
            return self
        ids = LazyBlock(self.origins[0], read)
        if ids.removes:
            return replace(self, remove_ids=ids, origins=(ids,))
        return replace(self, add_ids=ids, origins=(ids,))

    def rejection(self, reason: str) -> Rejection:
        """Return the rejection of the one id of this chunk."""
        (id_,) = (*self.add_ids, *self.remove_ids)
        removes = bool(self.remove_ids)
        origin = next(block for block in self.origins if block.removes is removes and id_ in block)
        return origin.rejection(origin.index(id_), reason)

    @property
    def annotated(self) -> bool:
        """Whether some of the ids may be annotated."""
        return any(block.annotated for block in self.origins)

    @property
    def plain(self) -> bool:
        """Whether it is known that no id is annotated or needs escaping."""
        return bool(self.origins) and all(block.plain for block in self.origins)


class Chunks:
    """
    The chunks of one push.

    :param adds: the ids to add.
    :param removes: the ids to remove.
    :param size: the most ids in one chunk.
    :param allow_empty: whether no ids at all make one empty chunk, instead of none.
    :param disjoint: whether the caller knows that no id is on both sides; then neither side is held.
    """

    def __init__(
        self, adds: MemberIntake, removes: MemberIntake, *, size: int, allow_empty: bool = False, disjoint: bool = False
    ) -> None:
        self._adds = adds
        self._removes = removes
        self._size = size
        self._allow_empty = allow_empty
        self._disjoint = disjoint
        self._duplicates = 0

    def check(self) -> None:
        """
        Read all ids that can be read without using them up, then the first ones of those that cannot.

        :raises InvalidMemberError: for the first invalid value, unless such values are skipped.
        """
        self._adds.check()
        self._removes.check()
        self._adds.begin()
        self._removes.begin()

    def report_doubts(self) -> None:
        """Report the ids so far that may be mistakes, if that was not done at the end of all."""
        self._adds.report_doubts()
        self._removes.report_doubts()

    @property
    def restartable(self) -> bool:
        """Whether the chunks can be made again from the first one on, the same or not."""
        return self._adds.restartable and self._removes.restartable

    @property
    def rereadable(self) -> bool:
        """Whether the same chunks can be made again."""
        return self._adds.rereadable and self._removes.rereadable

    @property
    def total(self) -> int | None:
        """The most ids that there are, if that is known before the last one is read."""
        adds, removes = self._adds.total, self._removes.total
        return None if adds is None or removes is None else adds + removes

    @property
    def duplicates(self) -> int:
        """How many values were left out because the push has their id already."""
        return self._duplicates + self._adds.duplicates + self._removes.duplicates

    @property
    def rejected(self) -> int:
        """How many values were skipped because they are invalid."""
        return self._adds.rejected + self._removes.rejected

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """The first of the skipped values, each with position and reason."""
        return (*self._adds.rejections, *self._removes.rejections)

    def __iter__(self) -> Iterator[Chunk]:
        self._duplicates = 0
        number = 0
        adding: dict[str, None] = {}
        removing: dict[str, None] = {}
        origins: list[Block] = []  # with the ids of the two buckets and no others, however often each was given
        for block in self._one_action_each():
            bucket, older = (removing, adding) if block.removes else (adding, removing)
            if not adding and not removing and len(block) == self._size and not block.repeats:
                # The usual case, a stream of ids without repetitions: each block is a chunk as it stands.
                number += 1
                adds_only = bucket is adding
                yield Chunk(number, block if adds_only else (), () if adds_only else block, (block,))
                origins.clear()
                continue
            new = self._new(block, bucket)
            if new:
                origins.append(new)
            while len(adding) + len(removing) >= self._size:
                number += 1
                first = _take(older, self._size)
                second = _take(bucket, self._size - len(first))
                add_ids, remove_ids = (second, first) if bucket is adding else (first, second)
                yield Chunk(number, add_ids, remove_ids, tuple(origins))
                # The ids that are left are of the last block: no block is larger than a chunk.
                origins = [new]
        if adding or removing or (self._allow_empty and number == 0):
            yield Chunk(number + 1, list(adding), list(removing), tuple(origins))

    def _one_action_each(self) -> Iterator[Block]:
        adds, removes = self._adds.blocks(), self._removes.blocks()
        if self._disjoint:
            return chain(adds, removes)
        first_add, first_remove = next(adds, None), next(removes, None)
        if first_add is None or first_remove is None:
            return chain(filter(None, (first_add, first_remove)), adds, removes)
        adds, removes = chain([first_add], adds), chain([first_remove], removes)
        if self._adds.is_held and not self._removes.is_held:
            return self._removes_first(list(adds), removes)
        removed: dict[str, None] = {}
        held = [self._new(block, removed) for block in removes]
        return chain(self._kept(adds, removed.keys()), filter(None, held))

    def _removes_first(self, held: list[Block], removes: Iterator[Block]) -> Iterator[Block]:
        added = {id_ for block in held for id_ in block.texts()}
        for block in removes:
            added.difference_update(block)
            yield block
        # A collection has each id once, so what is left is not removed by any block.
        for block in held:
            yield self._filtered(block, added.__contains__)

    def _kept(self, adds: Iterator[Block], removed: KeysView[str]) -> Iterator[Block]:
        for block in adds:
            yield block if removed.isdisjoint(block.texts()) else self._filtered(block, lambda id_: id_ not in removed)

    def _new(self, block: Block, known: dict[str, None]) -> Block:
        """Return the ids that are not among the known ones, each once, and add them to these."""
        unique = dict.fromkeys(block)
        left = set(filterfalse(known.__contains__, unique))
        known.update(unique)
        if len(left) == len(block):
            return block

        def is_first(id_: str) -> bool:
            if first := id_ in left:
                left.remove(id_)
            return first

        return self._filtered(block, is_first)

    def _filtered(self, block: Block, keep: Callable[[str], bool]) -> Block:
        kept = block.only(keep)
        self._duplicates += len(block) - len(kept)
        return kept


class Ids(Protocol):
    """Ids that can be read again and again."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]: ...


#: Annotated ids that are there at once: fewer than what starts a garbage collection among all of Airflow's objects.
_FEW: Final = 500


class CheckedChunks:
    """
    The chunks of ids that were checked before, each there once and with one action: they are cut, not checked again.

    Positions count these ids, not the rows of the source. The parameters are those of :class:`Chunks`.
    """

    duplicates = rejected = 0
    rejections: tuple[Rejection, ...] = ()

    def __init__(self, adds: Ids, removes: Ids, *, size: int, allow_empty: bool = False) -> None:
        self._adds = adds
        self._removes = removes
        self._size = size
        self._allow_empty = allow_empty
        self.total = len(adds) + len(removes)

    def __iter__(self) -> Iterator[Chunk]:
        adds, removes = iter(self._adds), iter(self._removes)
        most = max(self.total, int(self._allow_empty))  # one chunk, if there is nothing
        for number, start in enumerate(range(0, most, self._size), 1):
            added = _block(adds, "add_ids", start, self._size)
            removed = _block(removes, REMOVE_IDS, max(0, start - len(self._adds)), self._size - len(added))
            yield Chunk(number, added, removed, (added, removed))


def _block(ids: Iterator[str], argument: str, start: int, most: int) -> Block:
    texts: list[str] = []
    annotations: list[str] = []
    while few := list(islice(ids, min(_FEW, most - len(texts)))):
        part = Block(few, argument, range(0), annotated=AnnotatedId in set(map(type, few)))
        texts += part.texts()
        annotations += part.annotations or repeat("", len(part))
    return Block(texts, argument, range(start, start + len(texts)), annotations=annotations)


def _take(bucket: dict[str, None], most: int) -> list[str]:
    """Remove the first *most* ids from *bucket* and return them."""
    taken = list(islice(bucket, most))
    if len(taken) == len(bucket):
        bucket.clear()
    else:
        for id_ in taken:
            del bucket[id_]
    return taken
