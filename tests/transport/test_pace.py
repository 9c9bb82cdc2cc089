from __future__ import annotations

import heapq
import random
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise

import pytest

from airflow_provider_batch.protocol.limits import Quota
from airflow_provider_batch.protocol.wire import Response
from airflow_provider_batch.transport.pace import Pace, shared_pace
from tests.clock import Clock

REFUSED, ACCEPTED = Response(429), Response(201)


def first_wait(pace: Pace) -> float:
    """The seconds until the slot of a call that asks for its turn now."""
    return next(pace.turn())


def sent_at(pace: Pace, clock: Clock, calls: int, late: Callable[[], float]) -> list[float]:
    """When each of so many calls is sent that ask at once, each waking so late as *late* draws."""
    waking = [(clock.now, number, pace.turn()) for number in range(calls)]
    sent: list[float] = []
    while waking:
        clock.now, number, turn = heapq.heappop(waking)
        if (wait := next(turn, None)) is None:
            sent.append(clock.now)
        else:
            heapq.heappush(waking, (clock.now + wait + late(), number, turn))
    return sent


def most_in_any_second(times: list[float]) -> int:
    return max(bisect_left(times, start + 1.0) - number for number, start in enumerate(times))


@pytest.mark.parametrize("none", [None, 0])
def test_without_a_limit_every_turn_is_now(none: float | None) -> None:
    pace = Pace(none, Clock(1000.0))
    assert [first_wait(pace) for _ in range(5)] == [0.0] * 5


def test_without_a_limit_the_calls_of_a_second_are_kept() -> None:
    clock = Clock(1000.0)
    pace = Pace(None, clock)
    assert sent_at(pace, clock, 3, lambda: 0.0) == [1000.0] * 3
    clock.now += 1.1
    assert sent_at(pace, clock, 1, lambda: 0.0) == [1001.1]
    assert len(pace._calls._calls) == 1


def test_turns_that_are_asked_for_at_once_are_spaced_evenly() -> None:
    pace = Pace(10, Clock(1000.0))
    waits = [first_wait(pace) for _ in range(5)]
    assert waits == pytest.approx([0, 0.104, 0.208, 0.312, 0.416])


def test_no_second_sees_more_turns_than_allowed() -> None:
    pace = Pace(3, Clock(1000.0))
    turns = [first_wait(pace) for _ in range(50)]
    for start in turns:
        assert sum(start <= turn <= start + 1 for turn in turns) <= 3


def test_turns_that_were_not_taken_are_not_saved_up() -> None:
    clock = Clock(1000.0)
    pace = Pace(1, clock)
    first_wait(pace)
    clock.now += 100
    assert [first_wait(pace), first_wait(pace)] == pytest.approx([0, 1.04])


def test_a_late_turn_moves_the_next_one() -> None:
    clock = Clock(1000.0)
    pace = Pace(1, clock)
    first_wait(pace)
    clock.now += 1.5
    assert first_wait(pace) == 0
    clock.now += 0.5
    assert first_wait(pace) == pytest.approx(0.54)


def test_whoever_waits_for_one_that_was_late_keeps_the_place() -> None:
    clock = Clock(1000.0)
    pace = Pace(1, clock)
    late, second, third = pace.turn(), pace.turn(), pace.turn()
    assert [next(late), next(second), next(third)] == pytest.approx([0, 1.04, 2.08])
    clock.now += 0.5
    assert next(late, None) is None
    clock.now = 1001.04
    assert next(second) == pytest.approx(0.47)
    clock.now = 1001.51
    assert next(second, None) is None
    assert pace._next_slot == pytest.approx(1003.12)


@pytest.mark.parametrize(("seconds", "others"), [(1.0, 2.0), (0.75, 1.0)])
def test_whoever_is_put_off_for_a_whole_distance_takes_another_place(seconds: float, others: float) -> None:
    pace = Pace(1.04, Clock(1000.0))  # one a second, with the margin
    turn = pace.turn()
    assert next(turn) == 0.0
    pace.hold(seconds)
    assert [next(turn), first_wait(pace)] == [seconds, others]


