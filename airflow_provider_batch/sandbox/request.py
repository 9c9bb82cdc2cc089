"""The parts of one request, each read strictly; what is missing, unknown or malformed is refused by its position."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from .errors import ApiError, Refused
from .state import State

MOST_ELEMENTS = 10_000
MOST_LISTED = 100
ACTIONS = frozenset({"add", "remove"})


@dataclass(frozen=True, slots=True)
class Question:
    """One HTTP request; *path* still percent-encoded, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Operation:
    """A request that was read and found right: *perform* it to get the body of the answer.

    *adds* and *removes* count the elements of the request.
    """

    status: int
    perform: Callable[[State], object]
    adds: int = 0
    removes: int = 0


def body_of(question: Question, names: Set[str]) -> dict[str, Any]:
    if question.query:
        malformed("this route takes no query")
    if question.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        # not documented: the error for a wrong Content-Type; this is the one that speaks of no parameter.
        refuse(ApiError.API_MISUSE, "Content-Type must be application/json")
    try:
        body = json.loads(question.body.decode("utf-8"), parse_constant=_not_json)
    except (ValueError, RecursionError):
        raise Refused(ApiError.MALFORMED_JSON_BODY, "the body is not JSON in UTF-8") from None
    only(body, names, "the body")
    return dict(body)


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is Python's, not JSON's")


def query_of(question: Question, names: Set[str]) -> dict[str, str]:
    """Each parameter once and with a value. None of these routes takes a body."""
    if question.body:
        refuse(ApiError.API_MISUSE, "this route takes no body")  # not documented
    pairs = parse_qsl(question.query, keep_blank_values=True)
    query = dict(pairs)
    # not documented: whether unknown, empty or repeated parameters are errors.
    if not query.keys() <= names or len(query) < len(pairs) or not all(query.values()):
        malformed("the query has an unknown, repeated or empty parameter")
    return query


def integer(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", value):
        malformed(f"{name} must be a whole number")
    return int(value)


def limit_of(query: Mapping[str, str]) -> int:
    limit = integer(query, "limit", default=10)
    if not 1 <= limit <= MOST_LISTED:
        # The maximum is documented; that passing it is an error, instead of being lowered, is not.
        malformed(f"limit must be between 1 and {MOST_LISTED}")
    return limit


def elements(fields: Mapping[str, Any], names: Set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each element of `ids` with its position."""
    ids = required(fields, "ids")
    if not isinstance(ids, list):
        malformed("ids must be an array")
    if len(ids) > MOST_ELEMENTS:
        # The maximum is documented; which error passing it is, is not.
        malformed(f"ids has more than {MOST_ELEMENTS} elements")
    for position, element in enumerate(ids):
        # not documented: whether one wrong element spoils its request. Here: yes, nothing of it is written.
        where = f"ids[{position}]"
        only(element, names, where)
        yield where, element


def member_id(element: Mapping[str, Any], where: str, longest: int | None) -> str:
    value = required(element, "id", f"{where}.")
    if not isinstance(value, str) or not value or (longest is not None and len(value) > longest):
        malformed(
            f"{where}.id must be a string of 1 to {longest} characters" if longest else f"{where}.id is no string"
        )
    return value


def choice(holder: Mapping[str, Any], name: str, allowed: Set[str], where: str = "") -> str:
    value = required(holder, name, where)
    if not isinstance(value, str) or value not in allowed:
        malformed(f"{where}{name} must be one of {', '.join(sorted(allowed))}")
    return value


def text(holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name, "")
    if not isinstance(value, str):
        malformed(f"{name} must be a string")
    return value


def required(holder: Mapping[str, Any], name: str, where: str = "") -> Any:
    if name not in holder:
        refuse(ApiError.MISSING_PARAMETER, f"{where}{name}")
    return holder[name]


def only(holder: object, names: Set[str], where: str) -> None:
    if not isinstance(holder, dict):
        malformed(f"{where} must be an object")
    if not holder.keys() <= names:
        # not documented: whether unknown parameters are errors; their names may be ids by mistake, so none is told.
        malformed(f"{where} has an unknown parameter")


def malformed(reason: str) -> NoReturn:
    refuse(ApiError.MALFORMED_PARAMETER, reason)


def refuse(error: ApiError, reason: str) -> NoReturn:
    raise Refused(error, reason)
