"""The progress of a push: counted for every receipt, logged every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from airflow_provider_batch.exceptions import counted
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.writes import Receipt, Sent

#: Seconds between two log messages.
_INTERVAL: Final = 5.0


class Progress:
    """
    Counts receipts, and logs the first one and then one every few seconds. The summary reports the last one.

    :param name: the recipient's name in the log.
    :param total: the most records that there are, if that is known.
    """

    def __init__(self, log: Any, name: str, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens: list[str] = []
        self._added = 0
        self._removed = 0
        self._rejections: list[Rejection] = []
        self._earlier_calls = 0
        self._earlier = 0
        self._log = log
        self._name = name
        self._total = total
        self._clock = clock
        self._started = clock()
        self._silent_until = self._started

    def count(self, receipt: Receipt) -> None:
        """Count *receipt*, and log the progress if the last message is old enough."""
        self._tokens += receipt.indexing_tokens
        self._added += receipt.added
        self._removed += receipt.removed
        self._rejections += receipt.rejected
        if receipt.earlier:
            self._earlier_calls += len(receipt.indexing_tokens)
            self._earlier += receipt.added + receipt.removed
        now = self._clock()
        if now >= self._silent_until and self._added + self._removed != self._total:
            self._silent_until = now + _INTERVAL
            self._log.info("%s: chunk %d accepted; %s", self._name, receipt.number, self._so_far())

    def sent(self, planned_calls: int | None = None) -> Sent:
        """Return the sum of all receipts."""
        return Sent(
            self._added,
            self._removed,
            tuple(self._tokens),
            tuple(self._rejections),
            self._clock() - self._started,
            self._earlier_calls,
            planned_calls,
        )

    def _so_far(self) -> str:
        sent = self._added + self._removed
        share = f" of {self._total:,} ({sent / self._total:.0%})" if self._total else ""
        speed = (sent - self._earlier) / max(self._clock() - self._started, 0.001)
        return f"{counted(sent, 'id')}{share}, {speed:,.0f} ids/s"
