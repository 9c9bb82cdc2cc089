"""The audience API 2.x, read strictly.

Pages: the beginnings of create, update, replace, view, list and remove under
https://doc.batch.com/developer/api/cep/audiences/. What no page says is marked «not documented» where it is decided.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .attributes import cep_attributes
from .audience import NO_TRAITS, AudienceFacts, Change, Traits
from .errors import UnknownAudience
from .names import AUDIENCE_NAME, CEP_TYPES
from .request import (
    ACTIONS,
    Operation,
    Question,
    body_of,
    choice,
    elements,
    limit_of,
    malformed,
    member_id,
    query_of,
    required,
    text,
)
from .routes import Route
from .state import State

# not documented: how long an id may be. Here: as long as it likes.
LONGEST_ID = None


def read(question: Question, route: Route) -> Operation:
    return _READERS[route.verb or ""](question, route.key)


def _create(question: Question, project: str) -> Operation:
    fields = body_of(question, {"name", "type", "display_name"})
    name, audience_type, display_name = _name(fields), choice(fields, "type", CEP_TYPES), text(fields, "display_name")

    def perform(state: State) -> object:
        state.create(project, name, audience_type, display_name)
        # Its token can be asked for like any other's, so the creation is a write of nothing.
        return {"indexing_token": state.write(project, name, Change())}

    return Operation(202, perform)


def _update(question: Question, project: str) -> Operation:
    fields = body_of(question, {"name", "ids"})
    name = _name(fields)
    latest: dict[str, Traits | None] = {}  # None where the id is to be removed
    count = {"add": 0, "remove": 0}
    for where, element in elements(fields, {"action", "id", "attributes"}):
        action, member = choice(element, "action", ACTIONS, f"{where}."), member_id(element, where, LONGEST_ID)
        if action == "remove" and "attributes" in element:
            malformed(f"{where} removes, so it takes no attributes")
        # Several actions on one id: the last one wins.
        latest[member] = _traits(element, where) if action == "add" else None
        count[action] += 1
    if not latest:
        # not documented: an update without elements.
        malformed("ids is empty")
    adds = {member: traits for member, traits in latest.items() if traits is not None}
    return _write(project, name, Change(adds, latest.keys() - adds.keys()), count["add"], count["remove"])


def _replace(question: Question, project: str) -> Operation:
    fields = body_of(question, {"name", "ids"})
    name = _name(fields)
    members: dict[str, Traits] = {}
    added = 0
    for where, element in elements(fields, {"id", "attributes"}):
        members[member_id(element, where, LONGEST_ID)] = _traits(element, where)
        added += 1
    # not documented: whether ids may be empty. Here: yes, that empties the audience.
    return _write(project, name, Change(members, replaces=True), added, 0)


def _traits(element: dict[str, Any], where: str) -> Traits:
    return Traits(cep_attributes(element, where), ()) if "attributes" in element else NO_TRAITS


def _write(project: str, name: str, change: Change, adds: int, removes: int) -> Operation:
    def perform(state: State) -> object:
        with _known_audience():
            return {"indexing_token": state.write(project, name, change)}

    return Operation(202, perform, adds, removes)


def _remove(question: Question, project: str) -> Operation:
    """Delete the whole audience: members are removed by an update."""
    name = _name(body_of(question, {"name"}))

    def perform(state: State) -> object:
        with _known_audience():
            state.delete(project, name)
        # not documented: what the view tells for this token. Here: nothing, as there is no such audience any more.
        return {"indexing_token": secrets.token_hex(16)}

    return Operation(202, perform)


@contextmanager
def _known_audience() -> Iterator[None]:
    try:
        yield
    except UnknownAudience as unknown:
        # not documented: a write to an unknown audience. Only the view page lists a 404, so here: a 400.
        malformed(unknown.reason)


def _view(question: Question, project: str) -> Operation:
    query = query_of(question, {"name", "indexing_token"})
    name = _name(query)
    return Operation(200, lambda state: _told(state.facts(project, name, query.get("indexing_token"))))


def _list(question: Question, project: str) -> Operation:
    query = query_of(question, {"from", "limit"})
    limit = limit_of(query)
    below = _number_in(query["from"]) if "from" in query else None

    def perform(state: State) -> object:
        # not documented: the order. Here: the newest creation first, as in the older API.
        listed = state.listed(project)
        rest = [item for item in listed if below is None or item[0] < below]
        page: dict[str, object] = {"audiences": [_told(facts) for _, facts in rest[:limit]]}
        if below is None:
            page["count"] = len(listed)  # not documented: of what. Here: of all audiences.
        page["has_more"] = len(rest) > limit
        if len(rest) > limit:
            # not documented: what next_from is on the last page. Here: it is left out.
            page["next_from"] = _cursor(rest[limit - 1][0])
        return page

    return Operation(200, perform)


def _cursor(number: int) -> str:
    """Where a page ended: at the audience of this number, so that a new one moves no page."""
    return base64.urlsafe_b64encode(f"below {number}".encode()).decode()


def _number_in(cursor: str) -> int:
    try:
        number = re.fullmatch(rb"below ([0-9]{1,9})", base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, binascii.Error):
        number = None
    if number is None:
        # not documented: the answer to a cursor that no list gave.
        malformed("from must be the next_from of an earlier page")
    return int(number[1])


def _told(facts: AudienceFacts) -> dict[str, object]:
    return {
        "name": facts.name,
        "display_name": facts.description,
        "type": _TYPES[facts.type],
        "nb_ids": facts.nb_ids,
        "indexing_state": facts.indexing_state,
        "created": f"{facts.created}Z",
        "updated": f"{facts.updated}Z",
    }


def _name(holder: Mapping[str, Any]) -> str:
    name = required(holder, "name")
    if not isinstance(name, str) or not AUDIENCE_NAME.fullmatch(name):
        # not documented: the error for a name outside the documented alphabet or length.
        malformed("name must have 1 to 255 letters, digits, _ and -")
    return name


_TYPES = {"custom_ids": "CUSTOM_ID"}
_READERS: dict[str, Callable[[Question, str], Operation]] = {
    "create": _create,
    "update": _update,
    "replace": _replace,
    "view": _view,
    "list": _list,
    "delete": _remove,
}
