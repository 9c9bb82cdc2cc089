from __future__ import annotations

import pytest

from airflow_provider_batch.exceptions import EmptySetError, GuardError, InvalidArgumentError
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.guards import (
    Limits,
    check_all,
    check_changes,
    check_not_empty,
    check_shrink,
    drift,
)

INTENDED = "Nothing was sent. If the numbers are as intended, run once with a higher limit."


def test_an_empty_set_must_be_meant() -> None:
    check_not_empty("vip", 1, allow_empty=False)
    check_not_empty("vip", 0, allow_empty=True)
    with pytest.raises(EmptySetError) as caught:
        check_not_empty("vip", 0, allow_empty=False)
    assert str(caught.value) == (
        "vip: the set of ids is empty, which would remove all members. If that is intended, pass allow_empty=True."
    )


@pytest.mark.parametrize(
    ("after", "max_shrink"),
    [(0, None), (0, 1.0), (900, 0.1), (900, 100), (1000, 0), (1000, 0.0), (2000, 0)],
)
def test_an_audience_may_shrink_as_far_as_is_said(after: int, max_shrink: float | None) -> None:
    check_shrink("vip", 1000, after, max_shrink)


@pytest.mark.parametrize(("after", "max_shrink"), [(899, 0.1), (899, 100), (999, 0), (999, 0.0)])
def test_no_further(after: int, max_shrink: float) -> None:
    with pytest.raises(
        GuardError, match=f"^vip: ids in the last set: 1,000, in the new set: {after:,}. .*max_shrink={max_shrink}"
    ):
        check_shrink("vip", 1000, after, max_shrink)


@pytest.mark.parametrize("max_changes", [None, 1.0, 0.03, 30])
def test_so_many_changes_may_be_made(max_changes: float | None) -> None:
    check_changes("vip", 1000, 10, 20, max_changes)


@pytest.mark.parametrize("max_changes", [0, 0.0, 0.029, 29])
def test_and_no_more(max_changes: float) -> None:
    with pytest.raises(GuardError, match=r"set: 1,000, to add: 10, to remove: 20. The changes are 30 \(3\.0%\), more"):
        check_changes("vip", 1000, 10, 20, max_changes)


@pytest.mark.parametrize("name", ["max_shrink", "max_changes"])
def test_a_limit_that_is_none_is_named(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{name}: 1.5 is neither a count nor a share"):
        Limits(**{name: 1.5})  # type: ignore[arg-type]


def test_whoever_shrinks_too_far_is_told_whose_set_it_was_and_by_how_much() -> None:
    with pytest.raises(GuardError) as caught:
        check_shrink("vip", 4_000, 1_000, 0.5, whose="Batch")
    assert str(caught.value) == (
        "vip: ids in Batch: 4,000, in the new set: 1,000. It shrinks by 3,000 (75.0%), more than max_shrink=0.5. "
        f"{INTENDED}"
    )


#: 40 ids are given of which 10 are new, and 20 have gone.
COUNTS = Counts(given=40, added=6, changed=3, resent=1, unchanged=30, removed=15, withdrawn=5)


@pytest.mark.parametrize(
    ("limits", "before", "replaces", "error"),
    [
        ({}, 50, False, None),
        ({"max_shrink": 10, "max_changes": 30}, 50, False, None),
        ({"max_shrink": 9}, 50, False, "more than max_shrink=9"),
        ({"max_shrink": 9}, 50, True, "more than max_shrink=9"),
        ({"max_changes": 29}, 50, False, "to add: 10, to remove: 20. The changes are 30 \\(60.0%\\), more than max_ch"),
        ({"max_changes": 29}, 50, True, None),
        ({"max_shrink": 0, "max_changes": 0}, None, False, None),
    ],
)
def test_each_limit_has_its_figures(
    limits: dict[str, float], before: int | None, replaces: bool, error: str | None
) -> None:
    if error is None:
        check_all("vip", COUNTS, before, Limits(**limits), replaces=replaces)  # type: ignore[arg-type]
        return
    with pytest.raises(GuardError, match=f"^vip: .*{error}"):
        check_all("vip", COUNTS, before, Limits(**limits), replaces=replaces)  # type: ignore[arg-type]


@pytest.mark.parametrize("before", [None, 50])
def test_an_empty_set_must_be_meant_in_the_first_run_too(before: int | None) -> None:
    with pytest.raises(EmptySetError, match=r"^vip: "):
        check_all("vip", Counts(), before, Limits(), replaces=False)
    check_all("vip", Counts(), before, Limits(allow_empty=True), replaces=False)


def test_an_empty_snapshot_has_no_shares() -> None:
    with pytest.raises(GuardError, match=r"to add: 5, to remove: 0\. The changes are 5, more"):
        check_changes("vip", 0, 5, 0, 0.5)


def test_drift_is_said_in_figures() -> None:
    assert drift(11, 10) is not None
    assert drift(1010, 1000) == (
        "Batch counts 1,010 ids, 10 more than the snapshot: something else added them, they were members before, or a "
        "write whose answer was lost was applied late. To replace all members, pass full_refresh=True."
    )
    assert drift(990, 1000) == (
        "Batch counts 990 ids, 10 fewer than the snapshot: something else removed them, the audience was created anew, "
        "or a write whose answer was lost was applied late. To send all ids again, pass full_refresh=True."
    )


@pytest.mark.parametrize(
    ("nb_ids", "uncertain", "drifts"),
    [(None, 0, False), (10, 0, False), (11, 0, True), (9, 0, True), (12, 2, False), (8, 2, False), (13, 2, True)],
)
def test_no_drift_is_what_is_not_known_or_uncertain(nb_ids: int | None, uncertain: int, drifts: bool) -> None:
    assert (drift(nb_ids, 10, uncertain) is not None) is drifts
