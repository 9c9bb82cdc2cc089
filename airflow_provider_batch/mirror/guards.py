"""What may be wrong with a new set, said in figures before anything is sent; pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_batch.exceptions import EmptySetError, GuardError
from airflow_provider_batch.protocol.arguments import check_limit, most


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What a run may do without being taken for a mistake.

    :param max_shrink: how much smaller the set may get: a share of the last one (float), or a count (int).
    :param max_changes: how many ids may be sent: a share of the last set (float), or a count (int).
    :param allow_empty: whether there may be no ids at all.
    :raises InvalidArgumentError: if one of them is not a limit.
    """

    max_shrink: float | None = None
    max_changes: float | None = None
    allow_empty: bool = False

    def __post_init__(self) -> None:
        check_limit(self.max_shrink, "max_shrink")
        check_limit(self.max_changes, "max_changes")


def check_not_empty(audience_name: str, given: int, *, allow_empty: bool) -> None:
    """
    Return if the new set has ids, or need not have any.

    :raises EmptySetError: otherwise.
    """
    if not given and not allow_empty:
        raise EmptySetError(
            f"{audience_name}: there are no ids, which would remove all members; pass allow_empty=True if that is meant"
        )


def check_shrink(
    audience_name: str, before: int, after: int, max_shrink: float | None, *, whose: str = "the last one"
) -> None:
    """
    Return if the audience does not get too much smaller.

    :param max_shrink: a count, or a share of *before* if it is a float; None for any.
    :param whose: what has so many ids *before*.
    :raises GuardError: if it does.
    """
    allowed = most(max_shrink, before)
    if allowed is not None and before - after > allowed:
        raise GuardError(
            f"{audience_name}: the new set has {after:,} ids and {whose} {before:,}: {_share(before - after, before)} "
            f"fewer, more than max_shrink={max_shrink}. Nothing was sent; if that is right, run once with a greater one"
        )


def check_changes(audience_name: str, before: int, adds: int, removes: int, max_changes: float | None) -> None:
    """
    Return if there are not too many changes.

    :param max_changes: a count, or a share of *before* if it is a float; None for any.
    :raises GuardError: if there are.
    """
    allowed = most(max_changes, before)
    if allowed is not None and adds + removes > allowed:
        raise GuardError(
            f"{audience_name}: {adds:,} ids to add and {removes:,} to remove: {_share(adds + removes, before)} of the "
            f"{before:,} of the last set, more than max_changes={max_changes}. Nothing was sent; if that is right, run "
            "once with a greater one"
        )


def drift(nb_ids: int | None, count: int, uncertain: int = 0) -> str | None:
    """
    Return what to say if Batch has another number of ids than the snapshot; None if it has not, or does not tell.

    :param nb_ids: as the audience's view shows it, once everything was indexed.
    :param uncertain: how many ids it may have or not, such as those that it has refused.
    """
    if nb_ids is None or abs(nb_ids - count) <= uncertain:
        return None
    if nb_ids > count:
        return (
            f"Batch counts {nb_ids:,} ids, {nb_ids - count:,} more than the snapshot: something else has added some, "
            "or they were there before; full_refresh=True replaces them"
        )
    return (
        f"Batch counts {nb_ids:,} ids, {count - nb_ids:,} fewer than the snapshot: something else has removed some, or "
        "the audience was created anew; full_refresh=True sends all ids again"
    )


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.1%})" if whole else f"{part:,}"
