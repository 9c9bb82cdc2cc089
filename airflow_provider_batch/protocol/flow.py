"""
Conversations with Batch as generators, and what drives them.

A flow yields what is to be done (a :class:`Request`, or a :class:`Sleep`) and is sent what came of it. A broken
connection is an answer like any other, so that retrying is ordinary code, and one flow serves the blocking transport
of the worker and the asynchronous one of the triggerer: :func:`run` and :func:`arun` are the same lines. Tests drive a
flow by hand, without a network and without mocks.

What a single call means for its resource is not known here: *read* is passed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from airflow_provider_batch.exceptions import BatchAPIError, BatchConnectionError, BatchError, BatchRateLimitError
from airflow_provider_batch.protocol.refusals import raise_for_status
from airflow_provider_batch.protocol.retry import Delay
from airflow_provider_batch.protocol.wire import Request, Response, Sleep

R = TypeVar("R")

Effect: TypeAlias = Request | Sleep
Answer: TypeAlias = Response | BatchConnectionError | None
Flow: TypeAlias = Generator[Effect, Answer, R]
#: Makes a value of an answer of status 2xx.
Read: TypeAlias = Callable[[Response, Request], R]


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """A flow has ended with this value."""

    value: R


def advance(flow: Flow[R], answer: Answer) -> Effect | Done[R]:
    """
    Give *answer* to *flow* and return what it wants next.

    Only here does StopIteration mean "finished". A driver that caught it around its whole loop would take one that a
    transport raises for the end of the flow.
    """
    try:
        return flow.send(answer)
    except StopIteration as stop:
        return Done(stop.value)


def run(flow: Flow[R], perform: Callable[[Effect], Answer]) -> R:
    """Drive *flow* to its end with a blocking transport."""
    answer: Answer = None
    while not isinstance(step := advance(flow, answer), Done):
        answer = perform(step)
    return step.value


async def arun(flow: Flow[R], perform: Callable[[Effect], Awaitable[Answer]]) -> R:
    """Drive *flow* to its end with an asynchronous transport."""
    answer: Answer = None
    while not isinstance(step := advance(flow, answer), Done):
        answer = await perform(step)
    return step.value


def no_retry(attempt: int, error: BatchError, waited: float) -> None:
    """Give up after the first attempt."""


def exchange(request: Request, read: Read[R], delay: Delay) -> Flow[R]:
    """
    Yield *request* until *read* can make a value of its answer.

    :param delay: how long to wait before the next attempt, or None to give up.
    """
    attempt, waited = 0, 0.0
    while True:
        attempt += 1
        answer = yield request
        try:
            return _value(answer, request, read)
        except BatchError as error:
            if (pause := delay(attempt, error, waited)) is None:
                _note_attempts(error, attempt)
                raise
            rest = Sleep(pause, everyone=_is_overloaded(error), retries=error)
        waited += pause
        yield rest


def exchange_once(
    request: Request, read: Read[R | None], happened: Callable[[], Flow[bool]], delay: Delay
) -> Flow[R | None]:
    """
    Yield a write that Batch may reject if it is repeated, although the first one was applied.

    A call that creates or deletes is not documented to be repeatable. After an answer that leaves open whether it was
    applied, *happened* looks before the call is attempted again or given up; if it was, the value is None.
    """
    attempt, waited, unclear = 0, 0.0, False
    while True:
        attempt += 1
        answer = yield request
        try:
            return _value(answer, request, read)
        except BatchError as error:
            # A 429 says that nothing was applied. The other transient errors leave it open.
            unclear = unclear or (error.retryable and not isinstance(error, BatchRateLimitError))
            pause, failure = delay(attempt, error, waited), error
        if pause is not None:
            waited += pause
            yield Sleep(pause, everyone=_is_overloaded(failure), retries=failure)
        if unclear and (yield from happened()):
            return None
        if pause is None:
            _note_attempts(failure, attempt)
            raise failure


def _note_attempts(error: BatchError, attempt: int) -> None:
    error.attempts = attempt if attempt > 1 else None


def _is_overloaded(error: BatchError) -> bool:
    """Whether Batch asks for less of everything, and not only for another attempt of this call."""
    return isinstance(error, BatchAPIError) and error.status in (429, 503)


def _value(answer: Answer, request: Request, read: Read[R]) -> R:
    if isinstance(answer, BatchConnectionError):
        raise answer
    if answer is None:
        raise TypeError("a request is answered by a response or by a broken connection")
    raise_for_status(answer, request)
    return read(answer, request)
