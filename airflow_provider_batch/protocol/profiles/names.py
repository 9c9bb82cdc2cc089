"""
The name of a column -> the key of an attribute.

Batch's own sync from warehouses declares types in the names of columns, as SQL does not allow brackets there:
https://doc.batch.com/getting-started/features/customer-engagement-platform/profiles/cloud-sync. The same names are read
here, so that one table serves both.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from airflow_provider_batch.protocol.limits import ATTRIBUTE_KEY, ATTRIBUTE_NAME_RULE

#: The column by which Batch's own sync finds what has changed; it is not an attribute.
NEVER_SENT: Final = "last_updated_at"

_FORMS: Final = {"date": "date({})", "url": "url({})", "batch": "${}"}
_TYPED: Final = re.compile(r"(date|url)\((.+)\)")
#: What a reason shows of a name.
_LONGEST: Final = 80


def folded(name: str) -> str:
    """Return the name of a column in lower case if it is in upper case, as some warehouses return every name."""
    return name.lower() if name.isupper() else name


@lru_cache(1_024)
def key_of(name: object, *, literal: bool = False) -> str:
    """
    Return the key of the attribute that the column *name* holds.

    :param literal: whether *name* is the key itself.
    :raises ValueError: with the reason, if Batch accepts no such key.
    """
    if not isinstance(name, str):
        raise ValueError(f"the name of an attribute must be text, not {type(name).__name__}")
    key = name if literal else _form(folded(name))
    if not ATTRIBUTE_KEY.fullmatch(key):
        raise ValueError(
            f"attribute {name[:_LONGEST]!r}: Batch accepts names of {ATTRIBUTE_NAME_RULE}, also in date(…) and url(…). "
            "Rename it, or map it with attribute_columns."
        )
    return key


@lru_cache(1_024)
def declared(key: str) -> tuple[str, str]:
    """Return the type that *key* declares, or an empty text, and the name alone."""
    found = _TYPED.fullmatch(key)
    return (found[1], found[2]) if found else ("", key)


def _form(name: str) -> str:
    kind, _, rest = name.partition("__")
    return _FORMS[kind].format(rest) if rest and kind in _FORMS else name
