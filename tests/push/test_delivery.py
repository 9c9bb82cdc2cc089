from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import (
    BatchAuthenticationError,
    BatchError,
    BatchServerError,
    InvalidMemberError,
    PushStoppedError,
)
from airflow_provider_batch.protocol.audiences.chunk import Chunk
from airflow_provider_batch.protocol.wire import Request
from airflow_provider_batch.protocol.writes import Parcel, Receipt
from airflow_provider_batch.push.delivery import deliver
from airflow_provider_batch.transport import MAX_CONNECTIONS
from tests.clock import eventually

#: Seconds after which a test that should have gone on is given up.
PATIENCE = 10.0


def parcel(number: int) -> Parcel[Chunk]:
    return Parcel(Chunk(number, ["a"], []), Request("PATCH", "/vip"), f"digest-{number}")


def numbered(many: int) -> list[Parcel[Chunk]]:
    return [parcel(number) for number in range(1, many + 1)]


def receipt(parcel: Parcel[Chunk]) -> Receipt:
    return Receipt(parcel.number, 1, 0, (f"t{parcel.number}",), parcel.fingerprint)


def numbers(receipts: Iterable[Receipt]) -> list[int]:
    return [one.number for one in receipts]


def await_(event: threading.Event) -> None:
    assert event.wait(PATIENCE)


class Events:
    """One event for each parcel."""

    def __init__(self) -> None:
        self._events: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> threading.Event:
        with self._lock:
            return self._events.setdefault(number, threading.Event())


@pytest.mark.parametrize("max_concurrency", [1, 2, 4, MAX_CONNECTIONS])
@pytest.mark.parametrize("many", [0, 1, 2, 10])
def test_every_chunk_is_sent_and_its_receipt_given(many: int, max_concurrency: int) -> None:
    receipts = list(deliver(numbered(many), receipt, max_concurrency=max_concurrency, stopped=threading.Event()))
    assert receipts == list(map(receipt, numbered(many)))


def test_receipts_come_in_the_order_of_the_chunks_whatever_ends_first() -> None:
    done = Events()

    def last_one_first(parcel: Parcel[Chunk]) -> Receipt:
        if parcel.number < 4:
            await_(done[parcel.number + 1])
        done[parcel.number].set()
        return receipt(parcel)

    assert numbers(deliver(numbered(4), last_one_first, max_concurrency=4, stopped=threading.Event())) == [1, 2, 3, 4]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.permutations(range(1, 7)))
def test_receipts_come_in_order_after_any_order_of_completion(order: list[int]) -> None:
    done = Events()
    before = dict(zip(order[1:], order, strict=False))

    def in_that_order(parcel: Parcel[Chunk]) -> Receipt:
        if parcel.number in before:
            await_(done[before[parcel.number]])
        done[parcel.number].set()
        return receipt(parcel)

    assert numbers(deliver(numbered(6), in_that_order, max_concurrency=6, stopped=threading.Event())) == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_a_slow_first_chunk_does_not_hold_up_the_others() -> None:
    tenth = threading.Event()

    def slow_first(parcel: Parcel[Chunk]) -> Receipt:
        if parcel.number == 1:
            await_(tenth)
        if parcel.number == 10:
            tenth.set()
        return receipt(parcel)

    assert numbers(deliver(numbered(10), slow_first, max_concurrency=2, stopped=threading.Event())) == list(
        range(1, 11)
    )


def test_as_many_calls_as_allowed_are_in_flight_together() -> None:
    together = threading.Barrier(3)

    def send(parcel: Parcel[Chunk]) -> Receipt:
        together.wait(PATIENCE)
        return receipt(parcel)

    assert numbers(deliver(numbered(6), send, max_concurrency=3, stopped=threading.Event())) == [1, 2, 3, 4, 5, 6]


class Window:
    """Counts how many chunks were taken from the source and not yet answered."""

    def __init__(self) -> None:
        self.held = 0
        self.most_held = 0
        self._lock = threading.Lock()

    def chunks(self, many: int) -> Iterator[Parcel[Chunk]]:
        for parcel in numbered(many):
            with self._lock:
                self.held += 1
                self.most_held = max(self.most_held, self.held)
            yield parcel

    def send(self, parcel: Parcel[Chunk]) -> Receipt:
        with self._lock:
            self.held -= 1
        return receipt(parcel)


@pytest.mark.parametrize("max_concurrency", [1, 2, 5])
def test_no_more_chunks_are_held_ready_than_may_be_in_flight(max_concurrency: int) -> None:
    window = Window()
    list(deliver(window.chunks(50), window.send, max_concurrency=max_concurrency, stopped=threading.Event()))
    assert window.most_held <= 2 * max_concurrency


