"""An answer that is not 2xx -> the error to raise, without anything that is private."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from airflow_provider_batch.exceptions import (
    BatchAPIError,
    BatchAuthenticationError,
    BatchNotFoundError,
    BatchProtocolError,
    BatchRateLimitError,
    BatchRequestError,
    BatchServerError,
)
from airflow_provider_batch.protocol.answers import first, one_line
from airflow_provider_batch.protocol.limits import ERROR_NAMES
from airflow_provider_batch.protocol.wire import Request, Response

_REMEDIES: Final = {
    401: "check the REST API key (the connection's password), the app's or project's key (its login) and its platform",
    403: "the keys are valid but may not do this; check that they belong to the same company and app or project",
    # Batch does not document whether an unknown audience is answered like an unknown route.
    404: "check that the audience exists (create_if_missing=True creates it), and that the connection's login, "
    "platform and (on CEP) api_version are right",
    429: "a lower requests_per_second in the connection keeps below the limit; for several tasks, with a pool",
}

#: How much of a text from Batch is read, and how much of it an error repeats, in characters.
_LONGEST_READ: Final = 4_000
_LONGEST_MESSAGE: Final = 300


def raise_for_status(response: Response, request: Request) -> None:
    """
    Check that the status is 2xx: Batch's pages do not agree on which one.

    :raises BatchAPIError: if it is not, of the class that the status stands for.
    """
    if response.status < 200:  # 103 and the like precede an answer
        raise BatchProtocolError(f"{request.route}: answered {response.status}, which precedes an answer")
    if not 200 <= response.status < 300:
        raise _api_error(response, request)


def _api_error(response: Response, request: Request) -> BatchAPIError:
    code, number, message = _reason(response.body)
    code = code and _redacted(code, request.private())
    error_name = " ".join(filter(None, (code, f"({number})" if number is not None else "")))
    reason = _redacted(message, request.private())
    retry_after = _retry_after(response)
    parts = [
        f"{request.route}: answered {response.status}",
        error_name,
        reason if reason != code else "",
        f"Batch asks to wait {retry_after:,.0f} s" if retry_after else "",
        _remedy(response.status),
    ]
    error = _error_class(response.status)(
        "; ".join(filter(None, parts)),
        status=response.status,
        code=code,
        number=number,
        route=request.route,
        retry_after=retry_after,
    )
    # Batch documents no 408. A proxy sends it for a body that arrived too slowly; it does not judge the body.
    error.retryable = error.retryable or response.status == 408
    return error


def _error_class(status: int) -> type[BatchAPIError]:
    if status in (401, 403):
        return BatchAuthenticationError
    if status == 404:
        return BatchNotFoundError
    if status == 429:
        return BatchRateLimitError
    if 400 <= status < 500:
        return BatchRequestError
    return BatchServerError if status >= 500 else BatchAPIError


def _remedy(status: int) -> str:
    if 300 <= status < 400:
        return "redirects are not followed, since the keys must not travel to another host; check the connection's host"
    return _REMEDIES.get(status, "")


def _reason(body: bytes) -> tuple[str | None, int | None, str]:
    """
    Return the error's name, number and text, as far as the body gives them.

    Batch does not document the keys of this API's error body: those of the newer API and those that third parties
    read are tried. A body that is not a JSON object leaves only the status.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None, None, ""
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        answer = answer["error"]
    if not isinstance(answer, dict):
        return None, None, ""
    code = first(answer, "error_code", "code")
    message = first(answer, "error_message", "message")
    name, number = _named(code)
    return name, number, message if isinstance(message, str) else ""


def _named(code: object) -> tuple[str | None, int | None]:
    """Return name and number of an error, given either; the number may be an integer or a text."""
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) < 10:
        code = int(code)
    if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 10**9:
        return ERROR_NAMES.get(code), code
    if isinstance(code, str) and code.strip():
        name = code.strip()
        return name, next((number for number, known in ERROR_NAMES.items() if known == name), None)
    return None, None


def _redacted(message: str, private: Iterable[str]) -> str:
    """Return *message* on one line, with every private text of the call replaced: Batch may quote what it rejects."""
    text = one_line(message[:_LONGEST_READ])
    texts = list(private)
    forms = {form for one in texts for form in (one_line(one), json.dumps(one)[1:-1])}
    for form in sorted((form for form in forms if form and form in text), key=len, reverse=True):
        # An id of a letter or two would take every word with it that it is a part of.
        text = re.sub(re.escape(form) if len(form) > 4 else rf"(?<!\w){re.escape(form)}(?!\w)", "…", text)
    if len(message) > _LONGEST_READ:  # the end may be the beginning of an id, or of an attribute
        text = text[: -max(map(len, texts), default=1)]
    return text[:_LONGEST_MESSAGE]


def _retry_after(response: Response) -> float | None:
    """Read Retry-After in seconds or as a date. Batch does not document the header; it is honoured where it is sent."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (_date(value) - _now(response)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _now(response: Response) -> datetime:
    """Return the time on the server's clock where the answer has it: the dates that it sends are on that clock."""
    try:
        return _date(response.headers.get("date", ""))
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(response.received_at, UTC)


def _date(value: str) -> datetime:
    """Read a date in any of HTTP's three formats. One of them names no zone; all are in UTC (RFC 9110, 5.6.7)."""
    date = parsedate_to_datetime(value)
    return date if date.tzinfo else date.replace(tzinfo=UTC)
