"""The names and types of audiences, as each part of the API allows them."""

from __future__ import annotations

import re

# https://doc.batch.com/api/custom-audience/1.0/create and https://doc.batch.com/developer/api/cep/audiences/create
AUDIENCE_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")

MEP_TYPES = {"1.0": frozenset({"custom_ids", "advertising_ids"}), "1.1": frozenset({"install_ids"})}
# not documented: whether later 2.x versions take more. The pages of 2.2 and 2.3 know this one only.
CEP_TYPES = frozenset({"custom_ids"})
ALL_TYPES = frozenset[str]().union(*MEP_TYPES.values(), CEP_TYPES)


def audience_of(text: str) -> tuple[str, str]:
    """Name and type out of `name` or `name:type`; a name alone means `custom_ids`.

    Raises ValueError for what is neither.
    """
    name, colon, audience_type = text.partition(":")
    if not AUDIENCE_NAME.fullmatch(name):
        raise ValueError("an audience name has 1 to 255 letters, digits, _ and -")
    if colon and audience_type not in ALL_TYPES:
        raise ValueError(f"after the audience name, a type must be one of {', '.join(sorted(ALL_TYPES))}")
    return name, audience_type or "custom_ids"
