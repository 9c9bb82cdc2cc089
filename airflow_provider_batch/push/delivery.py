"""
Many calls at once: a bounded window of parcels in flight, and receipts in the order of the parcels.

What is kept true: receipts come in the order of the parcels, whichever call ends first, because the journal notes a
prefix, and a later try can recognise nothing but a prefix. At most *max_concurrency* calls are in flight, and as many
parcels wait for the connections that come free: the next chunk is encoded while others are on the wire, and memory
stays at twice the window however slow Batch is. A slow call does not delay the calls after it, only their receipts.

An executor's ``map`` does not fit: it reads its whole input at once. Nor do groups of calls: each would wait for its
slowest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any, TypeAlias

from airflow_provider_batch.exceptions import BatchError, PushStoppedError, counted
from airflow_provider_batch.protocol.writes import Parcel, Receipt

AnyParcel: TypeAlias = Parcel[Any]


def deliver(
    parcels: Iterable[AnyParcel],
    send: Callable[[AnyParcel], Receipt],
    *,
    max_concurrency: int,
    stopped: threading.Event,
    interrupt: Callable[[], object] = lambda: None,
) -> Generator[Receipt, None, None]:
    """
    Send every parcel and yield the receipts in the order of the parcels.

    After the first call that fails for good no call is started, and *stopped* is set: calls in flight finish, but none
    waits for another attempt. If *parcels* itself raises, the parcels before are sent. Either error has the number of
    chunks that Batch had accepted. What is not an Exception, such as Airflow's timeout of a task, must not wait for the
    calls in flight: *interrupt* has to end them.
    """
    outcome = _Outcome()

    def guarded(parcel: AnyParcel) -> Receipt:
        if stopped.is_set():
            raise PushStoppedError
        try:
            receipt = send(parcel)
        except BaseException as error:
            # Set here, and not where the future is read: this thread takes the next parcel at once.
            outcome.failed(error)
            stopped.set()
            raise
        outcome.accepted_one()
        return receipt

    try:
        with ThreadPoolExecutor(max_concurrency, thread_name_prefix="batch-push") as executor:
            try:
                yield from _in_order(
                    iter(parcels), lambda parcel: executor.submit(guarded, parcel), 2 * max_concurrency
                )
            except BaseException as error:
                stopped.set()
                if not isinstance(error, Exception):
                    interrupt()
                executor.shutdown(cancel_futures=True)
                raise
    except Exception as error:
        cause = outcome.first_failure or error
        if isinstance(cause, BatchError):
            cause.accepted_chunks = outcome.accepted
        elif outcome.accepted:  # an error of a generator of ids, of any kind
            cause.add_note(f"Batch had accepted {counted(outcome.accepted, 'chunk')} of this push before")
        if cause is error:
            raise
        raise cause from None


def _in_order(
    parcels: Iterator[AnyParcel], submit: Callable[[AnyParcel], Future[Receipt]], window: int
) -> Iterator[Receipt]:
    in_flight: set[Future[Receipt]] = set()
    ended: SimpleQueue[Future[Receipt]] = SimpleQueue()  # a wait for all would lock each of them, for each that ends
    numbers: deque[int] = deque()
    receipts: dict[int, Receipt] = {}
    while True:
        try:
            while len(in_flight) < window and (parcel := next(parcels, None)) is not None:
                numbers.append(parcel.number)
                future = submit(parcel)
                in_flight.add(future)
                future.add_done_callback(ended.put)
        except Exception:
            wait(in_flight)  # the parcels before are valid
            raise
        if not in_flight:
            return
        finished = [ended.get(), *(ended.get() for _ in range(ended.qsize()))]
        in_flight.difference_update(finished)
        accepted = (future.result() for future in finished if future.exception() is None)
        receipts.update((receipt.number, receipt) for receipt in accepted)
        while numbers and numbers[0] in receipts:
            yield receipts.pop(numbers.popleft())
        for future in finished:
            future.result()  # raises the error of a failed call, once the receipts before it were yielded


class _Outcome:
    """The results of one delivery's calls, as its threads report them."""

    def __init__(self) -> None:
        self.accepted = 0
        #: The error that stopped the other calls.
        self.first_failure: BaseException | None = None
        self._lock = threading.Lock()

    def accepted_one(self) -> None:
        with self._lock:
            self.accepted += 1

    def failed(self, error: BaseException) -> None:
        with self._lock:
            self.first_failure = self.first_failure or error
