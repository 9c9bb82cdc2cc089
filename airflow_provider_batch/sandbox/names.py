"""The names and types of audiences that each version of the API accepts."""

from __future__ import annotations

import re

# https://doc.batch.com/api/custom-audience/1.0/create and https://doc.batch.com/developer/api/cep/audiences/create
AUDIENCE_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
NAME_RULE = "must be 1 to 255 letters, digits, _ and -"

MEP_TYPES = {"1.0": frozenset({"custom_ids", "advertising_ids"}), "1.1": frozenset({"install_ids"})}
# https://doc.batch.com/api/audience/create/ (2.2, 2.3) lists only this one.
# Undocumented: whether later versions accept more types. The sandbox does not.
CEP_TYPES = frozenset({"custom_ids"})
ALL_TYPES = frozenset[str]().union(*MEP_TYPES.values(), CEP_TYPES)


def parse_audience(text: str) -> tuple[str, str]:
    """
    Return the audience's name and type.

    :param text: ``name`` or ``name:type``; a name alone stands for the type ``custom_ids``.
    :raises ValueError: if the name or the type is not valid.
    """
    name, colon, audience_type = text.partition(":")
    if not AUDIENCE_NAME.fullmatch(name):
        raise ValueError(f"an audience name {NAME_RULE}")
    if colon and audience_type not in ALL_TYPES:
        raise ValueError(f"the type after an audience name must be one of {', '.join(sorted(ALL_TYPES))}")
    return name, audience_type or "custom_ids"
