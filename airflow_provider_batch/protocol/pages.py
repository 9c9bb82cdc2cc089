"""Lists in pages, for any resource whose entries are passed on as they came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_batch.exceptions import BatchProtocolError
from airflow_provider_batch.protocol.answers import json_object
from airflow_provider_batch.protocol.wire import Request, Response

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """
    One page of a list.

    :param next_start: where the next one begins; None after the last one.
    """

    entries: tuple[Entry, ...]
    next_start: str | None


def page_of(name: str) -> Callable[[Response, Request], Page]:
    """Return the reader of a page with a cursor whose entries are in the field *name*."""

    def read(response: Response, request: Request) -> Page:
        answer = json_object(response, request)
        entries = answer.get(name)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise BatchProtocolError(f"{request.route}: answered {response.status} without a list of {name}")
        return Page(tuple(entries), cursor(answer, request))

    return read


def cursor(answer: Mapping[str, Any], request: Request) -> str | None:
    """Return the cursor of the next page; None after the last one."""
    if answer.get("has_more") is not True:
        return None
    start = answer.get("next_from")
    if not isinstance(start, str | int) or ("from", str(start)) in request.query:
        raise BatchProtocolError(f"{request.route}: answered has_more, but without a next_from for the next page")
    return str(start)


def unseen(page: Page, key: str, seen: set[str]) -> list[Entry]:
    """
    Return the entries of *page* whose *key* is not in *seen*, and add them to it: a list may shift between two pages.

    :raises BatchProtocolError: if there are more pages but this one has nothing new: the list would never end; or if
        an entry has no *key*.
    """
    entries = []
    for entry in page.entries:
        if not isinstance(name := entry.get(key), str) or not name:
            raise BatchProtocolError(f"an entry of the list has no {key}")
        if name not in seen:
            seen.add(name)
            entries.append(entry)
    if page.next_start is not None and not entries:
        raise BatchProtocolError("the list repeats a page, although it has more")
    return entries
