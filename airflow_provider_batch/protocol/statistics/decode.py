"""Answers about lists and figures -> values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_batch.exceptions import BatchProtocolError
from airflow_provider_batch.protocol.answers import json_object
from airflow_provider_batch.protocol.pages import Page, page_of
from airflow_provider_batch.protocol.statistics.subjects import Subject
from airflow_provider_batch.protocol.wire import Request, Response


def list_page(subject: Subject) -> Callable[[Response, Request], Page]:
    """Return the reader of a page of the list."""
    return page_of(subject.listed) if subject.listed else _bare_page


def _bare_page(response: Response, request: Request) -> Page:
    """Read a list without anything around it; after any page but an empty one there may be another."""
    try:
        entries = json.loads(response.body)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BatchProtocolError(f"{request.route}: answered {response.status} without a list")
    start = int(dict(request.query).get("from", 0)) + len(entries)
    return Page(tuple(entries), str(start) if entries else None)


def stats(response: Response, request: Request) -> Mapping[str, Any]:
    """Return the figures as they came."""
    return json_object(response, request)
