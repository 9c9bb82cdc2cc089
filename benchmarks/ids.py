"""Ids by the million, made while they are read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

#: Ids in one call: the most that Batch takes.
CALL: Final = 10_000

_TEMPLATES: Final = {
    "plain": "user-%07d",
    "UUID": "5f3a9c1e-7b2d-4c1e-9b7d-%012x",
    "non-ASCII": "élève-%07d-ü",
    "to be escaped": 'user "%07d"',
}

#: What ids look like.
KINDS: Final = tuple(_TEMPLATES)


def made(kind: str, count: int) -> Iterator[str]:
    """Yield so many ids as fast as Python can make them: that cost is on both sides of every ratio, and blurs it."""
    return map(_TEMPLATES[kind].__mod__, range(count))


def plain(count: int) -> Iterator[str]:
    """Yield so many ids that need no care."""
    return made("plain", count)


def in_calls(ids: Iterator[str]) -> Iterator[list[str]]:
    """Yield *ids* in lists of what one call takes."""
    while block := list(islice(ids, CALL)):
        yield block


def joined(ids: list[str]) -> bytes:
    """Write the body of one call as fast as Python can, and unchecked: right only if no id needs escaping."""
    opening = '{"action":"add","id":"'
    return ('{"type":"custom_ids","ids":[' + opening + f'"}},{opening}'.join(ids) + '"}]}').encode()


def payload(ids: list[str]) -> dict[str, object]:
    """Return the body of one call as most programs build it."""
    return {"type": "custom_ids", "ids": [{"action": "add", "id": id_} for id_ in ids]}
