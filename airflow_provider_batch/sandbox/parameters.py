"""
The parameters of a request, read strictly.

A missing, unknown or malformed parameter rejects the whole request. The reason repeats no unknown name and no value,
because either can be an id by mistake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Set
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from airflow_provider_batch.sandbox.errors import ApiError, Rejected, malformed
from airflow_provider_batch.sandbox.request import ApiRequest

# https://doc.batch.com/developer/api/mep/custom-audience/1.0/update, .../cep/audiences/update and .../replace
MAX_ELEMENTS = 10_000
# https://doc.batch.com/api/custom-audience/1.0/list/ and https://doc.batch.com/developer/api/cep/audiences/list
DEFAULT_LIMIT, MAX_LIMIT = 10, 100
ACTIONS = frozenset({"add", "remove"})


def body(request: ApiRequest, names: Set[str]) -> dict[str, Any]:
    """Return the JSON object in the body, which can have no other parameters than *names*."""
    fields = _json(request)
    check_object(fields, names, "the body")
    return dict(fields)


def array(request: ApiRequest) -> list[Any]:
    """Return the JSON array in the body."""
    entries = _json(request)
    if not isinstance(entries, list):
        raise malformed("the body must be an array")
    return entries


def _json(request: ApiRequest) -> Any:
    if request.query:
        raise malformed("this route takes no query")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        # Undocumented: the error for a wrong Content-Type. The sandbox sends the one that is not about a parameter.
        raise Rejected(ApiError.API_MISUSE, "Content-Type must be application/json")
    try:
        fields = json.loads(request.body.decode("utf-8"), parse_constant=_reject_constant)
        if b"\\u" in request.body:
            # Undocumented: an escaped half of a character (a lone surrogate), which UTF-8 cannot encode.
            json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Rejected(ApiError.MALFORMED_JSON_BODY, "the body is not JSON in UTF-8") from None
    return fields


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"Python reads {constant}, but JSON does not have it")


def query(request: ApiRequest, names: Set[str]) -> dict[str, str]:
    """Return the parameters of the query, which can have no other names than *names*."""
    if request.body:
        # Undocumented: the error for a body on a route that takes none.
        raise Rejected(ApiError.API_MISUSE, "this route takes no body")
    pairs = parse_qsl(request.query, keep_blank_values=True)
    found = dict(pairs)
    # Undocumented: whether unknown, repeated or empty parameters are errors. In the sandbox they are.
    if not found.keys() <= names or len(found) < len(pairs) or not all(found.values()):
        raise malformed("the query has an unknown, repeated or empty parameter")
    return found


def integer(holder: Mapping[str, str], name: str, default: int) -> int:
    """Return the parameter *name* of a query as a number of at most 9 digits, without a sign."""
    value = holder.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise malformed(f"{name} must be a whole number")
    return int(value)


def page_limit(holder: Mapping[str, str]) -> int:
    """Return how many audiences a page of a list holds at most."""
    limit = integer(holder, "limit", DEFAULT_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        # Undocumented: whether a larger limit is an error or lowered. In the sandbox it is an error.
        raise malformed(f"limit must be between 1 and {MAX_LIMIT}")
    return limit


def elements(holder: Mapping[str, Any], names: Set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each element of ``ids`` and its position, such as ``ids[0]``."""
    ids = required(holder, "ids")
    if not isinstance(ids, list):
        raise malformed("ids must be an array")
    if len(ids) > MAX_ELEMENTS:
        # Undocumented: the error for too many elements.
        raise malformed(f"ids has more than {MAX_ELEMENTS} elements")
    for position, element in enumerate(ids):
        # Undocumented: whether one wrong element rejects the whole request. In the sandbox it does.
        where = f"ids[{position}]"
        check_object(element, names, where)
        yield where, element


def member_id(element: Mapping[str, Any], where: str, longest: int | None) -> str:
    """Return the id of *element*; *longest* is the most characters that it can have, None for any number."""
    value = required(element, "id", f"{where}.")
    if not isinstance(value, str) or not value or (longest is not None and len(value) > longest):
        length = f"of 1 to {longest} characters" if longest else "and not empty"
        raise malformed(f"{where}.id must be a string {length}")
    return value


def choice(holder: Mapping[str, Any], name: str, allowed: Set[str], where: str = "") -> str:
    """Return the required parameter *name*, which must be one of *allowed*."""
    value = required(holder, name, where)
    if not isinstance(value, str) or value not in allowed:
        raise malformed(f"{where}{name} must be one of {', '.join(sorted(allowed))}")
    return value


def text(holder: Mapping[str, Any], name: str) -> str:
    """Return the optional string *name*; an empty one if it is missing."""
    value = holder.get(name, "")
    if not isinstance(value, str):
        raise malformed(f"{name} must be a string")
    return value


def required(holder: Mapping[str, Any], name: str, where: str = "") -> Any:
    """Return the parameter *name*, of any type; *where* is the position before its name in a reason."""
    if name not in holder:
        raise Rejected(ApiError.MISSING_PARAMETER, f"{where}{name} is missing")
    return holder[name]


def check_object(holder: object, names: Set[str], where: str) -> None:
    """Reject *holder* unless it is an object that has no other parameters than *names*."""
    if not isinstance(holder, dict):
        raise malformed(f"{where} must be an object")
    if not holder.keys() <= names:
        # Undocumented: whether unknown parameters are errors. In the sandbox they are.
        raise malformed(f"{where} has an unknown parameter")
