"""
Chunks -> parcels, and which of them an earlier try has delivered.

A try that dies leaves a :class:`Journal`: one token for each chunk that Batch accepted, and a fingerprint. The next try
makes its parcels anew and compares. What comes between two tries is the journal's concern: it must not return what
somebody may have undone. What is kept true: a chunk counts as delivered only if it and every chunk before it
are, byte for byte, what was sent. So the fingerprint is a running digest over the app, the routes and the bodies, and
one comparison, at the last noted parcel, covers all of them. The number of chunks alone is not enough: a source may
return other rows, or the same ones in another order. Nor is a digest of each chunk alone: a repeated or missing chunk
in the middle would go unnoticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from airflow_provider_batch.protocol.writes import C, Parcel, Receipt, Writes

#: Makes the parcels of a push, from the first one on, each time it is called.
Parcels: TypeAlias = Callable[[], Iterator[Parcel[C]]]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The first parcels of a push that an earlier try delivered: the last one's fingerprint, and a token for each."""

    fingerprint: str
    indexing_tokens: tuple[str, ...]


class Journal(Protocol):
    """
    Where one push notes what Batch accepted: digests and tokens, neither ids nor keys.

    No method raises: a note that is lost costs a repetition, an error would cost the push.
    """

    def read(self) -> Delivered | None:
        """Return what the try before noted last, if nobody else may have written to the audience in between."""

    def note(self, receipt: Receipt) -> None:
        """Note that the next chunk in order was accepted; number 1 starts over."""

    def close(self) -> None:
        """Save all that was noted: the try ends, whether it succeeded or not."""

    def clear(self) -> None:
        """Delete all that was noted."""


def parcels_of(chunks: Iterable[C], writes: Writes[C], recipient: str | None) -> Iterator[Parcel[C]]:
    """
    Encode each of *chunks*, once, and yield it as a parcel.

    :param recipient: a digest of the app that they go to; None if fingerprints are not needed.
    """
    content = hashlib.sha256((recipient or "").encode())
    for chunk in chunks:
        request = writes.encode(chunk)
        if recipient is not None:
            for part in (request.route.encode(), request.body or b""):
                content.update(hashlib.sha256(part).digest())
        chunk = writes.packed(chunk, request)
        yield Parcel(chunk, request, content.hexdigest())


def resumed(
    parcels: Parcels[C], recall: Callable[[Parcel[C], str], Receipt], journal: Journal | None
) -> tuple[Iterator[Parcel[C]], list[Receipt]]:
    """
    Return the parcels that are still to be sent, and the receipts of those that an earlier try delivered.

    If the first parcels are not the ones that were delivered, all are still to be sent. The journal is cleared before:
    once other parcels are sent, what was delivered no longer counts, and this try may die before it notes anything.
    """
    to_send = parcels()
    delivered = journal.read() if journal is not None else None
    if delivered is None:
        return to_send, []
    receipts = [recall(parcel, token) for token, parcel in zip(delivered.indexing_tokens, to_send, strict=False)]
    if len(receipts) == len(delivered.indexing_tokens) and receipts[-1].fingerprint == delivered.fingerprint:
        return to_send, receipts
    if journal is not None:
        journal.clear()
    return parcels(), []
