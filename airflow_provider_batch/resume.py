"""What an earlier try of the same push has delivered: recognised by its content, never sent again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_batch.protocol.model import Chunk, Receipt, Request


@dataclass(frozen=True, slots=True)
class Parcel:
    """
    A chunk, encoded and ready to send.

    ``fingerprint`` is a digest of this parcel and all before it, so that a push whose first parcels are not the
    same ones any more is never mistaken for the one that was interrupted.
    """

    number: int
    added: int
    removed: int
    request: Request
    fingerprint: str

    def receipt(self, indexing_token: str) -> Receipt:
        """Return that Batch accepted it."""
        return Receipt(self.number, self.added, self.removed, indexing_token, self.fingerprint)


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


def pack(chunks: Iterable[Chunk], encode: Callable[[Chunk], Request], recipient: str) -> Iterator[Parcel]:
    """
    Encode each of *chunks*, once.

    :param recipient: a digest of the app that they go to.
    """
    content = hashlib.sha256(recipient.encode())
    for chunk in chunks:
        request = encode(chunk)
        for part in (request.path.encode(), request.body or b""):
            content.update(hashlib.sha256(part).digest())
        yield Parcel(chunk.number, len(chunk.add_ids), len(chunk.remove_ids), request, content.hexdigest())


def resumed(pack: Callable[[], Iterator[Parcel]], journal: Journal | None) -> tuple[Iterator[Parcel], list[Receipt]]:
    """
    Return the parcels that are still to be sent, and the receipts of those that were delivered by an earlier try.

    If the first parcels are not the ones that were delivered, they are all to be sent.
    """
    parcels = pack()
    delivered = journal.read() if journal is not None else None
    if delivered is None:
        return parcels, []
    receipts = [parcel.receipt(token) for token, parcel in zip(delivered.indexing_tokens, parcels, strict=False)]
    if len(receipts) == len(delivered.indexing_tokens) and receipts[-1].fingerprint == delivered.fingerprint:
        return parcels, receipts
    return pack(), []
