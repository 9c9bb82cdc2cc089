"""What Airflow passes for the results of several tasks: lazy sequences of their XComs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

#: The results of mapped tasks in Airflow 3 and 2; in the latter also those of several tasks in one template.
_MAPPED = {"LazyXComSequence", "LazyXComSelectSequence"}


def concatenated(values: Any) -> Any:
    """
    Return the lists in the lazy results of several tasks as one list, and any other value unchanged.

    What a mapped task returns are ids; what the list of an ordinary task has are ids or rows, which stay what they are.
    """
    if "_ConcatResult" in _kinds(values):
        return values_of(values.values)
    return [value for result in values for value in _items(result)] if _is_mapped(values) else values


def values_of(results: Iterable[Any]) -> list[Any]:
    """Return the values of several tasks as one list."""
    return [value for result in results for value in _items(concatenated(result))]


def _is_mapped(values: Any) -> bool:
    kinds = _kinds(values)
    if "_MapResult" in kinds:
        return _is_mapped(values.value)
    return bool(_MAPPED & kinds) or ("_ConcatResult" in kinds and any(map(_is_mapped, values.values)))


def _kinds(values: Any) -> set[str]:
    """Return the names of the value's classes, whose modules differ between the versions of Airflow."""
    return {kind.__name__ for kind in type(values).__mro__}


def _items(result: Any) -> Iterable[Any]:
    return result if isinstance(result, Sequence | Set) and not isinstance(result, str | bytes) else [result]
