"""Millions of ids, generated while they are read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

#: Ids in one call: Batch's limit.
CALL: Final = 10_000

_TEMPLATES: Final = {
    "plain": "user-%07d",
    "UUID": "5f3a9c1e-7b2d-4c1e-9b7d-%012x",
    "non-ASCII": "élève-%07d-ü",
    "to be escaped": 'user "%07d"',
}

#: The kinds of ids.
KINDS: Final = tuple(_TEMPLATES)


def made(kind: str, count: int, step: int = 1) -> Iterator[str]:
    """
    Yield *count* ids as fast as Python can: their cost is on both sides of every ratio, so it must be small.

    :param step: 1 for ids that ascend, -1 for ids that descend.
    """
    return map(_TEMPLATES[kind].__mod__, range(count)[::step])


def plain(count: int) -> Iterator[str]:
    """Yield *count* plain ids."""
    return made("plain", count)


def in_calls(ids: Iterator[str]) -> Iterator[list[str]]:
    """Yield *ids* in lists of the size of one call."""
    while block := list(islice(ids, CALL)):
        yield block


def joined(ids: list[str]) -> bytes:
    """Build the body of one call as fast as Python can, without checks: valid only if no id needs escaping."""
    opening = '{"action":"add","id":"'
    return ('{"type":"custom_ids","ids":[' + opening + f'"}},{opening}'.join(ids) + '"}]}').encode()


def payload(ids: list[str]) -> dict[str, object]:
    """Build the body of one call as most programs do."""
    return {"type": "custom_ids", "ids": [{"action": "add", "id": id_} for id_ in ids]}