def test_less_than_one_a_second_is_possible() -> None:
    pace = Pace(0.5, Clock(1000.0))
    assert [later - earlier for earlier, later in pairwise(first_wait(pace) for _ in range(4))] == pytest.approx(
        [2.08] * 3
    )


def test_all_of_a_process_share_the_pace_of_an_app() -> None:
    pace = shared_pace("app", 5.0)
    assert shared_pace("app", 5.0) is pace
    assert shared_pace("another app", 5.0) is not pace


@pytest.mark.parametrize("limits", [(None, 1.0), (5.0, 1.0), (1.0, 5.0), (1.0, None)])
def test_two_connections_to_an_app_share_its_pace_and_the_lower_limit(limits: tuple[float | None, ...]) -> None:
    pace, same = (shared_pace("app", limit) for limit in limits)
    assert same is pace
    pace._clock = Clock(pace._adapted_at)  # no time passes between the two
    assert [first_wait(pace), first_wait(pace)] == pytest.approx([0, 1.04])


def test_a_limit_that_comes_later_counts_the_calls_before_it() -> None:
    clock = Clock(1000.0)
    pace = Pace(None, clock)
    list(pace.turn())
    pace.limit(2)
    assert len([sent for sent in (next(pace.turn()), next(pace.turn())) if sent == 0]) == 1


def test_a_pace_that_nobody_uses_is_forgotten() -> None:
    pace = shared_pace("app", 1.0)
    pace.hold(3600)
    del pace
    assert first_wait(shared_pace("app", 1.0)) == 0


def test_a_hold_keeps_everybody_back() -> None:
    pace = Pace(None, Clock(1000.0))
    pace.hold(7)
    assert [first_wait(pace), first_wait(pace)] == [7, 7]


def after_refusals(number: int, clock: Clock) -> Pace:
    """A pace whose calls were refused so many times, each as soon as it might send again."""
    pace = Pace(None, clock)
    for _ in range(number):
        pace.adapt(REFUSED)
        clock.now += 5
    return pace


def test_after_a_429_nobody_sends_for_five_seconds_and_then_one_after_the_other() -> None:
    clock = Clock(1000.0)
    pace = Pace(None, clock)
    pace.adapt(REFUSED)
    assert [first_wait(pace) for _ in range(3)] == pytest.approx([5, 5.1, 5.2])


def test_whoever_had_a_slot_when_another_was_refused_waits_as_well() -> None:
    clock = Clock(1000.0)
    pace = Pace(None, clock)
    waiting = [pace.turn(), pace.turn()]
    assert [next(turn) for turn in waiting] == [0, 0]
    pace.adapt(REFUSED)
    assert [next(turn) for turn in waiting] == pytest.approx([5, 5.1])
    clock.now += 5.1
    assert [next(turn, "sent") for turn in waiting] == ["sent", "sent"]


