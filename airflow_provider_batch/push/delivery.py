"""
Many calls at once: a bounded window of parcels in flight, and receipts in the order of the parcels.

What is kept true: receipts come in the order of the parcels, whichever call ends first, because the journal notes a
prefix, and a prefix is what a later try can recognise. At most *max_concurrency* calls are in flight, and as many
parcels are held ready for the connections that come free: encoding the next chunk takes place while others are on the
wire, and memory stays at twice the window however slow Batch is. One call that takes long does not hold the others up
(its successors' receipts wait, not their calls).

An executor's ``map`` would not do: it reads its whole input at once. Nor would groups of calls, each of which waits
for its slowest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeAlias

from airflow_provider_batch.exceptions import BatchError, PushStoppedError, chunk_count
from airflow_provider_batch.protocol.writes import Parcel, Receipt

AnyParcel: TypeAlias = Parcel[Any]


def deliver(
    parcels: Iterable[AnyParcel],
    send: Callable[[AnyParcel], Receipt],
    *,
    max_concurrency: int,
    stopped: threading.Event,
) -> Generator[Receipt, None, None]:
    """
    Send every parcel and yield the receipts in the order of the parcels.

    At the first call that fails for good nothing more is started, and *stopped* is set, so that calls under way finish
    but none waits for another attempt. If *parcels* itself raises, those before are sent. Either error reports how many
    chunks Batch had accepted.
    """
    outcome = _Outcome()

    def guarded(parcel: AnyParcel) -> Receipt:
        if stopped.is_set():
            raise PushStoppedError("stopped before the next call")
        try:
            receipt = send(parcel)
        except BaseException as error:
            # Set here, and not where the future is read: this very thread takes the next parcel at once.
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
            except BaseException:
                stopped.set()
                executor.shutdown(cancel_futures=True)
                raise
    except Exception as error:
        cause = outcome.first_failure or error
        if isinstance(cause, BatchError):
            cause.accepted_chunks = outcome.accepted
        else:  # an error of a generator of ids, of any kind
            cause.add_note(f"Batch had accepted {chunk_count(outcome.accepted)} of this push before")
        if cause is error:
            raise
        raise cause from None


def _in_order(
    parcels: Iterator[AnyParcel], submit: Callable[[AnyParcel], Future[Receipt]], window: int
) -> Iterator[Receipt]:
    flying: set[Future[Receipt]] = set()
    turns: deque[int] = deque()
    early: dict[int, Receipt] = {}
    while True:
        try:
            while len(flying) < window and (parcel := next(parcels, None)) is not None:
                turns.append(parcel.number)
                flying.add(submit(parcel))
        except Exception:
            wait(flying)  # the parcels before are fine
            raise
        if not flying:
            return
        landed, flying = wait(flying, return_when=FIRST_COMPLETED)
        accepted = (future.result() for future in landed if future.exception() is None)
        early.update((receipt.number, receipt) for receipt in accepted)
        while turns and turns[0] in early:
            yield early.pop(turns.popleft())
        for future in landed:
            future.result()  # raises what failed, after the receipts before it were yielded


class _Outcome:
    """How the calls of one delivery ended, counted by its threads."""

    def __init__(self) -> None:
        self.accepted = 0
        #: The one that stopped the others.
        self.first_failure: BaseException | None = None
        self._lock = threading.Lock()

    def accepted_one(self) -> None:
        with self._lock:
            self.accepted += 1

    def failed(self, error: BaseException) -> None:
        with self._lock:
            self.first_failure = self.first_failure or error
