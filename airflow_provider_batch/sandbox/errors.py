from __future__ import annotations

import json
from enum import Enum

ErrorKeys = tuple[str, str]


class ApiError(Enum):
    """Every documented error, as (HTTP status, code); https://doc.batch.com/developer/api/mep/custom-audience/1.0/update"""

    AUTHENTICATION_INVALID = (401, 10)
    API_MISUSE = (403, 12)
    ROUTE_NOT_FOUND = (404, 20)
    MISSING_PARAMETER = (400, 30)
    MALFORMED_PARAMETER = (400, 31)
    MALFORMED_JSON_BODY = (400, 32)
    SERVER_ERROR = (500, 1)
    MAINTENANCE_ERROR = (503, 2)

    def __init__(self, status: int, code: int) -> None:
        self.status = status
        self.code = code

    def body(self, keys: ErrorKeys, reason: str = "") -> bytes:
        # not documented: the keys of an error's body and the type of its code. The table gives names and numbers only.
        message = f"{self.name}: {reason}" if reason else self.name
        return json.dumps({keys[0]: self.code, keys[1]: message}).encode()


class Refused(Exception):
    """The API says no. *reason* names parameters and positions; never a key, never an id."""

    def __init__(self, error: ApiError, reason: str) -> None:
        super().__init__(f"{error.name}: {reason}")
        self.error = error
        self.reason = reason
