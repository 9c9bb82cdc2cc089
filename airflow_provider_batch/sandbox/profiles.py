"""
The profile API 2.x, read strictly: its two routes that write attributes.

Pages: https://doc.batch.com/developer/api/cep/profiles, and update and mass-update-profile under it. Only the first
part of each page was read. What a partial error looks like, and some limits, are known from third parties alone; each
of them is marked as undocumented. No message repeats an id or a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_batch.sandbox import parameters
from airflow_provider_batch.sandbox.attributes import is_array_of_strings, is_plain_value, is_rfc_3339, is_url
from airflow_provider_batch.sandbox.errors import malformed
from airflow_provider_batch.sandbox.profile import bare_name
from airflow_provider_batch.sandbox.request import ApiRequest, Operation
from airflow_provider_batch.sandbox.routes import Route
from airflow_provider_batch.sandbox.state import State

#: The most entries of a call, by its route: https://doc.batch.com/developer/api/cep/profiles/update and .../mass-update
MAX_ENTRIES = {"profiles/update": 200, "profiles/mass-update": 10_000}

# Undocumented: these two are known from third parties.
LONGEST_TEXT = 300
MAX_ATTRIBUTES = 50

_KEY = re.compile(r"(?:(date|url)\(([a-z0-9_]{1,30})\)|[a-z0-9_]{1,30})")
_CONSENT = {"subscribed", "unsubscribed"}
_TWO_LETTERS = re.compile(r"[A-Za-z]{2}")
_TIMEZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")


def read(request: ApiRequest, route: Route) -> Operation:
    """Return the operation that *request* asks for: each entry is written, except for attributes with an error."""
    entries = parameters.array(request)
    if len(entries) > (most := MAX_ENTRIES[route.verb or ""]):
        # Undocumented: the error. "Or the API call will be rejected", the page has.
        raise malformed(f"the body has more than {most} entries")
    if not entries:
        raise malformed("the body is empty")  # Undocumented: whether it may be.
    profiles = [_entry(entry, f"[{position}]") for position, entry in enumerate(entries)]

    def perform(state: State) -> object:
        errors: list[dict[str, object]] = []
        for index, (custom_id, attributes) in enumerate(profiles):
            valid, found = _checked(attributes)
            if not state.write_profile(route.key, custom_id, valid, MAX_ATTRIBUTES):
                found.append(("", f"a profile has at most {MAX_ATTRIBUTES} attributes"))
            errors += [_error(index, name, reason) for name, reason in found]
        return {"code": "SUCCESS_WITH_PARTIAL_ERRORS", "errors": errors} if errors else {"code": "SUCCESS"}

    return Operation(202, perform, adds=len(profiles))


def _entry(entry: Any, where: str) -> tuple[str, Mapping[str, Any]]:
    # Undocumented: whether one malformed entry rejects the whole call. In the sandbox it does.
    parameters.check_object(entry, {"identifiers", "attributes"}, where)
    identifiers = parameters.required(entry, "identifiers", where)
    # An installation is the other identifier of the page; the sandbox has custom ids alone.
    parameters.check_object(identifiers, {"custom_id"}, f"{where}.identifiers")
    custom_id = parameters.required(identifiers, "custom_id", f"{where}.identifiers.")
    if not isinstance(custom_id, str) or not custom_id:
        raise malformed(f"{where}.identifiers.custom_id must be a string and not empty")
    attributes = entry.get("attributes", {})
    if not isinstance(attributes, dict):
        raise malformed(f"{where}.attributes must be an object")
    return custom_id, attributes


def _checked(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the attributes that can be written, and name and fault of each of the others."""
    valid: dict[str, Any] = {}
    faults: list[tuple[str, str]] = []
    seen: set[str] = set()
    for key, value in attributes.items():
        fault = _fault(key, value)
        if not fault and bare_name(key) in seen:
            fault = "the attribute is given twice"
        seen.add(bare_name(key))
        if fault:
            faults.append((key, fault))
        else:
            valid[key] = value
    return valid, faults


def _fault(key: str, value: Any) -> str:
    if key.startswith("$"):
        if key not in _NATIVE:
            return "Batch has no native attribute of this name"
        return "" if value is None or _NATIVE[key](value) else "the value is not one of this native attribute"
    typed = _KEY.fullmatch(key)
    if typed is None:
        return "a name has 1 to 30 characters of a-z, 0-9 and _"
    if value is None:
        return ""
    match typed[1]:
        case "date":
            return "" if is_rfc_3339(value) else "the value is not a date in RFC 3339"
        case "url":
            return "" if is_url(value) else "the value is not an http or https URL"
    if isinstance(value, str):
        return "" if 1 <= len(value) <= LONGEST_TEXT else f"a text has 1 to {LONGEST_TEXT} characters"
    valid = isinstance(value, bool) or is_plain_value(value) or _is_array(value)
    return "" if valid else "Batch documents no value of this type"


def _is_array(value: object) -> bool:
    if isinstance(value, dict):
        # $remove is inferred from $add, which an official example has.
        return bool(value) and value.keys() <= {"$add", "$remove"} and all(map(is_array_of_strings, value.values()))
    return is_array_of_strings(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _matches(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


def _error(index: int, attribute: str, reason: str) -> dict[str, object]:
    # Undocumented: the values of category.
    return {
        "category": "INVALID_ATTRIBUTE",
        "bulk_index": index,
        "reason": reason,
        **({"attribute": attribute} if attribute else {}),
    }


_NATIVE: dict[str, Callable[[object], bool]] = {
    "$email_address": _is_text,
    "$email_marketing": lambda value: value in _CONSENT,
    "$phone_number": _is_text,
    "$sms_marketing": lambda value: value in _CONSENT,
    "$language": _matches(_TWO_LETTERS),
    "$region": _matches(_TWO_LETTERS),
    "$timezone": _matches(_TIMEZONE),
    "$topic_preferences": _is_array,
}
