"""
The custom audience API 1.0 and 1.1, read strictly.

Pages: https://doc.batch.com/developer/api/mep/custom-audience/1.0/update, and the first parts of create, get, list and
delete under https://doc.batch.com/api/custom-audience/1.0/ and of all six verbs under
https://doc.batch.com/api/custom-audience/1.1/. Batch has no page for the replace of 1.0.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow_provider_batch.sandbox import parameters
from airflow_provider_batch.sandbox.attributes import mep_attributes, tags
from airflow_provider_batch.sandbox.audience import NO_TRAITS, Change, Traits
from airflow_provider_batch.sandbox.errors import malformed
from airflow_provider_batch.sandbox.names import AUDIENCE_NAME, MEP_TYPES, NAME_RULE
from airflow_provider_batch.sandbox.request import ApiRequest, Operation
from airflow_provider_batch.sandbox.routes import Route
from airflow_provider_batch.sandbox.state import State

# https://doc.batch.com/developer/api/mep/custom-audience/1.0/update
# Undocumented for 1.1: the maximum length of an id. The sandbox uses the one of 1.0.
LONGEST_ID = 128


def read(request: ApiRequest, route: Route) -> Operation:
    """Return the operation that *request* asks for on *route*, which must exist."""
    if route.name and not AUDIENCE_NAME.fullmatch(route.name):
        # Undocumented: the error for a name that breaks the documented rule.
        raise malformed(f"the audience name {NAME_RULE}")
    return _READERS[route.verb or ""](request, route)


def _create(request: ApiRequest, route: Route) -> Operation:
    # Undocumented for 1.1: the body. The sandbox takes the one of 1.0, with the type of 1.1.
    body = parameters.body(request, {"type", "description"})
    audience_type = parameters.choice(body, "type", MEP_TYPES[route.version])
    description = parameters.text(body, "description")
    # The response is an empty JSON object: https://doc.batch.com/api/custom-audience/create
    return Operation(200, lambda state: state.create(route.key, route.name, audience_type, description))


def _update(request: ApiRequest, route: Route) -> Operation:
    body, stated_type = _body(request, route)
    adds: dict[str, Traits] = {}
    removes: list[str] = []
    for where, element in parameters.elements(body, _ELEMENT[route.version] | {"action"}):
        action = parameters.choice(element, "action", parameters.ACTIONS, f"{where}.")
        member = parameters.member_id(element, where, LONGEST_ID)
        if action == "add":
            adds[member] = _traits(element, where)
        elif len(element) > 2:
            # Undocumented: attributes and tags of a remove.
            raise malformed(f"{where}: a remove takes no attributes or tags")
        else:
            removes.append(member)
    if not adds and not removes:
        # Undocumented: an update without elements.
        raise malformed("ids is empty")
    return _write(route, Change(adds, removes, stated_type=stated_type), len(body["ids"]) - len(removes))


def _replace(request: ApiRequest, route: Route) -> Operation:
    # Undocumented for 1.0: the body. The sandbox takes the one of 1.1 with a type, as the 1.0 update requires one.
    # Undocumented: whether ids can be empty. In the sandbox it can, and empties the audience.
    body, stated_type = _body(request, route)
    members: dict[str, Traits] = {}
    for where, element in parameters.elements(body, _ELEMENT[route.version]):
        members[parameters.member_id(element, where, LONGEST_ID)] = _traits(element, where)
    return _write(route, Change(members, replaces=True, stated_type=stated_type), len(body["ids"]))


def _body(request: ApiRequest, route: Route) -> tuple[dict[str, Any], str | None]:
    """Return the body of a write and the type that it states."""
    if route.version == "1.1":
        # Undocumented: whether 1.1 takes a type. Its examples have none, so the sandbox rejects one.
        return parameters.body(request, {"ids"}), None
    body = parameters.body(request, {"type", "ids"})
    return body, parameters.choice(body, "type", MEP_TYPES[route.version])


def _traits(element: dict[str, Any], where: str) -> Traits:
    if not element.keys() & {"attributes", "tags"}:
        return NO_TRAITS
    return Traits(mep_attributes(element, where), tags(element, where))


def _write(route: Route, change: Change, added: int) -> Operation:
    def perform(state: State) -> object:
        return {"indexing_token": state.write(route.key, route.name, change, MEP_TYPES[route.version])}

    # Undocumented for 1.1 and for the 1.0 replace: the status. The sandbox sends the one of the 1.0 update.
    return Operation(201, perform, added, len(change.removes))


def _view(request: ApiRequest, route: Route) -> Operation:
    token = parameters.query(request, {"indexing_token"}).get("indexing_token")
    return Operation(200, lambda state: asdict(state.view(route.key, route.name, token, MEP_TYPES[route.version])))


def _list(request: ApiRequest, route: Route) -> Operation:
    query = parameters.query(request, {"from", "limit"})
    start, limit = parameters.integer(query, "from", default=0), parameters.page_limit(query)

    def perform(state: State) -> object:
        listed = [asdict(view) for _, view in state.listed(route.key, MEP_TYPES[route.version])[start : start + limit]]
        for view in listed:
            del view["indexing_state"]  # https://doc.batch.com/api/custom-audience/1.0/list/ has none
        return {"custom_audiences": listed}  # Undocumented: whether a total follows. The sandbox sends none.

    return Operation(200, perform)


def _delete(request: ApiRequest, route: Route) -> Operation:
    parameters.query(request, set())
    return Operation(200, lambda state: state.delete(route.key, route.name, MEP_TYPES[route.version]))


_ELEMENT = {"1.0": frozenset({"id"}), "1.1": frozenset({"id", "attributes", "tags"})}
_READERS = {"create": _create, "update": _update, "replace": _replace, "view": _view, "list": _list, "delete": _delete}
