"""The profiles of one project. This module does not know HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

_TYPED = re.compile(r"(?:date|url)\((.+)\)")


def bare_name(key: str) -> str:
    """Return the name of an attribute without the type that its key declares."""
    typed = _TYPED.fullmatch(key)
    return typed[1] if typed else key


class Profiles:
    """The attributes of each profile, by its custom id."""

    def __init__(self) -> None:
        # By bare name, each with its key: an attribute has one type.
        self._profiles: dict[str, dict[str, tuple[str, Any]]] = {}

    def __len__(self) -> int:
        return len(self._profiles)

    def write(self, custom_id: str, attributes: Mapping[str, Any], most: int) -> bool:
        """Set and delete attributes; an unknown profile is created. Return False if there would be too many."""
        before = self._profiles.setdefault(custom_id, {})
        after = dict(before)
        for key, value in attributes.items():
            name = bare_name(key)
            if value is None:
                after.pop(name, None)
            else:
                after[name] = (key, _changed(after.get(name, (key, None))[1], value))
        # Undocumented: what happens to the others. In the sandbox no attribute of the entry is written.
        if len(after) > max(most, len(before)):
            return False
        del self._profiles[custom_id]  # the one that was written last is the last
        self._profiles[custom_id] = after
        return True

    def content(self) -> dict[str, dict[str, Any]]:
        """Return the attributes of every profile, by their keys."""
        return {custom_id: dict(found.values()) for custom_id, found in self._profiles.items()}

    def newest(self, most: int) -> dict[str, dict[str, Any]]:
        """Return the *most* profiles that were written last, the last first."""
        return {custom_id: dict(found.values()) for custom_id, found in islice(reversed(self._profiles.items()), most)}


def _changed(before: Any, value: Any) -> Any:
    """Return *value*, or the array *before* with the items that *value* adds and without those that it removes."""
    if not isinstance(value, dict):
        return value
    items = before if isinstance(before, list) else []
    removed = value.get("$remove", ())
    # Undocumented: whether an item can be twice in an array. In the sandbox it cannot.
    return [item for item in dict.fromkeys([*items, *value.get("$add", ())]) if item not in removed]
