from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import (
    BatchAuthenticationError,
    BatchConnectionError,
    BatchError,
    BatchNotFoundError,
    BatchProtocolError,
    BatchRateLimitError,
    BatchServerError,
    IndexingTimeoutError,
)
from airflow_provider_batch.protocol.audiences import encode
from airflow_provider_batch.protocol.audiences.audience import (
    AudiencePage,
    CustomAudience,
    IndexingOutcome,
    IndexingState,
)
from airflow_provider_batch.protocol.audiences.chunk import Chunk
from airflow_provider_batch.protocol.audiences.conversations import (
    await_indexing,
    confirmed,
    page,
    replaced_warning,
    view,
    write,
)
from airflow_provider_batch.protocol.audiences.tokens import LAST_WRITE
from airflow_provider_batch.protocol.dialect import MEP_1_0
from airflow_provider_batch.protocol.flow import Answer, Done, Effect, Flow, advance, arun, no_retry, run
from airflow_provider_batch.protocol.retry import Backoff, Delay, Polling
from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from tests.clock import Clock

CHUNK = Chunk(3, ["a", "b"], ["c"])
UPDATE = encode.update_custom_audience(MEP_1_0, "vip", "custom_ids", CHUNK)
LOST = BatchConnectionError("no answer")


def longest(most: float) -> float:
    return most


PATIENT = Backoff(longest)


def push(delay: Delay = PATIENT) -> Flow[str]:
    return write(UPDATE, delay)


def ask(token: str) -> Request:
    return encode.view_custom_audience(MEP_1_0, "vip", token)


def accepted(token: str = "t0") -> Response:
    return Response(201, {}, json.dumps({"indexing_token": token}).encode())


def shows(state: str) -> Response:
    return Response(200, {}, json.dumps({"name": "vip", "indexing_state": state}).encode())


def busy(seconds: int) -> Response:
    return Response(429, {"retry-after": str(seconds)})


def conversation(flow: Flow[Any], *answers: Answer) -> list[Effect | Done[Any]]:
    """What *flow* asks for at first and after each of *answers*; a sleep needs none."""
    steps = [advance(flow, None)]
    left = list(answers)
    while not isinstance(steps[-1], Done) and (left or isinstance(steps[-1], Sleep)):
        steps.append(advance(flow, None if isinstance(steps[-1], Sleep) else left.pop(0)))
    assert not left
    return steps


def paces(steps: list[Effect | Done[Any]]) -> list[Any]:
    """The same, with only the seconds of each sleep."""
    return [step.seconds if isinstance(step, Sleep) else step for step in steps]


# One call.


def test_a_chunk_is_sent_and_its_receipt_returned() -> None:
    assert conversation(push(), accepted("t7")) == [UPDATE, Done("t7")]


@pytest.mark.parametrize(
    "trouble",
    [LOST, *map(Response, (408, 421, 425, 500, 503)), busy(0), Response(201), Response(200, {}, b"<html>")],
)
def test_what_may_pass_is_waited_out_and_the_same_request_sent_again(trouble: Answer) -> None:
    steps = conversation(push(), trouble, trouble, accepted())
    assert paces(steps[:-1]) == [UPDATE, 1.0, UPDATE, 2.0, UPDATE]


def test_a_chunk_is_encoded_once_however_often_it_is_tried() -> None:
    first, _, again, *_ = conversation(push(), LOST)
    assert first is again


def test_a_busy_service_is_asked_again_when_it_says() -> None:
    assert paces(conversation(push(), busy(9), accepted()))[1] == 9.0


@pytest.mark.parametrize(
    ("trouble", "everyone"),
    [
        (LOST, False),
        (Response(201), False),
        (Response(500), False),
        (Response(502), False),
        # The pace has stopped everyone already, for less time.
        (Response(429), False),
        (busy(9), True),
        (Response(503), True),
    ],
)
def test_everyone_waits_when_batch_is_overloaded(trouble: Answer, everyone: bool) -> None:
    pause = conversation(push(), trouble)[1]
    assert isinstance(pause, Sleep)
    assert pause.everyone is everyone
    assert isinstance(pause.retries, BatchError)


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (LOST, BatchConnectionError),
        (Response(500), BatchServerError),
        (busy(1), BatchRateLimitError),
        (Response(201), BatchProtocolError),
    ],
)
def test_after_the_last_attempt_the_last_error_is_raised(trouble: Answer, kind: type[BatchError]) -> None:
    flow = push(Backoff(longest, attempts=2))
    assert paces(conversation(flow, trouble)) == [UPDATE, 1.0, UPDATE]
    with pytest.raises(kind, match=r"\(after 2 attempts\)"):
        advance(flow, trouble)


