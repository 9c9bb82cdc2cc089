"""Tells the log that calls are tried again: every few seconds, and not for every call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from airflow_provider_batch.protocol.wire import Sleep

_log: Final = logging.getLogger(__name__)

#: Seconds between two lines of the log.
_EVERY: Final = 5.0


class RetryLog:
    """Counts the retries of one transport."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._silent_until = clock()
        self._times = 0

    def tell(self, sleep: Sleep) -> None:
        """Count *sleep* if it is one between two tries, and say so if it is time to."""
        if sleep.retries is None:
            return
        self._times += 1
        now = self._clock()
        if now >= self._silent_until:
            self._silent_until = now + _EVERY
            _log.warning("%s; trying again in %.1f s, retry %d", sleep.retries, sleep.seconds, self._times)
