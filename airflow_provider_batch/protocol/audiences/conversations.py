"""
Conversations about audiences: one verb of the API each, from the first request to the final answer.

Existence. Batch does not document what it answers for an audience that exists already, or does not exist. So the list
of audiences decides, before a call and after one whose answer leaves it open.

The search in a rejected chunk (:func:`write_bisected`). The errors of
https://doc.batch.com/developer/api/mep/custom-audience/1.0/update name no element, and Batch does not document
whether one rejected element rejects the whole call. Calls of one id each would find it, but a chunk has 10,000. Halves
need about 2 log2(n) calls for one such id, 28 for 10,000, and each half without one is written on the way, in any
order, as a chunk has each id once. A chunk that is rejected for another reason would be halved down to its last id, so
the number of calls is bounded, and the bound is far lower as long as Batch has accepted nothing.

The wait (:func:`await_indexing`). A token has the state of its own write alone
(https://doc.batch.com/api/custom-audience/1.0/get/), and no page promises that writes are applied in the order of their
arrival, so every token is polled. They are polled one after the other: while the first is pending, most others are
applied, and then need one call each. The deadline ends the wait, not a number of attempts: in an hour, an outage of a
few minutes is to be expected.
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
from airflow_provider_batch.protocol.flow import Done, Flow, exchange, no_retry, stops_everyone
from airflow_provider_batch.protocol.limits import MAX_AUDIENCES_PER_PAGE
from airflow_provider_batch.protocol.retry import Delay, Polling
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.wire import Request, Sleep

#: The most calls of one search: enough for some 20 rejected ids apart from each other among 10,000; and the most before
#: Batch has accepted any: enough for 15 of them at the start of the chunk.
_MOST_CALLS: Final = 400
_MOST_CALLS_IN_VAIN: Final = 40

#: Seconds between two polls at least: a poke interval of 0 must not flood Batch.
_SHORTEST_PAUSE: Final = 0.1


def write(request: Request, delay: Delay) -> Flow[str]:
    """Send a write and return its indexing token. Each attempt sends the very same request."""
    return (yield from exchange(request, decode.indexing_token, delay))


def may_be_halved(error: BatchRequestError) -> bool:
    """Whether a chunk with fewer ids may be accepted."""
    return error.status in (400, 413)


@dataclass(frozen=True, slots=True)
class Written:
    """
    The result of a chunk that was sent in parts.

    :param indexing_tokens: one for each call that Batch accepted.
    :param rejected: the ids that Batch rejects.
    :param accepted: the chunk without them; None if nothing is left.
    """

    indexing_tokens: tuple[str, ...]
    rejected: tuple[Rejection, ...] = ()
    accepted: Chunk | None = None


def write_bisected(
    chunk: Chunk,
    encode_chunk: Callable[[Chunk], Request],
    reject: Callable[[Chunk, str], Rejection],
    delay: Delay,
    *,
    send: Callable[[Request, Delay], Flow[str]] = write,
) -> Flow[Written]:
    """
    Send a chunk that Batch has rejected (400, 413) in halves, and their halves, until the rejected ids stand alone.

    :param reject: called with a chunk of the one id that Batch rejects, and Batch's reason.
    :param send: sends one write and returns its token.
    :raises BatchRequestError: the last one, if the search takes too many calls.
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
            tokens.append((yield from send(encode_chunk(part), delay)))
            accepted.append(part)
        except BatchRequestError as error:
            if not may_be_halved(error) or calls >= (_MOST_CALLS if tokens else _MOST_CALLS_IN_VAIN):
                raise
            if len(part) > 1:
                parts.extend(reversed(part.halves()))
            else:
                rejected.append(reject(part, str(error)))
    return Written(tuple(tokens), tuple(rejected), chunk.only(accepted) if accepted else None)


def view(dialect: Dialect, audience_name: str, indexing_token: str | None, delay: Delay) -> Flow[CustomAudience]:
    """Return the audience with the state of the token's write; without a token, of the last write."""
    request = encode.view_custom_audience(dialect, audience_name, indexing_token)
    return (yield from exchange(request, decode.custom_audience, delay))


def page(
    dialect: Dialect, start: int | str | None, delay: Delay, *, limit: int = MAX_AUDIENCES_PER_PAGE
) -> Flow[AudiencePage]:
    """Return one page of the list of audiences; without *start*, the first one."""
    request = encode.list_custom_audiences(dialect, start, limit=limit)
    return (yield from exchange(request, partial(decode.audience_page, dialect), delay))