@pytest.mark.parametrize("max_concurrency", [1, 3])
def test_the_source_is_pulled_no_further_than_the_window_while_no_call_ends(max_concurrency: int) -> None:
    pulled: list[int] = []
    in_flight = threading.Semaphore(0)
    go_on = threading.Event()

    def source() -> Iterator[Parcel[Chunk]]:
        for parcel in numbered(10):
            pulled.append(parcel.number)
            yield parcel

    def send(parcel: Parcel[Chunk]) -> Receipt:
        in_flight.release()
        await_(go_on)
        return receipt(parcel)

    def consume() -> None:
        list(deliver(source(), send, max_concurrency=max_concurrency, stopped=threading.Event()))

    consumer = threading.Thread(target=consume)
    consumer.start()
    try:
        for _ in range(max_concurrency):
            assert in_flight.acquire(timeout=PATIENCE)
        assert not in_flight.acquire(timeout=0.05)
        assert pulled == list(range(1, 2 * max_concurrency + 1))
    finally:
        go_on.set()
        consumer.join(PATIENCE)


def test_nothing_is_pulled_before_the_first_receipt_is_asked_for() -> None:
    pulled: list[int] = []

    def source() -> Iterator[Parcel[Chunk]]:
        pulled.append(1)
        yield from numbered(1)

    deliver(source(), receipt, max_concurrency=1, stopped=threading.Event())
    assert pulled == []


def failing_at(number: int, error: BaseException) -> Callable[[Parcel[Chunk]], Receipt]:
    def send(parcel: Parcel[Chunk]) -> Receipt:
        if parcel.number == number:
            raise error
        return receipt(parcel)

    return send


def test_an_error_of_a_call_is_raised_as_it_is() -> None:
    error = BatchServerError("no", status=500)
    with pytest.raises(BatchServerError) as caught:
        list(deliver(numbered(3), failing_at(2, error), max_concurrency=1, stopped=threading.Event()))
    assert caught.value is error


@pytest.mark.parametrize("position", [1, 2, 5])
def test_an_error_says_how_many_chunks_were_accepted_before(position: int) -> None:
    with pytest.raises(BatchError) as caught:
        list(deliver(numbered(5), failing_at(position, BatchError("no")), max_concurrency=1, stopped=threading.Event()))
    assert caught.value.accepted_chunks == position - 1


def test_receipts_before_an_error_are_given() -> None:
    delivery = deliver(numbered(3), failing_at(3, BatchError("no")), max_concurrency=1, stopped=threading.Event())
    assert [next(delivery).number, next(delivery).number] == [1, 2]
    with pytest.raises(BatchError):
        next(delivery)


def test_calls_under_way_are_let_finish_and_counted() -> None:
    stopped = threading.Event()
    under_way = threading.Barrier(3, timeout=PATIENCE)

    def send(parcel: Parcel[Chunk]) -> Receipt:
        under_way.wait()
        if parcel.number == 1:
            raise BatchError("no")
        await_(stopped)
        return receipt(parcel)

    with pytest.raises(BatchError) as caught:
        list(deliver(numbered(3), send, max_concurrency=3, stopped=stopped))
    assert caught.value.accepted_chunks == 2


def test_the_first_error_wins_over_those_that_follow() -> None:
    stopped = threading.Event()

    def send(parcel: Parcel[Chunk]) -> Receipt:
        if parcel.number == 2:
            raise BatchAuthenticationError("first", status=401)
        await_(stopped)
        raise PushStoppedError("later")

    with pytest.raises(BatchAuthenticationError, match="first"):
        list(deliver(numbered(3), send, max_concurrency=3, stopped=stopped))


def test_the_first_error_wins_over_those_that_are_found_with_it() -> None:
    stopped, go_on = threading.Event(), threading.Event()
    ended: list[int] = []

    def send(parcel: Parcel[Chunk]) -> Receipt:
        if parcel.number == 1:
            return receipt(parcel)
        try:
            await_(go_on if parcel.number == 9 else stopped)
            raise BatchAuthenticationError("first", status=401) if parcel.number == 9 else PushStoppedError("later")
        finally:
            ended.append(parcel.number)

    delivery = deliver(numbered(16), send, max_concurrency=16, stopped=stopped)
    next(delivery)
    go_on.set()
    eventually(lambda: len(ended) == 15)
    with pytest.raises(BatchAuthenticationError, match="first"):
        list(delivery)


class SeenAgain(threading.Event):
    """Is set by the call that fails first, which goes on only once the delivery has set it for a later one."""

    def __init__(self) -> None:
        super().__init__()
        self._again = threading.Event()

    def set(self) -> None:
        was_set = self.is_set()
        super().set()
        if not was_set:
            await_(self._again)
        elif threading.current_thread() is threading.main_thread():
            self._again.set()


def test_the_first_error_wins_though_a_later_one_is_found_before() -> None:
    stopped = SeenAgain()

    def send(parcel: Parcel[Chunk]) -> Receipt:
        if parcel.number == 1:
            raise BatchAuthenticationError("first", status=401)
        await_(stopped)
        raise PushStoppedError("later")

    with pytest.raises(BatchAuthenticationError, match="first"):
        list(deliver(numbered(2), send, max_concurrency=2, stopped=stopped))


