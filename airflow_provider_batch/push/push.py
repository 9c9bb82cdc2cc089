"""One push: chunks in, the sum of their receipts out."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Generic, Protocol

from airflow_provider_batch.exceptions import BatchError, counted
from airflow_provider_batch.protocol.writes import C, Parcel, Receipt, Sent, Writes
from airflow_provider_batch.push.delivery import deliver
from airflow_provider_batch.push.line import Line
from airflow_provider_batch.push.parcels import Journal, Parcels, parcels_of, resumed
from airflow_provider_batch.push.progress import Progress


@dataclass(frozen=True, slots=True)
class Push(Generic[C]):
    """
    Sends the chunks of one task over one line.

    :param writes: how a chunk is encoded and sent.
    :param name: the recipient's name in the log.
    :param max_concurrency: the most calls in flight.
    """

    line: Line
    writes: Writes[C]
    name: str
    max_concurrency: int

    def run(
        self,
        chunks: Iterable[C],
        *,
        total: int | None = None,
        journal: Journal | None = None,
        series: str = "",
    ) -> Sent:
        """
        Send all *chunks* except those that *journal* has as delivered.

        :param chunks: read again from the start if *journal* has others.
        :param total: the most records that there are, if that is known.
        :param series: part of the fingerprints, for pushes of the same chunks that must not count for each other.
        """
        progress = Progress(self.line.log, self.name, total)
        recipient = self.line.settings.credentials.digest + series if journal is not None else None
        # Closed at any error: a traceback would keep the generator alive, and its threads would go on sending.
        with closing(self._receipts(partial(parcels_of, chunks, self.writes, recipient), journal)) as receipts:
            for receipt in receipts:
                progress.count(receipt)
        return progress.sent()

    def _receipts(self, parcels: Parcels[C], journal: Journal | None) -> Generator[Receipt, None, None]:
        to_send, earlier = resumed(parcels, self.writes.recall, journal)
        if earlier:
            self.line.log.info("%s: skipped %s that an earlier try sent", self.name, counted(len(earlier), "chunk"))
        yield from earlier
        # The journal has one token a chunk: a chunk that went in parts, and all after it, the next try sends again.
        is_prefix = True
        try:
            for receipt in self._send(to_send, earlier):
                is_prefix = is_prefix and receipt.whole
                if journal is not None and is_prefix:
                    journal.note(receipt)
                yield receipt
        finally:
            if journal is not None:
                journal.close()

    def _send(self, parcels: Iterator[Parcel[C]], earlier: list[Receipt]) -> Iterator[Receipt]:
        """Send the *parcels* after those of *earlier*, and the first of all alone if the others have to wait for it."""
        accepted = len(earlier)
        try:
            if self.writes.first_alone:
                first = earlier[:1]  # sent by an earlier try, which may have died during the wait for it
                for receipt in () if first else self._deliver(islice(parcels, 1)):
                    first, accepted = [receipt], 1
                    yield receipt
                if (second := next(parcels, None)) is None:
                    return  # no other parcel has to wait
                self._await_first(*first)
                parcels = chain([second], parcels)
            yield from self._deliver(parcels)
        except BatchError as error:
            error.accepted_chunks = (error.accepted_chunks or 0) + accepted
            raise

    def _await_first(self, receipt: Receipt) -> None:
        if warning := self.line.wait(partial(self.writes.await_first, receipt), self.writes.patience):
            self.line.log.warning("%s: %s", self.name, warning)

    def _deliver(self, parcels: Iterable[Parcel[C]]) -> Iterator[Receipt]:
        transport = self.line.transport
        return deliver(
            parcels,
            self._send_parcel,
            max_concurrency=self.max_concurrency,
            stopped=transport.stopped,
            interrupt=transport.interrupt,
        )

    def _send_parcel(self, parcel: Parcel[C]) -> Receipt:
        return self.line.ask(self.writes.send(parcel, self.line.settings.backoff))


class Counted(Protocol):
    """A chunk whose counts are known before it is sent."""

    @property
    def added(self) -> int:
        """How many records it adds."""

    @property
    def removed(self) -> int:
        """How many it removes."""


def planned(chunks: Iterable[Counted], clock: Callable[[], float] = time.monotonic) -> Sent:
    """Return the sum of a push of *chunks* that is not sent."""
    started, added, removed, calls = clock(), 0, 0, 0
    for chunk in chunks:
        added += chunk.added
        removed += chunk.removed
        calls += 1
    return Sent(added, removed, seconds=clock() - started, planned_calls=calls)


def digest(chunks: Iterable[C], writes: Writes[C]) -> str:
    """Return a digest of everything that a push of *chunks* would send."""
    parcel = None
    for parcel in parcels_of(chunks, writes, ""):  # noqa: B007 - the last fingerprint covers all parcels
        pass
    return parcel.fingerprint if parcel else ""
