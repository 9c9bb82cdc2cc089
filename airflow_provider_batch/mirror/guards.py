"""Checks of a new set by its numbers, before anything is sent; pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_batch.exceptions import EmptySetError, GuardError, counted
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.protocol.arguments import check_limit, most

_IF_INTENDED = "Nothing was sent. If the numbers are as intended, run once with a higher limit."


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What a run may change before it counts as a mistake.

    :param max_shrink: how much smaller the set may get: a share of the last one (float), or a count (int).
    :param max_changes: how many ids may be sent: a share of the last set (float), or a count (int).
    :param allow_empty: whether the set may be empty.
    :raises InvalidArgumentError: if a value is not a valid limit.
    """

    max_shrink: float | None = None
    max_changes: float | None = None
    allow_empty: bool = False

    def __post_init__(self) -> None:
        check_limit(self.max_shrink, "max_shrink")
        check_limit(self.max_changes, "max_changes")


def check_all(audience_name: str, counts: Counts, before: int | None, limits: Limits, *, replaces: bool) -> None:
    """
    Check that a new set does not look like a mistake.

    :param before: how many ids the last set has; None without one.
    :param replaces: the audience is replaced, to which ``max_changes`` does not apply.
    :raises GuardError: if it does; the error gives the numbers.
    """
    check_not_empty(audience_name, counts.given, allow_empty=limits.allow_empty)
    if before is None:
        return
    check_shrink(audience_name, before, counts.given, limits.max_shrink)
    if not replaces:
        check_changes(audience_name, before, counts.adds, counts.removes, limits.max_changes)


def check_not_empty(audience_name: str, given: int, *, allow_empty: bool) -> None:
    """Raise EmptySetError unless the new set has ids or may be empty."""
    if not given and not allow_empty:
        raise EmptySetError(
            f"{audience_name}: the set of ids is empty, which would remove all members. If that is intended, pass "
            "allow_empty=True."
        )


def check_shrink(
    audience_name: str, before: int, after: int, max_shrink: float | None, *, whose: str = "the last set"
) -> None:
    """
    Raise GuardError if the set gets smaller by more than *max_shrink*.

    :param max_shrink: a count, or a share of *before* if it is a float; None for any.
    :param whose: the set that has *before* ids.
    """
    allowed = most(max_shrink, before)
    if allowed is not None and before - after > allowed:
        raise GuardError(
            f"{audience_name}: ids in {whose}: {before:,}, in the new set: {after:,}. It shrinks by "
            f"{_share(before - after, before)}, more than max_shrink={max_shrink}. {_IF_INTENDED}"
        )


def check_changes(audience_name: str, before: int, adds: int, removes: int, max_changes: float | None) -> None:
    """
    Raise GuardError if more than *max_changes* ids are to be sent.

    :param max_changes: a count, or a share of *before* if it is a float; None for any.
    """
    allowed = most(max_changes, before)
    if allowed is not None and adds + removes > allowed:
        raise GuardError(
            f"{audience_name}: ids in the last set: {before:,}, to add: {adds:,}, to remove: {removes:,}. The changes "
            f"are {_share(adds + removes, before)}, more than max_changes={max_changes}. {_IF_INTENDED}"
        )


def drift(nb_ids: int | None, count: int, uncertain: int = 0) -> str | None:
    """
    Return a message if Batch counts another number of ids than the snapshot; None if it does not, or is unknown.

    :param nb_ids: from the view of the audience, once everything is indexed.
    :param uncertain: how many ids may be members or not, such as those that Batch rejected.
    """
    if nb_ids is None or abs(nb_ids - count) <= uncertain:
        return None
    numbers = f"Batch counts {counted(nb_ids, 'id')}, {abs(nb_ids - count):,}"
    if nb_ids > count:
        return (
            f"{numbers} more than the snapshot: something else added them, they were members before, or a write whose "
            "answer was lost was applied late. To replace all members, pass full_refresh=True."
        )
    return (
        f"{numbers} fewer than the snapshot: something else removed them, the audience was created anew, or a write "
        "whose answer was lost was applied late. To send all ids again, pass full_refresh=True."
    )


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.1%})" if whole else f"{part:,}"
