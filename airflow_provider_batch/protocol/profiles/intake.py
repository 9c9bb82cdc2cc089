"""Profiles of any source -> blocks of encoded ones, and from each of them back to its row."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.arguments import Nulls, OnInvalidId, check_choice
from airflow_provider_batch.protocol.intake import Intake
from airflow_provider_batch.protocol.profiles.names import key_of
from airflow_provider_batch.protocol.profiles.table import chosen_keys, id_in, table_of
from airflow_provider_batch.protocol.rows import OnRejection, Place, Rejection

#: The argument that errors name, and the rows that are encoded at once.
PROFILES: Final = "profiles"
_BLOCK: Final = 10_000

#: Raised when the same row becomes another profile: a mirror in tables compares rows, and sends them again then.
_FORMAT: Final = 1


class Encoded(NamedTuple):
    """
    Consecutive profiles of a source.

    :param start: the position of the first one.
    :param text: a line of JSON for each.
    """

    start: int
    ids: Sequence[str]
    text: bytes
    place: Place | None


class ProfileIntake:
    """
    The profiles of one push. While its blocks are read, it counts the rows that it leaves out.

    :param profiles: rows as :func:`~airflow_provider_batch.protocol.profiles.table.table_of` takes them, or a source.
    :param name: what errors about single rows begin with.
    :param id_column: the field of a row with the id.
    :param attribute_columns: the fields to send, or a dict from fields to the keys of attributes; None for all.
    :param nulls: ``keep`` leaves a missing value out, ``clear`` deletes the attribute.
    :param on_rejection: called with each row that is skipped.
    :param checkpoint: called for each block; what it raises ends the reading.
    """

    def __init__(
        self,
        profiles: object,
        *,
        name: str,
        id_column: str = "custom_id",
        attribute_columns: Sequence[str | int] | Mapping[str | int, str] | None = None,
        nulls: Nulls = "keep",
        on_invalid_id: OnInvalidId = "fail",
        on_rejection: OnRejection | None = None,
        checkpoint: Callable[[], None] | None = None,
    ) -> None:
        check_choice("nulls", nulls)
        _check_rows(profiles)
        #: The keys of all attributes that were read with a value.
        self.keys: set[str] = set()
        #: The ids of the rows that were skipped, of those with a valid one: a profile whose row is wrong has one.
        self.skipped_ids: set[str] = set()
        self._id_column = id_column
        self._chosen = chosen_keys(attribute_columns)
        self._unseen = self._chosen or {}
        #: Whether a missing value deletes its attribute.
        self.clears = nulls == "clear"
        self._intake = Intake(
            profiles,
            PROFILES,
            name=name,
            block_size=_BLOCK,
            on_invalid_id=on_invalid_id,
            on_rejection=on_rejection,
            checkpoint=checkpoint,
        )

    @property
    def settings(self) -> str:
        """What decides, besides a row, what is sent of it."""
        return json.dumps([_FORMAT, self.clears, self._chosen], sort_keys=True)

    def key_of(self, column: str) -> str:
        """Return the key of the attribute in *column*, one of those that are read."""
        return key_of(column) if self._chosen is None else self._chosen[column]

    @property
    def rejected(self) -> int:
        """How many rows were skipped because they are invalid."""
        return self._intake.rejected

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """The first of them."""
        return tuple(self._intake.rejections)

    @property
    def unseen(self) -> list[str]:
        """The chosen columns that no row had."""
        return list(self._unseen)

    def blocks(self) -> Iterator[Encoded]:
        """
        Yield the encoded profiles in order, without empty blocks.

        :raises InvalidMemberError: for the first invalid row, unless such rows are skipped.
        """
        start = 0
        for rows, place in self._intake.read():
            yield from self._encoded(rows, start, place)
            start += len(rows)

    def _encoded(self, rows: Sequence[Any], start: int, place: Place | None) -> Iterator[Encoded]:
        if not rows:
            return
        try:
            table = table_of(rows, self._id_column, self._chosen)
            ids, lines, keys = table.encoded(clears=self.clears)
            text = "\n".join([*lines, ""]).encode()
        except UnicodeEncodeError:
            reason = "an attribute has a lone surrogate; decode the source with the right encoding"
        except ValueError as error:
            reason = str(error)
        else:
            self.keys |= keys
            self._unseen = {column: key for column, key in self._unseen.items() if key not in table.columns}
            yield Encoded(start, ids, text, place)
            return
        if len(rows) == 1:
            self._intake.reject(start, rows[0], place, reason)
            if (id_ := id_in(rows[0], self._id_column)) is not None:
                self.skipped_ids.add(id_)
            return
        # Halves, and their halves, until the invalid rows stand alone: the others stay in blocks.
        middle = len(rows) // 2
        yield from self._encoded(rows[:middle], start, place)
        yield from self._encoded(rows[middle:], start + middle, place)


class Places:
    """Where the n-th of the encoded profiles stands in its source."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._blocks: list[tuple[int, Place | None]] = []

    def add(self, first: int, block: Encoded) -> None:
        """Note that the profiles of *block* have the numbers from *first* on."""
        self._firsts.append(first)
        self._blocks.append((block.start, block.place))

    def rejection(self, number: int, reason: str) -> Rejection:
        """Return the rejection of a profile by its number."""
        at = bisect_right(self._firsts, number) - 1
        start, place = self._blocks[at]
        position = start + number - self._firsts[at]
        return Rejection(PROFILES, position, reason, place(position) if place else "")


def _check_rows(profiles: object) -> None:
    if isinstance(profiles, Mapping):
        raise InvalidArgumentError(f"{PROFILES}: a single dict is not a list of profiles. Pass a list of dicts.")
    if not hasattr(profiles, "blocks") and not callable(getattr(profiles, "columns", callable)):
        raise InvalidArgumentError(
            f"{PROFILES}: a data frame yields the names of its columns. Pass its rows, frame.to_dict('records')."
        )
