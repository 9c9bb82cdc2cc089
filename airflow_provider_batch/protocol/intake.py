"""
One whole argument -> blocks of its values, each with its place in its source.

What becomes of a value is known to those who extend this: members of an audience, profiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final, Required, TypedDict, TypeVar

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.arguments import OnInvalidId, check_choice, list_in_text
from airflow_provider_batch.protocol.rows import NAMED_REJECTIONS, OnRejection, Place, Rejection, Rows, in_blocks

T = TypeVar("T")

#: Types that can be iterated, but not into ids.
_NOT_IDS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (Mapping, "a dict is not a list of ids. Pass one of its values, or list(…) of its keys."),
    ((bytes, bytearray, memoryview), "bytes are not a list of ids. Decode and split them first."),
)
_SKIP: Final = "Or pass on_invalid_id='skip'."


class IntakeParameters(TypedDict, total=False):
    """How the values of an argument are read: the parameters of :class:`Intake`, for those who extend it."""

    name: Required[str]
    block_size: Required[int]
    on_invalid_id: OnInvalidId
    on_rejection: OnRejection | None
    checkpoint: Callable[[], None] | None


class Intake:
    """
    The values of one argument. While its blocks are read, it counts the values that it leaves out.

    :param value: an iterable of raw values, a source (which has ``blocks``), a list as text, or None.
    :param name: what errors about single values begin with.
    :param block_size: the most values in one block.
    :param on_rejection: called with each value that is skipped.
    :param checkpoint: called for each block of values; what it raises ends the reading.
    """

    def __init__(
        self,
        value: object,
        argument: str,
        *,
        name: str,
        block_size: int,
        on_invalid_id: OnInvalidId = "fail",
        on_rejection: OnRejection | None = None,
        checkpoint: Callable[[], None] | None = None,
    ) -> None:
        self.argument = argument
        self.rejected = 0
        self.rejections: list[Rejection] = []
        self._name = name
        self._block_size = block_size
        check_choice("on_invalid_id", on_invalid_id)
        self._skip = on_invalid_id == "skip"
        self._on_rejection = on_rejection
        self._checkpoint = checkpoint
        self._values = _iterable(value, argument)

    def read(self) -> Iterator[tuple[list[object], Place | None]]:
        """Yield the values block by block, and the function that names their positions."""
        return self._watched(self._parts())

    def _watched(self, parts: Iterable[T]) -> Iterator[T]:
        for part in parts:
            if self._checkpoint is not None:
                self._checkpoint()
            yield part

    def _parts(self) -> Iterator[tuple[list[object], Place | None]]:
        blocks: Callable[[int], Iterator[Rows]] | None = getattr(self._values, "blocks", None)
        if blocks is None:
            for values in in_blocks(self._values, self._block_size):
                yield values, None
            return
        start = 0
        for rows in blocks(self._block_size):
            yield rows.values, partial(_placed, rows.place, start)
            start += len(rows.values)

    def reject(self, position: int, value: object, place: Place | None, reason: str) -> None:
        """Skip and count an invalid value, or raise its error."""
        rejection = Rejection(self.argument, position, reason, place(position) if place else "")
        if not self._skip:
            raise rejection.error(self._name, _SKIP)
        self.rejected += 1
        if len(self.rejections) < NAMED_REJECTIONS:
            self.rejections.append(rejection)
        if self._on_rejection is not None:
            self._on_rejection(rejection, value)


def _placed(place: Place, start: int, position: int) -> str:
    return place(position - start)


def _iterable(value: object, argument: str) -> Iterable[object]:
    if value is None:
        return ()
    if isinstance(value, Iterable) and hasattr(value, "blocks"):  # a source, which has checked its arguments
        return value
    if isinstance(value, str):
        return list_in_text(value, argument)
    for kinds, reason in _NOT_IDS:
        if isinstance(value, kinds):
            raise InvalidArgumentError(f"{argument}: {reason}")
    if hasattr(value, "readline"):
        raise InvalidArgumentError(
            f"{argument}: the lines of an open file end in line breaks. Pass (line.rstrip('\\n') for line in file)."
        )
    # A data frame, which would yield the names of its columns. (A database result has a method `columns`.)
    if not callable(getattr(value, "columns", callable)):
        raise InvalidArgumentError(
            f"{argument}: a table is not a list of ids. Pass its id column, such as frame['id']."
        )
    if not isinstance(value, Iterable):
        raise InvalidArgumentError(f"{argument}: {type(value).__name__} is not a list of ids. Pass a list of str.")
    return value
