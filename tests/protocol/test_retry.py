from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import (
    BatchAPIError,
    BatchAuthenticationError,
    BatchConfigurationError,
    BatchConnectionError,
    BatchError,
    BatchNotFoundError,
    BatchProtocolError,
    BatchRateLimitError,
    BatchRequestError,
    BatchServerError,
    InvalidArgumentError,
)
from airflow_provider_batch.protocol.retry import Backoff, Spacing

steady = settings(max_examples=200, deadline=None, derandomize=True)

BUSY = BatchServerError("busy")


def longest(most: float) -> float:
    return most


def none_at_all(most: float) -> float:
    return 0.0


def test_waits_double_until_the_longest_one() -> None:
    delay = Backoff(longest, attempts=100, first=1.0, longest=10.0)
    assert [delay(attempt, BUSY, 0.0) for attempt in range(1, 8)] == [1, 2, 4, 8, 10, 10, 10]


def test_after_the_last_attempt_it_gives_up() -> None:
    delay = Backoff(longest, attempts=3)
    assert [delay(attempt, BUSY, 0.0) is None for attempt in (1, 2, 3, 4)] == [False, False, True, True]


def test_one_attempt_is_never_repeated() -> None:
    assert Backoff(longest, attempts=1)(1, BatchRateLimitError("busy", retry_after=0.0), 0.0) is None


def test_the_thousandth_attempt_waits_as_long_as_any() -> None:
    assert Backoff(longest, attempts=10**6, longest=60.0)(1000, BUSY, 0.0) == 60.0


@pytest.mark.parametrize("asked", [None, 0.0, 0.1])
def test_no_wait_is_shorter_than_half_a_second(asked: float | None) -> None:
    assert Backoff(none_at_all)(1, BatchServerError("busy", retry_after=asked), 0.0) == 0.5


def test_a_429_without_a_time_waits_as_batch_recommends_and_longer_every_time() -> None:
    delay, waited, waits = Backoff(longest), 0.0, []
    while (pause := delay(1, BatchRateLimitError("x"), waited)) is not None:
        waits.append(pause)
        waited += pause
    assert waits == [6, 11, 22, 44, *[65] * 7]
    assert Backoff(none_at_all)(1, BatchRateLimitError("x"), 0.0) == 5


@pytest.mark.parametrize("error", [BatchConnectionError("x"), BatchProtocolError("x"), BUSY])
def test_what_may_pass_is_tried_again(error: BatchError) -> None:
    assert Backoff(longest)(1, error, 0.0) == 1.0


@pytest.mark.parametrize(
    "error",
    [
        BatchError("x"),
        InvalidArgumentError("x"),
        BatchConfigurationError("x"),
        BatchAPIError("x", retry_after=1.0),
        BatchAuthenticationError("x", retry_after=1.0),
        BatchNotFoundError("x", retry_after=1.0),
        BatchRequestError("x", retry_after=1.0),
    ],
)
def test_what_cannot_pass_is_never_tried_again(error: BatchError) -> None:
    assert Backoff(longest)(1, error, 0.0) is None


@pytest.mark.parametrize(("asked", "waits"), [(0.0, 2.0), (1.9, 2.0), (9.0, 9.0), (120.0, 120.0)])
@pytest.mark.parametrize("kind", [BatchRateLimitError, BatchServerError])
def test_the_longer_one_of_what_batch_asks_for_and_the_own_wait_counts(
    kind: type[BatchAPIError], asked: float, waits: float
) -> None:
    assert Backoff(longest, longest=60.0)(2, kind("busy", retry_after=asked), 0.0) == waits


@pytest.mark.parametrize(("waited", "pause"), [(0.0, 9.0), (91.0, 9.0), (91.1, None), (100.0, None)])
def test_all_waits_together_stay_within_the_total(waited: float, pause: float | None) -> None:
    assert Backoff(longest, total=100.0)(1, BatchServerError("busy", retry_after=9.0), waited) == pause


def test_a_longer_request_than_the_total_gives_up_at_once() -> None:
    assert Backoff(longest, total=600.0)(1, BatchRateLimitError("busy", retry_after=601.0), 0.0) is None


@steady
@given(
    attempt=st.integers(1, 10_000),
    share=st.floats(0, 1),
    first=st.floats(0.001, 100),
    most=st.floats(0.001, 1000),
    waited=st.floats(0, 1000),
)
def test_a_wait_is_never_longer_than_its_bounds(
    attempt: int, share: float, first: float, most: float, waited: float
) -> None:
    delay = Backoff(lambda bound: bound * share, attempts=10**6, first=first, longest=most, total=600.0)
    pause = delay(attempt, BUSY, waited)
    assert pause is None or (0.5 <= pause <= max(most, 0.5) and waited + pause <= 600.0)


def test_questions_begin_close_together_and_grow_apart_up_to_the_poke_interval() -> None:
    spacing = Spacing(lambda most: most, longest=10.0)
    assert [spacing(question) for question in (1, 2, 3, 4, 5, 1000)] == pytest.approx([1, 2, 4, 8, 10, 10])


def test_a_short_poke_interval_is_never_exceeded() -> None:
    assert Spacing(lambda most: most, longest=0.5)(1) == pytest.approx(0.5)


def test_a_fifth_of_a_wait_is_left_to_chance() -> None:
    assert Spacing(lambda most: 0.0, longest=10.0)(9) == pytest.approx(8.0)


def test_a_pause_without_a_limit_ends_to_double_after_thirty_questions() -> None:
    spacing = Spacing(lambda most: most, longest=1e300)
    assert [spacing(question) for question in (31, 32, 1000)] == pytest.approx([2.0**30] * 3)
    backoff = Backoff(longest, attempts=10**6, longest=1e300, total=1e300)
    assert [backoff(attempt, BUSY, 0.0) for attempt in (31, 32, 1000)] == [2.0**30] * 3