def test_a_429_without_a_time_uses_up_no_attempt() -> None:
    flow = push(Backoff(longest, attempts=2))
    assert paces(conversation(flow, Response(429), Response(429), LOST, Response(429))) == [
        *(UPDATE, 6.0, UPDATE, 11.0),
        *(UPDATE, 1.0, UPDATE, 23.0, UPDATE),
    ]


def test_what_a_429_without_a_time_costs_is_seconds() -> None:
    flow = push(Backoff(longest, attempts=2, total=20.0))
    assert paces(conversation(flow, Response(429), Response(429))) == [UPDATE, 6.0, UPDATE, 11.0, UPDATE]
    with pytest.raises(BatchRateLimitError, match=r"\(after 3 attempts\)"):
        advance(flow, Response(429))


def test_whoever_has_one_attempt_has_it_for_a_429_too() -> None:
    flow = push(Backoff(longest, attempts=1))
    next(flow)
    with pytest.raises(BatchRateLimitError) as caught:
        advance(flow, Response(429))
    assert "attempts" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413])
def test_a_refusal_is_raised_at_once(status: int) -> None:
    flow = push()
    next(flow)
    with pytest.raises(BatchError):
        advance(flow, Response(status))


def test_the_waits_of_one_call_stay_within_the_total() -> None:
    flow = push(Backoff(longest, attempts=100, total=20.0))
    assert paces(conversation(flow, busy(9), busy(9))) == [UPDATE, 9.0, UPDATE, 9.0, UPDATE]
    with pytest.raises(BatchRateLimitError):
        advance(flow, busy(9))


def test_the_broken_connection_that_was_answered_is_the_error_that_is_raised() -> None:
    flow = push(no_retry)
    next(flow)
    with pytest.raises(BatchConnectionError) as caught:
        advance(flow, LOST)
    assert caught.value is LOST


def test_a_request_without_an_answer_is_a_fault_of_the_transport() -> None:
    flow = push()
    next(flow)
    with pytest.raises(TypeError, match=r"^a request is answered by a response or by a broken connection$"):
        advance(flow, None)


def test_a_view_is_asked_for_once_and_returned() -> None:
    flow = view(MEP_1_0, "vip", "t0", PATIENT)
    audience = CustomAudience("vip", None, None, None, None, None, IndexingState.IN_PROGRESS, "IN_PROGRESS")
    assert conversation(flow, shows("IN_PROGRESS")) == [ask("t0"), Done(audience)]


def test_one_audience_of_the_list_is_asked_for() -> None:
    flow = page(MEP_1_0, None, no_retry, limit=1)
    answer = Response(200, {}, b'{"custom_audiences":[]}')
    assert conversation(flow, answer) == [encode.list_custom_audiences(MEP_1_0, limit=1), Done(AudiencePage((), None))]


# The drivers.


def echo(times: int) -> Flow[list[Answer]]:
    answers: list[Answer] = []
    for seconds in range(times):
        answers.append((yield Sleep(seconds)))
    return answers


def run_async(flow: Flow[Any], perform: Callable[[Effect], Answer]) -> Any:
    async def performed(effect: Effect) -> Answer:
        await asyncio.sleep(0)
        return perform(effect)

    return asyncio.run(arun(flow, performed))


DRIVERS = pytest.mark.parametrize("drive", [run, run_async])


@DRIVERS
@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_driver_performs_every_effect_and_returns_the_value(
    drive: Callable[[Flow[Any], Callable[[Effect], Answer]], Any], times: int
) -> None:
    performed: list[Effect] = []

    def perform(effect: Effect) -> Answer:
        performed.append(effect)
        return Response(200 + len(performed))

    assert drive(echo(times), perform) == [Response(201 + number) for number in range(times)]
    assert performed == [Sleep(number) for number in range(times)]


