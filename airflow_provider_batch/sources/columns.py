"""The columns that make a member: found by their names, then read a block at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.arguments import check_attribute_columns, check_column
from airflow_provider_batch.protocol.audiences.members import NO_ACTION, Change, Member
from airflow_provider_batch.protocol.rows import BadRow

K = TypeVar("K")

#: What the column with the id is called where a header's only cell could also be the first id.
ID_NAME: Final = re.compile(r"\s*(ids|[^\W\d_]*id|[\w .-]*[ _.-]ids?)\s*", re.IGNORECASE)

#: What is a header even where ids are expected.
HEADER: Final = re.compile(r"\s*((custom|customer|user|member|install|advertising)[ _]?)?ids?\s*", re.IGNORECASE)

#: Excel's first line, which may be split by the delimiter that it names.
EXCEL: Final = re.compile(r"\s*sep=(.?)\s*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Columns:
    """
    The names of the columns to read; a source's column matches exactly, or else without regard to case.

    A number stands for the name that it is as text, as the columns of a CSV file without a header are called.

    :param id_column: the column with the id; None if it is the only column that no other parameter names.
    :param action_column: the column that holds ``add`` or ``remove``, in any case; with it the values are ``Change``.
    :param attribute_columns: the columns with attributes, or a dict from columns to attribute names; NULL is left out.
    :param tags_column: the column with tags: a list, a JSON array, or text with commas between the tags.
    """

    id_column: str | int | None = None
    action_column: str | int | None = None
    attribute_columns: Sequence[str | int] | Mapping[str | int, str] | None = None
    tags_column: str | int | None = None

    def __post_init__(self) -> None:
        for name in ("id_column", "action_column", "tags_column"):
            check_column(name, getattr(self, name))
        check_attribute_columns("attribute_columns", self.attribute_columns)

    @property
    def attributes(self) -> dict[str, str]:
        """The columns with attributes, each with the name of its attribute."""
        given = self.attribute_columns or ()
        pairs = given.items() if isinstance(given, Mapping) else zip(given, map(str, given), strict=True)
        return {str(column): name for column, name in pairs}

    @property
    def only_id(self) -> bool:
        """Whether the id is the only column to read."""
        return self.action_column is None and self.tags_column is None and not self.attribute_columns

    @property
    def whole_rows(self) -> bool:
        """Whether the fields of an object are read whatever they are called, so that it is passed on as it is."""
        return False

    def select(
        self, names: Sequence[str], source: str, *, nulls: Set[str] = frozenset(), remedy: str = ""
    ) -> Selection[int]:
        """
        Find the columns among *names*, for rows with one cell for each name.

        :param source: name of the source, with which an error begins.
        :param nulls: texts that mean NULL, as in CSV files, which cannot express it otherwise.
        :param remedy: what the user of this source can do if a column is missing or ambiguous.
        :raises SourceError: if a column is missing or ambiguous.
        """
        action, tags = self.action_column, self.tags_column
        return Selection(
            id=self.id_position(names, source, remedy),
            action=None if action is None else find_column(action, names, source, remedy),
            attributes=tuple(
                (find_column(column, names, source, remedy), name) for column, name in self.attributes.items()
            ),
            tags=None if tags is None else find_column(tags, names, source, remedy),
            nulls=nulls,
        )

    def id_position(self, names: Sequence[str], source: str, remedy: str = "") -> int:
        """Return the position of the id's column among *names*."""
        if self.id_column is not None:
            return find_column(self.id_column, names, source, remedy)
        others = (*self.attributes, self.action_column, self.tags_column)
        taken = {find_column(name, names, source) for name in others if name is not None and has_column(name, names)}
        left = [position for position in range(len(names)) if position not in taken]
        if len(left) != 1:
            fault = f"{len(left)} columns could be the id" if left else "no column is left for the id"
            raise SourceError(f"{source}: {fault}, and id_column is not set. {remedy or 'Pass id_column=.'}")
        return left[0]


