"""Which columns make a member: found by their names, then read a block at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from airflow_provider_batch.exceptions import InvalidArgumentError, SourceError
from airflow_provider_batch.protocol.audiences.members import NO_ACTION, Change, Member
from airflow_provider_batch.protocol.rows import BadRow

K = TypeVar("K")

#: How many columns an error lists.
_LISTED: Final = 20

#: Where a header is missing, the first row takes its place: what does not look like a name may be an id.
_NAME: Final = re.compile(r"[^\W\d][\w .-]{0,62}|\d{1,3}")


@dataclass(frozen=True, slots=True)
class Columns:
    """
    The names of the columns that are asked for; those of a source are matched exactly, else in any case.

    :param id_column: the column with the id; None if it is the only one that is not named here otherwise.
    :param action_column: says ``add`` or ``remove``, in any case; with it the values are ``Change``.
    :param attribute_columns: the columns with attributes, or these and the attributes' names; NULL is left out.
    :param tags_column: a list, or text: a JSON array, else tags with commas between them.
    """

    id_column: str | None = None
    action_column: str | None = None
    attribute_columns: Sequence[str] | Mapping[str, str] | None = None
    tags_column: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.attribute_columns, str):
            raise InvalidArgumentError("attribute_columns: a single text is no list of columns; pass a list of str")
        names = list(self.attributes.values())
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InvalidArgumentError(f"attribute_columns: two columns would be the attribute {twice[0]!r}")

    @property
    def attributes(self) -> dict[str, str]:
        """The columns with attributes, and what these are called."""
        if isinstance(self.attribute_columns, Mapping):
            return dict(self.attribute_columns)
        names = list(self.attribute_columns or ())
        return dict(zip(names, names, strict=True)) if len(set(names)) == len(names) else _twice(names)

    @property
    def only_id(self) -> bool:
        """Whether an id is all that is asked for."""
        return self.action_column is None and self.tags_column is None and not self.attribute_columns

    def pick(self, names: Sequence[str], where: str, *, blank: bool = False) -> Picks[int]:
        """
        Find the columns among *names*, for rows that have a cell for each of these.

        :param where: what an error begins with.
        :param blank: whether empty text is no value, as in a CSV file, which knows no NULL.
        :raises SourceError: if one is missing, or cannot be told from another.
        """
        action, tags = self.action_column, self.tags_column
        return Picks(
            id=self.id_among(names, where),
            action=None if action is None else find(action, names, where),
            attributes=tuple((find(column, names, where), name) for column, name in self.attributes.items()),
            tags=None if tags is None else find(tags, names, where),
            blank=blank,
        )

    def id_among(self, names: Sequence[str], where: str) -> int:
        """Return the place of the id's column among *names*."""
        if self.id_column is not None:
            return find(self.id_column, names, where)
        others = {*self.attributes, *filter(None, (self.action_column, self.tags_column))}
        taken = {find(name, names, where) for name in others if name_is_among(name, names)}
        left = [place for place in range(len(names)) if place not in taken]
        if len(left) != 1:
            which = f"which of {len(left)} columns is the id?" if left else "no column is left for the id."
            raise SourceError(f"{where}: {which} Name it with id_column; {there_are(names)}")
        return left[0]


