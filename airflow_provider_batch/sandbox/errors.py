from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

ErrorKeys = tuple[str, str]


class ApiError(Enum):
    """Every documented error, as (HTTP status, code); https://doc.batch.com/developer/api/mep/custom-audience/1.0/update

    The last one is of the 2.x pages alone, which tell a status and no number.
    """

    AUTHENTICATION_INVALID = (401, 10)
    API_MISUSE = (403, 12)
    ROUTE_NOT_FOUND = (404, 20)
    MISSING_PARAMETER = (400, 30)
    MALFORMED_PARAMETER = (400, 31)
    MALFORMED_JSON_BODY = (400, 32)
    SERVER_ERROR = (500, 1)
    MAINTENANCE_ERROR = (503, 2)
    TOO_MANY_REQUESTS = (429, None)

    def __init__(self, status: int, number: int | None) -> None:
        self.status = status
        self.number = number


@dataclass(frozen=True, slots=True)
class ErrorStyle:
    """How one half of the API tells its errors: under which *keys*, by number or by name, and which of them at all."""

    keys: ErrorKeys
    numbered: bool
    listed: Collection[ApiError]

    def answer(self, error: ApiError, reason: str = "") -> tuple[int, bytes]:
        """HTTP status and body; an error that this half does not list is told as a malformed parameter."""
        told = error if error in self.listed else ApiError.MALFORMED_PARAMETER
        code = told.number if self.numbered else told.name
        text = f"{told.name}: {reason}" if reason else told.name
        return told.status, json.dumps({self.keys[0]: code, self.keys[1]: text}).encode()

    def of_status(self, status: int) -> ApiError | None:
        """The first error listed with *status*."""
        return next((error for error in self.listed if error.status == status), None)


def mep_errors(keys: ErrorKeys) -> ErrorStyle:
    # not documented: the keys of an error's body and the type of its code. The table gives names and numbers only.
    listed = tuple(error for error in ApiError if error is not ApiError.TOO_MANY_REQUESTS)
    return ErrorStyle(keys, numbered=True, listed=listed)


# The keys are documented in https://doc.batch.com/developer/api/cep/audiences/list, and the statuses on every page.
# not documented: the values of error_code. The names of the older API are the likely ones.
CEP_ERRORS = ErrorStyle(
    ("error_code", "error_message"),
    numbered=False,
    listed=tuple(error for error in ApiError if error is not ApiError.API_MISUSE),  # no page lists a 403
)


class Refused(Exception):
    """The API says no. *reason* names parameters and positions; never a key, never an id."""

    def __init__(self, error: ApiError, reason: str) -> None:
        super().__init__(f"{error.name}: {reason}")
        self.error = error
        self.reason = reason


class UnknownAudience(Refused):
    """No audience of that name is here, or none of a type that the asked version knows."""

    def __init__(self) -> None:
        # not documented: an unknown audience; code 20 speaks of routes. Only the 2.x view page lists a 404.
        super().__init__(ApiError.ROUTE_NOT_FOUND, "there is no audience of that name")
