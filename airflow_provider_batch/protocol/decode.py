"""A Response -> a value or an error; the only reader of Batch's JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeGuard, TypeVar

from airflow_provider_batch.exceptions import (
    BatchAPIError,
    BatchAuthenticationError,
    BatchNotFoundError,
    BatchProtocolError,
    BatchRateLimitError,
    BatchRequestError,
    BatchServerError,
)
from airflow_provider_batch.protocol.dialect import Dialect
from airflow_provider_batch.protocol.limits import ERROR_NAMES
from airflow_provider_batch.protocol.model import (
    AnnotatedId,
    AudiencePage,
    CustomAudience,
    IndexingState,
    Request,
    Response,
)

_STATES: Final = {
    "IN_PROGRESS": IndexingState.IN_PROGRESS,
    # .../cep/audiences/update spells it IN_PROCESS, .../view IN_PROGRESS: both are accepted.
    "IN_PROCESS": IndexingState.IN_PROGRESS,
    "APPLIED": IndexingState.APPLIED,
    # Named by the pages of the newer platform only; accepted from both.
    "REPLACED": IndexingState.REPLACED,
}

#: Answers of the newer platform spell types in their own way; what no page names is passed on as it is.
_TYPES: Final = {"CUSTOM_ID": "custom_ids"}

_REMEDIES: Final = {
    401: "check the REST API key (the connection's password), the app's or project's key (its login) and its platform",
    403: "the keys are known but may not do this; check that they belong to the same company and app or project",
    # Whether an unknown audience is answered like an unknown route is not documented.
    404: "check that the audience exists (create_if_missing=True creates it), and that the connection's login, "
    "platform and (on CEP) api_version are right",
    429: "a lower requests_per_second in the connection keeps below the limit; for several tasks, with a pool",
}

T = TypeVar("T")

#: How much of a text of Batch's is read, and how much of it an error repeats, in characters.
_LONGEST_READ: Final = 4_000
_LONGEST_MESSAGE: Final = 300


def raise_for_status(response: Response, request: Request) -> None:
    """
    Return if *response* is any 2xx: the pages do not agree on which one.

    :raises BatchAPIError: otherwise, of the class that the status stands for.
    """
    if response.status < 200:  # 103 and the like come before an answer, and are none
        raise BatchProtocolError(f"{request.route}: answered {response.status}, which is no answer yet")
    if not 200 <= response.status < 300:
        raise _api_error(response, request)


def indexing_token(response: Response, request: Request) -> str:
    """Return the token that an accepted write is promised to answer."""
    token = _object(response, request).get("indexing_token")
    if not _is_token(token):
        raise BatchProtocolError(f"{request.route}: answered {response.status} without an indexing_token")
    return token


def optional_indexing_token(response: Response, request: Request) -> str | None:
    """
    Return the token where there is one: pages do not agree whether creating and deleting are answered by one.

    :raises BatchProtocolError: for what Batch would not say, such as the page of a proxy: then nothing may be done.
    """
    if not response.body.strip():  # documented, too
        return None
    token = _object(response, request).get("indexing_token")
    return token if _is_token(token) else None


def _is_token(token: object) -> TypeGuard[str]:
    return isinstance(token, str) and bool(token.strip()) and token.isprintable()


def custom_audience(response: Response, request: Request) -> CustomAudience:
    """Return the audience that a view shows; only the state must be there."""
    view = _object(response, request)
    if not isinstance(view.get("indexing_state"), str):
        raise BatchProtocolError(f"{request.route}: answered {response.status} without an indexing_state")
    return _audience(view, request.audience_name)


def audience_page(dialect: Dialect, response: Response, request: Request) -> AudiencePage:
    """Return one page of a list, and where the next one starts."""
    page = _object(response, request)
    items = page.get(dialect.audiences)
    if not isinstance(items, list) or not all(isinstance(item, dict) and item.get("name") for item in items):
        raise BatchProtocolError(f"{request.route}: answered {response.status} without {dialect.audiences}")
    audiences = tuple(_audience(item, str(item["name"])) for item in items)
    return AudiencePage(audiences, _cursor(page, request) if dialect.cursor else _offset(len(items), request))


def _cursor(page: Mapping[str, Any], request: Request) -> str | None:
    """Return the text that the next page is asked for with; None after the last one."""
    if page.get("has_more") is not True:
        return None
    start = page.get("next_from")
    if not isinstance(start, str | int) or ("from", str(start)) in request.query:
        raise BatchProtocolError(f"{request.route}: there are more audiences, but not the next_from to ask for them")
    return str(start)


def _offset(items: int, request: Request) -> int | None:
    """Return the number that the next page starts at; a page that is not full is the last one (inferred)."""
    query = dict(request.query)
    return int(query["from"]) + items if items and items >= int(query["limit"]) else None


def _audience(view: Mapping[str, Any], audience_name: str) -> CustomAudience:
    state, kind = _typed(view.get("indexing_state"), str), _typed(view.get("type"), str)
    return CustomAudience(
        name=_typed(view.get("name"), str) or audience_name,
        type=kind and _TYPES.get(kind, kind),
        description=_typed(_first(view, "description", "display_name"), str),
        nb_ids=_typed(view.get("nb_ids"), int),
        created=_moment(view.get("created")),
        updated=_moment(view.get("updated")),
        indexing_state=None if state is None else _STATES.get(state, IndexingState.UNKNOWN),
        reported_state=_one_line(state or "")[:64],
    )


def _api_error(response: Response, request: Request) -> BatchAPIError:
    code, number, message = _reason(response.body)
    code = code and _without_members(code, request.members)
    named = " ".join(filter(None, (code, f"({number})" if number is not None else "")))
    said = _without_members(message, request.members)
    retry_after = _retry_after(response)
    parts = [
        f"{request.route}: answered {response.status}",
        named,
        said if said != code else "",
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
    # Not on any page: what a proxy says of a body that was too slow, and no word on the body itself.
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
        return "a redirect is never followed, the keys must not travel to another host; check the connection's host"
    return _REMEDIES.get(status, "")


def _reason(body: bytes) -> tuple[str | None, int | None, str]:
    """
    Return the error's name, number and text, as far as the body gives them.

    The keys of this API's error body are on no page: those of the newer API and those that third parties read
    are tried, and a body that is no JSON object at all only leaves the status to go by.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None, None, ""
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        answer = answer["error"]
    if not isinstance(answer, dict):
        return None, None, ""
    code = _first(answer, "error_code", "code")
    message = _first(answer, "error_message", "message")
    name, number = _named(code)
    return name, number, message if isinstance(message, str) else ""


