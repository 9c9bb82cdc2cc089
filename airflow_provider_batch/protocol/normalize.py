"""
One raw value -> one id, or InvalidMemberError: where None, bool, numbers and rows are decided.

Ids are never trimmed or folded: Batch's are case- and whitespace-sensitive
(https://doc.batch.com/ios/custom-data/customid/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Integral
from typing import Final, NoReturn, TypeGuard

from airflow_provider_batch.exceptions import InvalidMemberError

_REMEDIES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (type(None), "None is no id; drop rows without one, e.g. WHERE id IS NOT NULL"),
    (bool, "a bool is no id; pass the id itself"),
    (float, "a float is no id (1e6 and 1000000.0 are not the same text); convert it to int or str first"),
    (Decimal, "a Decimal is no id (7 and 7.00 are not the same text); cast it to an integer or text in the query"),
    ((bytes, bytearray, memoryview), "bytes are no id; decode them to str first"),
    (Mapping, "a dict is no id; pass the value of its id field"),
)


def normalize(value: object, *, argument: str, position: int, max_length: int) -> str:
    """
    Return the id that *value* stands for: text as it is, an integer in decimal, a row of one column its value.

    :raises InvalidMemberError: for everything else, naming *argument*, *position*, the reason and the remedy.
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        if len(value) != 1:
            _refuse(argument, position, f"a row of {len(value)} columns is no id; select the id column alone")
        value = value[0]
    if isinstance(value, Integral) and not isinstance(value, bool):
        number = int(value)
        if number.bit_length() > 4 * max_length:  # also more than Python is willing to print
            _refuse(argument, position, f"an integer of more than {max_length} digits is no id; hash it")
        value = str(number)
    if not isinstance(value, str):
        _refuse(argument, position, _remedy(value))
    if reason := _unfit(value, max_length):
        _refuse(argument, position, reason)
    return value


def are_ids(values: list[object], max_length: int) -> TypeGuard[list[str]]:
    """
    Return whether every one of *values* already is an id that :func:`normalize` would return as it is.

    A few passes at the speed of C over the whole block instead of a look at each value; False means «look».
    """
    try:
        text = "".join(values)  # type: ignore[arg-type]  # a TypeError is the answer that we ask for
        text.encode()  # a lone surrogate cannot be sent as UTF-8
    except (TypeError, UnicodeEncodeError):
        return False
    if not all(values) or max(map(len, values), default=0) > max_length:  # type: ignore[arg-type]  # all are str by now
        return False
    # An id of nothing but whitespace needs whitespace somewhere; most blocks have none at all.
    return text.split(None, 1) == [text] or all(map(str.strip, values))  # type: ignore[arg-type]  # all are str


def _unfit(value: str, max_length: int) -> str | None:
    if not value.strip():
        return "empty or blank text is no id; drop such rows"
    if len(value) > max_length:
        return f"{len(value):,} characters are more than the {max_length} that Batch allows; shorten or hash the id"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "a lone surrogate cannot be sent as UTF-8; decode the source with the right encoding"
    return None


def _remedy(value: object) -> str:
    for kinds, remedy in _REMEDIES:
        if isinstance(value, kinds):
            return remedy
    kind = type(value).__name__
    if hasattr(value, "__getitem__"):  # a row of a database driver, for one: its text would be no id
        return f"a value of type {kind} is no id; pass what is in it, e.g. row[0]"
    return f"a value of type {kind} is no id; convert it to str first"


def _refuse(argument: str, position: int, reason: str) -> NoReturn:
    raise InvalidMemberError(f"{argument}[{position}]: {reason}", argument=argument, position=position, reason=reason)
