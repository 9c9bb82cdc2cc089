"""Ids that travel together, each with its place in its source."""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, reduce
from itertools import chain, compress, islice, repeat
from typing import SupportsIndex, overload

from airflow_provider_batch.protocol.audiences.members import REMOVE_IDS
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.rows import Rejection, with_more


class Block(list[str]):
    """
    Ids of one argument, and their places in it. It is a list, so that iterating over it costs nothing extra.

    Annotated ids are made when they are read, and kept as two texts each. Python's garbage collector looks at neither,
    but at each annotated id: with Airflow's objects besides, 100,000 of them cost more time than sending them.

    :param positions: counted from 0, one for each id.
    :param place: returns the source's name for a position; None for a plain list.
    :param annotated: whether some of *ids* are annotated.
    :param annotations: the attributes and tags of each id, if the ids are passed without them.
    :param plain: whether it is known that none is annotated, and that none has a character that JSON escapes.
    """

    def __init__(
        self,
        ids: Iterable[str],
        argument: str,
        positions: Sequence[int],
        place: Callable[[int], str] | None = None,
        *,
        annotated: bool = False,
        annotations: Sequence[str] | None = None,
        plain: bool = False,
    ) -> None:
        super().__init__(ids)
        if annotated:
            annotations = [id_.extras if isinstance(id_, AnnotatedId) else "" for id_ in super().__iter__()]
            self[:] = map(str, super().__iter__())
        self.annotations = annotations if annotations and any(annotations) else None
        self.argument = argument
        self.positions = positions
        self.place = place
        self.plain = plain

    def __repr__(self) -> str:
        return f"Block of {len(self)}"

    def __iter__(self) -> Iterator[str]:
        if self.annotations is None:
            return super().__iter__()
        return map(_annotated, super().__iter__(), self.annotations)

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> str | list[str]:
        if self.annotations is None:
            return super().__getitem__(index)
        if isinstance(index, slice):
            return list(map(_annotated, super().__getitem__(index), self.annotations[index]))
        return _annotated(super().__getitem__(index), self.annotations[operator.index(index)])

    @property
    def annotated(self) -> bool:
        """Whether some of the ids are annotated."""
        return self.annotations is not None

    @property
    def removes(self) -> bool:
        """Whether the ids are to be removed."""
        return self.argument == REMOVE_IDS

    @property
    def repeats(self) -> bool:
        """Whether an id is there more than once; where they ascend, as databases sort them, half the CPU shows it."""
        ascend = all(map(operator.lt, self.texts(), islice(self.texts(), 1, None)))
        return not ascend and len(set(self.texts())) < len(self)

    def texts(self) -> Iterator[str]:
        """Return an iterator over the ids alone, without attributes and tags."""
        return super().__iter__()

    def part(self, start: int, stop: int) -> Block:
        """Return the ids from index *start* up to *stop*."""
        annotations = self.annotations and self.annotations[start:stop]
        ids, positions = list.__getitem__(self, slice(start, stop)), self.positions[start:stop]
        return Block(ids, self.argument, positions, self.place, annotations=annotations, plain=self.plain)

    def only(self, keep: Callable[[str], bool]) -> Block:
        """Return the ids for which *keep* is true."""
        kept = list(map(keep, self.texts()))
        ids, positions = compress(self.texts(), kept), list(compress(self.positions, kept))
        annotations = None if self.annotations is None else list(compress(self.annotations, kept))
        place = self.place
        if place is not None and len(positions) * 8 < len(self):
            # A place may hold a number for each id of the block, and a push keeps one for each block with its own ids.
            named = {position: place(position) for position in positions}
            place = named.__getitem__
        return Block(ids, self.argument, positions, place, annotations=annotations, plain=self.plain)

    def rejection(self, index: int, reason: str) -> Rejection:
        """Return the rejection of the id at *index*, which names its place and not the id."""
        position = self.positions[index]
        return Rejection(self.argument, position, reason, self.place(position) if self.place else "")


class LazyBlock(Sequence[str]):
    """
    A block whose ids, none of them annotated, are not kept but read again when they are needed: hardly ever.

    :param read: returns the ids.
    """

    annotated = False

    def __init__(self, block: Block | LazyBlock, read: Callable[[], Iterable[str]]) -> None:
        self.argument: str = block.argument
        self.positions: Sequence[int] = block.positions
        self.place: Callable[[int], str] | None = block.place
        self.plain: bool = block.plain
        self.removes: bool = block.removes
        self._count = len(block)
        self._read = read

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return iter(self._block)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._block[index]

    def rejection(self, index: int, reason: str) -> Rejection:
        """Return the rejection of the id at *index*, as the block would."""
        return self._block.rejection(index, reason)

    @cached_property
    def _block(self) -> Block:
        return Block(self._read(), self.argument, self.positions, self.place, plain=self.plain)


def gathered(blocks: Iterable[Block], size: int) -> Iterator[Block]:
    """Join consecutive blocks of one argument to blocks of up to *size* ids."""
    few: list[Block] = []
    count = 0
    for block in blocks:
        if count + len(block) > size:
            yield _joined(few)
            few, count = [], 0
        few.append(block)
        count += len(block)
        if count == size:
            yield _joined(few)
            few, count = [], 0
    if few:
        yield _joined(few)


def _joined(blocks: list[Block]) -> Block:
    blocks = list(filter(None, blocks)) or blocks[:1]
    if len(blocks) == 1:
        return blocks[0]
    annotations = None
    if any(block.annotated for block in blocks):
        annotations = [text for block in blocks for text in block.annotations or repeat("", len(block))]
    return Block(
        chain.from_iterable(block.texts() for block in blocks),
        blocks[0].argument,
        reduce(with_more, (block.positions for block in blocks)),
        _Places(blocks) if any(block.place for block in blocks) else None,
        annotations=annotations,
        plain=all(block.plain for block in blocks),
    )


class _Places:
    """The places of several blocks, found by position."""

    def __init__(self, blocks: list[Block]) -> None:
        self._starts = [block.positions[0] for block in blocks]
        self._places = [block.place for block in blocks]

    def __call__(self, position: int) -> str:
        place = self._places[bisect_right(self._starts, position) - 1]
        return place(position) if place else ""


def _annotated(id_: str, annotation: str) -> str:
    return AnnotatedId(id_, annotation) if annotation else id_