def refuse(effect: Effect) -> Answer:
    raise OSError("unplugged")


@DRIVERS
def test_an_exception_of_the_transport_gets_out(
    drive: Callable[[Flow[Any], Callable[[Effect], Answer]], Any],
) -> None:
    with pytest.raises(OSError, match="unplugged"):
        drive(echo(1), refuse)


def stop(effect: Effect) -> Answer:
    raise StopIteration("a bug")


@DRIVERS
def test_a_stop_iteration_of_the_transport_is_no_success(
    drive: Callable[[Flow[Any], Callable[[Effect], Answer]], Any],
) -> None:
    with pytest.raises((StopIteration, RuntimeError)):
        drive(echo(1), stop)


def test_advancing_gives_the_effects_and_then_the_value() -> None:
    flow = echo(1)
    assert [advance(flow, None), advance(flow, LOST)] == [Sleep(0), Done([LOST])]


# Waiting until writes are indexed.


def wait(
    answer: Callable[[Request], Answer],
    tokens: Sequence[str] = ("t0",),
    *,
    deadline: float = 100.0,
    delay: Delay = PATIENT,
) -> tuple[list[tuple[float, str]], IndexingOutcome]:
    """Which token was asked for when, and the end of the wait; nothing takes time but sleeping."""
    clock = Clock(0.0)
    asked: list[tuple[float, str]] = []

    def perform(effect: Effect) -> Answer:
        if isinstance(effect, Sleep):
            clock.now += effect.seconds
            return None
        asked.append((clock.now, dict(effect.query)["indexing_token"]))
        return answer(effect)

    flow = await_indexing(MEP_1_0, "vip", tokens, Polling(delay, lambda question: 10.0, deadline, clock))
    return asked, run(flow, perform)


def in_turn(*answers: Answer) -> Callable[[Request], Answer]:
    left = iter(answers)
    return lambda request: next(left)


def always(answer: Answer) -> Callable[[Request], Answer]:
    return lambda request: answer


def test_an_applied_write_is_asked_for_once() -> None:
    asked, outcome = wait(always(shows("APPLIED")))
    assert (asked, outcome.pending, outcome.replaced) == ([(0.0, "t0")], (), ())


@pytest.mark.parametrize("pending", ["IN_PROGRESS", "IN_PROCESS", "FAILED", "", "applied"])
def test_a_pending_write_is_asked_for_again_until_it_is_applied(pending: str) -> None:
    asked, outcome = wait(in_turn(shows(pending), shows(pending), shows("APPLIED")))
    assert (asked, outcome.pending) == ([(0.0, "t0"), (10.0, "t0"), (20.0, "t0")], ())


def test_the_last_view_is_returned() -> None:
    _, outcome = wait(in_turn(shows("IN_PROGRESS"), shows("APPLIED")))
    assert outcome.audience is not None
    assert outcome.audience.indexing_state is IndexingState.APPLIED


@pytest.mark.parametrize("word", ["FAILED", "DONE", "OK", "SUCCESS"])
def test_an_unknown_state_is_never_success(word: str) -> None:
    _, outcome = wait(always(shows(word)))
    assert outcome.pending == ("t0",)


@pytest.mark.parametrize(
    ("deadline", "times"), [(0.0, [0]), (-5.0, [0]), (5.0, [0, 5]), (10.0, [0, 10]), (25.0, [0, 10, 20, 25])]
)
def test_the_last_question_is_asked_at_the_deadline(deadline: float, times: list[float]) -> None:
    asked, _ = wait(always(shows("IN_PROGRESS")), deadline=deadline)
    assert [when for when, _ in asked] == times


def test_an_interval_of_nothing_is_no_storm_of_questions() -> None:
    clock = Clock(0.0)
    flow = await_indexing(MEP_1_0, "vip", ["t0"], Polling(PATIENT, lambda question: 0.0, 100.0, clock))
    assert paces(conversation(flow, shows("IN_PROGRESS")))[1] == 0.1


def test_a_write_that_is_applied_at_the_deadline_is_confirmed() -> None:
    _, outcome = wait(in_turn(shows("IN_PROGRESS"), shows("APPLIED")), deadline=5.0)
    assert outcome.pending == ()


