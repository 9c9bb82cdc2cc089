"""Profiles of five attributes, as a database's cursor returns them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

#: Profiles in one call.
CALL: Final = 10_000

NAMES: Final = ("custom_id", "plan", "city", "score", "vip", "date__last_order")
_PLANS: Final = ("free", "silver", "gold")
_CITIES: Final = ("Paris", "Lyon", "Marseille", "Besançon", "Lille")
_FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)


def rows(count: int) -> list[tuple[Any, ...]]:
    """Return so many rows."""
    return [
        (
            f"user-{number:07}",
            _PLANS[number % 3],
            _CITIES[number % 5],
            number % 1_000,
            number % 2 == 0,
            _FIRST + timedelta(seconds=number),
        )
        for number in range(count)
    ]


def lift_limit() -> None:
    """Let the calls of this process go without Batch's limit in ids."""
    from airflow_provider_batch.transport import pace  # the peers' environment does not have it

    pace._Spent.free = lambda self, count, now: now  # type: ignore[method-assign]


def entries(block: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return rows as a loop writes them for `json=`."""
    return [
        {
            "identifiers": {"custom_id": custom_id},
            "attributes": {
                "plan": plan,
                "city": city,
                "score": score,
                "vip": vip,
                "date(last_order)": last_order.isoformat(),
            },
        }
        for custom_id, plan, city, score, vip, last_order in block
    ]


class Cursor:
    """A DB-API cursor, and its connection and hook, over rows in memory: fetching costs as little as it can."""

    description = tuple((name, *[None] * 6) for name in NAMES)

    def __init__(self, found: list[tuple[Any, ...]]) -> None:
        self._rows = found
        self._at = 0

    def get_conn(self) -> Cursor:
        """Return the connection."""
        return self

    cursor = get_conn

    def execute(self, sql: str) -> None:
        """Begin with the first row."""
        self._at = 0

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        """Return the next rows."""
        self._at += size
        return self._rows[self._at - size : self._at]

    def close(self) -> None:
        """Do nothing."""
