"""
The audience API 2.x, read strictly.

Pages: create, update, replace, view, list and remove under https://doc.batch.com/developer/api/cep/audiences/.
Only the first part of each page was read.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_provider_batch.sandbox import parameters
from airflow_provider_batch.sandbox.attributes import cep_attributes
from airflow_provider_batch.sandbox.audience import NO_TRAITS, AudienceFacts, Change, Traits
from airflow_provider_batch.sandbox.cursor import cursor, number_in
from airflow_provider_batch.sandbox.errors import UnknownAudience, malformed
from airflow_provider_batch.sandbox.names import AUDIENCE_NAME, CEP_TYPES, NAME_RULE
from airflow_provider_batch.sandbox.request import ApiRequest, Operation
from airflow_provider_batch.sandbox.routes import Route
from airflow_provider_batch.sandbox.state import State

# Undocumented: the maximum length of an id. The sandbox sets none.
LONGEST_ID = None


def read(request: ApiRequest, route: Route) -> Operation:
    """Return the operation that *request* asks for on *route*, which must exist."""
    return _READERS[route.verb or ""](request, route.key)


def _create(request: ApiRequest, project: str) -> Operation:
    body = parameters.body(request, {"name", "type", "display_name"})
    name, audience_type = _name(body), parameters.choice(body, "type", CEP_TYPES)
    display_name = parameters.text(body, "display_name")

    def perform(state: State) -> object:
        state.create(project, name, audience_type, display_name)
        # The view route accepts the token of a creation, so the creation includes an empty write.
        return {"indexing_token": state.write(project, name, Change())}

    return Operation(202, perform)


def _update(request: ApiRequest, project: str) -> Operation:
    body = parameters.body(request, {"name", "ids"})
    name = _name(body)
    latest: dict[str, Traits | None] = {}  # None for an id to remove
    count: Counter[str] = Counter()
    for where, element in parameters.elements(body, {"action", "id", "attributes"}):
        action = parameters.choice(element, "action", parameters.ACTIONS, f"{where}.")
        member = parameters.member_id(element, where, LONGEST_ID)
        if action == "remove" and "attributes" in element:
            raise malformed(f"{where}: a remove takes no attributes")
        # Of several actions on one id the last one wins: https://doc.batch.com/developer/api/cep/audiences/update
        latest[member] = _traits(element, where) if action == "add" else None
        count[action] += 1
    if not latest:
        # Undocumented: an update without elements.
        raise malformed("ids is empty")
    adds = {member: traits for member, traits in latest.items() if traits is not None}
    return _write(project, name, Change(adds, latest.keys() - adds.keys()), count["add"], count["remove"])


def _replace(request: ApiRequest, project: str) -> Operation:
    body = parameters.body(request, {"name", "ids"})
    name = _name(body)
    members: dict[str, Traits] = {}
    # Undocumented: whether ids can be empty. In the sandbox it can, and empties the audience.
    for where, element in parameters.elements(body, {"id", "attributes"}):
        members[parameters.member_id(element, where, LONGEST_ID)] = _traits(element, where)
    return _write(project, name, Change(members, replaces=True), len(body["ids"]), 0)


def _traits(element: dict[str, Any], where: str) -> Traits:
    return Traits(cep_attributes(element, where), ()) if "attributes" in element else NO_TRAITS


def _write(project: str, name: str, change: Change, adds: int, removes: int) -> Operation:
    def perform(state: State) -> object:
        with _malformed_if_unknown():
            return {"indexing_token": state.write(project, name, change)}

    return Operation(202, perform, adds, removes)


def _delete(request: ApiRequest, project: str) -> Operation:
    # This route deletes the whole audience: https://doc.batch.com/developer/api/cep/audiences/remove
    name = _name(parameters.body(request, {"name"}))

    def perform(state: State) -> object:
        with _malformed_if_unknown():
            state.delete(project, name)
        # Undocumented: the state of this token. The sandbox forgets the token with its audience.
        return {"indexing_token": secrets.token_hex(16)}

    return Operation(202, perform)


@contextmanager
def _malformed_if_unknown() -> Iterator[None]:
    try:
        yield
    except UnknownAudience as unknown:
        # Undocumented: a write to an unknown audience. Only the view page lists a 404, so the sandbox sends a 400.
        raise malformed(unknown.reason) from None


def _view(request: ApiRequest, project: str) -> Operation:
    query = parameters.query(request, {"name", "indexing_token"})
    name = _name(query)
    return Operation(200, lambda state: _encoded(state.view(project, name, query.get("indexing_token"))))


def _list(request: ApiRequest, project: str) -> Operation:
    query = parameters.query(request, {"from", "limit"})
    limit = parameters.page_limit(query)
    below = number_in(query["from"]) if "from" in query else None

    def perform(state: State) -> object:
        # Undocumented: the order. The sandbox lists the newest creation first, as 1.0 does.
        return cursor("audiences", [(number, _encoded(view)) for number, view in state.listed(project)], below, limit)

    return Operation(200, perform)


def _encoded(view: AudienceFacts) -> dict[str, object]:
    return {
        "name": view.name,
        "display_name": view.description,
        "type": _TYPES[view.type],
        "nb_ids": view.nb_ids,
        "indexing_state": view.indexing_state,
        "created": f"{view.created}Z",
        "updated": f"{view.updated}Z",
    }


def _name(holder: Mapping[str, Any]) -> str:
    name = parameters.required(holder, "name")
    if not isinstance(name, str) or not AUDIENCE_NAME.fullmatch(name):
        # Undocumented: the error for a name that breaks the documented rule.
        raise malformed(f"name {NAME_RULE}")
    return name


_TYPES = {"custom_ids": "CUSTOM_ID"}
_READERS = {"create": _create, "update": _update, "replace": _replace, "view": _view, "list": _list, "delete": _delete}
