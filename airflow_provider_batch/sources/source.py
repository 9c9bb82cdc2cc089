"""What every source of ids is to whoever reads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Final

from airflow_provider_batch.protocol.rows import Rows

_BLOCK: Final = 10_000


class Source(ABC):
    """
    Raw values in their order, that know where they stand; read as a stream, never held.

    A value is an id (text, an integer, None for NULL), a ``Member``, a ``Change``, or a ``BadRow`` for what could
    not be read as one of these. Whether an id is one is for the reader to check.
    """

    #: Whether the values can be read a second time, the same as the first time.
    rereadable: ClassVar[bool]

    @abstractmethod
    def blocks(self, size: int) -> Iterator[Rows]:
        """
        Yield the values in blocks of at most *size*, none of them empty.

        Close the iterator (or let go of it) to give back what is open before its end.

        :raises SourceError: for what concerns more than one row.
        """

    def __iter__(self) -> Iterator[object]:
        for rows in self.blocks(_BLOCK):
            yield from rows.values