@dataclass(frozen=True, slots=True)
class Selection(Generic[K]):
    """The selected columns of one source: their positions in a row, or their keys."""

    id: K
    action: K | None = None
    attributes: tuple[tuple[K, str], ...] = ()
    tags: K | None = None
    nulls: Set[str] = frozenset()

    @property
    def keys(self) -> list[K]:
        """The positions or keys of all selected columns, each once."""
        found = [self.id, self.action, *(key for key, _ in self.attributes), self.tags]
        return list(dict.fromkeys(key for key in found if key is not None))

    @property
    def only_id(self) -> bool:
        """Whether the id is the only selected column."""
        return len(self.keys) == 1 and self.action is None and not self.attributes and self.tags is None

    def values(self, column: Callable[[K], list[object]]) -> list[object]:
        """Return the values of a block of rows; *column* returns the block's cells in one column."""
        values = self.ids(column(self.id))
        if self.attributes or self.tags is not None:
            values = self._members(values, lambda key: without(column(key), self.nulls))
        if self.action is not None:
            values = list(map(_change, column(self.action), values))
        return values

    def ids(self, cells: list[object]) -> list[object]:
        """Return the ids in *cells*; an empty one stays empty text, so that it is rejected as empty."""
        return integers_as_text(without(cells, self.nulls - {""}))

    def _members(self, ids: list[object], column: Callable[[K], list[object]]) -> list[object]:
        names = [name for _, name in self.attributes]
        cells = zip(*(column(key) for key, _ in self.attributes), strict=True) if names else repeat(())
        tags = repeat(None) if self.tags is None else map(_read_tags, column(self.tags))
        return [self._member(*parts, names) for parts in zip(ids, cells, tags, strict=False)]

    def _member(self, id_: object, cells: tuple[object, ...], tags: Any, names: list[str]) -> Member | BadRow:
        if isinstance(tags, BadRow):
            return tags
        attributes = dict(zip(names, cells, strict=True))
        if None in cells:
            attributes = {name: cell for name, cell in attributes.items() if cell is not None}
        return Member(id_, attributes or None, tags)


def cells(rows: Sequence[Sequence[object]], position: int) -> list[object]:
    """Return the cells of *rows* in one column."""
    return list(map(itemgetter(position), rows))


def without(cells: list[object], nulls: Set[str]) -> list[object]:
    """Return *cells* with None in place of each text among *nulls*."""
    return [None if isinstance(cell, str) and cell in nulls else cell for cell in cells] if nulls else cells


def find_column(wanted: str | int, names: Sequence[str], source: str, remedy: str = "") -> int:
    """
    Return the position of the column *wanted* among *names*: an exact match, else one but for case and outer blanks.

    :raises SourceError: if no column, or more than one, matches.
    """
    found = _matches(wanted, names)
    # Only names that the DAG asked for are quoted: where a header is missing, the others are the cells of a row.
    if not found:
        others = "1 column" if len(names) == 1 else f"{len(names):,} columns"
        raise SourceError(f"{source}: there is no column '{wanted}'; it has {others}. {remedy or 'Check the name.'}")
    if len(found) > 1:
        alike = ", ".join(repr(names[position]) for position in found)
        raise SourceError(
            f"{source}: {len(found)} columns match '{wanted}', but only one may: {alike}. Pass one of these names "
            "exactly, or rename the others."
        )
    return found[0]


def has_column(wanted: str | int, names: Sequence[str]) -> bool:
    """Return whether any of *names* matches the column *wanted*."""
    return bool(_matches(wanted, names))


def _matches(wanted: str | int, names: Sequence[str]) -> list[int]:
    wanted = str(wanted)
    exact = [position for position, name in enumerate(names) if name == wanted]
    folded = wanted.strip().casefold()
    return exact or [position for position, name in enumerate(names) if name.strip().casefold() == folded]


def integers_as_text(ids: list[object]) -> list[object]:
    """Return the ids, in decimal if all of them are integers."""
    # One conversion of the whole list: the reader of the source would convert and check each integer by itself.
    return list(map(str, ids)) if set(map(type, ids)) == {int} else ids


def _change(action: object, value: object) -> Change | BadRow:
    action = action.strip().lower() if isinstance(action, str) else action
    if action not in ("add", "remove"):
        return BadRow(NO_ACTION)
    return value if isinstance(value, BadRow) else Change(action, value)


def _read_tags(cell: object) -> object:
    if cell is None or cell == "":
        return None
    if isinstance(cell, str):
        return _parse_tags(cell)
    if isinstance(cell, Sequence) and not isinstance(cell, bytes | bytearray | memoryview):
        return list(cell)
    return BadRow(f"tags of type {type(cell).__name__} are neither a list nor text. Choose another tags_column.")


def _parse_tags(text: str) -> list[object] | BadRow:
    if not text.lstrip().startswith("["):
        return [tag for part in text.split(",") if (tag := part.strip())]
    try:
        tags = json.loads(text)
    except (ValueError, RecursionError):
        return BadRow("the tags begin with '[' but are not a JSON array. Correct them, or separate them by commas.")
    return list(tags)
