"""
Members: the values that a DAG author can pass, and the checked id in each.

A raw value becomes one id, or a ValueError with the reason and the remedy, as in
:mod:`airflow_provider_batch.protocol.ids`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final, Literal, cast

from airflow_provider_batch.protocol.audiences.attributes import extras
from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.protocol.ids import AnnotatedId, id_of, joined_ids, unwrapped

#: Why a change with any other action is rejected.
NO_ACTION: Final = "the action is neither 'add' nor 'remove'. Correct the row, or the action_column."

#: The argument whose ids are removed from the audience; those of every other argument are added.
REMOVE_IDS: Final = "remove_ids"

_MEMBER_FIELDS: Final = frozenset(("id", "attributes", "tags"))


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


def normalize(value: object, rules: MemberRules, *, removes: bool = False) -> str:
    """
    Return the id in *value*: text as it is, an integer in decimal, a UUID as text, the value of a row of one column.

    A :class:`Member`, or a dict with its fields, becomes an annotated id if it has attributes or tags.

    :param removes: whether the id is to be removed from the audience.
    :raises ValueError: for everything else, with the reason and the remedy, but without the value.
    """
    value = unwrapped(value)
    if isinstance(value, Mapping) and "id" in value:
        if not value.keys() <= _MEMBER_FIELDS:
            raise ValueError("a member has only the fields id, attributes and tags. Move other fields into attributes.")
        raw_id, attributes, tags = value["id"], value.get("attributes"), value.get("tags")
    elif isinstance(value, Member):
        raw_id, attributes, tags = value.id, value.attributes, value.tags
    else:
        return id_of(value, rules)
    id_ = id_of(raw_id, rules)
    annotation = extras(attributes, tags, rules)
    if annotation and removes:
        # Documented for 2.x only; in 1.1 they would be useless.
        raise ValueError("an id to remove cannot have attributes or tags. Pass the id alone.")
    return AnnotatedId(id_, annotation) if annotation else id_


def annotated(values: list[object], rules: MemberRules) -> tuple[list[str], list[str]] | None:
    """
    Return the ids of *values*, and the attributes and tags of each, if all are members that :func:`normalize` accepts.

    Their ids are checked together, as :func:`joined_ids` does. After None, each value must be checked.
    """
    kinds = set(map(type, values))
    if kinds == {dict}:
        dicts: list[dict[object, object]] = values  # type: ignore[assignment]  # see kinds
        if not all(map(_MEMBER_FIELDS.issuperset, dicts)):
            return None
        ids = [value.get("id") for value in dicts]
        attributes, tags = [value.get("attributes") for value in dicts], [value.get("tags") for value in dicts]
    elif kinds == {Member}:
        members: list[Member] = values  # type: ignore[assignment]  # see kinds
        ids = [member.id for member in members]
        attributes, tags = [member.attributes for member in members], [member.tags for member in members]
    else:
        return None
    if joined_ids(ids, rules.max_id_length) is None:
        return None
    try:
        return cast(list[str], ids), list(map(extras, attributes, tags, repeat(rules)))
    except ValueError:
        return None
