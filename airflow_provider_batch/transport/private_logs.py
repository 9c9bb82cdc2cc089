"""
Keeps the app's key in URLs out of the HTTP libraries' logs: httpx at INFO, urllib3 and httpcore at DEBUG.

The address of an export's file is a key as a whole: while one is used, its thread logs nothing of them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

#: The loggers that write URLs or headers; each by name, as a filter does not apply to its logger's children.
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

_KEY_IN_PATH: Final = re.compile(r"(/\d+\.\d+/)[^/\s?]+(/(?:custom-audience|campaigns|transactional))")

_is_silent: ContextVar[bool] = ContextVar("is_silent", default=False)


class _KeyFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if _is_silent.get():
            return False
        if str(record.msg).startswith("Failed to parse headers"):
            # urllib3 quotes what it could not parse, with a traceback; a server may have quoted the request there.
            record.msg, record.args, record.exc_info = "Failed to parse the headers of an answer", None, None
        if str(record.msg).startswith("receive_response_headers.complete"):  # with all headers
            record.msg, record.args = "receive_response_headers.complete", None
        message = record.getMessage()
        if (private := _KEY_IN_PATH.sub(r"\1***\2", message)) != message:
            record.msg, record.args = private, None
        return True


_FILTER: Final = _KeyFilter()


def install() -> None:
    """Filter the HTTP libraries' loggers from now on; a second time changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)


@contextmanager
def silenced() -> Iterator[None]:
    """Let the HTTP libraries log nothing in this thread."""
    token = _is_silent.set(True)
    try:
        yield
    finally:
        _is_silent.reset(token)
