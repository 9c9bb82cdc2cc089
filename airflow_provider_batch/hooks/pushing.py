"""One push: chunks in, a result out, over one transport."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_provider_batch.delivery import push
from airflow_provider_batch.exceptions import BatchRequestError
from airflow_provider_batch.hooks.connection import Settings
from airflow_provider_batch.hooks.progress import Progress
from airflow_provider_batch.protocol import encode, flow
from airflow_provider_batch.protocol.chunk import CheckedChunks, Chunks
from airflow_provider_batch.protocol.dialect import Dialect
from airflow_provider_batch.protocol.intake import Intake, OnInvalidId, OnRejection
from airflow_provider_batch.protocol.model import Chunk, IndexingOutcome, PushResult, Receipt, Rejection, Request
from airflow_provider_batch.resume import Journal, Parcel, pack

if TYPE_CHECKING:
    from airflow_provider_batch.transport.blocking import BlockingTransport

OnRejectedChunk = Literal["fail", "bisect"]

#: How many rejected values a result names; the others are only counted.
_NAMED_REJECTIONS: Final = 20


def one_at_a_time(on_rejection: OnRejection) -> OnRejection:
    """Return what tells *on_rejection* of one value after the other: Batch refuses several at once."""
    lock = threading.Lock()

    def tell(rejection: Rejection, value: object) -> None:
        with lock:
            on_rejection(rejection, value)

    return tell


@dataclass(frozen=True, slots=True)
class Indexing:
    """How long to wait for Batch's indexing, and the most seconds between two questions."""

    poke_interval: float = 10.0
    timeout: float = 3600.0

    def wait(
        self, settings: Settings, dialect: Dialect, audience_name: str, indexing_tokens: Sequence[str]
    ) -> flow.Flow[IndexingOutcome]:
        """Ask for one token after the other, from now on and for so long."""
        return flow.await_indexing(
            dialect,
            audience_name,
            indexing_tokens,
            delay=settings.patient_backoff(self.poke_interval),
            spacing=settings.spacing(self.poke_interval),
            deadline=time.monotonic() + self.timeout,
            now=time.monotonic,
        )


