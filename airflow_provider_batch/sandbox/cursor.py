"""The pages of the lists of 2.x, whose cursor only this sandbox can read."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from airflow_provider_batch.sandbox.errors import malformed


def cursor(name: str, listed: Sequence[tuple[int, Any]], below: int | None, limit: int) -> dict[str, object]:
    """
    Return one page of *listed*, whose entries have numbers that descend.

    :param name: the field with the entries.
    :param below: the number that the page begins after; None for the first page.
    """
    rest = [item for item in listed if below is None or item[0] < below]
    page: dict[str, object] = {name: [entry for _, entry in rest[:limit]]}
    if below is None:
        page["count"] = len(listed)  # Undocumented: what is counted. The sandbox counts all entries.
    page["has_more"] = len(rest) > limit
    if len(rest) > limit:
        # Undocumented: next_from on the last page. The sandbox leaves it out.
        # The number of the last entry, and not its position, so that a new entry shifts no later page.
        page["next_from"] = base64.urlsafe_b64encode(f"below {rest[limit - 1][0]}".encode()).decode()
    return page


def number_in(text: str) -> int:
    """Return the number in the cursor of an earlier page."""
    with suppress(ValueError):
        if number := re.fullmatch(rb"below ([0-9]{1,9})", base64.urlsafe_b64decode(text.encode())):
            return int(number[1])
    # Undocumented: the error for a cursor that no page returned.
    raise malformed("from must be the next_from of an earlier page")
