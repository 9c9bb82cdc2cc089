from __future__ import annotations

import pytest

from airflow_provider_batch.sandbox.rate import RateLimit
from tests.clock import Clock


def admitted(limit: RateLimit, tries: int, project: str = "one") -> int:
    return sum(limit.admits(project) for _ in range(tries))


def test_the_bucket_holds_one_second_of_requests_and_refills(clock: Clock) -> None:
    limit = RateLimit(3, clock)
    assert admitted(limit, 10) == 3
    clock.now += 1
    assert admitted(limit, 10) == 3
    clock.now += 3600
    assert admitted(limit, 10) == 3


def test_a_rate_below_one_admits_one_request_in_several_seconds(clock: Clock) -> None:
    limit = RateLimit(0.5, clock)
    assert admitted(limit, 5) == 1
    clock.now += 1
    assert admitted(limit, 5) == 0
    clock.now += 1
    assert admitted(limit, 5) == 1


def test_projects_have_a_bucket_each_and_a_clock_set_back_refills_nothing(clock: Clock) -> None:
    limit = RateLimit(1, clock)
    assert (admitted(limit, 2, "one"), admitted(limit, 2, "two")) == (1, 1)
    clock.now -= 60
    assert admitted(limit, 2) == 0


def test_a_request_that_does_not_wait_starts_the_wait_anew(clock: Clock) -> None:
    limit = RateLimit(1, clock, wait=5)
    assert admitted(limit, 2) == 1
    for _ in range(10):
        clock.now += 4.9
        assert not limit.admits("one")
    assert limit.admits("two")
    clock.now += 5
    assert admitted(limit, 3) == 1


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_is_more_than_zero(clock: Clock, rate: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        RateLimit(rate, clock)
