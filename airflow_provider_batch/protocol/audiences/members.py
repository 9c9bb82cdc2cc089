"""
Members: the values that a DAG author can pass, and the checked id in each.

A raw value becomes one id, or a ValueError with the reason and the remedy. Ids are never trimmed or folded: Batch's are
case- and whitespace-sensitive (https://doc.batch.com/ios/custom-data/customid/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Integral
from typing import Final, Literal, TypeGuard
from uuid import UUID

from airflow_provider_batch.protocol.audiences.attributes import extras
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.protocol.rows import BadRow

#: Why a change with any other action is rejected.
NO_ACTION: Final = "the action is neither 'add' nor 'remove'. Correct the row, or the action_column."

#: The argument whose ids are removed from the audience; those of every other argument are added.
REMOVE_IDS: Final = "remove_ids"

_REMEDIES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (type(None), "the id is missing (None). Drop the row."),
    (bool, "a bool is not a valid id. Pass the id itself."),
    (float, "a float is not a valid id, as 1e6 and 1000000.0 are different texts. Convert it to int or str."),
    (Decimal, "a Decimal is not a valid id, as 7 and 7.00 are different texts. Convert it to int or str."),
    ((bytes, bytearray, memoryview), "bytes are not a valid id. Decode them to str."),
    (Mapping, "the dict has no field id. Name that field, or pass the id alone."),
)

_TEXTS: Final = (str, bytes, bytearray, memoryview)
_MEMBER_FIELDS: Final = {"id", "attributes", "tags"}

#: More than any id has, and fewer than Python's limit for printing an int.
_MOST_DIGITS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Member:
    """
    An id with attributes and tags in one audience. Without them, it is the same as the id alone.

    :param attributes: names and values (str, int, float, Decimal, datetime, date, and lists of them where arrays are
        allowed), for the versions of the API that accept them.
    :param tags: for the versions of the API that accept them.
    """

    id: object = field(repr=False)
    attributes: Mapping[str, object] | None = field(default=None, repr=False)
    tags: Sequence[str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an audience: an id or a member, and whether to add or to remove it."""

    action: Literal["add", "remove"]
    value: object = field(repr=False)


class AnnotatedId(str):
    """
    A checked id with its attributes and tags. It equals the id alone, as an audience has each id once.

    :param extras: the JSON of its attributes and tags, without the braces around it.
    """

    __slots__ = ("extras",)
    extras: str

    def __new__(cls, id_: str, extras: str) -> AnnotatedId:
        self = str.__new__(cls, id_)
        self.extras = extras
        return self


def normalize(value: object, rules: MemberRules, *, removes: bool = False) -> str:
    """
    Return the id in *value*: text as it is, an integer in decimal, a UUID as text, the value of a row of one column.

    A :class:`Member`, or a dict with its fields, becomes an annotated id if it has attributes or tags.

    :param removes: whether the id is to be removed from the audience.
    :raises ValueError: for everything else, with the reason and the remedy, but without the value.
    """
    if isinstance(value, BadRow):
        raise ValueError(value.reason)
    if isinstance(value, Sequence) and not isinstance(value, _TEXTS):
        if len(value) != 1:
            raise ValueError(f"a row of {len(value)} columns is not a valid id. Select the id column alone.")
        value = value[0]
    if isinstance(value, Mapping) and "id" in value:
        if not value.keys() <= _MEMBER_FIELDS:
            raise ValueError("a member has only the fields id, attributes and tags. Move other fields into attributes.")
        raw_id, attributes, tags = value["id"], value.get("attributes"), value.get("tags")
    elif isinstance(value, Member):
        raw_id, attributes, tags = value.id, value.attributes, value.tags
    else:
        return _id(value, rules.max_id_length)
    id_ = _id(raw_id, rules.max_id_length)
    annotation = extras(attributes, tags, rules)
    if annotation and removes:
        # Documented for 2.x only; in 1.1 they would be useless.
        raise ValueError("an id to remove cannot have attributes or tags. Pass the id alone.")
    return AnnotatedId(id_, annotation) if annotation else id_


def are_ids(values: list[object], max_length: int) -> TypeGuard[list[str]]:
    """
    Return whether :func:`normalize` would certainly return every one of *values* unchanged.

    A few passes at the speed of C over the whole block; a check of each value would take ten times as long. After
    False, each value must be checked: all may still be valid.
    """
    try:
        text = "".join(values)  # type: ignore[arg-type]  # a TypeError is a result, too
        text.encode()  # a lone surrogate cannot be sent as UTF-8
    except (TypeError, UnicodeEncodeError):
        return False
    if not all(values) or max(map(len, values), default=0) > max_length:  # type: ignore[arg-type]  # all are str by now
        return False
    # A blank id needs whitespace in the text, and most blocks have none at all.
    return text.split(None, 1) == [text] or all(map(str.strip, values))  # type: ignore[arg-type]  # all are str


def _id(value: object, max_length: int) -> str:
    id_ = value if isinstance(value, str) else _text(value, max_length)
    if reason := _fault(id_, max_length):
        raise ValueError(reason)
    return id_


def _text(value: object, max_length: int) -> str:
    if isinstance(value, UUID):  # databases return them; all drivers agree on the text
        return str(value)
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(_remedy(value))
    number = int(value)
    most = min(max_length, _MOST_DIGITS)
    if number.bit_length() > 4 * most:
        raise ValueError(f"an integer of more than {most} digits is not a valid id. Hash it.")
    return str(number)


def _fault(value: str, max_length: int) -> str | None:
    if not value.strip():
        return f"the id is {'blank' if value else 'empty'}. Drop the row."
    if len(value) > max_length:
        return (
            f"the id has {len(value):,} characters, more than the {max_length} that Batch accepts. Shorten or hash it."
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        return "the id has a lone surrogate, which UTF-8 cannot encode. Read the source with the right encoding."
    return None


def _remedy(value: object) -> str:
    for kinds, remedy in _REMEDIES:
        if isinstance(value, kinds):
            return remedy
    kind = type(value).__name__
    if hasattr(value, "__getitem__"):  # such as a database driver's row, whose str is not the id
        return f"a value of type {kind} is not a valid id. Pass the id in it, such as row[0]."
    return f"a value of type {kind} is not a valid id. Convert it to str."
