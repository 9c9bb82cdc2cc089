"""Many chunks at once: a bounded window of calls in flight, receipts in the order of the chunks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

from airflow_provider_batch.exceptions import BatchError, InvalidArgumentError
from airflow_provider_batch.protocol.model import Chunk, Receipt
from airflow_provider_batch.transport import MAX_CONNECTIONS

#: Calls in flight of one push, each over a connection of its own.
MAX_CONCURRENCY: Final = MAX_CONNECTIONS


def deliver(
    chunks: Iterable[Chunk], send: Callable[[Chunk], Receipt], *, max_concurrency: int, stopped: threading.Event
) -> Iterator[Receipt]:
    """
    Send every chunk and yield the receipts in the order of the chunks.

    At most *max_concurrency* chunks are held, all of them in flight. At the first error nothing more is started,
    calls under way are let finish, and *stopped* is set so that none of them waits for another try; the error
    then says how many chunks Batch had accepted.
    """
    if (
        isinstance(max_concurrency, bool)
        or not isinstance(max_concurrency, int)
        or not 1 <= max_concurrency <= MAX_CONCURRENCY
    ):
        raise InvalidArgumentError(
            f"max_concurrency: {max_concurrency!r:.80} is no whole number from 1 to {MAX_CONCURRENCY}"
        )
    accepted = _Count()

    def counted(chunk: Chunk) -> Receipt:
        receipt = send(chunk)
        accepted.add_one()
        return receipt

    try:
        with ThreadPoolExecutor(max_concurrency, thread_name_prefix="batch-push") as executor:
            try:
                yield from _in_order(iter(chunks), lambda chunk: executor.submit(counted, chunk), max_concurrency)
            except BaseException:
                stopped.set()
                raise
    except BatchError as error:
        error.accepted_chunks = accepted.value
        raise
    except Exception as error:  # whatever a generator of ids raises
        error.add_note(f"Batch had accepted {accepted.value:,} chunks of this push before")
        raise


def _in_order(chunks: Iterator[Chunk], submit: Callable[[Chunk], Future[Receipt]], window: int) -> Iterator[Receipt]:
    flying: set[Future[Receipt]] = set()
    early: dict[int, Receipt] = {}
    turn = 1
    while True:
        while len(flying) < window and (chunk := next(chunks, None)) is not None:
            flying.add(submit(chunk))
        if not flying:
            return
        landed, flying = wait(flying, return_when=FIRST_COMPLETED)
        early.update((receipt.number, receipt) for receipt in (future.result() for future in landed))
        while turn in early:
            yield early.pop(turn)
            turn += 1


class _Count:
    """A counter that threads may share."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add_one(self) -> None:
        with self._lock:
            self.value += 1
