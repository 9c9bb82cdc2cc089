from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

import pytest

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.protocol.flow import Flow
from airflow_provider_batch.protocol.retry import Delay, Patience, Polling, Spacing
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.wire import Request
from airflow_provider_batch.protocol.writes import Parcel, Receipt, Sent
from airflow_provider_batch.push.line import Line
from airflow_provider_batch.push.parcels import Delivered, parcels_of
from airflow_provider_batch.push.push import Push, digest, planned
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

    patience = Patience(poke_interval=7.0, timeout=70.0)

    def __init__(self, send: Send, *, first_alone: bool = False, warning: str = "") -> None:
        self._send = send
        self.first_alone = first_alone
        self._warning = warning
        #: Which first letter was waited for, and how.
        self.awaited: list[tuple[Receipt, Polling]] = []
        self.delays: list[Delay] = []

    def encode(self, chunk: Letter) -> Request:
        return Request("POST", "/letters", body=f"{chunk.number} {chunk.text}".encode())

    def packed(self, chunk: Letter, request: Request) -> Letter:
        return chunk

    def send(self, parcel: Parcel[Letter], delay: Delay) -> Flow[Receipt]:
        self.delays.append(delay)
        return self._send(parcel)
        yield  # no conversation, but a flow

    def recall(self, parcel: Parcel[Letter], indexing_token: str) -> Receipt:
        return Receipt(parcel.number, 1, 0, (indexing_token,), parcel.fingerprint, earlier=True)

    def await_first(self, receipt: Receipt, polling: Polling) -> Flow[str]:
        self.awaited.append((receipt, polling))
        return self._warning
        yield


@dataclass
class Transport:
    stopped: threading.Event
    interrupted: bool = False

    def interrupt(self) -> None:
        self.interrupted = True

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
    *_, last = parcels_of(letters(many, text), Post(receipt), SETTINGS.credentials.digest)
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


def push_by(post: Post) -> Push[Letter]:
    line = Line(SETTINGS, cast(Any, Transport(threading.Event())), logging.getLogger(__name__))
    return Push(line, post, "letters", max_concurrency=1)


def send_all(journal: Memory, send: Send = receipt) -> list[str]:
    sent = push_by(Post(send)).run(letters(5), journal=journal)
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


