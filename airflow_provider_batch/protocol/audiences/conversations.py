"""
Conversations about audiences: one verb of the API each, from the first question to the final answer.

Two rules of Batch shape them. What Batch answers for an audience that exists already, or does not exist, is not
documented: the list of audiences decides, before and after a call whose answer leaves it open. And no page promises
that writes are applied in the order of their arrival: a token says something about its own write only, so every token
is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from airflow_provider_batch.exceptions import (
    BatchError,
    BatchProtocolError,
    BatchRequestError,
    IndexingTimeoutError,
)
from airflow_provider_batch.protocol.audiences import decode, encode, tokens
from airflow_provider_batch.protocol.audiences.audience import (
    AudiencePage,
    CustomAudience,
    IndexingOutcome,
    IndexingState,
)
from airflow_provider_batch.protocol.audiences.chunk import Chunk
from airflow_provider_batch.protocol.dialect import Dialect
from airflow_provider_batch.protocol.flow import Flow, exchange, exchange_once, no_retry
from airflow_provider_batch.protocol.limits import MAX_AUDIENCES_PER_PAGE
from airflow_provider_batch.protocol.retry import Delay, Polling
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.wire import Request, Sleep

#: How many calls the search in one rejected chunk may cost. 14 find one id among 10,000; as many of them are rejected.
_MOST_CALLS_AROUND: Final = 400
_MOST_CALLS_IN_VAIN: Final = 40

#: Between two questions for a state, in seconds: a poke interval of 0 must not become a storm.
_SHORTEST_PAUSE: Final = 0.1


def write(request: Request, delay: Delay) -> Flow[str]:
    """Send a write and return its indexing token. What is sent again is the very same request."""
    return (yield from exchange(request, decode.indexing_token, delay))


@dataclass(frozen=True, slots=True)
class Written:
    """
    What became of a chunk that was sent in parts.

    :param indexing_tokens: one for each call that Batch accepted.
    :param rejected: the ids that Batch rejects.
    :param accepted: the chunk without them; None if nothing is left.
    """

    indexing_tokens: tuple[str, ...]
    rejected: tuple[Rejection, ...] = ()
    accepted: Chunk | None = None


def write_around(
    chunk: Chunk,
    encode_chunk: Callable[[Chunk], Request],
    reject: Callable[[Chunk, str], Rejection],
    delay: Delay,
) -> Flow[Written]:
    """
    Send a chunk that Batch has rejected (400) in halves, and their halves, until the rejected ids stand alone.

    Batch does not document whether one bad element makes it reject the whole call. The search ends with Batch's last
    error if it takes too many calls, or if nothing at all is accepted: then the ids are not the reason.

    :param reject: called with a chunk of the one id that Batch rejects, and Batch's reason.
    """
    tokens: list[str] = []
    accepted: list[Chunk] = []
    rejected: list[Rejection] = []
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
                rejected.append(reject(part, str(error)))
    return Written(tuple(tokens), tuple(rejected), chunk.of(accepted) if accepted else None)


def view(dialect: Dialect, audience_name: str, indexing_token: str | None, delay: Delay) -> Flow[CustomAudience]:
    """Ask once for the state of the write behind the token; without a token, of the last write."""
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
    Return the audiences of *listed* that are not in *seen*, and add them to it.

    A list that is read by offset shifts when an audience is created in the meantime.

    :raises BatchProtocolError: if there are more pages but this one has nothing new: the list would never end.
    """
    audiences = [audience for audience in listed.audiences if audience.name not in seen]
    seen.update(audience.name for audience in audiences)
    if listed.next_start is not None and not audiences:
        raise BatchProtocolError("the list of audiences gives the same page again and again")
    return audiences


def find(dialect: Dialect, audience_name: str, delay: Delay) -> Flow[CustomAudience | None]:
    """Return the audience as the list shows it; None if it is not there."""
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

    return (yield from exchange_once(request, decode.optional_indexing_token, exists, delay))


def delete(dialect: Dialect, audience_name: str, delay: Delay) -> Flow[str | None]:
    """Delete an audience that is there, and return the indexing token if Batch gives one."""
    request = encode.delete_custom_audience(dialect, audience_name)

    def is_gone() -> Flow[bool]:
        return (yield from find(dialect, audience_name, delay)) is None

    return (yield from exchange_once(request, decode.optional_indexing_token, is_gone, delay))


def await_indexing(
    dialect: Dialect, audience_name: str, indexing_tokens: Sequence[str], polling: Polling
) -> Flow[IndexingOutcome]:
    """
    Ask for one token after the other until it is done, or until the deadline.

    Transient errors (no answer, 429, 5xx) are waited out, but never beyond the deadline.

    :param indexing_tokens: one of them may be :data:`~airflow_provider_batch.protocol.audiences.tokens.LAST_WRITE`.
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
                pause = polling.delay(failures, error, 0.0)
                if pause is None:
                    pause = getattr(error, "retry_after", None)
            else:
                if audience.is_indexed:
                    break
                questions += 1
                failures, last_error, pause = 0, None, polling.spacing(questions)
            left = polling.deadline - polling.now()
            if left <= 0:
                return IndexingOutcome(audience, tuple(indexing_tokens[position:]), tuple(replaced), last_error)
            pause = max(_SHORTEST_PAUSE, polling.spacing(failures) if pause is None else pause)
            yield Sleep(min(left, pause), retries=failure)
        if audience.indexing_state is IndexingState.REPLACED:
            replaced.append(token)
    return IndexingOutcome(audience, (), tuple(replaced))


def confirmed(outcome: IndexingOutcome, audience_name: str, seconds: float) -> CustomAudience | None:
    """
    Return the last view of a wait in which every write was confirmed; None if there was nothing to wait for.

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
    Return a warning about writes that ended in REPLACED, or an empty text if none did.

    Such a write is finished. Batch does not document whether it was ever applied.

    :param own_replace: the token of a replace of the same run, which may show that state itself: no page rules it out.
    """
    others = [token for token in replaced if token != own_replace]
    return f"a later replace of the audience took over from {len(others)} of the writes waited for" if others else ""
