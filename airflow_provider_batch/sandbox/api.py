"""Read one request the way Batch's pages are written, strictly, and answer it. Knows no socket.

Pages: https://doc.batch.com/developer/api/mep/custom-audience/1.0/update (whole), and of the others the create, get,
list and delete pages of https://doc.batch.com/api/custom-audience/1.0/. Replace is told by analogy with
https://doc.batch.com/api/custom-audience/1.1/replace. What no page says is marked «not documented» where it is decided.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from .errors import ApiError, ErrorKeys, Refused
from .request import Question, body_of, choice, elements, integer, malformed, member_id, only, query_of, refuse
from .state import AUDIENCE_NAME, AUDIENCE_TYPES, State

MOST_LISTED = 100
JSON_HEADERS: Mapping[str, str] = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Answer:
    """*adds* and *removes* count the elements that were understood, for the record of calls."""

    status: int
    content: bytes
    headers: Mapping[str, str]
    adds: int = 0
    removes: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """A request that was read and found right: *perform* it to get the body of the answer."""

    status: int
    perform: Callable[[State], object]
    adds: int = 0
    removes: int = 0


class Api:
    def __init__(self, state: State, rest_api_key: str, error_keys: ErrorKeys) -> None:
        self._state = state
        self._rest_api_key = rest_api_key
        self.error_keys = error_keys

    def answer(self, question: Question, *, perform: bool = True) -> Answer:
        """Answer *question*; without *perform* it is only read and counted, and nothing changes."""
        adds = removes = 0
        try:
            operation = self._read(question)
            adds, removes = operation.adds, operation.removes
            body = operation.perform(self._state) if perform else {}
            return Answer(operation.status, json.dumps(body).encode(), JSON_HEADERS, adds, removes)
        except Refused as refusal:
            content = refusal.error.body(self.error_keys, refusal.reason)
            return Answer(refusal.error.status, content, JSON_HEADERS, adds, removes)

    def _read(self, question: Question) -> Operation:
        # not documented: which of several faults is told first. Here: route, keys, body, parameters, audience.
        segments = question.segments
        reader = _READERS.get((question.method, len(segments)))
        if reader is None:
            refuse(ApiError.ROUTE_NOT_FOUND, "no such route")
        if question.headers.get("x-authorization") != self._rest_api_key:
            refuse(ApiError.AUTHENTICATION_INVALID, "X-Authorization is missing or wrong")
        if segments[0] not in self._state.apps:
            # not documented: the error for an unknown app key.
            refuse(ApiError.AUTHENTICATION_INVALID, "the app's API key in the path is unknown")
        if not all(AUDIENCE_NAME.fullmatch(name) for name in segments[1:]):
            # not documented: the error for a name outside the documented alphabet or length.
            refuse(ApiError.MALFORMED_PARAMETER, "audience name")
        return reader(question, *segments)


def _create(question: Question, app: str, name: str) -> Operation:
    fields = body_of(question, {"type", "description"})
    audience_type = choice(fields, "type", AUDIENCE_TYPES)
    description = fields.get("description", "")
    if not isinstance(description, str):
        malformed("description must be a string")

    def perform(state: State) -> object:
        state.create(app, name, audience_type, description)
        return {}  # documented as an empty JSON body

    return Operation(200, perform)


def _update(question: Question, app: str, name: str) -> Operation:
    fields = body_of(question, {"type", "ids"})
    audience_type = choice(fields, "type", AUDIENCE_TYPES)
    changes: dict[str, list[str]] = {"add": [], "remove": []}
    for position, element in enumerate(elements(fields)):
        where = f"ids[{position}]"
        only(element, _UPDATE_ELEMENT, where)
        changes[choice(element, "action", changes.keys(), f"{where}.")].append(member_id(element, where))
    if not any(changes.values()):
        # not documented: an update without elements.
        malformed("ids is empty")
    return _write(app, name, audience_type, changes["add"], changes["remove"], replaces=False)


def _replace(question: Question, app: str, name: str) -> Operation:
    # not documented for 1.0: the body, and that it may be empty; from the 1.1 page, with the type that 1.0 asks for.
    fields = body_of(question, {"type", "ids"})
    audience_type = choice(fields, "type", AUDIENCE_TYPES)
    members = []
    for position, element in enumerate(elements(fields)):
        where = f"ids[{position}]"
        only(element, _REPLACE_ELEMENT, where)
        members.append(member_id(element, where))
    return _write(app, name, audience_type, members, [], replaces=True)


def _write(
    app: str, name: str, audience_type: str, adds: list[str], removes: list[str], *, replaces: bool
) -> Operation:
    def perform(state: State) -> object:
        return {"indexing_token": state.write(app, name, audience_type, adds, removes, replaces=replaces)}

    return Operation(201, perform, len(adds), len(removes))


def _view(question: Question, app: str, name: str) -> Operation:
    query = query_of(question, {"indexing_token"})
    return Operation(200, lambda state: asdict(state.facts(app, name, query.get("indexing_token"))))


def _list(question: Question, app: str) -> Operation:
    query = query_of(question, {"from", "limit"})
    start = integer(query, "from", default=0)
    limit = integer(query, "limit", default=10)
    if not 1 <= limit <= MOST_LISTED:
        # The maximum is documented; that passing it is an error, instead of being lowered, is not.
        malformed(f"limit must be between 1 and {MOST_LISTED}")

    def perform(state: State) -> object:
        listed = [asdict(facts) for facts in state.page(app, start, limit)]
        for facts in listed:
            del facts["indexing_state"]  # only the view tells it
        return {"custom_audiences": listed}  # not documented: whether a total follows. Here: no.

    return Operation(200, perform)


def _delete(question: Question, app: str, name: str) -> Operation:
    query_of(question, set())

    def perform(state: State) -> object:
        state.delete(app, name)
        return {}

    return Operation(200, perform)


_UPDATE_ELEMENT = frozenset({"action", "id"})
_REPLACE_ELEMENT = frozenset({"id"})
_READERS: dict[tuple[str, int], Callable[..., Operation]] = {
    ("POST", 2): _create,
    ("PATCH", 2): _update,
    ("PUT", 2): _replace,
    ("GET", 2): _view,
    ("DELETE", 2): _delete,
    ("GET", 1): _list,
}
