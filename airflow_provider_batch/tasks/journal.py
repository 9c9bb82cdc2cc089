"""
What a push has delivered, kept across the tries of a task: in the state store of Airflow 3.3 and later.

What is kept true: the store never claims a chunk that Batch has not accepted. So tokens are written first and the head,
which has their number, last; a try that dies in between leaves the old head, and the next try sends a few chunks again,
which is safe. The store is written every few seconds and at the end: a write takes longer than the work on a receipt.

The tokens are in pages, because the size of a value is limited and a push may have thousands of calls; a write touches
only the last page and the head. XComs do not fit: Airflow deletes those of a task when its next try starts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_batch.push.parcels import Delivered

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_batch.protocol.writes import Receipt

log = logging.getLogger(__name__)

#: The keys in the store, and the tokens in one page: it stays far below the 64 KiB of one value that Airflow's public
#: API accepts.
_HEAD: Final = "push"
_PAGE: Final = "push_page_{}"
_PAGE_SIZE: Final = 1_000

#: Seconds between two writes; each takes some 10 to 40 ms.
_INTERVAL: Final = 5.0

#: Seconds for which a journal is trusted. The store keeps it for weeks, in which the audience may be replaced.
_TRUSTED: Final = 24 * 3600.0


class TaskStateJournal:
    """
    A journal in the state store of one task instance: numbers, digests and tokens, neither ids nor keys.

    :param store: Airflow's ``task_state_store``.
    """

    def __init__(self, store: Any, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._tokens: list[str] = []
        self._fingerprint = ""
        self._saved = 0
        self._save_at = clock() + _INTERVAL

    @classmethod
    def of(cls, context: Context) -> TaskStateJournal | None:
        """Return the journal of the task instance in *context*; None before Airflow 3.3."""
        store = context.get("task_state_store")
        return None if store is None else cls(store)

    def read(self) -> Delivered | None:
        """Return what an earlier try noted last, if it can still be trusted."""
        head = self._store.get(_HEAD)
        if not isinstance(head, dict) or self._clock() - head.get("at", 0.0) > _TRUSTED:
            return None
        pages = (self._store.get(_PAGE.format(page)) or [] for page in range(-(-head["chunks"] // _PAGE_SIZE)))
        tokens = [token for page in pages for token in page][: head["chunks"]]
        if not tokens or len(tokens) != head["chunks"]:
            return None
        self._tokens, self._fingerprint, self._saved = tokens, head["fingerprint"], len(tokens)
        return Delivered(self._fingerprint, tuple(tokens))

    def note(self, receipt: Receipt) -> None:
        """Note that the next chunk in order was accepted; number 1 starts over."""
        if receipt.number == 1:
            self._tokens, self._saved = [], 0
        self._tokens.extend(receipt.indexing_tokens)
        self._fingerprint = receipt.fingerprint
        if self._clock() >= self._save_at:
            self.close()

    def close(self) -> None:
        """Write what is not yet written; if that fails, a later try repeats calls, and the push goes on."""
        if self._saved == len(self._tokens):
            return
        try:
            self._save()
        except Exception as error:  # noqa: BLE001 - an error of Airflow's API must not fail the push
            log.warning("the progress of the push could not be stored for a retry: %s", type(error).__name__)
        self._save_at = self._clock() + _INTERVAL

    def _save(self) -> None:
        for page in range(self._saved // _PAGE_SIZE, -(-len(self._tokens) // _PAGE_SIZE)):
            self._store.set(_PAGE.format(page), self._tokens[page * _PAGE_SIZE : (page + 1) * _PAGE_SIZE])
        head = {"chunks": len(self._tokens), "fingerprint": self._fingerprint, "at": self._clock()}
        self._store.set(_HEAD, head)
        self._saved = len(self._tokens)

    def clear(self) -> None:
        """Delete everything: for other ids, and after a success, as a cleared task sends everything again."""
        self._tokens, self._saved = [], 0
        head = self._store.get(_HEAD)
        self._store.delete(_HEAD)
        for page in range(-(-head["chunks"] // _PAGE_SIZE) if isinstance(head, dict) else 0):
            self._store.delete(_PAGE.format(page))