def unseen(listed: AudiencePage, seen: set[str]) -> list[CustomAudience]:
    """
    Return the audiences of *listed* that are not in *seen*, and add them to it.

    A list that is paged by offset shifts when an audience is created in the meantime.

    :raises BatchProtocolError: if there are more pages but this one has nothing new: the list would never end.
    """
    audiences = [audience for audience in listed.audiences if audience.name not in seen]
    seen.update(audience.name for audience in audiences)
    if listed.next_start is not None and not audiences:
        raise BatchProtocolError("the list of audiences repeats a page, although it has more")
    return audiences


def find(dialect: Dialect, audience_name: str, delay: Delay) -> Flow[CustomAudience | None]:
    """Return the audience as the list shows it; None if it does not exist."""
    seen: set[str] = set()
    start: int | str | None = None
    while True:
        listed = yield from page(dialect, start, delay)
        for audience in unseen(listed, seen):
            if audience.name == audience_name:
                return audience
        if (start := listed.next_start) is None:
            return None


def is_missing(dialect: Dialect, audience_name: str) -> Flow[bool]:
    """Whether the list does not have the audience; False if it cannot be read."""
    try:
        return (yield from find(dialect, audience_name, no_retry)) is None
    except BatchError:
        return False


def create(
    dialect: Dialect, audience_name: str, audience_type: str, description: str | None, delay: Delay
) -> Flow[str | None]:
    """Create an audience that does not exist, and return the indexing token if Batch returns one."""
    request = encode.create_custom_audience(dialect, audience_name, audience_type, description)

    def exists() -> Flow[Done[str | None] | None]:
        return Done(None) if (yield from find(dialect, audience_name, delay)) is not None else None

    return (yield from exchange(request, decode.optional_indexing_token, delay, exists))


def delete(dialect: Dialect, audience_name: str, delay: Delay) -> Flow[str | None]:
    """Delete an audience that exists, and return the indexing token if Batch returns one."""
    request = encode.delete_custom_audience(dialect, audience_name)

    def is_gone() -> Flow[Done[str | None] | None]:
        return Done(None) if (yield from find(dialect, audience_name, delay)) is None else None

    return (yield from exchange(request, decode.optional_indexing_token, delay, is_gone))


def await_indexing(
    dialect: Dialect, audience_name: str, indexing_tokens: Sequence[str], polling: Polling
) -> Flow[IndexingOutcome]:
    """
    Poll one token after the other until all are final, or until the deadline.

    After a transient error (no answer, 429, 5xx) the wait goes on.

    :param indexing_tokens: one of them may be :data:`~airflow_provider_batch.protocol.audiences.tokens.LAST_WRITE`.
    """
    audience: CustomAudience | None = None
    replaced: list[str] = []
    last_error: str | None = None
    for position, token in enumerate(indexing_tokens):
        polls = failures = 0
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
                polls += 1
                failures, last_error, pause = 0, None, polling.spacing(polls)
            left = polling.deadline - polling.now()
            if left <= 0:
                return IndexingOutcome(audience, tuple(indexing_tokens[position:]), tuple(replaced), last_error)
            pause = max(_SHORTEST_PAUSE, polling.spacing(failures) if pause is None else pause)
            yield Sleep(min(left, pause), everyone=stops_everyone(failure), retries=failure)
        if audience.indexing_state is IndexingState.REPLACED:
            replaced.append(token)
    return IndexingOutcome(audience, (), tuple(replaced))


def confirmed(outcome: IndexingOutcome, audience_name: str, seconds: float) -> CustomAudience | None:
    """
    Return the last view of a wait that confirmed every write; None if there was nothing to wait for.

    :raises IndexingTimeoutError: if *outcome* has writes that were not confirmed within *seconds*.
    """
    if not outcome.pending:
        return outcome.audience
    state = outcome.last_error or (
        f"last state {outcome.audience.reported_state}" if outcome.audience else "not polled"
    )
    raise IndexingTimeoutError(
        f"{audience_name}: not confirmed after {seconds:,.0f} s: {tokens.describe_tokens(outcome.pending)}; {state}",
        audience_name=audience_name,
        indexing_token=outcome.pending[0],
        indexing_tokens=outcome.pending,
    )


def replaced_warning(replaced: Sequence[str], own_replace: str | None = None) -> str:
    """
    Return a warning about writes that ended in REPLACED, or an empty text if none did.

    Such a write is finished. Batch does not document whether it was ever applied.

    :param own_replace: the token of a replace of the same run, which may have that state itself: no page rules it out.
    """
    others = [token for token in replaced if token != own_replace]
    return f"a later replace of the audience took over from {len(others)} of the writes waited for" if others else ""
