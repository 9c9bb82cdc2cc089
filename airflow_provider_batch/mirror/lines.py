"""
Members as lines of text, whose order by code points is that of their ids.

An id is its own line: only characters up to U+000D are escaped, as U+0002 and the character 32 places further on. So
neither a line break nor U+0001 is ever part of an id's line. U+0001 begins what a member has beside its id, and sorts
before whatever may follow in a longer id. In a snapshot that rest is a mark: a digest of it, from which nothing can
be read. (NUL would sort as well, but there are readers of text that stop at it.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.members import Member

#: What may be known of an item that is not a plain str: the member that it stands for, or None for its id alone.
MemberOf = Callable[[str], Member | None]

SEPARATOR: Final = "\x01"
_ESCAPE: Final = "\x02"
_ESCAPED: Final = "".join(map(chr, range(0x0E)))
_TABLE: Final = str.maketrans({char: _ESCAPE + chr(ord(char) + 0x20) for char in _ESCAPED})
_FORBIDDEN: Final = _ESCAPED.encode()
_PAIR: Final = re.compile(f"{_ESCAPE}(.)", re.DOTALL)


def as_lines(blocks: Iterable[Sequence[str | Member]], member_of: MemberOf | None = None) -> Iterator[list[str]]:
    """
    Turn blocks of ids into blocks of lines; where an id stands in its source is kept.

    :param blocks: lists of ids that were checked; a :class:`Member` may stand for an id, too.
    :param member_of: asked for every item that is neither a plain str nor a :class:`Member`.
    """
    for block in blocks:
        if isinstance(block, list) and _are_lines(block):
            yield block
            continue
        lines = [line_of(_member(item, member_of)) for item in block]
        yield Block(lines, block.argument, block.positions, block.place) if isinstance(block, Block) else lines


def line_of(member: str | Member) -> str:
    """Return the line of *member*: its id, and all that it has beside it."""
    if isinstance(member, str):
        return member.translate(_TABLE)
    line = str(member.id).translate(_TABLE)
    if member.attributes is None and member.tags is None:
        return line
    return line + SEPARATOR + _rest(member)


def member_from(line: str) -> str | Member:
    """Return what the line was made of: an id as str, or a member with attributes or tags."""
    id_, separator, rest = line.partition(SEPARATOR)
    if _ESCAPE in id_:
        id_ = _PAIR.sub(lambda pair: chr(ord(pair[1]) - 0x20), id_)
    if not separator:
        return id_
    kept = json.loads(rest)
    attributes = kept["attributes"]
    if attributes is not None:
        attributes = {name: _plain(value) for name, value in attributes.items()}
    return Member(id_, attributes, kept["tags"])


def members_from(lines: list[str], text: str) -> list[Any]:
    """Return what each of *lines* was made of; *text* is all of them, to see at once that they are plain ids."""
    if SEPARATOR in text or _ESCAPE in text:
        return list(map(member_from, lines))
    return lines


def id_part(line: str) -> str:
    """Return the line of the id alone."""
    return line.partition(SEPARATOR)[0]


def marked(line: str) -> str:
    """Return the line as a snapshot holds it, with a mark in place of attributes and tags."""
    id_, separator, rest = line.partition(SEPARATOR)
    if not separator:
        return line
    return id_ + SEPARATOR + blake2b(rest.encode(), digest_size=8).hexdigest()


def _are_lines(block: list[Any]) -> bool:
    # A few passes at the speed of C over the whole block instead of a look at each id; False means «look».
    if not set(map(type, block)) <= {str}:
        return False
    text = "".join(block).encode()
    return len(text.translate(None, _FORBIDDEN)) == len(text)


def _member(item: str | Member, member_of: MemberOf | None) -> str | Member:
    if isinstance(item, Member) or type(item) is str or member_of is None:
        return item
    return member_of(item) or item


def _rest(member: Member) -> str:
    attributes = member.attributes
    if attributes is not None:
        attributes = {name: _json(value) for name, value in attributes.items()}
    kept = {"attributes": attributes, "tags": None if member.tags is None else list(member.tags)}
    try:
        return json.dumps(kept, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError):
        raise InvalidArgumentError(
            "attributes and tags: a value is neither text, number, date, bool nor a list"
        ) from None


#: Values that JSON does not know, by their name in a line; an attribute cannot be an object, so nothing else is one.
_KINDS: Final[tuple[tuple[str, type, Callable[[Any], str], Callable[[str], object]], ...]] = (
    ("datetime", datetime, datetime.isoformat, datetime.fromisoformat),  # before date: a datetime is one
    ("date", date, date.isoformat, date.fromisoformat),
    ("decimal", Decimal, str, Decimal),
)


def _json(value: object) -> object:
    if isinstance(value, Mapping):
        raise InvalidArgumentError("attributes: an object is no value; give text, a number, a date, a bool or a list")
    if isinstance(value, list | tuple):
        return list(map(_json, value))
    for name, kind, write, _ in _KINDS:
        if isinstance(value, kind):
            return {name: write(value)}
    return value


def _plain(value: object) -> object:
    if isinstance(value, list):
        return list(map(_plain, value))
    if isinstance(value, dict):
        ((name, text),) = value.items()
        return next(read(text) for known, _, _, read in _KINDS if known == name)
    return value
