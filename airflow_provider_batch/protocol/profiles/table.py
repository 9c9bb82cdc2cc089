"""
Rows -> profiles as Batch takes them, a block at a time.

What is kept true: the same profile gives the same text, in whatever order its attributes come and whatever stands in
its block.

A row that is encoded by itself takes ten times as long as one of a block whose columns are encoded whole. So rows
become a table first, and its rows one text each: by one template, or, if cells are missing, of the parts that are
there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import chain, repeat
from json.encoder import encode_basestring
from operator import itemgetter
from typing import Any, Final, NamedTuple, overload

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.arguments import check_attribute_columns
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.protocol.ids import id_of, joined_ids, unwrapped
from airflow_provider_batch.protocol.limits import NO_LIMIT
from airflow_provider_batch.protocol.profiles.names import NEVER_SENT, declared, folded, key_of
from airflow_provider_batch.protocol.profiles.values import ABSENT, encoded, native
from airflow_provider_batch.protocol.rows import BadRow

#: Batch documents no limit for the length of a profile's id.
RULES: Final = MemberRules("2.x", NO_LIMIT)

#: The field of a row that holds its attributes, if they do not stand beside the id.
_NESTED: Final = "attributes"

#: Rows with more names than this are not put into one table: their names are probably ids.
_MOST_NAMES: Final = 1_000

#: The texts around the id and the attributes of a profile.
HEAD: Final = '{"identifiers":{"custom_id":'
MIDDLE: Final = '},"attributes":{'
END: Final = "}}"


@dataclass(frozen=True, slots=True)
class Profile:
    """
    The attributes to set on one profile.

    :param id: its custom id; Batch creates a profile that it does not know.
    :param attributes: names and values: str, int, float, Decimal, bool, datetime, date, lists of str, and
        ``{"$add": […], "$remove": […]}`` with items of an array. None is a missing value.
    """

    id: object = field(repr=False)
    attributes: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Table(Sequence[Profile]):
    """
    Profiles by columns.

    :param ids: as they came, not yet checked.
    :param columns: the cells of each attribute, by its name; by its key once it is encoded.
    """

    ids: list[Any] = field(repr=False)
    columns: Mapping[str, list[Any]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, at: int) -> Profile: ...
    @overload
    def __getitem__(self, at: slice) -> Table: ...
    def __getitem__(self, at: int | slice) -> Profile | Table:
        if isinstance(at, slice):
            return Table(self.ids[at], {key: cells[at] for key, cells in self.columns.items()})
        cells = {key: cells[at] for key, cells in self.columns.items()}
        return Profile(self.ids[at], {key: cell for key, cell in cells.items() if cell is not ABSENT})

    def encoded(self, *, clears: bool) -> tuple[list[str], list[str], set[str]]:
        """
        Return the checked ids, a line of JSON for each profile, and the keys of all attributes that have a value.

        :param clears: whether a missing value is sent as null, which deletes the attribute, instead of left out.
        :raises ValueError: with the reason, if one of the rows is not valid.
        """
        ids = [_id(value) for value in self.ids] if joined_ids(self.ids, NO_LIMIT) is None else self.ids
        heads = list(map(encode_basestring, ids))
        columns = [_column(key, cells, clears=clears) for key, cells in sorted(self.columns.items())]
        keys = set[str]().union(*(column.keys for column in columns))
        if all(column.key for column in columns):
            before = [HEAD, *(f'{"," if at else MIDDLE}"{column.key}":' for at, column in enumerate(columns))]
            texts = (heads, *(column.texts for column in columns))
            parts = chain.from_iterable(zip(map(repeat, before), texts, strict=True))
            return ids, list(map("".join, zip(*parts, repeat(END if columns else MIDDLE + END), strict=False))), keys
        rows = zip(*(column.parts() for column in columns), strict=True)
        lines = [
            f"{HEAD}{head}{MIDDLE}{','.join(filter(None, parts))}{END}" for head, parts in zip(heads, rows, strict=True)
        ]
        return ids, lines, keys


class _Column(NamedTuple):
    """
    The values of one attribute; without a *key* each has its own, and those that are not sent are empty.

    :param keys: the keys of all that have a value.
    """

    key: str
    texts: list[str]
    keys: set[str]

    def parts(self) -> list[str]:
        return [f'"{self.key}":{text}' for text in self.texts] if self.key else self.texts


def _column(key: str, cells: list[Any], *, clears: bool) -> _Column:
    kind, _ = declared(key)
    cells = native(cells)
    try:
        texts = encoded(cells, kind)
    except ValueError as error:
        raise ValueError(f"attribute {key!r}: {error}") from None
    dates = set() if kind else {each for each in set(map(type, cells)) if issubclass(each, date)}
    if dates and key.startswith("$"):
        raise ValueError(f"attribute {key!r}: none of Batch's own attributes is a date. Pass text.")
    if None not in texts and not (dates and dates != set(map(type, cells))):
        own = f"date({key})" if dates else key
        return _Column(own, texts, {own})  # type: ignore[arg-type]  # none of them is None
    parts, keys = [], set()
    for cell, text in zip(cells, texts, strict=True):
        if text is not None:
            own = f"date({key})" if type(cell) in dates else key
            keys.add(own)
            parts.append(f'"{own}":{text}')
        else:
            parts.append(f'"{key}":null' if clears and cell is not ABSENT else "")
    return _Column("", parts, keys)


def split(line: bytes) -> tuple[str, str]:
    """Return the id in a profile's line, and the field with its attributes."""
    # Every quote in the id is escaped, so the text between them is only found after it.
    head, _, rest = line.decode().partition(f'"{MIDDLE}')
    id_ = head[len(HEAD) + 1 :]
    return json.loads(f'"{id_}"') if "\\" in id_ else id_, f"{MIDDLE[2:]}{rest.rstrip()[:-1]}"


