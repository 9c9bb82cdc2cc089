"""How far a long push is, told every few seconds and not for every call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from airflow_provider_batch.protocol.model import Receipt, Rejection

#: Seconds between two lines of the log.
_EVERY: Final = 5.0


class Progress:
    """
    Counts receipts and logs the first one, and then one every few seconds; the last is left to the summary.

    :param total: how many ids there are to send at most, where that is known.
    """

    def __init__(
        self, log: Any, audience_name: str, total: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.added = 0
        self.removed = 0
        self.refused: tuple[Rejection, ...] = ()
        self.earlier_calls = 0
        self._earlier = 0
        self._log = log
        self._audience_name = audience_name
        self._total = total
        self._clock = clock
        self._started = clock()
        self._silent_until = self._started

    @property
    def seconds(self) -> float:
        """The time since the start."""
        return self._clock() - self._started

    def count(self, receipt: Receipt) -> None:
        """Count *receipt*, and say so if it is time to."""
        self.added += receipt.added
        self.removed += receipt.removed
        self.refused += receipt.refused
        if receipt.earlier:
            self.earlier_calls += len(receipt.indexing_tokens)
            self._earlier += receipt.added + receipt.removed
        now = self._clock()
        if now >= self._silent_until and self.added + self.removed != self._total:
            self._silent_until = now + _EVERY
            self._log.info("%s: chunk %d accepted; %s", self._audience_name, receipt.number, self._so_far())

    def _so_far(self) -> str:
        sent = self.added + self.removed
        share = f" of {self._total:,} ({sent / self._total:.0%})" if self._total else ""
        return f"{sent:,} ids{share}, {(sent - self._earlier) / max(self.seconds, 0.001):,.0f} ids/s"
