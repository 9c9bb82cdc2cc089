"""
The lines of what was read: one for each day, and one for each version of it.

Every key that Batch sends is kept under its own name, known or not. A line has the fields of the list's entry beside
those of the day; where both have a key, the list's is called ``listed_…``, and that of the answer around the days
``answer_…``. The figures of a version are not a part of a sum: unique openings of the versions may be fewer or more
than those of the day. So the day keeps a line of its own, whose ``version`` is null, and each version has another; to
sum up lines, choose one of the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

#: Our own field in a line: when the figures were read.
READ_AT: Final = "read_at"
_VERSIONS: Final = "versions"
_VERSION: Final = "version"


def lines(entry: Mapping[str, Any], answer: Mapping[str, Any], days: str, read_at: str) -> Iterator[dict[str, Any]]:
    """
    Yield the lines of one *answer*.

    :param entry: what the list has about it.
    :param days: the name of the field with the days. An answer in another form becomes one line as it is.
    :param read_at: when it was read.
    """
    whole = {key: value for key, value in answer.items() if key != days}
    found: Any = answer.get(days)
    if not _are_objects(found):
        yield _line(entry, answer, read_at)
        return
    for day in found:
        versions = _versions(day.get(_VERSIONS))
        total = {_VERSION: None, **{key: value for key, value in day.items() if key != _VERSIONS or not versions}}
        yield _line(entry, {**_beside(total, whole, "answer"), **total}, read_at)
        for version in versions:
            # What distinguishes this day from another, such as its date, but none of its figures.
            named = {key: value for key, value in day.items() if isinstance(value, str) and key not in version}
            figures = {**named, **version}
            yield _line(entry, {**_beside(figures, whole, "answer"), **figures}, read_at)


def _line(entry: Mapping[str, Any], figures: Mapping[str, Any], read_at: str) -> dict[str, Any]:
    ours = {READ_AT: read_at}
    named = {**_beside(ours, figures, "answer"), **ours}
    return {**_beside(named, entry, "listed"), **named}


def _beside(inner: Mapping[str, Any], outer: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return *outer* with other names for the keys to which *inner* gives other values."""
    return {f"{prefix}_{key}" if inner.get(key, value) != value else key: value for key, value in outer.items()}


def _versions(value: object) -> list[dict[str, Any]]:
    if isinstance(value, dict) and _are_objects(list(value.values())):  # by their names
        return [{_VERSION: name, **version} for name, version in value.items()]
    return value if _are_objects(value) else []  # type: ignore[return-value]  # it was checked


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)
