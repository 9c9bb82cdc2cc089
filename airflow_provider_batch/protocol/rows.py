"""Values on their way in: where each stands in its source, and why one is rejected."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

from airflow_provider_batch.exceptions import InvalidMemberError

T = TypeVar("T")

#: Returns a source's name for a position, such as ``ids.csv, line 17``.
Place = Callable[[int], str]

#: How many rejections a result lists. The others are only counted.
NAMED_REJECTIONS: Final = 10


@dataclass(frozen=True, slots=True)
class NumberedPlaces:
    """
    The places of values whose lines or rows are numbered: the numbers alone, without what stands there.

    :param before: what precedes the number, such as ``ids.csv, line ``.
    :param numbers: one for each value; a range where they have no gap.
    """

    before: str
    numbers: Sequence[int]

    def __call__(self, position: int) -> str:
        return f"{self.before}{self.numbers[position]:,}"


def with_more(numbers: Sequence[int], more: Sequence[int]) -> Sequence[int]:
    """Return *numbers* and then *more*, as a range if both are one."""
    if not numbers:
        return more
    if isinstance(numbers, range) and isinstance(more, range) and numbers.stop == more.start:
        return range(numbers.start, more.stop)
    joined = array("Q", numbers)
    joined.extend(more)
    return joined


@dataclass(frozen=True, slots=True)
class Rows:
    """
    Consecutive values of a source.

    :param place: where the n-th of *values* stands, counted from 0; it is pickled, unless the source is read only once.
    """

    values: list[object] = field(repr=False)
    place: Place = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that a source cannot read. It stands in the value's place, so that it is rejected by its position."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """
    One rejected value: its place and the reason, never the value.

    :param argument: the argument it was passed in, such as ``add_ids``.
    :param position: counted from 0 within that argument.
    :param reason: what is wrong and what to do, a sentence each.
    :param place: the source's name for the position; empty for a plain list.
    """

    argument: str
    position: int
    reason: str
    place: str = ""

    @property
    def where(self) -> str:
        """The argument, the position and the source's place as one text."""
        return f"{self.argument}[{self.position}]" + (f" ({self.place})" if self.place else "")

    def error(self, name: str, remedy: str = "") -> InvalidMemberError:
        """Return the error that reports the value, as of *name*; *remedy* is a sentence that follows the reason."""
        message = f"{name}: {self.where}: {self.reason}"
        return InvalidMemberError(
            f"{message.removesuffix('.')}. {remedy}" if remedy else message,
            argument=self.argument,
            position=self.position,
            reason=self.reason,
        )


#: Called with each rejection and its value, which a file of rejected rows needs.
OnRejection = Callable[[Rejection, object], None]


def in_blocks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield *values* in lists of *size*, the last one shorter."""
    iterator = iter(values)
    while block := list(islice(iterator, size)):
        yield block
