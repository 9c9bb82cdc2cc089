"""What may come with an id: attributes, whose key tells the kind of the value, and tags.

Pages: https://doc.batch.com/developer/api/cep/audiences/update and https://doc.batch.com/api/custom-audience/1.1/update/
No message tells a key or a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from .request import malformed

# not documented: the alphabet of a name. Here: no brackets, so that no kind is misspelt unnoticed, and some length.
_KEY = re.compile(r"(?:(date|url)\(([^()]+)\)|[^()]+)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
_RFC_3339 = re.compile(_DATE.pattern + r"(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})")

MOST_CEP_ATTRIBUTES = 15


def cep_attributes(element: Mapping[str, Any], where: str) -> dict[str, object]:
    """At most 15: text, number, array; `date(x)` in RFC 3339, `url(x)`."""
    attributes = _attributes(element, where, _is_cep_value, _is_rfc_3339)
    if len(attributes) > MOST_CEP_ATTRIBUTES:
        # The maximum is documented; which error passing it is, is not.
        malformed(f"{where}.attributes has more than {MOST_CEP_ATTRIBUTES} entries")
    return attributes


def mep_attributes(element: Mapping[str, Any], where: str) -> dict[str, object]:
    """Text, number; `date(x)` without a zone, `url(x)`. not documented: how many, and whether arrays are taken."""
    return _attributes(element, where, _is_plain_value, _is_local_date)


def tags(element: Mapping[str, Any], where: str) -> tuple[str, ...]:
    value = element.get("tags", [])
    if not _is_array_of_texts(value) or "" in value:
        malformed(f"{where}.tags must be an array of strings that are not empty")
    return tuple(value)


Check = Callable[[object], bool]


def _attributes(element: Mapping[str, Any], where: str, is_value: Check, is_date: Check) -> dict[str, object]:
    attributes = element.get("attributes", {})
    if not isinstance(attributes, dict):
        malformed(f"{where}.attributes must be an object")
    for position, (key, value) in enumerate(attributes.items()):
        spot = f"{where}.attributes, entry {position}"
        kind = _KEY.fullmatch(key)
        if kind is None:
            malformed(f"{spot}: the key must be a name, date(name) or url(name)")
        match kind[1]:
            case "date" if not is_date(value):
                malformed(f"{spot}: this is no date as documented")
            case "url" if not _is_url(value):
                malformed(f"{spot}: this is no http or https URL")
            case None if not is_value(value):
                malformed(f"{spot}: a value of this kind is not documented")
    return dict(attributes)


def _is_plain_value(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    return not isinstance(value, float) or math.isfinite(value)  # 1e999 is JSON and no number


def _is_cep_value(value: object) -> bool:
    # not documented: what an array may hold. Here: strings.
    return _is_array_of_texts(value) or _is_plain_value(value)


def _is_array_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_rfc_3339(value: object) -> bool:
    return isinstance(value, str) and bool(_RFC_3339.fullmatch(value)) and _exists(value)


def _is_local_date(value: object) -> bool:
    # The examples carry no zone. not documented: whether one would be taken.
    return isinstance(value, str) and bool(_DATE.fullmatch(value)) and _exists(value)


def _exists(date: str) -> bool:
    try:
        datetime.fromisoformat(date)
    except ValueError:
        return False
    return True


def _is_url(value: object) -> bool:
    if not isinstance(value, str) or re.search(r"\s", value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
