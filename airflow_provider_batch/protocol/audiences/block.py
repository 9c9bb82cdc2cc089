"""Ids that travel together, each with its place in its source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from airflow_provider_batch.protocol.audiences.members import REMOVE_IDS
from airflow_provider_batch.protocol.rows import Rejection


class Block(list[str]):
    """
    Ids of one argument, and their places in it. It is a list, so that iterating over it costs nothing extra.

    :param positions: counted from 0, one for each id.
    :param place: returns the source's name for a position; None for a plain list.
    :param annotated: whether some of the ids are annotated.
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
        plain: bool = False,
    ) -> None:
        super().__init__(ids)
        self.argument = argument
        self.positions = positions
        self.place = place
        self.annotated = annotated
        self.plain = plain

    def __repr__(self) -> str:
        return f"Block of {len(self)}"

    @property
    def removes(self) -> bool:
        """Whether the ids are to be removed."""
        return self.argument == REMOVE_IDS

    def only(self, keep: Callable[[str], bool]) -> Block:
        """Return the ids for which *keep* is true."""
        kept = [(id_, position) for id_, position in zip(self, self.positions, strict=True) if keep(id_)]
        positions = [position for _, position in kept]
        place = self.place
        if place is not None and len(kept) * 8 < len(self):
            # A place may hold the text of the whole block, and a push keeps one for each block with an id of its own.
            named = {position: place(position) for position in positions}
            place = named.__getitem__
        ids = (id_ for id_, _ in kept)
        return Block(ids, self.argument, positions, place, annotated=self.annotated, plain=self.plain)

    def rejection(self, index: int, reason: str) -> Rejection:
        """Return the rejection of the id at *index*, which names its place and not the id."""
        position = self.positions[index]
        return Rejection(self.argument, position, reason, self.place(position) if self.place else "")