@dataclass(frozen=True, slots=True)
class Picks(Generic[K]):
    """Where the columns stand in a source: their places in a row, or their keys."""

    id: K
    action: K | None = None
    attributes: tuple[tuple[K, str], ...] = ()
    tags: K | None = None
    #: Whether empty text is no value.
    blank: bool = False

    @property
    def keys(self) -> list[K]:
        """All of them, each once."""
        found = [self.id, self.action, *(key for key, _ in self.attributes), self.tags]
        return list(dict.fromkeys(key for key in found if key is not None))

    @property
    def only_id(self) -> bool:
        """Whether an id is all that is asked for."""
        return len(self.keys) == 1 and self.action is None and not self.attributes and self.tags is None

    def values(self, column: Callable[[K], list[object]]) -> list[object]:
        """Return the values of a block of rows, of which *column* gives the cells."""
        values = as_text(column(self.id))
        if self.attributes or self.tags is not None:
            values = self._members(values, column)
        if self.action is not None:
            values = list(map(_change, column(self.action), values))
        return values

    def _members(self, ids: list[object], column: Callable[[K], list[object]]) -> list[object]:
        names = [name for _, name in self.attributes]
        cells = zip(*(column(key) for key, _ in self.attributes), strict=True) if names else repeat(())
        tags = repeat(None) if self.tags is None else map(_tags, column(self.tags))
        return [self._member(*parts, names) for parts in zip(ids, cells, tags, strict=False)]

    def _member(self, id_: object, cells: tuple[object, ...], tags: Any, names: list[str]) -> Member | BadRow:
        if isinstance(tags, BadRow):
            return tags
        attributes = dict(zip(names, cells, strict=True))
        if None in cells or (self.blank and "" in cells):
            attributes = {
                name: cell for name, cell in attributes.items() if cell is not None and not (self.blank and cell == "")
            }
        return Member(id_, attributes or None, tags)


def cells(rows: Sequence[Sequence[object]], place: int) -> list[object]:
    """Return one column of *rows*."""
    return list(map(itemgetter(place), rows))


def find(wanted: str, names: Sequence[str], where: str) -> int:
    """
    Return the place of the column *wanted* among *names*: exactly so, else but for case and blanks around it.

    :raises SourceError: if there is none, or more than one.
    """
    found = _alike(wanted, names)
    if not found:
        raise SourceError(f"{where}: there is no column {wanted!r}; {there_are(names)}")
    if len(found) > 1:
        raise SourceError(f"{where}: {len(found)} columns could be {wanted!r}; {there_are(names)}")
    return found[0]


def name_is_among(wanted: str, names: Sequence[str]) -> bool:
    """Return whether :func:`find` would find something."""
    return bool(_alike(wanted, names))


def _alike(wanted: str, names: Sequence[str]) -> list[int]:
    exact = [place for place, name in enumerate(names) if name == wanted]
    folded = wanted.strip().casefold()
    return exact or [place for place, name in enumerate(names) if name.strip().casefold() == folded]


def there_are(names: Sequence[str]) -> str:
    """Say which columns there are; what does not look like a name is only counted."""
    shown = [name for name in names if _NAME.fullmatch(name.strip())][:_LISTED]
    hidden = len(names) - len(shown)
    listed = ", ".join(map(repr, shown))
    if not names:
        return "there are no columns"
    if not hidden:
        return f"there are: {listed}"
    return f"there are: {listed} and {hidden} more" if shown else f"there are {hidden} without a proper name"


def _twice(names: list[str]) -> dict[str, str]:
    raise InvalidArgumentError(f"attribute_columns: {next(n for n in names if names.count(n) > 1)!r} is named twice")


def as_text(ids: list[object]) -> list[object]:
    """Return the ids, but integers in decimal where all are integers."""
    # Integers in decimal here, all at once: the reader would look at each of them.
    return list(map(str, ids)) if set(map(type, ids)) == {int} else ids


def _change(action: object, value: object) -> Change | BadRow:
    word = action.strip().lower() if isinstance(action, str) else action
    if word not in ("add", "remove"):
        return BadRow(NO_ACTION)
    return value if isinstance(value, BadRow) else Change(word, value)


def _tags(cell: object) -> object:
    if cell is None or cell == "":
        return None
    if isinstance(cell, str):
        return _tags_in_text(cell)
    if isinstance(cell, Sequence) and not isinstance(cell, bytes | bytearray | memoryview):
        return list(cell)
    return BadRow(f"tags of type {type(cell).__name__} are neither a list nor text")


def _tags_in_text(text: str) -> list[object] | BadRow:
    if not text.lstrip().startswith("["):
        return [tag for part in text.split(",") if (tag := part.strip())]
    try:
        tags = json.loads(text)
    except (ValueError, RecursionError):
        return BadRow("the tags begin like a JSON array but are none")
    return list(tags)
