from __future__ import annotations

import pytest

from airflow_provider_batch.exceptions import EmptySetError, GuardError
from airflow_provider_batch.mirror.guards import check_changes, check_not_empty, check_shrink, drift


def test_an_empty_set_must_be_meant() -> None:
    check_not_empty("vip", 1, allow_empty=False)
    check_not_empty("vip", 0, allow_empty=True)
    with pytest.raises(EmptySetError, match=r"^vip: .* allow_empty=True"):
        check_not_empty("vip", 0, allow_empty=False)


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


def test_an_empty_snapshot_has_no_shares() -> None:
    with pytest.raises(GuardError, match=r"to add: 5, to remove: 0\. The changes are 5, more"):
        check_changes("vip", 0, 5, 0, 0.5)


def test_drift_is_said_in_figures() -> None:
    assert drift(None, 10) is None
    assert drift(10, 10) is None
    assert "Batch counts 1,010 ids, 10 more than the snapshot: something else added" in (drift(1010, 1000) or "")
    assert "Batch counts 990 ids, 10 fewer than the snapshot: something else removed" in (drift(990, 1000) or "")
