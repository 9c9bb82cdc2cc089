"""
The cells of one attribute -> JSON, a whole block at once.

What is kept true: the JSON of a cell depends on this cell alone, never on the others of its block. A mirror compares
the JSON to find what has changed, and blocks are cut elsewhere every day.

Cells of one type are encoded by one call in C for each; only the others are looked at in Python.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from json.encoder import encode_basestring
from numbers import Integral, Real
from typing import Any, Final
from uuid import UUID

from airflow_provider_batch.protocol.ids import missing

#: In place of a cell that a row does not have, which is never cleared.
ABSENT: Final = object()

#: Changes of an array's items, instead of the whole array.
_CHANGES: Final = {"$add", "$remove"}

_TWO_DIGITS: Final = [f"{number:02}" for number in range(60)]
_BOOLEANS: Final = {True: "true", False: "false"}
_ENCODERS: Final[dict[type, Callable[[Any], str]]] = {
    int: int.__repr__,
    bool: _BOOLEANS.__getitem__,
    float: float.__repr__,
}


def native(cells: list[Any]) -> list[Any]:
    """Return *cells* with the values of Python in place of those of numpy, which need not be installed."""
    if all(kind.__module__ != "numpy" for kind in set(map(type, cells))):
        return cells
    return [_native(cell) if type(cell).__module__ == "numpy" else cell for cell in cells]


def _native(cell: Any) -> Any:
    kind = cell.dtype.kind
    if kind not in ("M", "m"):
        return cell.tolist()
    # Of a moment or a time in nanoseconds, or one that Python cannot hold, numpy returns an integer.
    with suppress(OverflowError):  # since numpy 2.5
        value = cell.astype(f"{kind}8[us]").tolist()
        if not isinstance(value, int):
            return value
    return cell if kind == "M" else timedelta.max  # refused as attributes; but a timedelta64 would pass as an integer


def encoded(cells: list[Any], kind: str) -> list[str | None]:
    """
    Return the JSON of each cell, none of which is numpy's; None for a missing one.

    :param kind: the type that the attribute's key declares, or an empty text.
    :raises ValueError: with the reason, if a cell has a value that no attribute can have.
    """
    types = set(map(type, cells))
    if types == {str} and kind != "date":
        if kind or "\0[" not in "\0" + "\0".join(cells):  # none of them may be an array
            return list(map(encode_basestring, cells))
    elif len(types) == 1 and not kind and (encode := _ENCODERS.get(*types)) is not None:
        if types != {float} or all(map(math.isfinite, cells)):
            return list(map(encode, cells))
    elif types == {datetime} and kind != "url":
        if {cell.tzinfo for cell in cells} <= {None, UTC}:
            return _moments(cells)
        return list(map(_moment, cells))
    return [_encoded(cell, kind) for cell in cells]


def _encoded(cell: Any, kind: str) -> str | None:
    if cell is ABSENT or missing(cell):
        return None
    if isinstance(cell, datetime):  # that of pandas is one, too
        return _of_kind(kind, "date", _moment(cell))
    if isinstance(cell, date):
        return _of_kind(kind, "date", _moment(datetime(cell.year, cell.month, cell.day)))  # noqa: DTZ001 - taken as UTC
    if isinstance(cell, str):
        return _date_in(cell) if kind == "date" else _text(cell) if not kind else encode_basestring(cell)
    return _of_kind(kind, "", _plain(cell))


def _of_kind(declared: str, kind: str, text: str) -> str:
    if declared not in ("", kind):
        raise ValueError(f"the value of {declared}(…) is of another type")
    return text


def _plain(cell: Any) -> str:
    if isinstance(cell, bool):
        return _BOOLEANS[cell]
    if isinstance(cell, Integral):
        return int.__repr__(int(cell))
    if isinstance(cell, Decimal | Real):
        return _number(cell)
    if isinstance(cell, list | tuple):
        return _array(cell)
    if isinstance(cell, UUID):
        return encode_basestring(str(cell))
    if isinstance(cell, Mapping):
        # A column of records has all of their fields in every row.
        changes = sorted(key for key in cell if cell[key] is not None)
        if not changes or not cell.keys() <= _CHANGES:
            raise ValueError("a dict may only have $add and $remove, with lists of text. Pass its fields one by one.")
        return f"{{{','.join(f'{encode_basestring(key)}:{_array(cell[key])}' for key in changes)}}}"
    raise ValueError(f"Batch has no attributes of type {type(cell).__name__}. Convert it to text, or leave it out.")


def _number(cell: Any) -> str:
    try:
        finite = math.isfinite(cell)
    except (OverflowError, ValueError):  # a Decimal that no float can hold, a signalling NaN
        finite = False
    if not finite:
        raise ValueError("JSON has no infinite numbers, and none above 1.8e308. Leave it out.")
    # By the scale of its column, as a column of prices must not be of integers on the days on which all are round.
    if isinstance(cell, Decimal) and isinstance(exponent := cell.as_tuple().exponent, int) and exponent >= 0:
        return int.__repr__(int(cell))
    return float.__repr__(float(cell))


def _text(cell: str) -> str:
    """Encode text; an array that is a JSON string, as Batch's own sync takes it, is one."""
    if cell.startswith("["):
        try:
            items = json.loads(cell)
        except (ValueError, RecursionError):
            items = None
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return _array(items)
    return encode_basestring(cell)


def _array(items: Any) -> str:
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError("an array may hold text only. Convert its items to text.")
    return f"[{','.join(map(encode_basestring, items))}]"


def _date_in(text: str) -> str:
    try:
        return _moment(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError("its text is not a date such as 2026-01-31T12:00:00") from None


def _moments(values: list[datetime]) -> list[str | None]:
    """Write dates and times that are in UTC: from a few texts that are joined, five times as fast as isoformat."""
    days = {number: date.fromordinal(number).isoformat() for number in set(map(datetime.toordinal, values))}
    two = _TWO_DIGITS
    return [f'"{days[each.toordinal()]}T{two[each.hour]}:{two[each.minute]}:{two[each.second]}Z"' for each in values]


def _moment(value: datetime) -> str:
    """Write a date and time in UTC, to the second; one without a zone is taken as UTC."""
    if value.tzinfo is not None:
        try:
            value = value.astimezone(UTC)
        except OverflowError:  # in UTC it would be before year 1, or after 9999
            raise ValueError("its date is out of range in UTC; leave it out") from None
    return f'"{value.isoformat()[:19]}Z"'
