"""The errors of the API, and the form in which each platform sends them."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

ErrorKeys = tuple[str, str]


class ApiError(Enum):
    """The documented errors as (HTTP status, code): https://doc.batch.com/developer/api/mep/custom-audience/1.0/update"""

    AUTHENTICATION_INVALID = (401, 10)
    API_MISUSE = (403, 12)
    ROUTE_NOT_FOUND = (404, 20)
    MISSING_PARAMETER = (400, 30)
    MALFORMED_PARAMETER = (400, 31)
    MALFORMED_JSON_BODY = (400, 32)
    SERVER_ERROR = (500, 1)
    MAINTENANCE_ERROR = (503, 2)
    # Of the audience pages, only those of 2.x list it; the number: https://doc.batch.com/developer/api/mep/campaigns/get
    TOO_MANY_REQUESTS = (429, 60)

    def __init__(self, status: int, number: int) -> None:
        self.status = status
        self.number = number


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """
    The form in which one platform sends its errors.

    :param keys: the keys of code and message in the body.
    :param numbered: whether the code is the error's number, not its name. Undocumented for 1.0 and 1.1, as the keys.
    :param listed: the errors that the platform's pages list.
    """

    keys: ErrorKeys
    numbered: bool
    listed: Collection[ApiError] = tuple(ApiError)

    def encode(self, error: ApiError, reason: str = "") -> tuple[int, bytes]:
        """Return the HTTP status and the body; an error that is not listed is sent as `MALFORMED_PARAMETER`."""
        sent = error if error in self.listed else ApiError.MALFORMED_PARAMETER
        code = sent.number if self.numbered else sent.name
        message = f"{sent.name}: {reason}" if reason else sent.name
        return sent.status, json.dumps({self.keys[0]: code, self.keys[1]: message}).encode()

    def with_status(self, status: int) -> ApiError | None:
        """Return the first listed error with *status*, or None."""
        return next((error for error in self.listed if error.status == status), None)


# https://doc.batch.com/developer/api/cep/audiences/list documents the keys; each page lists its statuses, never a 403.
# Undocumented: the values of error_code. The sandbox sends the names of the 1.0 table.
CEP_ERRORS = ErrorFormat(
    ("error_code", "error_message"),
    numbered=False,
    listed=tuple(error for error in ApiError if error is not ApiError.API_MISUSE),
)


class Rejected(Exception):
    """The API rejects a request; *reason* names parameters and positions, never a key or an id."""

    def __init__(self, error: ApiError, reason: str) -> None:
        super().__init__(f"{error.name}: {reason}")
        self.error = error
        self.reason = reason


class UnknownAudience(Rejected):
    """The app or project has no audience with this name and a type that the version accepts."""

    def __init__(self) -> None:
        # Undocumented: the error for an unknown audience. The 1.0 table has code 20 for routes; in 2.x, only
        # https://doc.batch.com/developer/api/cep/audiences/view lists a 404.
        super().__init__(ApiError.ROUTE_NOT_FOUND, "the audience does not exist")


def malformed(reason: str) -> Rejected:
    """Return the rejection of a parameter that breaks a rule, to be raised."""
    return Rejected(ApiError.MALFORMED_PARAMETER, reason)