@dataclass(frozen=True, slots=True)
class Push:
    """
    What is sent to whom, and how failures are met.

    :param replaces: whether the first chunk takes the place of all members. The others are then added, but not before
        the replace is applied: no page promises that writes are processed in their order, and it would wipe them.
    """

    dialect: Dialect
    audience_name: str
    audience_type: str
    chunk_size: int
    max_concurrency: int
    on_rejected_chunk: OnRejectedChunk = "fail"
    on_rejection: OnRejection | None = None
    replaces: bool = False
    indexing: Indexing = Indexing()

    def intake(self, on_invalid_id: OnInvalidId = "fail") -> partial[Intake]:
        """Return what checks the values of one argument by the rules of this push."""
        return partial(
            Intake,
            audience_name=self.audience_name,
            rules=self.dialect.members,
            block_size=self.chunk_size,
            on_invalid_id=on_invalid_id,
            on_rejection=self.on_rejection,
        )

    def run(
        self,
        chunks: Chunks | CheckedChunks,
        settings: Settings,
        transport: BlockingTransport,
        log: Any,
        *,
        journal: Journal | None = None,
        series: str = "",
        on_receipt: Callable[[Receipt], None] | None = None,
    ) -> PushResult:
        """
        Send all *chunks*, but for those that *journal* knows as delivered.

        :param series: tells pushes of the same chunks apart, of which one must not count for the other.
        :param on_receipt: is told of each chunk that Batch accepted, in their order.
        """
        progress = Progress(log, self.audience_name, chunks.total)
        tokens: list[str] = []
        delivery = push(
            partial(pack, chunks, self._encode, settings.credentials.digest + series if journal else None),
            partial(self._send, settings, transport),
            max_concurrency=self.max_concurrency,
            stopped=transport.stopped,
            journal=journal,
            before_second=partial(self._wait_for_replace, settings, transport, log) if self.replaces else None,
        )
        # Closed whatever is raised: an error on its way up holds the delivery, whose threads would go on sending.
        with closing(delivery) as receipts:
            for receipt in receipts:
                progress.count(receipt)
                tokens.extend(receipt.indexing_tokens)
                if on_receipt is not None:
                    on_receipt(receipt)
        return self._result(chunks, progress, tokens)

    def count(self, chunks: Chunks | CheckedChunks, log: Any) -> PushResult:
        """Return what :meth:`run` would send, without sending it."""
        progress = Progress(log, self.audience_name, chunks.total)
        calls = 0
        for calls, chunk in enumerate(chunks, 1):  # noqa: B007 - the last number is how many there are
            progress.count(Receipt(chunk.number, len(chunk.add_ids), len(chunk.remove_ids), ()))
        return self._result(chunks, progress, [], planned_calls=calls)

    def digest(self, chunks: Chunks) -> str:
        """Return a digest of all that :meth:`run` would send."""
        parcel = None
        for parcel in pack(chunks, self._encode, ""):  # noqa: B007 - the last one's is that of all
            pass
        return parcel.fingerprint if parcel else ""

    def nothing_new(self, indexing_tokens: Sequence[str]) -> PushResult:
        """Return that there is nothing to send, but for what an earlier run has sent."""
        tokens = list(indexing_tokens)
        return PushResult(
            self.audience_name, self.audience_type, tokens, 0, 0, 0, 0, (), 0.0, earlier_calls=len(tokens)
        )

    def _encode(self, chunk: Chunk) -> Request:
        if self.replaces and chunk.number == 1:
            return encode.replace_custom_audience(self.dialect, self.audience_name, self.audience_type, chunk)
        return self._encode_update(chunk)

    def _encode_update(self, chunk: Chunk) -> Request:
        return encode.update_custom_audience(self.dialect, self.audience_name, self.audience_type, chunk)

    def _send(self, settings: Settings, transport: BlockingTransport, parcel: Parcel) -> Receipt:
        def write(request: Request) -> str:
            return flow.run(flow.write(request, settings.backoff), transport.perform)

        try:
            return parcel.receipt(write(parcel.request))
        except BatchRequestError as error:
            # A replace by nothing has no ids that could be refused.
            if error.status != 400 or self.on_rejected_chunk != "bisect" or not len(parcel.chunk):
                raise
            refusal = error
        # The parts of a replace are added, too, until it is known what is refused: it has them all once it is sent.
        search = flow.write_around(parcel.chunk, self._encode_update, self._refuse, settings.backoff)
        written = flow.run(search, transport.perform)
        if not (self.replaces and parcel.number == 1):
            return parcel.receipt(*written.indexing_tokens, refused=written.refused)
        if not written.accepted:
            raise refusal
        return parcel.receipt(write(self._encode(written.accepted)), refused=written.refused)

    def _refuse(self, chunk: Chunk, reason: str) -> Rejection:
        """Return that Batch refuses the one id of *chunk*."""
        rejection = chunk.rejection(reason)
        if self.on_rejection is not None:
            self.on_rejection(rejection, *chunk.add_ids, *chunk.remove_ids)
        return rejection

    def _wait_for_replace(self, settings: Settings, transport: BlockingTransport, log: Any, receipt: Receipt) -> None:
        wait = self.indexing.wait(settings, self.dialect, self.audience_name, receipt.indexing_tokens)
        outcome = flow.run(wait, transport.perform)
        flow.confirmed(outcome, self.audience_name, self.indexing.timeout)
        if outcome.replaced:  # whether a replace that nobody has replaced can show this, no page says
            log.warning(
                "%s: Batch says of the replace that a later one took over; the other ids are added to its members",
                self.audience_name,
            )

    def _result(
        self, chunks: Chunks | CheckedChunks, progress: Progress, tokens: list[str], planned_calls: int | None = None
    ) -> PushResult:
        return PushResult(
            audience_name=self.audience_name,
            audience_type=self.audience_type,
            indexing_tokens=tokens,
            added=progress.added,
            removed=progress.removed,
            duplicates=chunks.duplicates,
            rejected=chunks.rejected + len(progress.refused),
            rejections=(*chunks.rejections, *progress.refused)[:_NAMED_REJECTIONS],
            seconds=progress.seconds,
            earlier_calls=progress.earlier_calls,
            planned_calls=planned_calls,
        )
