from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.protocol.flow import Flow
from airflow_provider_batch.protocol.retry import Delay, Patience, Polling
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.wire import Request
from airflow_provider_batch.protocol.writes import Parcel, Receipt
from airflow_provider_batch.push.line import Line
from airflow_provider_batch.push.parcels import Delivered, pack
from airflow_provider_batch.push.push import Push
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.settings import Settings

SETTINGS = Settings(Credentials("https://api.batch.com", "app-key", "rest-key"))


@dataclass(frozen=True)
class Letter:
    """A chunk of something else than members: a push does not care."""

    number: int
    text: str = "a"


Send = Callable[[Parcel[Letter]], Receipt]


class Post:
    """How letters are sent, without Batch."""

    first_alone = False
    patience = Patience()

    def __init__(self, send: Send) -> None:
        self._send = send

    def encode(self, chunk: Letter) -> Request:
        return Request("POST", "/letters", body=f"{chunk.number} {chunk.text}".encode())

    def send(self, parcel: Parcel[Letter], delay: Delay) -> Flow[Receipt]:
        return self._send(parcel)
        yield  # no conversation, but a flow

    def recall(self, parcel: Parcel[Letter], indexing_token: str) -> Receipt:
        return Receipt(parcel.number, 1, 0, (indexing_token,), parcel.fingerprint, earlier=True)

    def await_first(self, receipt: Receipt, polling: Polling) -> Flow[str]:
        raise AssertionError("no letter waits for the first one")


@dataclass
class Transport:
    stopped: threading.Event

    def interrupt(self) -> None:
        self.stopped.set()

    def perform(self, effect: object) -> None:
        raise AssertionError("a letter is sent without Batch")


def letters(many: int, text: str = "a") -> list[Letter]:
    return [Letter(number, text) for number in range(1, many + 1)]


def receipt(parcel: Parcel[Letter]) -> Receipt:
    return Receipt(parcel.number, 1, 0, (f"t{parcel.number}",), parcel.fingerprint)


def failing_at(number: int, error: BaseException) -> Send:
    def send(parcel: Parcel[Letter]) -> Receipt:
        if parcel.number == number:
            raise error
        return receipt(parcel)

    return send


def delivered(many: int, *tokens: str, text: str = "a") -> Delivered:
    """What a try notes that has sent so many letters over the same line."""
    *_, last = pack(letters(many, text), Post(receipt), SETTINGS.credentials.digest)
    return Delivered(last.fingerprint, tokens)


class Memory:
    """A journal in memory, which outlives a try."""

    def __init__(self, delivered: Delivered | None = None) -> None:
        self.delivered = delivered
        self.noted: list[Receipt] = []
        self.closed = 0

    def read(self) -> Delivered | None:
        return self.delivered

    def note(self, receipt: Receipt) -> None:
        self.noted.append(receipt)

    def close(self) -> None:
        self.closed += 1

    def clear(self) -> None:
        self.delivered = None


def numbers(receipts: Iterable[Receipt]) -> list[int]:
    return [one.number for one in receipts]


def send_all(journal: Memory, send: Send = receipt) -> list[str]:
    line = Line(SETTINGS, cast(Any, Transport(threading.Event())), logging.getLogger(__name__))
    sent = Push(line, Post(send), "letters", max_concurrency=1).run(letters(5), journal=journal)
    return list(sent.indexing_tokens)


def test_every_receipt_is_noted_in_order_and_kept_at_the_end() -> None:
    journal = Memory()
    assert send_all(journal) == [token for one in journal.noted for token in one.indexing_tokens]
    assert numbers(journal.noted) == [1, 2, 3, 4, 5]
    assert journal.closed == 1


def test_what_was_noted_is_kept_when_the_push_fails() -> None:
    journal = Memory()
    with pytest.raises(BatchError, match="accepted 2 chunks"):
        send_all(journal, failing_at(3, BatchError("no")))
    assert numbers(journal.noted) == [1, 2]
    assert journal.closed == 1


def test_what_was_delivered_is_not_sent_again() -> None:
    sent: list[int] = []

    def send(parcel: Parcel[Letter]) -> Receipt:
        sent.append(parcel.number)
        return receipt(parcel)

    journal = Memory(delivered(3, "old-1", "old-2", "old-3"))
    assert send_all(journal, send) == ["old-1", "old-2", "old-3", "t4", "t5"]
    assert sent == numbers(journal.noted) == [4, 5]


def test_what_was_delivered_counts_as_accepted() -> None:
    with pytest.raises(BatchError, match="accepted 3 chunks"):
        send_all(Memory(delivered(3, "old-1", "old-2", "old-3")), failing_at(4, BatchError("no")))


@pytest.mark.parametrize(
    "noted",
    [
        delivered(3, "old-1", "old-2", "old-3", text="b"),
        delivered(6, *("old",) * 6),
        delivered(1, "old", text="b"),
    ],
    ids=["other content", "fewer chunks now", "another first chunk"],
)
def test_another_input_is_sent_from_the_start(noted: Delivered) -> None:
    journal = Memory(noted)
    assert send_all(journal) == ["t1", "t2", "t3", "t4", "t5"]
    assert numbers(journal.noted) == [1, 2, 3, 4, 5]


def test_what_was_delivered_is_forgotten_before_anything_else_is_sent() -> None:
    journal = Memory(delivered(1, "old", text="b"))
    with pytest.raises(BatchError):
        send_all(journal, failing_at(1, BatchError("no answer: nobody knows whether it was written")))
    assert journal.delivered is None


def test_a_push_that_was_delivered_whole_sends_nothing() -> None:
    journal = Memory(delivered(5, "a", "b", "c", "d", "e"))
    assert send_all(journal) == ["a", "b", "c", "d", "e"]
    assert journal.noted == []


def test_from_a_chunk_on_that_went_in_parts_nothing_is_noted() -> None:
    def send(parcel: Parcel[Letter]) -> Receipt:
        if parcel.number == 3:
            return Receipt(3, 0, 0, ("half",), parcel.fingerprint, (Rejection("letters", 7, "no"),))
        return receipt(parcel)

    journal = Memory()
    assert send_all(journal, send) == ["t1", "t2", "half", "t4", "t5"]
    assert numbers(journal.noted) == [1, 2]
