"""
Conversations with Batch as generators that yield what is to be done and are sent what came of it.

A broken connection is an answer, so that retrying it is ordinary code; the blocking and the asynchronous
transport share everything in this module but the two drivers, which are the same lines.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeAlias, TypeVar

from airflow_provider_batch.exceptions import (
    BatchAPIError,
    BatchConnectionError,
    BatchError,
    BatchProtocolError,
    BatchRateLimitError,
    BatchRequestError,
    IndexingTimeoutError,
)
from airflow_provider_batch.protocol import decode, encode, tokens
from airflow_provider_batch.protocol.dialect import Dialect
from airflow_provider_batch.protocol.limits import MAX_AUDIENCES_PER_PAGE
from airflow_provider_batch.protocol.model import (
    AudiencePage,
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
                error.attempts = attempt if attempt > 1 else None
                raise
            rest = Sleep(pause, everyone=_is_overloaded(error), retries=error)
        waited += pause
        yield rest


def write(request: Request, delay: Delay) -> Flow[str]:
    """Send a write and return its indexing token; what is sent again is the very same request."""
    return (yield from exchange(request, decode.indexing_token, delay))


@dataclass(frozen=True, slots=True)
class Written:
    """
    What became of a chunk: a token for each call that Batch accepted, and the ids that it refuses.

    ``accepted`` is the chunk without them, None if nothing is left.
    """

    indexing_tokens: tuple[str, ...]
    refused: tuple[Rejection, ...] = ()
    accepted: Chunk | None = None


def write_around(
    chunk: Chunk,
    encode_chunk: Callable[[Chunk], Request],
    refuse: Callable[[Chunk, str], Rejection],
    delay: Delay,
) -> Flow[Written]:
    """
    Send a chunk that Batch has refused (400) in halves, and their halves, until the refused ids stand alone.

    No page says whether one bad element spoils its call. The search ends, with Batch's last refusal, when it takes
    too many calls, or when nothing is accepted at all: then it is not about the ids.

    :param refuse: is called with a chunk of the one id that Batch refuses, and its words.
    """
    tokens: list[str] = []
    accepted: list[Chunk] = []
    refused: list[Rejection] = []
    parts = list(reversed(chunk.halves())) if len(chunk) > 1 else [chunk]
    calls = 0
    while parts:
        part = parts.pop()
        calls += 1
        try:
            tokens.append((yield from write(encode_chunk(part), delay)))
            accepted.append(part)
        except BatchRequestError as error:
            if error.status != 400 or calls >= (_MOST_CALLS_AROUND if tokens else _MOST_CALLS_IN_VAIN):
                raise
            if len(part) > 1:
                parts.extend(reversed(part.halves()))
            else:
                refused.append(refuse(part, str(error)))
    return Written(tuple(tokens), tuple(refused), chunk.of(accepted) if accepted else None)


def view(dialect: Dialect, audience_name: str, indexing_token: str | None, delay: Delay) -> Flow[CustomAudience]:
    """Ask once for the state of the write behind the token; without one Batch answers for the last write."""
    request = encode.view_custom_audience(dialect, audience_name, indexing_token)
    return (yield from exchange(request, decode.custom_audience, delay))


def page(
    dialect: Dialect, start: int | str | None, delay: Delay, *, limit: int = MAX_AUDIENCES_PER_PAGE
) -> Flow[AudiencePage]:
    """Ask for one page of the list of audiences; without *start* for the first one."""
    request = encode.list_custom_audiences(dialect, start, limit=limit)
    return (yield from exchange(request, partial(decode.audience_page, dialect), delay))


def unseen(listed: AudiencePage, seen: set[str]) -> list[CustomAudience]:
    """
    Return the audiences of *listed* that are not in *seen*, and put them there.

    A list that is asked for by offset shifts when an audience is created meanwhile.

    :raises BatchProtocolError: if there are more pages but this one has nothing new: the list would never end.
    """
    audiences = [audience for audience in listed.audiences if audience.name not in seen]
    seen.update(audience.name for audience in audiences)
    if listed.next_start is not None and not audiences:
        raise BatchProtocolError("the list of audiences gives the same page again and again")
    return audiences


def find(dialect: Dialect, audience_name: str, delay: Delay) -> Flow[CustomAudience | None]:
    """
    Look an audience up in the list; None if it is not there.

    What Batch answers when an unknown audience is asked for is on no page; the list is the documented way to know.
    """
    seen: set[str] = set()
    start: int | str | None = None
    while True:
        listed = yield from page(dialect, start, delay)
        for audience in unseen(listed, seen):
            if audience.name == audience_name:
                return audience
        if (start := listed.next_start) is None:
            return None


def create(
    dialect: Dialect, audience_name: str, audience_type: str, description: str | None, delay: Delay
) -> Flow[str | None]:
    """Create an audience that is not there, and return the indexing token if Batch gives one."""
    request = encode.create_custom_audience(dialect, audience_name, audience_type, description)

    def exists() -> Flow[bool]:
        return (yield from find(dialect, audience_name, delay)) is not None

    return (yield from _write_once(request, exists, delay))


def delete(dialect: Dialect, audience_name: str, delay: Delay) -> Flow[str | None]:
    """Delete an audience that is there, and return the indexing token if Batch gives one."""

    def is_gone() -> Flow[bool]:
        return (yield from find(dialect, audience_name, delay)) is None

    return (yield from _write_once(encode.delete_custom_audience(dialect, audience_name), is_gone, delay))


def _write_once(request: Request, happened: Callable[[], Flow[bool]], delay: Delay) -> Flow[str | None]:
    """
    Send a write whose repetition Batch may refuse, though the first one was done: no page says.

    After an answer that leaves it open whether the write was done, *happened* looks, before it is tried again or given
    up.
    """
    attempt, waited, unclear = 0, 0.0, False
    while True:
        attempt += 1
        answer = yield request
        try:
            return _read(answer, request, decode.optional_indexing_token)
        except BatchError as error:
            # A 429 says that nothing was done; of the others that may pass, none does.
            unclear = unclear or (error.retryable and not isinstance(error, BatchRateLimitError))
            pause, failure = delay(attempt, error, waited), error
        if pause is not None:
            waited += pause
            yield Sleep(pause, everyone=_is_overloaded(failure), retries=failure)
        if unclear and (yield from happened()):
            return None
        if pause is None:
            failure.attempts = attempt if attempt > 1 else None
            raise failure


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

    One of them may be :data:`~airflow_provider_batch.protocol.tokens.LAST_WRITE`.

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
            failure: BatchError | None = None
            try:
                audience = yield from view(dialect, audience_name, token or None, no_retry)
            except BatchError as error:
                if not error.retryable:
                    raise
                failure = error
                failures += 1
                last_error = str(error)
                pause = delay(failures, error, 0.0)
                if pause is None:
                    pause = getattr(error, "retry_after", None)
            else:
                if audience.is_indexed:
                    break
                questions += 1
                failures, last_error, pause = 0, None, spacing(questions)
            left = deadline - now()
            if left <= 0:
                return IndexingOutcome(audience, tuple(indexing_tokens[position:]), tuple(replaced), last_error)
            pause = max(_SHORTEST_PAUSE, spacing(failures) if pause is None else pause)
            yield Sleep(min(left, pause), retries=failure)
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


def replaced_warning(replaced: Sequence[str], own_replace: str | None = None) -> str:
    """
    Say that writes ended in REPLACED: finished, but whether they were ever applied no page tells; empty if none did.

    :param own_replace: the token of a replace of the same run: no page says whether it can show that state itself.
    """
    others = [token for token in replaced if token != own_replace]
    return f"a later replace of the audience took over from {len(others)} of the writes waited for" if others else ""


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
