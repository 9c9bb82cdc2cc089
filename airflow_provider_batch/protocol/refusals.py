"""
An answer with any status but 2xx -> the error to raise, without private data.

A text of Batch's that quotes a private one is withheld. The transport has redacted the keys before.
"""

from __future__ import annotations

import json
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
from airflow_provider_batch.protocol.quotations import quotes
from airflow_provider_batch.protocol.wire import Request, Response

_REMEDIES: Final = {
    401: "Check the connection's password (the REST API key), login (the app's or project's key) and platform.",
    403: "Check that both keys belong to the same company, and app or project: they are valid but lack the permission.",
    # Batch does not document whether an unknown audience is answered like an unknown route.
    404: "Check that the audience exists (create_if_missing=True creates it), and that the connection's login, "
    "platform and (on CEP) api_version are right.",
    413: "Lower chunk_size: the call is too large for Batch, or for a proxy in between.",
    429: "Lower requests_per_second in the connection's extra, and limit several tasks with a pool.",
}

#: How much of Batch's text is read, and how much of it an error quotes, in characters.
_LONGEST_READ: Final = 4_000
_LONGEST_MESSAGE: Final = 300
#: In place of a text of Batch's.
WITHHELD: Final = "Batch's text is withheld, as it quotes an id, an attribute or a tag, or may"


def raise_for_status(response: Response, request: Request) -> None:
    """
    Check that the status is 2xx: Batch's pages disagree on which one. Of a request for an address, it may be 3xx.

    :raises BatchAPIError: if it is not; the status selects the subclass.
    """
    if response.status < 200:  # such as 103, which precedes the final answer
        raise BatchProtocolError(f"{request.route}: answered {response.status}, which is not a final status")
    if not 200 <= response.status < (400 if request.redirects else 300):
        raise _api_error(response, request)


def _api_error(response: Response, request: Request) -> BatchAPIError:
    code, number, message = _reason(response.body)
    private = list(request.private())
    reason = shown(message, private)
    if number not in ERROR_NAMES and (name := shown(f"{code} {number}", private)) == WITHHELD:
        code, number, reason = None, None, name
    code = code and one_line(code)[:_LONGEST_MESSAGE]
    error_name = " ".join(filter(None, (code, f"({number})" if number is not None else "")))
    wait = retry_after(response)
    facts = [
        f"{request.route}: answered {response.status}",
        error_name,
        reason if reason != code else "",
        f"Batch requires a wait of {wait:,.0f} s" if wait else "",
    ]
    what = "; ".join(filter(None, facts))
    remedy = request.remedies.get(response.status) or _remedy(response.status)
    error = _error_class(response.status)(
        f"{what.removesuffix('.')}. {remedy}" if remedy else what,
        status=response.status,
        code=code,
        number=number,
        route=request.route,
        retry_after=wait,
    )
    # Batch documents none of them. A proxy sends them for a body that arrived too slowly, for a connection that leads
    # to another server, and for one too young: they do not judge the body.
    error.retryable = error.retryable or response.status in (408, 421, 425)
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
        return "Check the connection's host: redirects are not followed, as the keys must not reach another host."
    return _REMEDIES.get(status, "")


def _reason(body: bytes) -> tuple[str | None, int | None, str]:
    """
    Return the error's name, number and text, as far as the body has them.

    Batch documents the fields of this body for CEP only. Those, and the ones that third parties read on MEP, are
    accepted. A body that is not a JSON object leaves the status alone.
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
    """Return the name and number of an error from either of them; the number may be an int or a str."""
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) < 10:
        code = int(code)
    if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 10**9:
        return ERROR_NAMES.get(code), code
    if isinstance(code, str) and code.strip():
        name = code.strip()
        return name, next((number for number, known in ERROR_NAMES.items() if known == name), None)
    return None, None


def shown(text: str, private: list[str]) -> str:
    """Return the beginning of Batch's *text* on one line, or that it is withheld."""
    if private and (len(text) > _LONGEST_READ or quotes(text, private)):
        return WITHHELD
    return one_line(text)[:_LONGEST_MESSAGE]


def retry_after(response: Response) -> float | None:
    """Return Retry-After in seconds; it may be a date. Batch does not document the header, but a proxy may send it."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (_date(value) - _now(response)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _now(response: Response) -> datetime:
    """Return the time on the server's clock, on which its dates are; on ours if the answer has none."""
    try:
        return _date(response.headers.get("date", ""))
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(response.received_at, UTC)


def _date(value: str) -> datetime:
    """Read a date in one of HTTP's three formats. One has no time zone; all are in UTC (RFC 9110, 5.6.7)."""
    date = parsedate_to_datetime(value)
    return date if date.tzinfo else date.replace(tzinfo=UTC)
