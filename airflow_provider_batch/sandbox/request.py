"""The parts of one request, each read strictly; what is missing, unknown or malformed is refused by its position."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

from .errors import ApiError, Refused

MOST_ELEMENTS = 10_000
LONGEST_ID = 128


@dataclass(frozen=True, slots=True)
class Question:
    """One HTTP request; *path* still percent-encoded, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def segments(self) -> list[str]:
        """`/1.0/{key}/custom-audience[/{name}]` as [key] or [key, name]; empty for any other route."""
        match self.path.split("/"):
            case ["", "1.0", key, "custom-audience", *name] if key and len(name) < 2 and all(name):
                return [unquote(segment) for segment in (key, *name)]
        return []


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


def elements(fields: dict[str, Any]) -> list[Any]:
    if "ids" not in fields:
        refuse(ApiError.MISSING_PARAMETER, "ids")
    ids = fields["ids"]
    if not isinstance(ids, list):
        malformed("ids must be an array")
    if len(ids) > MOST_ELEMENTS:
        # The maximum is documented; which error passing it is, is not.
        malformed(f"ids has more than {MOST_ELEMENTS} elements")
    return ids


def member_id(element: dict[str, Any], where: str) -> str:
    # not documented: whether one wrong element spoils its request. Here: yes, nothing of it is written.
    if "id" not in element:
        refuse(ApiError.MISSING_PARAMETER, f"{where}.id")
    value = element["id"]
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID:
        malformed(f"{where}.id must be a string of 1 to {LONGEST_ID} characters")
    return value


def choice(holder: dict[str, Any], name: str, allowed: Set[str], where: str = "") -> str:
    if name not in holder:
        refuse(ApiError.MISSING_PARAMETER, f"{where}{name}")
    value = holder[name]
    if not isinstance(value, str) or value not in allowed:
        malformed(f"{where}{name} must be one of {', '.join(sorted(allowed))}")
    return value


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
