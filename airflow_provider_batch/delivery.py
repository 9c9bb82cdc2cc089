"""Many chunks at once: a bounded window of calls in flight, receipts in the order of the chunks."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain, islice
from typing import Final

from airflow_provider_batch.exceptions import BatchError, InvalidArgumentError, PushStoppedError, chunk_count
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
    before_second: Callable[[Receipt], None] | None = None,
) -> Generator[Receipt, None, None]:
    """
    Send the parcels that *pack* gives, but for those that an earlier try has delivered, and yield all receipts.

    Whoever does not read to the end closes it: until then, calls go on in the threads.

    :param pack: gives the parcels from the first on, each time that it is called; without a *journal* once.
    :param before_second: is called with the receipt of the first parcel before any other is sent, if there are others.
    """
    parcels, earlier = resumed(pack, journal)
    if earlier:
        log.info("%s were accepted in an earlier try and are not sent again", chunk_count(len(earlier)))
    yield from earlier
    before = len(earlier)
    unbroken = True  # a chunk that went in parts is sent, and searched, again by the next try; so is what follows it

    def sent(parcels: Iterable[Parcel]) -> Iterator[Receipt]:
        nonlocal unbroken
        for receipt in deliver(parcels, send, max_concurrency=max_concurrency, stopped=stopped):
            unbroken = unbroken and receipt.whole
            if journal is not None and unbroken:
                journal.note(receipt)
            yield receipt

    try:
        if before_second is not None:
            first = earlier[:1]
            for receipt in () if first else sent(islice(parcels, 1)):
                first, before = [receipt], 1
                yield receipt
            if (second := next(parcels, None)) is None:
                return
            before_second(*first)
            parcels = chain([second], parcels)
        yield from sent(parcels)
    except BatchError as error:
        error.accepted_chunks = (error.accepted_chunks or 0) + before
        raise
    finally:
        if journal is not None:
            journal.close()


def deliver(
    parcels: Iterable[Parcel], send: Callable[[Parcel], Receipt], *, max_concurrency: int, stopped: threading.Event
) -> Generator[Receipt, None, None]:
    """
    Send every parcel and yield the receipts in the order of the parcels.

    At most *max_concurrency* calls are in flight, and as many parcels are held ready for the connections that come
    free. At the first call that fails for good nothing more is started, calls under way are let finish, and *stopped*
    is set so that none of them waits for another try; where the parcels themselves break off, those before are sent.
    The error then says how many chunks Batch had accepted.
    """
    outcome = _Outcome()

    def guarded(parcel: Parcel) -> Receipt:
        if stopped.is_set():
            raise PushStoppedError("stopped before the next call")
        try:
            receipt = send(parcel)
        except BaseException as error:
            # Here, and not where the future is read: the next parcel is waiting for this very thread.
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
        else:  # whatever a generator of ids raises
            cause.add_note(f"Batch had accepted {chunk_count(outcome.accepted)} of this push before")
        if cause is error:
            raise
        raise cause from None


def _in_order(parcels: Iterator[Parcel], submit: Callable[[Parcel], Future[Receipt]], window: int) -> Iterator[Receipt]:
    flying: set[Future[Receipt]] = set()
    turns: deque[int] = deque()
    early: dict[int, Receipt] = {}
    while True:
        try:
            while len(flying) < window and (parcel := next(parcels, None)) is not None:
                turns.append(parcel.number)
                flying.add(submit(parcel))
        except Exception:
            wait(flying)  # nothing is wrong with what came before
            raise
        if not flying:
            return
        landed, flying = wait(flying, return_when=FIRST_COMPLETED)
        accepted = (future.result() for future in landed if future.exception() is None)
        early.update((receipt.number, receipt) for receipt in accepted)
        while turns and turns[0] in early:
            yield early.pop(turns.popleft())
        for future in landed:
            future.result()  # raises what failed, after what was accepted before it has been told


class _Outcome:
    """What the threads of one push have come to."""

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
