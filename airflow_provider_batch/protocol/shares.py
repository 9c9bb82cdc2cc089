"""Limits that are a count (int), or a share of a whole (float)."""

from __future__ import annotations

from contextlib import suppress

from airflow_provider_batch.exceptions import InvalidArgumentError


def check_limit(limit: object, name: str) -> None:
    """
    Return if *limit* is a count, a share, or None.

    :raises InvalidArgumentError: if not.
    """
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0):
        return
    if not isinstance(limit, float) or not 0.0 <= limit <= 1.0:
        raise InvalidArgumentError(f"{name}: {limit!r:.80} is neither a count nor a share from 0.0 to 1.0")


def read_limit(limit: object, name: str) -> float | None:
    """
    Return *limit*, which a template may have turned into text: ``5000`` is a count, ``0.5`` a share, nothing is none.

    :raises InvalidArgumentError: if it is neither.
    """
    value = limit
    if isinstance(limit, str):
        with suppress(ValueError):  # a text that is no number is refused with the others
            value = None if limit.strip() in ("", "None") else float(limit) if "." in limit else int(limit)
    check_limit(value, name)
    return value  # type: ignore[return-value]  # it was checked


def most(limit: float | None, whole: int) -> float | None:
    """Return how many of *whole* the limit allows; None for any number."""
    return limit * whole if isinstance(limit, float) else limit
