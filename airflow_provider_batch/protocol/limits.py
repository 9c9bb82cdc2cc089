"""Batch's documented numbers and alphabets, each beside its page; no other module holds one."""

from __future__ import annotations

import re
from typing import Final

#: «Supports up to 10,000 elements»: https://doc.batch.com/developer/api/mep/custom-audience/1.0/update
MAX_IDS_PER_CALL: Final = 10_000

#: «String - Max. 128 chars» on the same page. Read as Unicode code points; what Batch counts is not documented.
MAX_ID_LENGTH: Final = 128

#: Letters, digits, ``_`` and ``-``, at most 255: https://doc.batch.com/api/custom-audience/1.0/create
AUDIENCE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
AUDIENCE_NAME_RULE: Final = "1 to 255 letters a-z A-Z, digits, '_' or '-'"

#: The errors of https://doc.batch.com/developer/api/mep/custom-audience/1.0/update by number.
ERROR_NAMES: Final = {
    1: "SERVER_ERROR",
    2: "MAINTENANCE_ERROR",
    10: "AUTHENTICATION_INVALID",
    12: "API_MISUSE",
    20: "ROUTE_NOT_FOUND",
    30: "MISSING_PARAMETER",
    31: "MALFORMED_PARAMETER",
    32: "MALFORMED_JSON_BODY",
}
