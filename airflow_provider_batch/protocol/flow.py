"""
Conversations with Batch as generators, and the drivers that run them.

A flow yields an effect (a :class:`Request` or a :class:`Sleep`) and receives its result. A broken connection is a
result, not an exception, so retrying is a loop. The worker's blocking transport and the triggerer's asynchronous one
run the same flows: :func:`run` and :func:`arun` differ in ``await`` alone. Tests run a flow by hand, without mocks.

A flow does not know what an answer means for its resource: *read* is passed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from airflow_provider_batch.exceptions import BatchAPIError, BatchConnectionError, BatchError, BatchRateLimitError
from airflow_provider_batch.protocol.refusals import raise_for_status
from airflow_provider_batch.protocol.retry import Delay, lacks_retry_after
from airflow_provider_batch.protocol.wire import Request, Response, Sleep

R = TypeVar("R")

Effect: TypeAlias = Request | Sleep
Answer: TypeAlias = Response | BatchConnectionError | None
Flow: TypeAlias = Generator[Effect, Answer, R]
#: Turns an answer with a status 2xx into a value.
Read: TypeAlias = Callable[[Response, Request], R]


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """A flow has ended with this value."""

    value: R


def advance(flow: Flow[R], answer: Answer) -> Effect | Done[R]:
    """
    Send *answer* into *flow* and return its next effect, or its value.

    Only here does StopIteration mean "finished". A driver that caught it around its whole loop would mistake one that
    a transport raises for the end of the flow.
    """
    try:
        return flow.send(answer)
    except StopIteration as stop:
        return Done(stop.value)


def run(flow: Flow[R], perform: Callable[[Effect], Answer]) -> R:
    """Run *flow* to its end on a blocking transport."""
    answer: Answer = None
    while not isinstance(step := advance(flow, answer), Done):
        answer = perform(step)
    return step.value


async def arun(flow: Flow[R], perform: Callable[[Effect], Awaitable[Answer]]) -> R:
    """Run *flow* to its end on an asynchronous transport."""
    answer: Answer = None
    while not isinstance(step := advance(flow, answer), Done):
        answer = await perform(step)
    return step.value


def no_retry(attempt: int, error: BatchError, waited: float) -> None:
    """Give up after the first attempt."""


def exchange(
    request: Request, read: Read[R], delay: Delay, happened: Callable[[], Flow[Done[R] | None]] | None = None
) -> Flow[R]:
    """
    Yield *request* until *read* accepts the answer, and return the value.

    A 429 without ``Retry-After`` does not count as an attempt: only the seconds that the call has waited end it.

    :param delay: returns the seconds to wait before the next attempt, or None to give up.
    :param happened: for a write that must not be repeated once it was applied: Batch does not document its answer to a
        repeated create or delete. After an error that leaves open whether the write was applied, this checks it, before
        the next attempt and before giving up.
    """
    calls, attempt, waited, unclear = 0, 1, 0.0, False
    while True:
        calls += 1
        answer = yield request
        try:
            return _value(answer, request, read)
        except BatchError as error:
            failure = error
        # After a 429 nothing was applied. The other transient errors leave it open.
        unclear = unclear or (failure.retryable and not isinstance(failure, BatchRateLimitError))
        if (pause := delay(attempt, failure, waited)) is not None:
            waited += pause
            attempt += not lacks_retry_after(failure)
            yield Sleep(pause, everyone=stops_everyone(failure), retries=failure)
        if unclear and happened is not None and (done := (yield from happened())) is not None:
            return done.value
        if pause is None:
            failure.attempts = calls if calls > 1 else None
            raise failure


def stops_everyone(error: BatchError | None) -> bool:
    """
    Whether all calls to Batch should wait as long as the one that failed.

    After a 429 without ``Retry-After`` the transport's pace stops them by itself, even if that call gives up.
    """
    return isinstance(error, BatchAPIError) and error.status in (429, 503) and not lacks_retry_after(error)


def _value(answer: Answer, request: Request, read: Read[R]) -> R:
    if isinstance(answer, BatchConnectionError):
        raise answer
    if answer is None:
        raise TypeError("a request is answered by a response or by a broken connection")
    raise_for_status(answer, request)
    return read(answer, request)