def joined(id_: str, attributes: str) -> bytes:
    """Return the line of a profile from its id and the field with its attributes."""
    return f"{HEAD}{encode_basestring(id_)}}},{attributes}}}".encode()


def keys_in(attributes: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the keys in a field with attributes: those that are set, and those that are deleted."""
    found = json.loads(f"{{{attributes}}}")[_NESTED]
    return tuple(key for key in found if found[key] is not None), tuple(key for key in found if found[key] is None)


def nulls(keys: Iterable[str]) -> str:
    """Return the field that deletes these attributes."""
    return f'"attributes":{{{",".join(f"{encode_basestring(key)}:null" for key in sorted(keys))}}}'


def table_of(rows: Sequence[Any], id_column: str, chosen: Mapping[str, str] | None) -> Table:
    """
    Return the profiles in *rows*: mappings of the id and attributes, or of the id and ``attributes``, or profiles.

    :param chosen: the key of each column to read; None for all.
    :raises ValueError: with the reason, if one of the rows has another form.
    """
    if isinstance(rows, Table):
        return Table(rows.ids, keyed(rows.columns, chosen))
    if (cells := _uniform(rows)) is not None and (id_name := _named(id_column, cells)) is not None:
        ids = cells[id_name]
        if chosen is None:  # otherwise it may be an attribute, too
            del cells[id_name]
            check_one_id(id_column, cells)
        return Table(ids, keyed(cells, chosen))
    pairs = [_split(row, id_column, chooses=chosen is not None) for row in rows]
    names = dict.fromkeys(chain.from_iterable(attributes for _, attributes in pairs))
    if len(names) > _MOST_NAMES and len(pairs) > 1:
        raise ValueError("these rows have too many names for one table")
    if len(pairs) > 1 and any(len(_alike(wanted, names)) > 1 for wanted in chosen or ()):
        raise ValueError("these rows write a name in several ways, and each decides for itself which one is meant")
    columns = {name: [attributes.get(name, ABSENT) for _, attributes in pairs] for name in names}
    return Table([id_ for id_, _ in pairs], keyed(columns, chosen))


def id_in(row: object, id_column: str) -> str | None:
    """Return the id of a row, whatever else is in it; None if it has no valid one."""
    with suppress(ValueError):
        if isinstance(row, Profile):
            return _id(row.id)
        if isinstance(row, Mapping) and (name := _named(id_column, row)) is not None:
            return _id(row[name])
    return None


def chosen_keys(attribute_columns: Sequence[str | int] | Mapping[str | int, str] | None) -> dict[str, str] | None:
    """
    Return the key of each column that the caller names; None without such a choice.

    :raises InvalidArgumentError: if a name is not valid.
    """
    check_attribute_columns("attribute_columns", attribute_columns)
    if attribute_columns is None:
        return None
    try:
        if isinstance(attribute_columns, Mapping):
            return {str(column): key_of(key, literal=True) for column, key in attribute_columns.items()}
        return {str(column): key_of(str(column)) for column in attribute_columns}
    except ValueError as error:
        raise InvalidArgumentError(f"attribute_columns: {error}") from None


def keyed(columns: Mapping[Any, list[Any]], chosen: Mapping[str, str] | None) -> dict[str, list[Any]]:
    """
    Return *columns* by their keys instead of their names.

    :raises ValueError: if a name is not valid, or two of them are of one attribute.
    """
    if chosen is None:
        pairs = [(key_of(name), name) for name in columns if not is_never_sent(name)]
    else:
        found = [(key, _named(wanted, columns)) for wanted, key in chosen.items()]
        pairs = [(key, name) for key, name in found if name is not None]
    names = [declared(key)[1] for key, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"attribute {twice!r} is given twice. Drop one of its columns, or map it to another name.")
    return {key: columns[name] for key, name in pairs}


def check_one_id(id_column: str, others: Iterable[object]) -> None:
    """
    Check that no attribute of *others* has the name of the id, but for case and outer blanks.

    :raises ValueError: if one has.
    """
    if _alike(id_column, others):
        raise ValueError(
            f"there are two fields {id_column}, which differ in case alone. Rename the other, or leave it out."
        )


def _named(wanted: str, names: Collection[object]) -> str | None:
    """
    Return which of *names* is the column *wanted*: an exact match, else one but for case, as sources find it.

    :raises ValueError: if several are.
    """
    if wanted in names:
        return wanted
    found = _alike(wanted, names)
    if len(found) > 1:
        raise ValueError(f"{len(found)} fields of the row match {wanted}, but only one may. Rename the others.")
    return found[0] if found else None


def _alike(wanted: str, names: Iterable[object]) -> list[str]:
    folded_name = wanted.strip().casefold()
    return [name for name in names if isinstance(name, str) and name.strip().casefold() == folded_name]


def is_never_sent(name: object) -> bool:
    """Return whether *name* is that of the column by which Batch's own sync finds what has changed."""
    return isinstance(name, str) and folded(name) == NEVER_SENT


def _uniform(rows: Sequence[Any]) -> dict[Any, list[Any]] | None:
    """Return the columns of dicts that all have the same keys; None for any other rows."""
    if set(map(type, rows)) != {dict} or set(map(len, rows)) != {len(rows[0])} or _NESTED in rows[0]:
        return None
    try:
        return {name: list(map(itemgetter(name), rows)) for name in rows[0]}
    except KeyError:
        return None


def _split(row: Any, id_column: str, *, chooses: bool) -> tuple[Any, Mapping[Any, Any]]:
    """Return the id and the attributes of one row."""
    if isinstance(row, BadRow):
        raise ValueError(row.reason)
    if isinstance(row, Profile):
        return row.id, _checked_mapping(row.attributes)
    if not isinstance(row, Mapping):
        raise ValueError(f"a {type(row).__name__} is not a profile. Pass a dict with {id_column} and the attributes.")
    if (id_name := _named(id_column, row)) is None:
        raise ValueError(f"the row has no {id_column}. Add it, or name the id's column with id_column.")
    others = {name: value for name, value in row.items() if name != id_name}
    if not isinstance(row.get(_NESTED), Mapping):
        if chooses:
            return row[id_name], row
        check_one_id(id_column, others)
        return row[id_name], others
    if not all(name == _NESTED or is_never_sent(name) for name in others):
        raise ValueError(f"the row has other fields beside {_NESTED}. Move them into it, or all of it beside the id.")
    return row[id_name], row[_NESTED]


def _checked_mapping(attributes: Any) -> Mapping[Any, Any]:
    if not isinstance(attributes, Mapping):
        raise ValueError(f"the attributes must be a dict of names and values, not {type(attributes).__name__}")
    return attributes


def _id(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        raise ValueError(f"a {type(value).__name__} is not a valid id. Pass the id in it.")
    return id_of(unwrapped(value), RULES)
