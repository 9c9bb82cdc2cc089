"""
Conversations with Batch as generators that yield what is to be done and are sent what came of it.

A broken connection is an answer, so that retrying it is ordinary code; the blocking and the asynchronous
transport share everything in this module but the two drivers, which are the same lines.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from airflow_provider_batch.exceptions import (
    BatchAPIError,
    BatchConnectionError,
    BatchError,
    BatchRequestError,
    IndexingTimeoutError,
)
from airflow_provider_batch.protocol import decode, encode, tokens
from airflow_provider_batch.protocol.dialect import Dialect
from airflow_provider_batch.protocol.model import (
    Chunk,
    CustomAudience,
    IndexingOutcome,
    IndexingState,
    Rejection,
    Request,
    Response,
    Sleep,
)
from airflow_provider_batch.protocol.retry import Delay

R = TypeVar("R")

Effect: TypeAlias = Request | Sleep
Answer: TypeAlias = Response | BatchConnectionError | None
Flow: TypeAlias = Generator[Effect, Answer, R]


#: How many calls one refused chunk may cost; 14 find one id among 10,000, and as many of them are in vain.
_MOST_CALLS_AROUND: Final = 400
_MOST_CALLS_IN_VAIN: Final = 40

#: Between two questions for a state, in seconds: a poke interval of 0 must not become a storm.
_SHORTEST_PAUSE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """A flow has ended with this value."""

    value: R


def advance(flow: Flow[R], answer: Answer) -> Effect | Done[R]:
    """Give *answer* to *flow*; only here can StopIteration mean «finished»."""
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
    """Give up after the first try."""


def exchange(request: Request, read: Callable[[Response, Request], R], delay: Delay) -> Flow[R]:
    """Yield *request* until *read* makes a value of its answer; *delay* says how long to wait, or None to give up."""
    attempt, waited = 0, 0.0
    while True:
        attempt += 1
        answer = yield request
        try:
            return _read(answer, request, read)
        except BatchError as error:
            if (pause := delay(attempt, error, waited)) is None:
                raise
            rest = Sleep(pause, everyone=_is_overloaded(error))
        waited += pause
        yield rest


def write(request: Request, delay: Delay) -> Flow[str]:
    """Send a write and return its indexing token; what is sent again is the very same request."""
    return (yield from exchange(request, decode.indexing_token, delay))


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a chunk: a token for each call that Batch accepted, and the ids that it refuses."""

    indexing_tokens: tuple[str, ...]
    refused: tuple[Rejection, ...] = ()


def write_around(chunk: Chunk, encode_chunk: Callable[[Chunk], Request], delay: Delay) -> Flow[Written]:
    """
    Send a chunk that Batch has refused (400) in halves, and their halves, until the refused ids stand alone.

    No page says whether one bad element spoils its call. The search ends, with Batch's last refusal, when it takes
    too many calls, or when nothing is accepted at all: then it is not about the ids.
    """
    tokens: list[str] = []
    refused: list[Rejection] = []
    parts = list(reversed(chunk.halves())) if len(chunk) > 1 else [chunk]
    calls = 0
    while parts:
        part = parts.pop()
        calls += 1
        try:
            tokens.append((yield from write(encode_chunk(part), delay)))
        except BatchRequestError as error:
            if error.status != 400 or calls >= (_MOST_CALLS_AROUND if tokens else _MOST_CALLS_IN_VAIN):
                raise
            if len(part) > 1:
                parts.extend(reversed(part.halves()))
            else:
                refused.append(part.rejection(str(error)))
    return Written(tuple(tokens), tuple(refused))


def view(dialect: Dialect, audience_name: str, indexing_token: str | None, delay: Delay) -> Flow[CustomAudience]:
    """Ask once for the state of the write behind the token; without one Batch answers for the last write."""
    request = encode.view_custom_audience(dialect, audience_name, indexing_token)
    return (yield from exchange(request, decode.custom_audience, delay))


def can_list(dialect: Dialect, delay: Delay) -> Flow[bool]:
    """Ask for one audience of the list: the cheapest call that needs both keys and changes nothing."""
    request = encode.list_custom_audiences(dialect, limit=1)
    return (yield from exchange(request, decode.is_custom_audience_list, delay))


def await_indexing(
    dialect: Dialect,
    audience_name: str,
    indexing_tokens: Sequence[str],
    *,
    delay: Delay,
    spacing: Callable[[int], float],
    deadline: float,
    now: Callable[[], float],
) -> Flow[IndexingOutcome]:
    """
    Ask for one token after the other until it is done, until *deadline* on the clock *now*.

    *spacing* gives the seconds to wait after so many answers «not yet» for one token. No page promises that writes are
    processed in their order, so a later token proves nothing about an earlier one. What may pass (no answer, 429, 5xx)
    is waited out as *delay* says, but never beyond the deadline.
    """
    audience: CustomAudience | None = None
    replaced: list[str] = []
    last_error: str | None = None
    for position, token in enumerate(indexing_tokens):
        questions = failures = 0
        while True:
            try:
                audience = yield from view(dialect, audience_name, token, no_retry)
            except BatchError as error:
                if not error.retryable:
                    raise
                failures += 1
                last_error = str(error)
                pause = delay(failures, error, 0.0)
                if pause is None:
                    pause = getattr(error, "retry_after", None)
            else:
                if audience.indexing_state.finished:
                    break
                questions += 1
                failures, last_error, pause = 0, None, spacing(questions)
            left = deadline - now()
            if left <= 0:
                return IndexingOutcome(audience, tuple(indexing_tokens[position:]), tuple(replaced), last_error)
            yield Sleep(min(left, max(_SHORTEST_PAUSE, spacing(failures) if pause is None else pause)))
        if audience.indexing_state is IndexingState.REPLACED:
            replaced.append(token)
    return IndexingOutcome(audience, (), tuple(replaced))


def confirmed(outcome: IndexingOutcome, audience_name: str, seconds: float) -> CustomAudience | None:
    """
    Return the last view of a wait in which every write was confirmed; None if there was none to wait for.

    :raises IndexingTimeoutError: if *outcome* has writes that were not confirmed within *seconds*.
    """
    if not outcome.pending:
        return outcome.audience
    state = outcome.last_error or (f"last state {outcome.audience.reported_state}" if outcome.audience else "not asked")
    raise IndexingTimeoutError(
        f"{audience_name}: not confirmed after {seconds:,.0f} s: {tokens.named(outcome.pending)}; {state}",
        audience_name=audience_name,
        indexing_token=outcome.pending[0],
        indexing_tokens=outcome.pending,
    )


def replaced_warning(indexing_tokens: Sequence[str]) -> str:
    """Say that writes ended in REPLACED: finished, but whether they were ever applied no page tells."""
    return f"a later replace of the audience took over from {len(indexing_tokens)} of the writes waited for"


def _is_overloaded(error: BatchError) -> bool:
    """Return whether Batch asks for less of everything, not only for another try of this call."""
    return isinstance(error, BatchAPIError) and error.status in (429, 503)


def _read(answer: Answer, request: Request, read: Callable[[Response, Request], R]) -> R:
    if isinstance(answer, BatchConnectionError):
        raise answer
    if answer is None:
        raise TypeError("a request is answered by a response or by a broken connection")
    decode.raise_for_status(answer, request)
    return read(answer, request)
