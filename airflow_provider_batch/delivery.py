"""Many chunks at once: a bounded window of calls in flight, receipts in the order of the chunks."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

from airflow_provider_batch.exceptions import BatchError, InvalidArgumentError, chunk_count
from airflow_provider_batch.protocol.model import Receipt
from airflow_provider_batch.resume import Journal, Parcel, resumed
from airflow_provider_batch.transport import MAX_CONNECTIONS

log = logging.getLogger(__name__)

#: Calls in flight of one push, each over a connection of its own.
MAX_CONCURRENCY: Final = MAX_CONNECTIONS


def check_max_concurrency(max_concurrency: object) -> int:
    """
    Return *max_concurrency* if so many calls may be in flight.

    :raises InvalidArgumentError: if not.
    """
    if (
        isinstance(max_concurrency, bool)
        or not isinstance(max_concurrency, int)
        or not 1 <= max_concurrency <= MAX_CONCURRENCY
    ):
        raise InvalidArgumentError(
            f"max_concurrency: {max_concurrency!r:.80} is no integer from 1 to {MAX_CONCURRENCY}"
        )
    return max_concurrency


def push(
    pack: Callable[[], Iterator[Parcel]],
    send: Callable[[Parcel], Receipt],
    *,
    max_concurrency: int,
    stopped: threading.Event,
    journal: Journal | None = None,
) -> Iterator[Receipt]:
    """
    Send the parcels that *pack* gives, but for those that an earlier try has delivered, and yield all receipts.

    :param pack: gives the parcels from the first on, each time that it is called; without a *journal* once.
    """
    parcels, earlier = resumed(pack, journal)
    if earlier:
        log.info("%s were accepted in an earlier try and are not sent again", chunk_count(len(earlier)))
    yield from earlier
    unbroken = True  # a chunk that went in parts is sent, and searched, again by the next try; so is what follows it
    try:
        for receipt in deliver(parcels, send, max_concurrency=max_concurrency, stopped=stopped):
            unbroken = unbroken and receipt.whole
            if journal is not None and unbroken:
                journal.note(receipt)
            yield receipt
    except BatchError as error:
        error.accepted_chunks = (error.accepted_chunks or 0) + len(earlier)
        raise
    finally:
        if journal is not None:
            journal.close()


def deliver(
    parcels: Iterable[Parcel], send: Callable[[Parcel], Receipt], *, max_concurrency: int, stopped: threading.Event
) -> Iterator[Receipt]:
    """
    Send every parcel and yield the receipts in the order of the parcels.

    At most *max_concurrency* of them are held, all of them in flight. At the first error nothing more is started,
    calls under way are let finish, and *stopped* is set so that none of them waits for another try; the error
    then says how many chunks Batch had accepted.
    """
    accepted = _Count()

    def counted(parcel: Parcel) -> Receipt:
        receipt = send(parcel)
        accepted.add_one()
        return receipt

    try:
        with ThreadPoolExecutor(max_concurrency, thread_name_prefix="batch-push") as executor:
            try:
                yield from _in_order(iter(parcels), lambda parcel: executor.submit(counted, parcel), max_concurrency)
            except BaseException:
                stopped.set()
                raise
    except BatchError as error:
        error.accepted_chunks = accepted.value
        raise
    except Exception as error:  # whatever a generator of ids raises
        error.add_note(f"Batch had accepted {chunk_count(accepted.value)} of this push before")
        raise


def _in_order(parcels: Iterator[Parcel], submit: Callable[[Parcel], Future[Receipt]], window: int) -> Iterator[Receipt]:
    flying: set[Future[Receipt]] = set()
    turns: deque[int] = deque()
    early: dict[int, Receipt] = {}
    while True:
        while len(flying) < window and (parcel := next(parcels, None)) is not None:
            turns.append(parcel.number)
            flying.add(submit(parcel))
        if not flying:
            return
        landed, flying = wait(flying, return_when=FIRST_COMPLETED)
        early.update((receipt.number, receipt) for receipt in (future.result() for future in landed))
        while turns and turns[0] in early:
            yield early.pop(turns.popleft())


class _Count:
    """A counter that threads may share."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add_one(self) -> None:
        with self._lock:
            self.value += 1
