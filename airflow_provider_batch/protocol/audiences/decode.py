"""Answers about audiences -> values. Only the fields that a caller cannot do without are required."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_provider_batch.exceptions import BatchProtocolError
from airflow_provider_batch.protocol.answers import first, json_object, moment, one_line, typed
from airflow_provider_batch.protocol.audiences.audience import AudiencePage, CustomAudience, IndexingState
from airflow_provider_batch.protocol.audiences.tokens import is_token
from airflow_provider_batch.protocol.dialect import Dialect
from airflow_provider_batch.protocol.pages import cursor
from airflow_provider_batch.protocol.wire import Request, Response

_STATES: Final = {
    "IN_PROGRESS": IndexingState.IN_PROGRESS,
    # The page .../cep/audiences/update has IN_PROCESS, .../view has IN_PROGRESS.
    "IN_PROCESS": IndexingState.IN_PROGRESS,
    "APPLIED": IndexingState.APPLIED,
    # Only CEP's pages have it; it is accepted from MEP as well.
    "REPLACED": IndexingState.REPLACED,
}

#: CEP's answers name a type in another way than its requests; unknown names are passed on unchanged.
_TYPES: Final = {"CUSTOM_ID": "custom_ids"}

#: More than there are people; a larger number could not be a float.
_MOST_IDS: Final = 2**63


def indexing_token(response: Response, request: Request) -> str:
    """Return the indexing token, which the answer to an accepted push must have."""
    token = json_object(response, request).get("indexing_token")
    if not is_token(token):
        raise BatchProtocolError(f"{request.route}: answered {response.status} without an indexing_token")
    return token


def optional_indexing_token(response: Response, request: Request) -> str | None:
    """
    Return the indexing token if there is one: Batch's pages disagree on whether a create or delete returns one.

    :raises BatchProtocolError: for anything but JSON, such as a proxy's page: the call may not have reached Batch.
    """
    if not response.body.strip():  # which some pages document
        return None
    token = json_object(response, request).get("indexing_token")
    return token if is_token(token) else None


def custom_audience(response: Response, request: Request) -> CustomAudience:
    """Return the audience of a view, which must have a state, and no other name."""
    view = json_object(response, request)
    if not isinstance(view.get("indexing_state"), str):
        raise BatchProtocolError(f"{request.route}: answered {response.status} without an indexing_state")
    if (audience := _audience(view, request.audience_name)).name != request.audience_name:
        raise BatchProtocolError(f"{request.route}: answered {response.status} with another audience")
    return audience


def audience_page(dialect: Dialect, response: Response, request: Request) -> AudiencePage:
    """Return one page of a list, and where the next one starts."""
    page = json_object(response, request)
    items = page.get(dialect.audiences)
    if not isinstance(items, list) or not all(isinstance(item, dict) and item.get("name") for item in items):
        raise BatchProtocolError(f"{request.route}: answered {response.status} without {dialect.audiences}")
    audiences = tuple(_audience(item, str(item["name"])) for item in items)
    return AudiencePage(audiences, cursor(page, request) if dialect.cursor else _offset(len(items), request))


def _offset(items: int, request: Request) -> int | None:
    """Return the offset of the next page; a page that is not full is the last one (inferred)."""
    query = dict(request.query)
    return int(query["from"]) + items if items and items >= int(query["limit"]) else None


def _audience(view: Mapping[str, Any], audience_name: str) -> CustomAudience:
    state, kind = typed(view.get("indexing_state"), str), typed(view.get("type"), str)
    nb_ids = typed(view.get("nb_ids"), int)
    return CustomAudience(
        name=typed(view.get("name"), str) or audience_name,
        type=kind and _TYPES.get(kind, kind),
        description=typed(first(view, "description", "display_name"), str),
        nb_ids=nb_ids if nb_ids is None or nb_ids <= _MOST_IDS else None,
        created=moment(view.get("created")),
        updated=moment(view.get("updated")),
        indexing_state=None if state is None else _STATES.get(state, IndexingState.UNKNOWN),
        reported_state=one_line(state or "")[:64],
    )