def _named(code: object) -> tuple[str | None, int | None]:
    """Return name and number of an error given either, the number as an integer or as text."""
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) < 10:
        code = int(code)
    if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 10**9:
        return ERROR_NAMES.get(code), code
    if isinstance(code, str) and code.strip():
        name = code.strip()
        return name, next((number for number, known in ERROR_NAMES.items() if known == name), None)
    return None, None


def _without_members(message: str, members: Sequence[str]) -> str:
    """Return *message* on one line, with every id of the call blotted out: Batch may quote what it refuses."""
    text = _one_line(message[:_LONGEST_READ])
    private = [text for member in members for text in _texts(member)]
    spellings = {spelling for text in private for spelling in (_one_line(text), json.dumps(text)[1:-1])}
    for member in sorted((spelling for spelling in spellings if spelling and spelling in text), key=len, reverse=True):
        # An id of a letter or two would take every word with it that it is a part of.
        text = re.sub(re.escape(member) if len(member) > 4 else rf"(?<!\w){re.escape(member)}(?!\w)", "…", text)
    if len(message) > _LONGEST_READ:  # the end may be the beginning of an id, or of an attribute
        text = text[: -max(map(len, private), default=1)]
    return text[:_LONGEST_MESSAGE]


def _texts(member: str) -> Iterator[str]:
    """Yield all that is private about a member: its id, and the values of its attributes and tags."""
    yield member
    if isinstance(member, AnnotatedId):
        beside = json.loads(f"{{{member.extras}}}")
        yield from beside.get("tags", ())
        for value in beside.get("attributes", {}).values():
            yield from map(str, value if isinstance(value, list) else [value])


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _retry_after(response: Response) -> float | None:
    """Read Retry-After in seconds or as a date; no page mentions the header, but it is honoured when there."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (_date(value) - _now(response)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _now(response: Response) -> datetime:
    """Return the time on the server's clock if it tells it: only that one goes with the dates it sends."""
    try:
        return _date(response.headers.get("date", ""))
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(response.received_at, UTC)


def _date(value: str) -> datetime:
    """Read a date in any of HTTP's three formats: one of them names no zone, all are in UTC (RFC 9110, 5.6.7)."""
    date = parsedate_to_datetime(value)
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _object(response: Response, request: Request) -> Mapping[str, Any]:
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise BatchProtocolError(
            f"{request.route}: answered {response.status} with {len(response.body):,} bytes that are no JSON object"
        )
    return answer


def _first(answer: Mapping[str, Any], *keys: str) -> object:
    return next((answer[key] for key in keys if answer.get(key) is not None), None)


def _typed(value: object, kind: type[T]) -> T | None:
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _moment(text: object) -> datetime | None:
    """Read a date and time; one without a zone is taken for UTC, which no page says."""
    try:
        moment = datetime.fromisoformat(text if isinstance(text, str) else "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
