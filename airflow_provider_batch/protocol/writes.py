"""
The parts of a push, for any resource of the API: parcels out, receipts back.

A push keeps many calls in flight and does not know what they hold. A resource passes it a :class:`Writes`, which
defines how a chunk becomes a call and what Batch's answer means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from airflow_provider_batch.protocol.flow import Flow
from airflow_provider_batch.protocol.retry import Delay, Patience, Polling
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.wire import Request


class Numbered(Protocol):
    """The content of one call; numbers count from 1."""

    @property
    def number(self) -> int:
        """Its place in the push."""


C = TypeVar("C", bound=Numbered)


@dataclass(frozen=True, slots=True)
class Parcel(Generic[C]):
    """
    A chunk, encoded once and ready to send.

    :param fingerprint: a digest of this parcel and all parcels before it, so that a push whose first parcels have
        changed is never mistaken for an interrupted one.
    """

    chunk: C = field(repr=False)
    request: Request
    fingerprint: str

    @property
    def number(self) -> int:
        """The chunk's number."""
        return self.chunk.number


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    Batch accepted a chunk.

    :param added: how many of its ids are to be added.
    :param removed: how many are to be removed.
    :param indexing_tokens: one for each call that it took; several where it had to be sent in parts.
    :param fingerprint: that of its parcel.
    :param rejected: ids of the chunk that Batch rejected.
    :param earlier: whether an earlier try of the task sent it.
    """

    number: int
    added: int
    removed: int
    indexing_tokens: tuple[str, ...]
    fingerprint: str = ""
    rejected: tuple[Rejection, ...] = ()
    earlier: bool = False

    @property
    def whole(self) -> bool:
        """Whether one call took all of the chunk."""
        return len(self.indexing_tokens) == 1 and not self.rejected


class Writes(Protocol[C]):
    """How a resource of the API sends its chunks."""

    @property
    def first_alone(self) -> bool:
        """Whether the first chunk must be applied before any other is sent."""

    @property
    def patience(self) -> Patience:
        """How long to wait for that."""

    def encode(self, chunk: C) -> Request:
        """Return the call that sends *chunk*."""

    def packed(self, chunk: C, request: Request) -> C:
        """Return *chunk* as its parcel keeps it, without what can be read from the call again."""

    def send(self, parcel: Parcel[C], delay: Delay) -> Flow[Receipt]:
        """Send *parcel* until Batch accepts it."""

    def recall(self, parcel: Parcel[C], indexing_token: str) -> Receipt:
        """Return the receipt of a parcel that an earlier try has sent."""

    def await_first(self, receipt: Receipt, polling: Polling) -> Flow[str]:
        """Wait until the first chunk is applied, and return a warning, or an empty text."""


@dataclass(frozen=True, slots=True)
class Sent:
    """
    The sum of a push's receipts.

    :param rejections: ids that Batch rejected; the others it accepted.
    :param earlier_calls: how many of the calls an earlier try of the task made.
    :param planned_calls: of a dry run, how many calls it would have made.
    """

    added: int = 0
    removed: int = 0
    indexing_tokens: tuple[str, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    seconds: float = 0.0
    earlier_calls: int = 0
    planned_calls: int | None = None
