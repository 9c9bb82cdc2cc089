"""Values in the JSON of an answer, for any resource. Any field may be missing, or of another type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from airflow_provider_batch.exceptions import BatchProtocolError
from airflow_provider_batch.protocol.wire import Request, Response

T = TypeVar("T")


def json_object(response: Response, request: Request) -> Mapping[str, Any]:
    """
    Return the JSON object in the body.

    :raises BatchProtocolError: if there is none.
    """
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise BatchProtocolError(
            f"{request.route}: answered {response.status} with {len(response.body):,} bytes that are not a JSON "
            "object. Check the connection's host, and any proxy in between."
        )
    return answer


def first(answer: Mapping[str, Any], *keys: str) -> object:
    """Return the first value of *keys* that is not None."""
    return next((answer[key] for key in keys if answer.get(key) is not None), None)


def typed(value: object, kind: type[T]) -> T | None:
    """Return *value* if it is of this type, else None."""
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def moment(text: object) -> datetime | None:
    """Return a date and time in UTC. One without a zone is taken as UTC, which Batch does not document."""
    try:
        value = datetime.fromisoformat(text if isinstance(text, str) else "")
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def one_line(text: str) -> str:
    """Return *text* with a blank in place of every unprintable character, line breaks included."""
    return "".join(character if character.isprintable() else " " for character in text).strip()
