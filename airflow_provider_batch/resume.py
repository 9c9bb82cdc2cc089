"""What an earlier try of the same push has delivered: recognised by its content, never sent again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_batch.protocol.model import REMOVE_IDS, Chunk, Receipt, Rejection, Request


@dataclass(frozen=True, slots=True)
class Parcel:
    """
    A chunk, encoded and ready to send.

    ``fingerprint`` is a digest of this parcel and all before it, so that a push whose first parcels are not the
    same ones any more is never mistaken for the one that was interrupted.
    """

    chunk: Chunk
    request: Request
    fingerprint: str

    @property
    def number(self) -> int:
        """The chunk's number."""
        return self.chunk.number

    def receipt(self, *indexing_tokens: str, refused: tuple[Rejection, ...] = (), earlier: bool = False) -> Receipt:
        """Return that Batch accepted it, but for the ids *refused*; *earlier* says that it did so in an earlier try."""
        removed = sum(rejection.argument == REMOVE_IDS for rejection in refused)
        return Receipt(
            self.number,
            len(self.chunk.add_ids) - (len(refused) - removed),
            len(self.chunk.remove_ids) - removed,
            indexing_tokens,
            self.fingerprint,
            refused,
            earlier,
        )


@dataclass(frozen=True, slots=True)
class Delivered:
    """The first parcels of a push, accepted in an earlier try: the last one's fingerprint, and a token for each."""

    fingerprint: str
    indexing_tokens: tuple[str, ...]


class Journal(Protocol):
    """Where one push notes what was accepted. Holds digests and tokens, neither ids nor keys."""

    def read(self) -> Delivered | None:
        """Return what an earlier try of the same push noted last."""

    def note(self, receipt: Receipt) -> None:
        """Note that the next chunk in order was accepted; number 1 begins anew."""

    def close(self) -> None:
        """Keep all that was noted: the try ends, well or badly."""

    def clear(self) -> None:
        """Forget all that was noted."""


def pack(chunks: Iterable[Chunk], encode: Callable[[Chunk], Request], recipient: str | None) -> Iterator[Parcel]:
    """
    Encode each of *chunks*, once.

    :param recipient: a digest of the app that they go to; None where nobody asks for fingerprints.
    """
    content = hashlib.sha256((recipient or "").encode())
    for chunk in chunks:
        request = encode(chunk)
        if recipient is not None:
            for part in (request.route.encode(), request.body or b""):
                content.update(hashlib.sha256(part).digest())
        yield Parcel(chunk, request, content.hexdigest())


def resumed(pack: Callable[[], Iterator[Parcel]], journal: Journal | None) -> tuple[Iterator[Parcel], list[Receipt]]:
    """
    Return the parcels that are still to be sent, and the receipts of those that were delivered by an earlier try.

    If the first parcels are not the ones that were delivered, they are all to be sent; what was delivered is forgotten
    before, as it counts no more once anything else was sent, of which the journal may never hear.
    """
    parcels = pack()
    delivered = journal.read() if journal is not None else None
    if delivered is None:
        return parcels, []
    receipts = [
        parcel.receipt(token, earlier=True) for token, parcel in zip(delivered.indexing_tokens, parcels, strict=False)
    ]
    if len(receipts) == len(delivered.indexing_tokens) and receipts[-1].fingerprint == delivered.fingerprint:
        return parcels, receipts
    if journal is not None:
        journal.clear()
    return pack(), []