@pytest.mark.parametrize("header", ["7", "0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_429_that_says_how_long_leaves_the_wait_to_its_call(header: str) -> None:
    pace = Pace(None, Clock(1000.0))
    pace.adapt(Response(429, {"retry-after": header}))
    assert first_wait(pace) == 0


def test_a_429_whose_time_cannot_be_read_holds_like_one_without() -> None:
    pace = Pace(None, Clock(1000.0))
    pace.adapt(Response(429, {"retry-after": "soon"}))
    assert first_wait(pace) == 5


def test_a_short_hold_does_not_end_a_long_one() -> None:
    clock = Clock(1000.0)
    pace = Pace(None, clock)
    pace.hold(7)
    clock.now += 1
    pace.hold(2)
    assert first_wait(pace) == 6


def test_a_later_hold_lasts_longer() -> None:
    clock = Clock(1000.0)
    pace = Pace(None, clock)
    pace.hold(7)
    clock.now += 1
    pace.hold(8)
    assert first_wait(pace) == 8


@pytest.mark.parametrize("status", [300, 400, 404, 500, 503])
def test_what_is_neither_a_success_nor_a_429_teaches_nothing(status: int) -> None:
    pace, untaught = (after_refusals(2, Clock(1000.0)) for _ in range(2))
    for _ in range(100):
        pace.adapt(Response(status))
    assert [first_wait(pace), first_wait(pace)] == [first_wait(untaught), first_wait(untaught)]


def test_a_429_spaces_the_turns_and_successes_close_them_up_again() -> None:
    pace = after_refusals(3, Clock(1000.0))
    spacing = 0.1 * (2 * 2 ** (-5 / 30)) ** 2 * 2 ** (-5 / 30)
    assert [first_wait(pace) for _ in range(3)] == pytest.approx([0, spacing, 2 * spacing])
    for _ in range(1000):
        pace.adapt(ACCEPTED)
    first_wait(pace)
    assert first_wait(pace) - first_wait(pace) == pytest.approx(0, abs=1e-6)


def test_a_burst_that_is_refused_counts_once() -> None:
    clock = Clock(1000.0)
    pace = Pace(None, clock)
    for _ in range(8):
        pace.adapt(REFUSED)
    assert [first_wait(pace) for _ in range(2)] == pytest.approx([5, 5.1])


def test_the_learnt_spacing_has_an_end() -> None:
    pace = after_refusals(100, Clock(1000.0))
    first_wait(pace)
    assert first_wait(pace) == pytest.approx(2 * 2 ** (-5 / 30))


def test_what_was_learnt_is_forgotten_with_time() -> None:
    clock = Clock(1000.0)
    pace = after_refusals(100, clock)
    clock.now += 25
    first_wait(pace)
    assert first_wait(pace) == pytest.approx(1)


# Threads that wake late.


@pytest.mark.parametrize("rate", [0.5, 1, 2.5, 5, 50])
@pytest.mark.parametrize("seed", range(5))
def test_whoever_wakes_late_adds_no_call_to_any_second(rate: float, seed: int) -> None:
    clock, draw = Clock(1000.0), random.Random(seed)
    times = sent_at(
        Pace(rate, clock), clock, 300, lambda: draw.choice([0.0, draw.uniform(0, 0.02), draw.uniform(0, 2)])
    )
    assert len(times) == 300
    assert most_in_any_second(times) <= max(1, -(-rate // 1))


def test_a_process_that_stood_still_sends_no_more_than_a_second_holds() -> None:
    clock = Clock(1000.0)
    pace = Pace(10, clock)
    waiting = [pace.turn() for _ in range(100)]
    slots = [next(turn) for turn in waiting]
    assert slots[-1] == pytest.approx(99 * 0.104)
    clock.now += 60
    waits = [next(turn, None) for turn in waiting]
    assert waits.count(None) == 10
    # The others go one after the other, not all together at the end of that second.
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(wait for wait in waits if wait is not None))


def test_waking_a_little_late_costs_no_rate() -> None:
    clock, draw = Clock(1000.0), random.Random(1)
    times = sent_at(Pace(50, clock), clock, 501, lambda: draw.uniform(0, 0.02))
    assert 500 / (times[-1] - times[0]) >= 0.95 * 50


def send_ids(pace: Pace, clock: Clock, quota: Quota, sizes: list[int], late: Callable[[], float]) -> list[float]:
    """When each call with so many ids is sent, of some that ask at once, each waking so late as *late* draws."""
    waking = [(clock.now, number, pace.turn(quota, ids)) for number, ids in enumerate(sizes)]
    sent = [0.0] * len(sizes)
    while waking:
        clock.now, number, turn = heapq.heappop(waking)
        if (wait := next(turn, None)) is None:
            turn.sent()
            sent[number] = clock.now
        else:
            heapq.heappush(waking, (clock.now + wait + late(), number, turn))
    return sent


def most_ids(sent: list[float], sizes: list[int], seconds: float) -> int:
    """The most ids that were sent within so many seconds, from any call on."""
    calls = sorted(zip(sent, sizes, strict=True))
    return max(sum(ids for at, ids in calls if start <= at < start + seconds) for start, _ in calls)


@pytest.mark.parametrize("seed", range(20))
def test_a_quota_of_ids_is_kept_in_every_window_whatever_the_calls(seed: int) -> None:
    draw = random.Random(seed)
    clock = Clock(1000.0)
    sizes = [draw.choice([1, 30, 400, 1_000]) for _ in range(40)]
    sent = send_ids(Pace(None, clock), clock, Quota(1_000, 2.0), sizes, lambda: draw.choice([0, 0.001, 0.3]))
    assert most_ids(sent, sizes, 2.0) <= 1_000


def test_a_quota_is_used_up_to_a_margin_for_calls_that_arrive_late() -> None:
    clock = Clock(1000.0)
    sent = send_ids(Pace(None, clock), clock, Quota(10_000), [10_000] * 5, lambda: 0.0)
    assert sorted(sent) == pytest.approx([1000 + 1.04 * call for call in range(5)])


def test_a_burst_is_sent_at_once_and_the_next_one_when_it_is_over() -> None:
    clock = Clock(1000.0)
    sent = send_ids(Pace(None, clock), clock, Quota(1_000, 1_000 / 300), [200] * 10, lambda: 0.0)
    assert sorted(sent) == pytest.approx([1000.0] * 5 + [1000 + 1.04 * 1_000 / 300] * 5)


def test_what_was_sent_counts_for_the_next_pace_of_an_app_as_well() -> None:
    quota = Quota(10)
    pace = shared_pace("app of profiles", None)
    assert list(pace.turn(quota, 10)) == [0.0]
    del pace
    turn = shared_pace("app of profiles", None).turn(quota, 10)
    assert [next(turn), next(turn)] == [0.0, pytest.approx(1.04, abs=0.2)]


def test_what_was_sent_to_one_app_does_not_count_for_another() -> None:
    quota = Quota(10)
    paces = [shared_pace(f"app number {number} of profiles", None) for number in range(2)]
    assert [list(pace.turn(quota, 10)) for pace in paces] == [[0.0], [0.0]]


def sent_after_connecting(
    pace: Pace, clock: Clock, quota: Quota, sizes: list[int], connecting: Callable[[], float]
) -> list[float]:
    """When each call is sent, of some that ask at once, and connect for a while when it is their turn."""
    begin = clock.now
    events = [(begin, number, False) for number in range(len(sizes))]
    turns = [pace.turn(quota, ids) for ids in sizes]
    sent = [0.0] * len(sizes)
    while events:
        clock.now, number, is_connected = heapq.heappop(events)
        if is_connected:
            turns[number].sent()
            sent[number] = clock.now
        elif (wait := next(turns[number], None)) is None:
            heapq.heappush(events, (clock.now + connecting(), number, True))
        else:
            heapq.heappush(events, (clock.now + wait, number, False))
    return sent


@pytest.mark.parametrize("seed", range(20))
def test_a_quota_is_kept_by_calls_that_connect_first(seed: int) -> None:
    draw = random.Random(seed)
    clock = Clock(1000.0)
    sizes = [3_000] * 30
    sent = sent_after_connecting(Pace(None, clock), clock, Quota(10_000), sizes, lambda: draw.choice([0, 0.01, 0.9, 3]))
    assert most_ids(sent, sizes, 1.0) <= 10_000


@pytest.mark.parametrize("connecting", [0.01, 0.5, 0.9, 3.0])
@pytest.mark.parametrize("rate", [0.5, 1, 2.5, 5])
def test_the_first_call_of_a_connection_counts_when_it_is_sent(rate: float, connecting: float) -> None:
    clock = Clock(1000.0)
    pace = Pace(rate, clock)
    first = pace.turn()
    assert [next(first), next(first, None)] == [0.0, None]
    assert next(pace.turn(), None) == pytest.approx(1.04 / rate)  # this forgets what is long ago
    clock.now += connecting
    first.sent(is_new=True)
    sent = [clock.now, *sent_at(pace, clock, 20, lambda: 0.0)]
    assert most_in_any_second(sorted(sent)) <= -(-rate // 1)


def test_nobody_waits_for_one_that_connects() -> None:
    clock = Clock(1000.0)
    pace = Pace(1, clock)
    sent = sent_at(pace, clock, 100, lambda: 0.0)  # each connects, and none is ever sent
    assert sent[-1] - sent[0] == pytest.approx(99 * 1.04)


def test_calls_that_connect_once_cost_a_quota_no_more_than_that() -> None:
    clock = Clock(1000.0)
    delays = iter([0.5] * 4 + [0.0] * 96)
    sent = sent_after_connecting(Pace(None, clock), clock, Quota(10_000), [10_000] * 100, lambda: next(delays))
    assert max(sent) - 1000 == pytest.approx(4 * 0.5 + 99 * 1.04)


def test_a_call_that_was_never_sent_does_not_count() -> None:
    clock = Clock(1000.0)
    pace, quota = Pace(None, clock), Quota(10)
    with pace.turn(quota, 10) as turn:
        assert list(turn) == [0.0]
        assert list(turn) == []
    assert list(pace.turn(quota, 10)) == [0.0]


def test_one_that_is_about_to_be_sent_counts_as_sent_just_now() -> None:
    clock = Clock(1000.0)
    pace, quota = Pace(None, clock), Quota(10)
    assert list(pace.turn(quota, 1)) == [0.0]
    clock.now += 60
    waiting = pace.turn(quota, 10)
    assert [next(waiting), next(waiting)] == [0.0, pytest.approx(1.04)]


def test_a_call_waits_for_no_more_of_the_others_than_it_takes() -> None:
    clock = Clock(1000.0)
    pace, quota = Pace(None, clock), Quota(10)
    for _ in range(2):
        send_ids(pace, clock, quota, [5], lambda: 0.0)
        clock.now += 0.5
    turn = pace.turn(quota, 5)
    assert [next(turn), next(turn)] == [0.0, pytest.approx(0.04)]


def test_a_call_that_fits_beside_those_about_to_be_sent_does_not_wait_for_them() -> None:
    clock = Clock(1000.0)
    pace, quota = Pace(None, clock), Quota(10)
    send_ids(pace, clock, quota, [5], lambda: 0.0)
    assert list(pace.turn(quota, 5)) == [0.0]
    clock.now += 0.5
    turn = pace.turn(quota, 5)
    assert [next(turn), next(turn)] == [0.0, pytest.approx(0.54)]


def test_a_call_of_more_ids_than_a_quota_has_is_sent_after_all_others() -> None:
    clock = Clock(1000.0)
    pace, quota = Pace(None, clock), Quota(10)
    assert send_ids(pace, clock, quota, [10, 11], lambda: 0.0) == [1000.0, pytest.approx(1001.04)]


def test_one_whose_turn_never_came_gives_nothing_back() -> None:
    clock = Clock(1000.0)
    pace, quota = Pace(None, clock), Quota(10)
    first = pace.turn(quota, 10)
    assert list(first) == [0.0]
    first.sent()
    with pace.turn(quota, 10) as turn:
        next(turn)
    assert [*zip(pace.turn(quota, 10), range(2), strict=False)] == [(0.0, 0), (pytest.approx(1.04), 1)]
    with first:
        first.sent()  # it counts once
    assert pace._spent[quota]._sent == 10


def test_the_first_call_of_a_connection_counts_a_little_longer() -> None:
    clock = Clock(1000.0)
    pace, quota = Pace(None, clock), Quota(10)
    turn = pace.turn(quota, 10)
    assert list(turn) == [0.0]
    turn.sent(is_new=True)
    waiting = pace.turn(quota, 10)
    assert [next(waiting), next(waiting)] == [0.0, pytest.approx(1.09)]


def test_quotas_do_not_count_for_each_other_nor_for_calls_without_one() -> None:
    clock = Clock(1000.0)
    pace = Pace(None, clock)
    for quota in (Quota(10), Quota(10, 2.0)):
        assert send_ids(pace, clock, quota, [10], lambda: 0.0) == [1000.0]
    assert list(pace.turn()) == [0.0]


def test_a_refusal_holds_a_call_that_waits_for_its_quota() -> None:
    clock = Clock(1000.0)
    pace, quota = Pace(None, clock), Quota(10)
    assert send_ids(pace, clock, quota, [10], lambda: 0.0) == [1000.0]
    turn = pace.turn(quota, 10)
    clock.now += next(turn)
    clock.now += next(turn)
    pace.adapt(REFUSED)
    assert next(turn) == pytest.approx(5.0)
