"""Attributes and tags of a member -> the JSON of one version of the API, or ValueError with the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Final

from airflow_provider_batch.protocol.dialect import MemberRules

#: How a key declares the type of its value: https://doc.batch.com/developer/api/cep/audiences/update
_TYPED_KEY: Final = re.compile(r"(date|url)\((.+)\)")

#: A scheme and something behind it; an app's own addresses count.
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")

#: What the reason of a refusal shows of an attribute's name.
_LONGEST_NAME: Final = 80

_USUAL_KINDS: Final = frozenset(("text", "number"))
#: Any integer below can be converted to a float.
_LARGEST: Final = 2**63

_NUMBERS: Final = (int, float, Decimal)
_KINDS: Final = {"text": "text", "number": "numbers", "date": "dates", "url": "addresses", "array": "arrays"}


def extras(attributes: object, tags: object, rules: MemberRules) -> str:
    """
    Return what follows the id in its JSON object, without braces; empty if there is nothing.

    The same attributes give the same text, in whatever order they come: a mirror compares it to find what has changed.

    :raises ValueError: with the reason, for what this version of the API does not take.
    """
    text = ",".join(filter(None, (_attributes(attributes, rules), _tags(tags, rules))))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            "an attribute or tag has a lone surrogate; decode the source with the right encoding"
        ) from None
    return text


def _attributes(attributes: object, rules: MemberRules) -> str:
    if attributes is None or attributes == {}:
        return ""
    if not rules.kinds:
        raise ValueError(f"API {rules.version} takes no attributes; pass the id alone")
    if type(attributes) is dict and (text := _usual(attributes, rules)) is not None:
        return text
    if not isinstance(attributes, Mapping):
        raise ValueError(f"attributes must be a dict of names and values, not {type(attributes).__name__}")
    encoded: dict[str, str] = {}
    for name, value in attributes.items():
        if value is None:  # a NULL of a database: nothing is known
            continue
        key, text = _encoded(name, value, rules)
        if key in encoded:
            raise ValueError(f"attribute {_shown(name)} is given twice; its key is {_shown(key)}")
        encoded[key] = text
    if len(encoded) > rules.most_attributes:
        raise ValueError(
            f"{len(encoded)} attributes are more than the {rules.most_attributes} that API {rules.version} takes"
        )
    fields = ",".join([f"{encode_basestring(key)}:{encoded[key]}" for key in sorted(encoded)])
    return f'"attributes":{{{fields}}}' if fields else ""


def _usual(attributes: dict[Any, Any], rules: MemberRules) -> str | None:
    """
    Return the JSON of *attributes* if all are text and ordinary numbers, as most are; None if they need a closer look.

    It takes a tenth of the time: most members have attributes of the same names, and these are looked at once.
    """
    fields = _fields(tuple(attributes))
    if not fields or len(fields) > rules.most_attributes or not rules.kinds >= _USUAL_KINDS:
        return None
    texts = []
    for name, key in fields:
        value = attributes[name]
        kind = type(value)
        if kind is str:
            texts.append(key + encode_basestring(value))
        elif (kind is int and -_LARGEST < value < _LARGEST) or (kind is float and math.isfinite(value)):
            texts.append(f"{key}{value!r}")
        else:
            return None
    return f'"attributes":{{{",".join(texts)}}}'


@lru_cache(maxsize=256)
def _fields(names: tuple[object, ...]) -> tuple[tuple[str, str], ...]:
    """Return *names* in order, each with its JSON; nothing if one of them declares a type, or is not valid."""
    valid = [name for name in names if isinstance(name, str) and name.strip() and not name.endswith(")")]
    return tuple((name, f"{encode_basestring(name)}:") for name in sorted(valid)) if len(valid) == len(names) else ()


def _encoded(name: object, value: Any, rules: MemberRules) -> tuple[str, str]:
    """Return the key of one attribute, and its value in JSON."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError("an attribute's name must be text that is not blank")
    typed = _TYPED_KEY.fullmatch(name) if name.endswith(")") else None
    kind = _kind(typed[1] if typed else "", value, name)
    if kind not in rules.kinds:
        raise ValueError(f"attribute {_shown(name)}: API {rules.version} takes no {_KINDS[kind]}")
    if kind == "number":
        return name, _number(value, name)
    if kind == "date":
        return name if typed else f"date({name})", f'"{_moment(value, rules.zone, name)}"'
    if kind == "array":
        return name, _array(encode_basestring(item) if isinstance(item, str) else _number(item, name) for item in value)
    return name, encode_basestring(value)


def _kind(declared: str, value: object, name: str) -> str:
    """Return the kind of *value*, which must be the one that its key declares."""
    if isinstance(value, str):
        if declared == "url" and not _ADDRESS.fullmatch(value):
            raise ValueError(f"attribute {_shown(name)}: its value is not a URL such as https://…")
        return declared or "text"
    if isinstance(value, date):  # a datetime is one, too
        kind = "date"
    elif isinstance(value, _NUMBERS) and not isinstance(value, bool):
        kind = "number"
    elif isinstance(value, (list, tuple)):
        kind = "array"
        if not all(isinstance(item, (str, *_NUMBERS)) and not isinstance(item, bool) for item in value):
            raise ValueError(f"attribute {_shown(name)}: an array may hold text and numbers only")
    else:
        remedy = "; pass 0 or 1, or text" if isinstance(value, bool) else ""
        raise ValueError(f"attribute {_shown(name)}: a value of type {type(value).__name__} cannot be sent{remedy}")
    if declared not in ("", kind):
        raise ValueError(f"attribute {_shown(name)}: its key asks for another type than {type(value).__name__}")
    return kind


def _moment(value: Any, zone: str, name: str) -> str:
    """Write a date and time in UTC, to the second; one without a zone is taken for UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"attribute {_shown(name)}: its text is not a date such as 2026-01-31T12:00:00") from None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone is written, or not, by the version
    if value.tzinfo is not None:
        try:
            value = value.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:  # in UTC it would be before year 1, or after 9999
            raise ValueError(f"attribute {_shown(name)}: its date is out of range in UTC; leave it out") from None
    return f"{value.isoformat(timespec='seconds')}{zone}"


def _number(value: Any, name: str) -> str:
    try:
        finite = math.isfinite(value)
    except (OverflowError, ValueError):  # an integer that no float can hold, a signalling NaN
        finite = False
    if not finite:
        raise ValueError(f"attribute {_shown(name)}: JSON has no NaN and nothing above 1.8e308; leave it out")
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    return float.__repr__(value) if isinstance(value, float) else int.__repr__(value)  # whatever a subclass would print


def _tags(tags: object, rules: MemberRules) -> str:
    if tags is None:
        return ""
    if isinstance(tags, str | bytes | Mapping) or not isinstance(tags, Iterable):
        raise ValueError(f"tags must be a list of texts, not {type(tags).__name__}")
    given = list(tags)
    if not all(isinstance(tag, str) and tag.strip() for tag in given):
        raise ValueError("a tag must be text that is not blank")
    if given and not rules.tags:
        raise ValueError(f"API {rules.version} takes no tags; pass the id alone")
    return f'"tags":{_array(map(encode_basestring, dict.fromkeys(given)))}' if given else ""


def _array(items: Iterable[str]) -> str:
    return f"[{','.join(items)}]"


def _shown(name: str) -> str:
    return repr(name[:_LONGEST_NAME])