def test_the_last_write_is_asked_for_without_a_token() -> None:
    flow = await_indexing(MEP_1_0, "vip", [LAST_WRITE], Polling(PATIENT, lambda question: 10.0, 0.0, Clock(0.0)))
    question = next(flow)
    assert isinstance(question, Request)
    assert "indexing_token" not in dict(question.query)
    with pytest.raises(StopIteration) as end:
        flow.send(shows("IN_PROGRESS"))
    assert end.value.value.pending == (LAST_WRITE,)


def test_tokens_are_asked_for_one_after_the_other() -> None:
    answers = in_turn(shows("IN_PROGRESS"), shows("APPLIED"), shows("APPLIED"), shows("IN_PROGRESS"), shows("APPLIED"))
    asked, outcome = wait(answers, ["t0", "t1", "t2"])
    assert asked == [(0.0, "t0"), (10.0, "t0"), (10.0, "t1"), (10.0, "t2"), (20.0, "t2")]
    assert outcome.pending == ()


def test_a_later_write_proves_nothing_about_an_earlier_one() -> None:
    states = {"t0": "IN_PROGRESS", "t1": "APPLIED"}
    _, outcome = wait(lambda request: shows(states[dict(request.query)["indexing_token"]]), ["t0", "t1"])
    assert outcome.pending[0] == "t0"


def test_the_tokens_before_the_pending_one_are_not_pending() -> None:
    states = {"t0": "APPLIED", "t1": "IN_PROGRESS", "t2": "IN_PROGRESS"}
    _, outcome = wait(lambda request: shows(states[dict(request.query)["indexing_token"]]), ["t0", "t1", "t2"])
    assert outcome.pending == ("t1", "t2")


def test_without_tokens_there_is_nothing_to_ask() -> None:
    assert wait(always(None), []) == ([], IndexingOutcome(None))


def test_a_replaced_write_is_finished_and_recorded() -> None:
    asked, outcome = wait(in_turn(shows("REPLACED"), shows("APPLIED"), shows("REPLACED")), ["t0", "t1", "t2"])
    assert ([token for _, token in asked], outcome.pending, outcome.replaced) == (["t0", "t1", "t2"], (), ("t0", "t2"))


def test_a_replaced_write_is_recorded_though_a_later_one_stays_pending() -> None:
    states = {"t0": "REPLACED", "t1": "IN_PROGRESS"}
    _, outcome = wait(lambda request: shows(states[dict(request.query)["indexing_token"]]), ["t0", "t1"])
    assert (outcome.pending, outcome.replaced) == (("t1",), ("t0",))


@pytest.mark.parametrize(
    "trouble", [LOST, Response(500), Response(503), Response(200, {}, b"<html>"), Response(200, {}, b"{}")]
)
def test_trouble_that_may_pass_is_waited_out(trouble: Answer) -> None:
    asked, outcome = wait(in_turn(trouble, trouble, shows("APPLIED")))
    assert ([when for when, _ in asked], outcome.pending) == ([0.0, 1.0, 3.0], ())


def test_a_busy_service_is_asked_for_the_state_when_it_says() -> None:
    asked, _ = wait(in_turn(busy(42), shows("APPLIED")))
    assert [when for when, _ in asked] == [0.0, 42.0]


def test_a_busy_service_does_not_move_the_deadline() -> None:
    asked, _ = wait(always(busy(42)), deadline=50.0)
    assert [when for when, _ in asked] == [0.0, 42.0, 50.0]


def test_trouble_goes_on_being_waited_out_when_the_retries_are_used_up() -> None:
    asked, _ = wait(always(LOST), delay=Backoff(longest, attempts=3), deadline=30.0)
    assert [when for when, _ in asked] == [0.0, 1.0, 3.0, 13.0, 23.0, 30.0]


def test_an_answer_between_two_troubles_begins_the_count_anew() -> None:
    asked, _ = wait(in_turn(LOST, LOST, shows("IN_PROGRESS"), LOST, shows("APPLIED")))
    assert [when for when, _ in asked] == [0.0, 1.0, 3.0, 13.0, 14.0]


