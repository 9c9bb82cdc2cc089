"""Keeps the key in Batch's paths out of what the HTTP libraries log: httpx at INFO, urllib3 and httpcore at DEBUG."""

from __future__ import annotations

import logging
import re
from typing import Final

#: The loggers that write addresses or headers; a filter only sees what is logged to its very own logger.
_LOGGERS: Final = (
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpx",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)

_KEY_IN_PATH: Final = re.compile(r"(/\d+\.\d+/)[^/\s?]+(/custom-audience)")


class _KeyFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if (private := _KEY_IN_PATH.sub(r"\1***\2", message)) != message:
            record.msg, record.args = private, None
        return True


_FILTER: Final = _KeyFilter()


def install() -> None:
    """Filter the HTTP libraries' loggers from now on; once is enough, more often does no harm."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
