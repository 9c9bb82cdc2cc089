"""
One raw value -> one id, or ValueError with the reason: where None, bool, numbers, rows and members are decided.

Ids are never trimmed or folded: Batch's are case- and whitespace-sensitive
(https://doc.batch.com/ios/custom-data/customid/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Integral
from typing import Final, TypeGuard
from uuid import UUID

from airflow_provider_batch.protocol.attributes import extras
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.protocol.model import AnnotatedId, BadRow, Member

_REMEDIES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (type(None), "None is no id; drop rows without one, e.g. WHERE id IS NOT NULL"),
    (bool, "a bool is no id; pass the id itself"),
    (float, "a float is no id (1e6 and 1000000.0 are not the same text); convert it to int or str first"),
    (Decimal, "a Decimal is no id (7 and 7.00 are not the same text); cast it to an integer or text in the query"),
    ((bytes, bytearray, memoryview), "bytes are no id; decode them to str first"),
    (Mapping, "a dict without the field id is no member; pass the value of its id field"),
)

_TEXTS: Final = (str, bytes, bytearray, memoryview)
_MEMBER_FIELDS: Final = {"id", "attributes", "tags"}

#: More than any id has; Python itself is willing to print some more.
_MOST_DIGITS: Final = 1_000


def normalize(value: object, rules: MemberRules, *, removes: bool = False) -> str:
    """
    Return the id that *value* stands for: text as it is, an integer in decimal, a UUID as text, a row of one column its
    value.

    A :class:`Member`, or a dict with its fields, becomes an annotated id if it says more than the id.

    :param removes: whether the id is to be taken out of the audience.
    :raises ValueError: for everything else, with reason and remedy, but without the value.
    """
    if isinstance(value, BadRow):
        raise ValueError(value.reason)
    if isinstance(value, Sequence) and not isinstance(value, _TEXTS):
        if len(value) != 1:
            raise ValueError(f"a row of {len(value)} columns is no id; select the id column alone")
        value = value[0]
    if isinstance(value, Mapping) and "id" in value:
        if not value.keys() <= _MEMBER_FIELDS:
            raise ValueError(
                "a member has the fields id, attributes and tags only; put what is known of it in attributes"
            )
        given, attributes, tags = value["id"], value.get("attributes"), value.get("tags")
    elif isinstance(value, Member):
        given, attributes, tags = value.id, value.attributes, value.tags
    else:
        return _id(value, rules.max_id_length)
    id_ = _id(given, rules.max_id_length)
    beside = extras(attributes, tags, rules)
    if beside and removes:
        # 2.x says so; the page of 1.1 says nothing else, and there is no use for them.
        raise ValueError("attributes and tags go with an id to add only; remove by the id alone")
    return AnnotatedId(id_, beside) if beside else id_


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


def _id(value: object, max_length: int) -> str:
    id_ = value if isinstance(value, str) else _text(value, max_length)
    if reason := _unfit(id_, max_length):
        raise ValueError(reason)
    return id_


def _text(value: object, max_length: int) -> str:
    if isinstance(value, UUID):  # what databases give; its text is the same for all of them
        return str(value)
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(_remedy(value))
    number = int(value)
    most = min(max_length, _MOST_DIGITS)
    if number.bit_length() > 4 * most:
        raise ValueError(f"an integer of more than {most} digits is no id; hash it")
    return str(number)


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