def test_a_service_that_stays_busy_is_asked_when_it_says_every_time() -> None:
    asked, _ = wait(always(busy(20)), delay=Backoff(longest, attempts=3), deadline=100.0)
    assert [when for when, _ in asked] == [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, BatchAuthenticationError), (403, BatchAuthenticationError), (404, BatchNotFoundError), (302, BatchError)],
)
def test_trouble_that_cannot_pass_is_raised(status: int, kind: type[BatchError]) -> None:
    with pytest.raises(kind):
        wait(in_turn(shows("IN_PROGRESS"), Response(status)))


def test_the_error_of_the_last_question_is_kept() -> None:
    _, outcome = wait(always(Response(503)), deadline=5.0)
    assert (outcome.audience, outcome.last_error) == (None, f"{ask('t0').route}: answered 503")


def test_an_error_that_passed_is_forgotten() -> None:
    _, outcome = wait(in_turn(LOST, shows("IN_PROGRESS"), shows("IN_PROGRESS")), deadline=5.0)
    assert outcome.last_error is None


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(["APPLIED", "REPLACED", "IN_PROGRESS", "FAILED", "lost", "busy", "html"]), max_size=30),
    st.integers(0, 4),
    st.floats(0, 200),
)
def test_a_wait_ends_by_its_deadline_and_confirms_only_what_was_seen(
    plan: list[str], number_of_tokens: int, deadline: float
) -> None:
    special: dict[str, Answer] = {"lost": LOST, "busy": busy(7), "html": Response(200, {}, b"<html>")}
    left = iter(plan)
    finished: list[str] = []

    def answer(request: Request) -> Answer:
        word = next(left, "IN_PROGRESS")
        if word in ("APPLIED", "REPLACED"):
            finished.append(dict(request.query)["indexing_token"])
        return special[word] if word in special else shows(word)

    tokens = [f"t{number}" for number in range(number_of_tokens)]
    asked, outcome = wait(answer, tokens, deadline=deadline)
    assert [*finished, *outcome.pending] == tokens
    assert all(when <= deadline + 1e-6 for when, _ in asked)


# The end of a wait.


def audience(state: str) -> CustomAudience:
    return CustomAudience("vip", None, None, None, None, None, IndexingState.UNKNOWN, state)


@pytest.mark.parametrize("last", [None, audience("APPLIED")])
def test_a_wait_with_nothing_pending_gives_the_last_view(last: CustomAudience | None) -> None:
    assert confirmed(IndexingOutcome(last, (), ("t0",)), "vip", 60.0) is last


def unconfirmed(outcome: IndexingOutcome) -> IndexingTimeoutError:
    with pytest.raises(IndexingTimeoutError) as caught:
        confirmed(outcome, "vip", 3600.0)
    return caught.value


def test_a_wait_with_something_pending_is_no_success() -> None:
    error = unconfirmed(IndexingOutcome(None, ("t1", "t2")))
    assert (error.audience_name, error.indexing_token, error.indexing_tokens) == ("vip", "t1", ("t1", "t2"))


@pytest.mark.parametrize("named", ["vip: ", "3,600 s", "t1, t2", "last state FAILED"])
def test_a_timeout_names_the_audience_the_time_the_tokens_and_the_last_state(named: str) -> None:
    assert named in str(unconfirmed(IndexingOutcome(audience("FAILED"), ("t1", "t2"))))


def test_a_timeout_names_the_last_error_rather_than_an_older_state() -> None:
    error = unconfirmed(IndexingOutcome(audience("APPLIED"), ("t1",), last_error="answered 503"))
    assert str(error).endswith("; answered 503")


def test_a_timeout_of_many_writes_names_five() -> None:
    error = unconfirmed(IndexingOutcome(None, tuple(f"t{number}" for number in range(100))))
    assert "(t0, t1, t2, t3, t4, …)" in str(error)


def test_a_timeout_of_many_writes_keeps_all_their_tokens() -> None:
    tokens = tuple(f"t{number}" for number in range(100))
    assert unconfirmed(IndexingOutcome(None, tokens)).indexing_tokens == tokens


def test_a_warning_counts_the_replaced_writes() -> None:
    assert "from 2 of the writes" in replaced_warning(["t0", "t1"])
