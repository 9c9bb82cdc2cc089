"""
What a push has delivered, kept for Airflow's next try of the task: in the state store of Airflow 3.3 and later.

What is kept true: the store never claims a chunk that Batch has not accepted. So tokens are written first and the head,
which has their number, last; a try that dies in between leaves the old head, and the next try sends a few chunks again,
which is safe. What was not written is sent again, so the store is written as often as a small part of the time allows,
and at least once for every second of calls: a write takes some 10 to 40 ms, and much longer where the API is busy.

The tokens are in pages, because the size of a value is limited and a push may have thousands of calls; a write touches
only the last page and the head. XComs do not fit: Airflow deletes those of a task when its next try starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.audiences.tokens import read_indexing_tokens
from airflow_provider_batch.push.parcels import Delivered
from airflow_provider_batch.tasks.memory import Memory

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_batch.protocol.writes import Receipt

#: The keys in the store, and the tokens in one page: it stays far below the 64 KiB of one value that Airflow's public
#: API accepts.
_HEAD: Final = "push"
_PAGE: Final = "push_page_{}"
_PAGE_SIZE: Final = 1_000
_MOST_PAGES: Final = 1_000

#: The part of the time that writes may take, and the most seconds between two of them, whatever they take; and the
#: seconds before the first one, which nobody has measured.
_SHARE: Final = 0.03
_LONGEST: Final = 1.0
_FIRST: Final = 0.5

#: Seconds for which a journal is trusted. The store keeps it for weeks, in which the audience may be replaced.
_TRUSTED: Final = 24 * 3600.0


class TaskStateJournal:
    """A journal in the memory of one task instance: numbers, digests and tokens, neither ids nor keys."""

    def __init__(
        self, memory: Memory, clock: Callable[[], float] = time.time, stopwatch: Callable[[], float] = time.monotonic
    ) -> None:
        self._memory = memory
        self._clock = clock
        self._stopwatch = stopwatch
        self._tokens: list[str] = []
        self._fingerprint = ""
        self._saved = 0
        self._is_saved = True
        self._cost: float | None = None
        self._save_at = stopwatch() + _FIRST

    @classmethod
    def of(cls, context: Context) -> TaskStateJournal | None:
        """Return the journal of the task instance in *context*; None before Airflow 3.3."""
        memory = Memory.of(context)
        return None if memory is None else cls(memory)

    def read(self) -> Delivered | None:
        """Return what the try before this one noted last, if it can still be trusted."""
        head = self._memory.recall(_HEAD)
        chunks, fingerprint, at = (head.get(name) for name in ("chunks", "fingerprint", "at"))
        if not (isinstance(chunks, int) and isinstance(fingerprint, str) and isinstance(at, float)):
            return None
        if not abs(self._clock() - at) <= _TRUSTED or not (tokens := self._read_tokens(chunks)):
            return None
        self._tokens, self._fingerprint, self._saved = tokens, fingerprint, len(tokens)
        self._is_saved = False  # by the try before: the next one looks for a head of this try
        return Delivered(fingerprint, tuple(tokens))

    def note(self, receipt: Receipt) -> None:
        """Note that the next chunk in order was accepted; number 1 starts over."""
        if receipt.number == 1:
            self._tokens, self._saved = [], 0
        self._tokens.extend(receipt.indexing_tokens)
        self._fingerprint = receipt.fingerprint
        self._is_saved = False
        if self._stopwatch() >= self._save_at:
            self.close()

    def close(self) -> None:
        """Write what is not yet written."""
        if not self._is_saved:
            started = self._stopwatch()
            self._is_saved = self._save()
            ended = self._stopwatch()
            # Half of it is the last write, a quarter the one before, and so on: one slow write changes little.
            self._cost = ended - started if self._cost is None else (self._cost + ended - started) / 2
            self._save_at = ended + min(self._cost / _SHARE, _LONGEST)

    def clear(self) -> None:
        """Delete everything: for other ids, and after a success."""
        self._tokens, self._saved, self._is_saved = [], 0, True
        self._memory.delete(_HEAD)
        for page in map(_PAGE.format, range(_MOST_PAGES)):
            if not isinstance(self._memory.get(page), list):
                return
            self._memory.delete(page)

    def _read_tokens(self, chunks: int) -> list[str]:
        """Return so many tokens, or none if there are not as many."""
        tokens: list[str] = []
        while len(tokens) < chunks:
            page = self._memory.get(_PAGE.format(len(tokens) // _PAGE_SIZE))
            if not _is_page(page) or not min(_PAGE_SIZE, chunks - len(tokens)) <= len(page) <= _PAGE_SIZE:
                return []
            tokens += page
        return tokens[:chunks]

    def _save(self) -> bool:
        for page in range(self._saved // _PAGE_SIZE, -(-len(self._tokens) // _PAGE_SIZE)):
            if not self._memory.set(_PAGE.format(page), self._tokens[page * _PAGE_SIZE : (page + 1) * _PAGE_SIZE]):
                return False
        head = {"chunks": len(self._tokens), "fingerprint": self._fingerprint, "at": self._clock()}
        if not self._memory.keep(_HEAD, head):
            return False
        self._saved = len(self._tokens)
        return True


def _is_page(page: Any) -> bool:
    try:
        return isinstance(page, list) and read_indexing_tokens(page) == list(dict.fromkeys(page))
    except (InvalidArgumentError, TypeError):
        return False
