"""Values on their way in: where each stands in its source, and why one is rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from airflow_provider_batch.exceptions import InvalidMemberError

#: What a source calls a position, such as ``ids.csv, line 17``.
Place = Callable[[int], str]

#: How many rejected values are named in a result. The others are only counted.
NAMED_REJECTIONS: Final = 10


@dataclass(frozen=True, slots=True)
class Rows:
    """
    Consecutive values of a source.

    :param place: where the n-th of *values* stands, counted from 0.
    """

    values: list[object] = field(repr=False)
    place: Place = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that a source cannot read. It takes the value's place, so that the check of ids rejects it by position."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """
    One value that is rejected: where it stands and why, never what it is.

    :param argument: the argument it was given in, such as ``add_ids``.
    :param position: counted from 0 within that argument.
    :param place: what its source calls that position; empty for a plain list.
    """

    argument: str
    position: int
    reason: str
    place: str = ""

    @property
    def where(self) -> str:
        """The argument, the position and the source's place as one text."""
        return f"{self.argument}[{self.position}]" + (f" ({self.place})" if self.place else "")

    def error(self, audience_name: str) -> InvalidMemberError:
        """Return the error to raise where such a value must not be skipped."""
        return InvalidMemberError(
            f"{audience_name}: {self.where}: {self.reason}",
            argument=self.argument,
            position=self.position,
            reason=self.reason,
        )


#: Called with each rejected value: the rejection, and the value itself for a file that its owner asked for.
OnRejection = Callable[[Rejection, object], None]
