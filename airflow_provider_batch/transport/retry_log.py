"""Logs that calls are attempted again: once in a few seconds, not for every call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from airflow_provider_batch.protocol.wire import Sleep

_log: Final = logging.getLogger(__name__)

#: Seconds between two log messages.
_INTERVAL: Final = 5.0


class RetryLog:
    """Counts the retries of one transport."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._silent_until = clock()
        self._times = 0

    def record(self, sleep: Sleep) -> None:
        """Count *sleep* if it is one between two attempts, and log it if the last message is old enough."""
        if sleep.retries is None:
            return
        self._times += 1
        now = self._clock()
        if now >= self._silent_until:
            self._silent_until = now + _INTERVAL
            _log.warning("retry %d in %.1f s: %s", self._times, sleep.seconds, sleep.retries)