@pytest.mark.parametrize(
    ("error", "interrupted"), [(BatchError("no"), []), (ValueError("no"), []), (KeyboardInterrupt(), [1])]
)
def test_only_what_is_no_exception_interrupts_the_calls_in_flight(error: BaseException, interrupted: list[int]) -> None:
    found: list[int] = []
    send = failing_at(1, error)
    stopped = threading.Event()
    with pytest.raises(type(error)):
        list(deliver(numbered(1), send, max_concurrency=1, stopped=stopped, interrupt=lambda: found.append(1)))
    assert found == interrupted


def test_a_delivery_that_was_stopped_before_sends_nothing() -> None:
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(PushStoppedError) as caught:
        list(deliver(numbered(1), failing_at(1, AssertionError("sent")), max_concurrency=1, stopped=stopped))
    assert str(caught.value) == "stopped before the next call (Batch had accepted 0 chunks of this push before)"


@pytest.mark.parametrize("error", [BatchError("no"), ValueError("no"), KeyboardInterrupt()])
def test_any_error_stops_the_waits_of_the_other_calls(error: BaseException) -> None:
    stopped = threading.Event()
    with pytest.raises(type(error)):
        list(deliver(numbered(2), failing_at(1, error), max_concurrency=1, stopped=stopped))
    assert stopped.is_set()


def test_a_push_that_ends_well_is_not_stopped() -> None:
    stopped = threading.Event()
    list(deliver(numbered(2), receipt, max_concurrency=1, stopped=stopped))
    assert not stopped.is_set()


def test_after_an_error_nothing_more_is_started() -> None:
    started: list[int] = []

    def send(parcel: Parcel[Chunk]) -> Receipt:
        started.append(parcel.number)
        if parcel.number == 2:
            raise BatchError("no")
        return receipt(parcel)

    with pytest.raises(BatchError):
        list(deliver(numbered(10), send, max_concurrency=1, stopped=threading.Event()))
    assert started == [1, 2]


def test_a_foreign_exception_of_a_call_gets_a_note() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(deliver(numbered(5), failing_at(4, ZeroDivisionError()), max_concurrency=1, stopped=threading.Event()))
    assert caught.value.__notes__ == ["Batch had accepted 3 chunks of this push before"]


def breaking(after: int, error: Exception) -> Iterator[Parcel[Chunk]]:
    yield from numbered(after)
    raise error


def test_a_foreign_exception_of_the_source_gets_a_note() -> None:
    with pytest.raises(OSError, match="unplugged") as caught:
        list(deliver(breaking(2, OSError("unplugged")), receipt, max_concurrency=1, stopped=threading.Event()))
    assert caught.value.__notes__ == ["Batch had accepted 2 chunks of this push before"]


def test_an_invalid_id_in_the_source_says_how_many_chunks_were_accepted() -> None:
    with pytest.raises(InvalidMemberError) as caught:
        list(deliver(breaking(2, InvalidMemberError("no")), receipt, max_concurrency=4, stopped=threading.Event()))
    assert caught.value.accepted_chunks == 2


def test_a_stop_iteration_of_a_call_is_no_success() -> None:
    with pytest.raises(RuntimeError):
        list(deliver(numbered(2), failing_at(1, StopIteration()), max_concurrency=1, stopped=threading.Event()))


def test_closing_the_delivery_stops_the_waits_of_the_calls() -> None:
    stopped = threading.Event()
    delivery = deliver(numbered(10), receipt, max_concurrency=2, stopped=stopped)
    next(delivery)
    delivery.close()
    assert stopped.is_set()


def test_closing_the_delivery_pulls_nothing_more() -> None:
    source = (parcel(number) for number in count(1))
    delivery = deliver(source, receipt, max_concurrency=1, stopped=threading.Event())
    next(delivery)
    delivery.close()
    assert next(source).number == 3  # one was sent, one was held ready


def test_no_thread_is_left_after_an_early_end() -> None:
    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("batch-push")]

    delivery = deliver(numbered(10), receipt, max_concurrency=4, stopped=threading.Event())
    next(delivery)
    assert threads() != []
    delivery.close()
    assert threads() == []


def test_what_was_given_before_the_parcels_break_off_is_sent() -> None:
    sent: list[int] = []

    def send(parcel: Parcel[Chunk]) -> Receipt:
        sent.append(parcel.number)
        return receipt(parcel)

    with pytest.raises(InvalidMemberError, match="accepted 2 chunks"):
        list(deliver(breaking(2, InvalidMemberError("no")), send, max_concurrency=1, stopped=threading.Event()))
    assert sent == [1, 2]


def test_what_is_held_ready_is_not_sent_after_a_failure() -> None:
    sent: list[int] = []

    def send(parcel: Parcel[Chunk]) -> Receipt:
        sent.append(parcel.number)
        return failing_at(2, BatchError("no"))(parcel)

    with pytest.raises(BatchError, match="accepted 1 chunk "):
        list(deliver(numbered(10), send, max_concurrency=1, stopped=threading.Event()))
    assert sent == [1, 2]
