"""The interface that every source of ids implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Final

from airflow_provider_batch.protocol.rows import Rows

_BLOCK: Final = 10_000

#: Rows, and members with attributes, that are held at once. Python counts the containers that are alive: from 700 new
#: ones on, it searches for garbage, and in a process with Airflow that soon means all objects of Airflow.
FEW: Final = 200


class Source(ABC):
    """
    Raw values in order, each with its place; a stream of blocks that is never held as a whole.

    A value is an id (str, int, None for NULL), a ``Member``, a ``Change``, or a ``BadRow`` for a row that cannot be
    read. The source does not check ids; its reader does.
    """

    #: Whether a second reading gives the same values in the same order.
    rereadable: ClassVar[bool]

    @abstractmethod
    def blocks(self, size: int) -> Iterator[Rows]:
        """
        Yield the values in blocks of at most *size*, none of them empty.

        Close or drop the iterator to release files and connections before its end.

        :raises SourceError: for a fault that concerns more than one row.
        """

    def __iter__(self) -> Iterator[object]:
        for rows in self.blocks(_BLOCK):
            yield from rows.values
