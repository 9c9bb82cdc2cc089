"""What every argument is made of."""

from __future__ import annotations

import pytest

from airflow_provider_batch.protocol.rows import Rejection, in_blocks, with_more


def test_values_are_cut_into_blocks_with_the_rest_at_the_end() -> None:
    assert list(in_blocks("abcdefg", 3)) == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert list(in_blocks([], 3)) == []


def test_numbers_stay_a_range_as_long_as_they_have_no_gap() -> None:
    assert with_more((), range(2, 4)) == range(2, 4)
    assert with_more(range(2, 4), range(4, 6)) == range(2, 6)
    assert list(with_more(range(2, 4), range(7, 9))) == [2, 3, 7, 8]
    assert list(with_more([2, 3], range(4, 6))) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("reason", "remedy", "message"),
    [
        ("the id is empty. Drop the row.", "", "vip: ids[3] (line 4): the id is empty. Drop the row."),
        ("the id is empty.", "Or skip it.", "vip: ids[3] (line 4): the id is empty. Or skip it."),
        ("the id is empty", "Or skip it.", "vip: ids[3] (line 4): the id is empty. Or skip it."),
    ],
)
def test_a_rejection_is_reported_with_its_place_and_what_to_do(reason: str, remedy: str, message: str) -> None:
    rejection = Rejection("ids", 3, reason, "line 4")
    error = rejection.error("vip", remedy) if remedy else rejection.error("vip")
    assert (str(error), error.argument, error.position, error.reason) == (message, "ids", 3, reason)
