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
        if str(record.msg).startswith("Failed to parse headers"):
            # urllib3 goes on to quote what it could not read, with a traceback; a server may have quoted us there.
            record.msg, record.args, record.exc_info = "Failed to parse the headers of an answer", None, None
        if str(record.msg).startswith("receive_response_headers.complete"):  # httpcore quotes them whole
            record.msg, record.args = "receive_response_headers.complete", None
        message = record.getMessage()
        if (private := _KEY_IN_PATH.sub(r"\1***\2", message)) != message:
            record.msg, record.args = private, None
        return True


_FILTER: Final = _KeyFilter()


def install() -> None:
    """Filter the HTTP libraries' loggers from now on; once is enough, more often does no harm."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
