"""
The attributes and tags of a member; the key of an attribute gives its type, as in ``date(birthday)``.

Pages: https://doc.batch.com/developer/api/cep/audiences/update and https://doc.batch.com/api/custom-audience/1.1/update/
No message repeats a key or a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_batch.sandbox.errors import malformed

# Undocumented: the characters of a name. The sandbox accepts all but brackets, so that it rejects types such as day(x).
_KEY = re.compile(r"(?:(date|url)\(([^()]+)\)|[^()]+)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
_RFC_3339 = re.compile(_DATE.pattern + r"(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})")

MAX_CEP_ATTRIBUTES = 15  # https://doc.batch.com/developer/api/cep/audiences/update


def cep_attributes(element: Mapping[str, Any], where: str) -> dict[str, object]:
    """Return the attributes of *element*: strings, numbers, arrays, dates in RFC 3339 and URLs; at most 15."""
    attributes = _attributes(element, where, _is_cep_value, is_rfc_3339)
    if len(attributes) > MAX_CEP_ATTRIBUTES:
        # Undocumented: the error for too many attributes.
        raise malformed(f"{where}.attributes has more than {MAX_CEP_ATTRIBUTES} entries")
    return attributes


def mep_attributes(element: Mapping[str, Any], where: str) -> dict[str, object]:
    """Return the attributes of *element*: strings, numbers, dates without a time zone and URLs."""
    # Undocumented: a maximum, and whether arrays are valid. The sandbox sets no maximum and rejects arrays.
    return _attributes(element, where, is_plain_value, _is_local_date)


def tags(element: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return the tags of *element*; none if it has no such parameter."""
    value = element.get("tags", [])
    if not is_array_of_strings(value) or "" in value:
        raise malformed(f"{where}.tags must be an array of strings that are not empty")
    return tuple(value)


Check = Callable[[object], bool]


def _attributes(element: Mapping[str, Any], where: str, is_value: Check, is_date: Check) -> dict[str, object]:
    attributes = element.get("attributes", {})
    if not isinstance(attributes, dict):
        raise malformed(f"{where}.attributes must be an object")
    for position, (key, value) in enumerate(attributes.items()):
        entry = f"{where}.attributes, entry {position}"
        typed = _KEY.fullmatch(key)
        if typed is None:
            raise malformed(f"{entry}: the key must be name, date(name) or url(name)")
        match typed[1]:
            case "date" if not is_date(value):
                raise malformed(f"{entry}: the value is not a date in the documented form")
            case "url" if not is_url(value):
                raise malformed(f"{entry}: the value is not an http or https URL")
            case None if not is_value(value):
                raise malformed(f"{entry}: Batch documents no value of this type")
    return dict(attributes)


def is_plain_value(value: object) -> bool:
    """Whether *value* is a string or a number that JSON has."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    return not isinstance(value, float) or math.isfinite(value)  # Python reads the JSON number 1e999 as infinity


def _is_cep_value(value: object) -> bool:
    # Undocumented: what an array can hold. The sandbox accepts strings.
    return is_array_of_strings(value) or is_plain_value(value)


def is_array_of_strings(value: object) -> bool:
    """Whether *value* is an array that holds nothing but strings."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def is_rfc_3339(value: object) -> bool:
    """Whether *value* is a date and time with a time zone, as RFC 3339 writes them."""
    return isinstance(value, str) and bool(_RFC_3339.fullmatch(value)) and _is_in_calendar(value)


def _is_local_date(value: object) -> bool:
    # Undocumented: whether a time zone is valid. The examples of the 1.1 update page have none.
    return isinstance(value, str) and bool(_DATE.fullmatch(value)) and _is_in_calendar(value)


def _is_in_calendar(date: str) -> bool:
    with suppress(ValueError):
        return bool(datetime.fromisoformat(date))
    return False


def is_url(value: object) -> bool:
    """Whether *value* is an http or https URL."""
    if isinstance(value, str) and not re.search(r"\s", value):
        with suppress(ValueError):
            parts = urlsplit(value)
            return parts.scheme in {"http", "https"} and bool(parts.hostname)
    return False
