from __future__ import annotations

from itertools import pairwise

import pytest

from airflow_provider_batch.transport.pace import Pace, shared_pace
from tests.clock import Clock


@pytest.mark.parametrize("none", [None, 0])
def test_without_a_limit_every_turn_is_now(none: float | None) -> None:
    pace = Pace(none, Clock(1000.0))
    assert [pace.reserve() for _ in range(5)] == [0.0] * 5


def test_turns_that_are_asked_for_at_once_are_spaced_evenly() -> None:
    pace = Pace(10, Clock(1000.0))
    waits = [pace.reserve() for _ in range(5)]
    assert waits == pytest.approx([0, 0.104, 0.208, 0.312, 0.416])


def test_no_second_sees_more_turns_than_allowed() -> None:
    pace = Pace(3, Clock(1000.0))
    turns = [pace.reserve() for _ in range(50)]
    for start in turns:
        assert sum(start <= turn <= start + 1 for turn in turns) <= 3


def test_turns_that_were_not_taken_are_not_saved_up() -> None:
    clock = Clock(1000.0)
    pace = Pace(1, clock)
    pace.reserve()
    clock.now += 100
    assert [pace.reserve(), pace.reserve()] == pytest.approx([0, 1.04])


def test_a_late_turn_moves_the_next_one() -> None:
    clock = Clock(1000.0)
    pace = Pace(1, clock)
    pace.reserve()
    clock.now += 1.5
    assert pace.reserve() == 0
    clock.now += 0.5
    assert pace.reserve() == pytest.approx(0.54)


def test_less_than_one_a_second_is_possible() -> None:
    pace = Pace(0.5, Clock(1000.0))
    assert [later - earlier for earlier, later in pairwise(pace.reserve() for _ in range(4))] == pytest.approx(
        [2.08] * 3
    )


def test_all_of_a_process_share_the_pace_of_an_app() -> None:
    pace = shared_pace("app", 5.0)
    assert shared_pace("app", 5.0) is pace
    assert shared_pace("another app", 5.0) is not pace


def test_a_pace_that_nobody_uses_is_forgotten() -> None:
    pace = shared_pace("app", 1.0)
    pace.hold(3600)
    del pace
    assert shared_pace("app", 1.0).reserve() == 0


def test_a_hold_keeps_everybody_back() -> None:
    pace = Pace(None, Clock(1000.0))
    pace.hold(7)
    assert [pace.reserve(), pace.reserve()] == [7, 7]


def test_a_429_spaces_the_turns_and_successes_close_them_up_again() -> None:
    clock = Clock(1000.0)
    pace = Pace(None, clock)
    for _ in range(3):
        pace.adapt(429)
    assert [pace.reserve() for _ in range(3)] == pytest.approx([0, 0.4, 0.8])
    for _ in range(1000):
        pace.adapt(201)
    pace.reserve()
    assert pace.reserve() - pace.reserve() == pytest.approx(0, abs=1e-6)


def test_the_learnt_spacing_has_an_end() -> None:
    pace = Pace(None, Clock(1000.0))
    for _ in range(100):
        pace.adapt(429)
    pace.reserve()
    assert pace.reserve() == pytest.approx(2)


def test_what_was_learnt_is_forgotten_with_time() -> None:
    clock = Clock(1000.0)
    pace = Pace(None, clock)
    for _ in range(100):
        pace.adapt(429)
    clock.now += 30
    pace.reserve()
    assert pace.reserve() == pytest.approx(1)
