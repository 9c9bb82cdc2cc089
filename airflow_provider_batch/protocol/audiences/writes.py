"""How a push sends members to an audience: see :class:`~airflow_provider_batch.protocol.writes.Writes`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from airflow_provider_batch.exceptions import BatchRequestError
from airflow_provider_batch.protocol.arguments import OnInvalidId, OnRejectedChunk, check_switch
from airflow_provider_batch.protocol.audiences import encode
from airflow_provider_batch.protocol.audiences.chunk import Chunk
from airflow_provider_batch.protocol.audiences.conversations import (
    Written,
    await_indexing,
    confirmed,
    is_missing,
    may_be_halved,
    write,
    write_bisected,
)
from airflow_provider_batch.protocol.audiences.intake import IntakeOf, MemberIntake, PutAside
from airflow_provider_batch.protocol.audiences.members import REMOVE_IDS
from airflow_provider_batch.protocol.dialect import Dialect
from airflow_provider_batch.protocol.flow import Flow
from airflow_provider_batch.protocol.retry import Delay, Patience, Polling
from airflow_provider_batch.protocol.rows import OnRejection, Rejection
from airflow_provider_batch.protocol.wire import Request
from airflow_provider_batch.protocol.writes import Parcel, Receipt


@dataclass(frozen=True, slots=True)
class AudienceWrites:
    """
    The writes of one push to one audience.

    :param replaces: whether the first chunk replaces all members. One call takes at most 10,000, and a second replace
        would wipe the first, so the other chunks are added. They wait until the replace is applied: no page promises
        that writes are applied in order, and a later replace would wipe them.
    :param on_token: called with the token of each call that Batch accepts, as soon as it is received.
    """

    dialect: Dialect
    audience_name: str
    audience_type: str
    chunk_size: int
    on_rejected_chunk: OnRejectedChunk = "fail"
    on_rejection: OnRejection | None = None
    replaces: bool = False
    patience: Patience = field(default_factory=Patience)
    on_token: Callable[[str], None] | None = None

    @property
    def first_alone(self) -> bool:
        """Whether the first chunk must be applied before any other is sent."""
        return self.replaces

    def intake(
        self,
        on_invalid_id: OnInvalidId = "fail",
        trim_ids: bool = False,
        on_doubt: Callable[[str], object] | None = None,
        checkpoint: Callable[[], None] | None = None,
        put_aside: PutAside = list,
    ) -> IntakeOf:
        """
        Return the function that checks the values of one argument, by the rules that these writes are subject to.

        :param checkpoint: called for each block of values; what it raises ends the reading.
        :param put_aside: as in :class:`~airflow_provider_batch.protocol.audiences.intake.MemberIntake`.
        """
        check_switch("trim_ids", trim_ids)
        return partial(
            MemberIntake,
            name=self.audience_name,
            rules=replace(self.dialect.members, trims=trim_ids),
            block_size=self.chunk_size,
            on_invalid_id=on_invalid_id,
            on_rejection=self.on_rejection,
            on_doubt=on_doubt,
            checkpoint=checkpoint,
            put_aside=put_aside,
        )

    def encode(self, chunk: Chunk) -> Request:
        """Return the call that sends *chunk*."""
        if self._is_replace(chunk):
            return encode.replace_custom_audience(self.dialect, self.audience_name, self.audience_type, chunk)
        return self._update(chunk)

    def packed(self, chunk: Chunk, request: Request) -> Chunk:
        """Return *chunk* as its parcel keeps it: of most calls, without the ids."""
        return encode.packed(chunk, request)

    def send(self, parcel: Parcel[Chunk], delay: Delay) -> Flow[Receipt]:
        """
        Send *parcel*; with ``bisect``, and if Batch rejects it, send it in parts that leave out the rejected ids.

        A replace that is too large (413) stays as large after that search.
        """
        try:
            return _receipt(parcel, (yield from self._write(parcel.request, delay)))
        except BatchRequestError as error:
            if error.status == 400 and (yield from is_missing(self.dialect, self.audience_name)):
                what = error.args[0].removesuffix(".")
                error.args = (f"{what}. The audience does not exist: create_if_missing=True creates it.",)
                raise
            too_large = error.status == 413 and self._is_replace(parcel.chunk)
            # A replace without ids has none that could be rejected.
            if too_large or not may_be_halved(error) or self.on_rejected_chunk != "bisect" or not len(parcel.chunk):
                raise
            rejection = error
        # The search always updates: each replace would wipe the part before it.
        written: Written = yield from write_bisected(parcel.chunk, self._update, self._reject, delay, send=self._write)
        if not self._is_replace(parcel.chunk):
            return _receipt(parcel, *written.indexing_tokens, rejected=written.rejected)
        if not written.accepted:
            raise rejection
        token = yield from self._write(self.encode(written.accepted), delay)
        return _receipt(parcel, token, rejected=written.rejected)

    def recall(self, parcel: Parcel[Chunk], indexing_token: str) -> Receipt:
        """Return the receipt of a parcel that an earlier try has sent."""
        return _receipt(parcel, indexing_token, earlier=True)

    def await_first(self, receipt: Receipt, polling: Polling) -> Flow[str]:
        """Wait until the replace is applied."""
        outcome = yield from await_indexing(self.dialect, self.audience_name, receipt.indexing_tokens, polling)
        confirmed(outcome, self.audience_name, self.patience.timeout)
        if not outcome.replaced:
            return ""
        # No page rules out that a replace has this state without another replace.
        return "Batch reports that a later replace took over; the other ids are added to its members"

    def _write(self, request: Request, delay: Delay) -> Flow[str]:
        token = yield from write(request, delay)
        if self.on_token is not None:
            self.on_token(token)
        return token

    def _is_replace(self, chunk: Chunk) -> bool:
        return self.replaces and chunk.number == 1

    def _update(self, chunk: Chunk) -> Request:
        return encode.update_custom_audience(self.dialect, self.audience_name, self.audience_type, chunk)

    def _reject(self, chunk: Chunk, reason: str) -> Rejection:
        """Notify the caller that Batch rejects the one id of *chunk*."""
        rejection = chunk.rejection(reason)
        if self.on_rejection is not None:
            self.on_rejection(rejection, *chunk.add_ids, *chunk.remove_ids)
        return rejection


def _receipt(
    parcel: Parcel[Chunk], *indexing_tokens: str, rejected: tuple[Rejection, ...] = (), earlier: bool = False
) -> Receipt:
    removed = sum(rejection.argument == REMOVE_IDS for rejection in rejected)
    return Receipt(
        parcel.number,
        parcel.chunk.added - (len(rejected) - removed),
        parcel.chunk.removed - removed,
        indexing_tokens,
        parcel.fingerprint,
        rejected,
        earlier,
    )
