"""The custom audience API 1.0 and 1.1, read strictly.

Pages: https://doc.batch.com/developer/api/mep/custom-audience/1.0/update (whole), and the beginnings of create, get,
list and delete under https://doc.batch.com/api/custom-audience/1.0/, and of all six under …/1.1/. Replace in 1.0 is
told by analogy with 1.1. What no page says is marked «not documented» where it is decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from .attributes import mep_attributes, tags
from .audience import NO_TRAITS, Change, Traits
from .names import AUDIENCE_NAME, MEP_TYPES
from .request import (
    ACTIONS,
    Operation,
    Question,
    body_of,
    choice,
    elements,
    integer,
    limit_of,
    malformed,
    member_id,
    query_of,
    text,
)
from .routes import Route
from .state import State

# Documented for 1.0. not documented for 1.1: any length. Here: the same.
LONGEST_ID = 128


@dataclass(frozen=True, slots=True)
class _Target:
    """The audience that a request is for, one of *types*; without a name they all are."""

    app: str
    name: str
    version: str
    types: frozenset[str]


def read(question: Question, route: Route) -> Operation:
    if route.name is not None and not AUDIENCE_NAME.fullmatch(route.name):
        # not documented: the error for a name outside the documented alphabet or length.
        malformed("audience name")
    target = _Target(route.key, route.name or "", route.version, MEP_TYPES[route.version])
    return _READERS[route.verb or ""](question, target)


def _create(question: Question, target: _Target) -> Operation:
    # not documented for 1.1: the body. Here: as in 1.0, with the one type that 1.1 knows.
    fields = body_of(question, {"type", "description"})
    audience_type, description = choice(fields, "type", target.types), text(fields, "description")

    def perform(state: State) -> object:
        state.create(target.app, target.name, audience_type, description)
        return {}  # documented as an empty JSON body

    return Operation(200, perform)


def _update(question: Question, target: _Target) -> Operation:
    fields, stated_type = _body(question, target)
    adds: dict[str, Traits] = {}
    removes: list[str] = []
    added = 0
    for where, element in elements(fields, _ELEMENT[target.version] | {"action"}):
        action, member = choice(element, "action", ACTIONS, f"{where}."), member_id(element, where, LONGEST_ID)
        if action == "add":
            adds[member] = _traits(element, where)
            added += 1
        elif len(element) > 2:
            # not documented: attributes and tags beside a remove.
            malformed(f"{where} removes, so it takes neither attributes nor tags")
        else:
            removes.append(member)
    if not adds and not removes:
        # not documented: an update without elements.
        malformed("ids is empty")
    return _write(target, Change(adds, removes, stated_type=stated_type), added)


def _replace(question: Question, target: _Target) -> Operation:
    # not documented for 1.0: the body. Here: as in 1.1, with the type that 1.0 asks for.
    # not documented for both: whether ids may be empty. Here: yes, that empties the audience.
    fields, stated_type = _body(question, target)
    members: dict[str, Traits] = {}
    added = 0
    for where, element in elements(fields, _ELEMENT[target.version]):
        members[member_id(element, where, LONGEST_ID)] = _traits(element, where)
        added += 1
    return _write(target, Change(members, replaces=True, stated_type=stated_type), added)


def _body(question: Question, target: _Target) -> tuple[dict[str, Any], str | None]:
    """The fields of a write and the type it states: 1.0 asks for one. not documented: whether 1.1 takes one."""
    if target.version == "1.1":
        return body_of(question, {"ids"}), None
    fields = body_of(question, {"type", "ids"})
    return fields, choice(fields, "type", target.types)


def _traits(element: dict[str, Any], where: str) -> Traits:
    if not element.keys() & {"attributes", "tags"}:
        return NO_TRAITS
    return Traits(mep_attributes(element, where), tags(element, where))


def _write(target: _Target, change: Change, added: int) -> Operation:
    def perform(state: State) -> object:
        return {"indexing_token": state.write(target.app, target.name, change, target.types)}

    # not documented for 1.1: the status. Here: as in 1.0.
    return Operation(201, perform, added, len(change.removes))


def _view(question: Question, target: _Target) -> Operation:
    token = query_of(question, {"indexing_token"}).get("indexing_token")
    return Operation(200, lambda state: asdict(state.facts(target.app, target.name, token, target.types)))


def _list(question: Question, target: _Target) -> Operation:
    query = query_of(question, {"from", "limit"})
    start, limit = integer(query, "from", default=0), limit_of(query)

    def perform(state: State) -> object:
        listed = [asdict(facts) for _, facts in state.listed(target.app, target.types)[start : start + limit]]
        for facts in listed:
            del facts["indexing_state"]  # only the view tells it
        return {"custom_audiences": listed}  # not documented: whether a total follows. Here: no.

    return Operation(200, perform)


def _delete(question: Question, target: _Target) -> Operation:
    query_of(question, set())

    def perform(state: State) -> object:
        state.delete(target.app, target.name, target.types)
        return {}

    return Operation(200, perform)


_ELEMENT = {"1.0": frozenset({"id"}), "1.1": frozenset({"id", "attributes", "tags"})}
_READERS: dict[str, Callable[[Question, _Target], Operation]] = {
    "create": _create,
    "update": _update,
    "replace": _replace,
    "view": _view,
    "list": _list,
    "delete": _delete,
}