def test_the_log_has_the_first_receipt(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert push_by(Post(receipt)).run(letters(5), total=10).added == 5
    assert [message.partition(",")[0] for message in caplog.messages] == ["letters: chunk 1 accepted; 1 id of 10 (10%)"]


def test_the_log_says_what_an_earlier_try_sent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    send_all(Memory(delivered(3, "old-1", "old-2", "old-3")))
    assert caplog.messages[0] == "letters: skipped 3 chunks that an earlier try sent"


def test_a_call_that_fails_is_tried_again_as_the_connection_says() -> None:
    post = Post(receipt)
    push_by(post).run(letters(2))
    assert post.delays == [SETTINGS.backoff] * 2


def test_calls_in_flight_do_not_outlast_an_interrupted_task() -> None:
    push = push_by(Post(failing_at(1, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        push.run(letters(2))
    assert cast(Any, push.line.transport).interrupted


# Fingerprints


def test_a_fingerprint_is_a_digest_of_the_recipient_and_of_all_calls_so_far() -> None:
    whole = sha256(b"app")
    for part in (b"POST /letters", b"1 a", b"POST /letters", b"2 a"):
        whole.update(sha256(part).digest())
    assert [parcel.fingerprint for parcel in parcels_of(letters(2), Post(receipt), "app")][1] == whole.hexdigest()


def test_a_call_without_a_body_has_the_fingerprint_of_an_empty_one() -> None:
    class Postcards(Post):
        def encode(self, chunk: Letter) -> Request:
            return Request("GET", "/postcards")

    (parcel,) = parcels_of(letters(1), Postcards(receipt), "app")
    whole = sha256(b"app")
    whole.update(sha256(b"GET /postcards").digest())
    whole.update(sha256(b"").digest())
    assert parcel.fingerprint == whole.hexdigest()


def test_without_a_journal_nothing_is_digested() -> None:
    sent: list[str] = []

    def send(parcel: Parcel[Letter]) -> Receipt:
        sent.append(parcel.fingerprint)
        return receipt(parcel)

    push_by(Post(send)).run(letters(2))
    assert sent == [sha256(b"").hexdigest()] * 2


def test_without_a_recipient_nothing_is_digested() -> None:
    parcels = list(parcels_of(letters(2), Post(receipt), None))
    assert {parcel.fingerprint for parcel in parcels} == {sha256(b"").hexdigest()}


def test_the_digest_of_a_push_is_the_fingerprint_of_its_last_call() -> None:
    *_, last = parcels_of(letters(3), Post(receipt), "")
    assert digest(letters(3), Post(receipt)) == last.fingerprint
    assert digest(letters(2), Post(receipt)) != last.fingerprint
    assert digest([], Post(receipt)) == ""


# Where the first chunk must be applied before any other is sent


@dataclass
class Order:
    """What was sent, and what was waited for, in its order."""

    post: Post
    sent: list[int]

    @property
    def awaited(self) -> list[int]:
        return [receipt.number for receipt, _ in self.post.awaited]


def first_alone(warning: str = "", fails_at: int = 0) -> Order:
    sent: list[int] = []

    def send(parcel: Parcel[Letter]) -> Receipt:
        if parcel.number == fails_at:
            raise BatchError("no")
        # The second is not on its way before the first was waited for.
        assert parcel.number == 1 or order.awaited == [1]
        sent.append(parcel.number)
        return receipt(parcel)

    order = Order(Post(send, first_alone=True, warning=warning), sent)
    return order


def test_the_first_is_waited_for_before_any_other_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    order = first_alone()
    before = time.monotonic()
    assert push_by(order.post).run(letters(4)).indexing_tokens == ("t1", "t2", "t3", "t4")
    assert (order.sent, order.awaited) == ([1, 2, 3, 4], [1])
    ((_, polling),) = order.post.awaited
    assert before + 70 <= polling.deadline <= time.monotonic() + 70
    assert cast(Spacing, polling.spacing).longest == 7.0
    assert polling.now is time.monotonic
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_wait_for_the_first_may_warn(caplog: pytest.LogCaptureFixture) -> None:
    push_by(first_alone("somebody else was faster").post).run(letters(2))
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "letters: somebody else was faster"
    ]


@pytest.mark.parametrize("many", [0, 1])
def test_where_there_is_no_second_nothing_is_waited_for(many: int) -> None:
    order = first_alone()
    journal = Memory()
    assert len(push_by(order.post).run(letters(many), journal=journal).indexing_tokens) == many
    assert (order.awaited, journal.closed) == ([], 1)


def test_a_first_that_an_earlier_try_sent_is_waited_for_and_not_sent_again() -> None:
    order = first_alone()
    journal = Memory(delivered(2, "old-1", "old-2"))
    assert push_by(order.post).run(letters(4), journal=journal).indexing_tokens == ("old-1", "old-2", "t3", "t4")
    assert (order.sent, order.awaited) == ([3, 4], [1])


@pytest.mark.parametrize(("fails_at", "accepted"), [(1, "0 chunks"), (2, "1 chunk"), (4, "3 chunks")])
def test_an_error_counts_the_first_among_those_accepted(fails_at: int, accepted: str) -> None:
    with pytest.raises(BatchError, match=f"accepted {accepted} "):
        push_by(first_alone(fails_at=fails_at).post).run(letters(5))


@dataclass(frozen=True)
class Parts:
    added: int
    removed: int


def test_a_plan_is_the_sum_of_what_would_be_sent() -> None:
    times = iter([1000.0, 1002.5])
    chunks = [Parts(3, 1), Parts(1, 4), Parts(0, 1)]
    assert planned(chunks, lambda: next(times)) == Sent(4, 6, seconds=2.5, planned_calls=3)


def test_a_plan_of_nothing_is_nothing() -> None:
    assert planned([], lambda: 1000.0) == Sent(planned_calls=0)
