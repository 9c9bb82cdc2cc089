"""Batch's documented numbers and alphabets, each beside its page. No other module has one."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Final

#: "Supports up to 10,000 elements": https://doc.batch.com/developer/api/mep/custom-audience/1.0/update
MAX_IDS_PER_CALL: Final = 10_000

#: "String - Max. 128 chars" on the same page, for 1.0 only. Read as Unicode code points; what Batch counts is not
#: documented.
MAX_ID_LENGTH: Final = 128

#: Where Batch documents no limit, its answer decides.
NO_LIMIT: Final = sys.maxsize

#: Attributes of one member: https://doc.batch.com/developer/api/cep/audiences/update
MAX_ATTRIBUTES: Final = 15

#: Audiences in one answer of a list, which is also the default:
#: https://doc.batch.com/api/custom-audience/1.0/list/ and https://doc.batch.com/developer/api/cep/audiences/list
MAX_AUDIENCES_PER_PAGE: Final = 100

#: Seconds without a call after a 429, "further requests may get the same answer":
#: https://doc.batch.com/developer/api/mep/campaigns/get
RATE_LIMIT_WAIT: Final = 5.0

#: Entries in one answer of the other lists: https://doc.batch.com/developer/api/cep/exports/list,
#: https://doc.batch.com/developer/api/cep/orchestrations/list and https://doc.batch.com/developer/api/mep/campaigns/list
MAX_ENTRIES_PER_PAGE: Final = 100

#: Bytes of one file of an export: https://doc.batch.com/developer/api/cep/exports/view
MAX_EXPORT_FILE_SIZE: Final = 100_000_000

#: Months for which Batch has statistics: https://doc.batch.com/developer/api/cep/orchestrations/stats and, as the
#: longest window, https://doc.batch.com/developer/api/mep/transactional/stats
STATISTICS_MONTHS: Final = 6

#: Calls a minute for the statistics of the Mobile Engagement Platform: what those allow themselves who read them daily.
#: Batch documents a 429 without a figure: https://doc.batch.com/developer/api/mep/campaigns/get
STATISTICS_CALLS_PER_MINUTE: Final = 60

#: The newest version seen of https://doc.batch.com/developer/api/cep/audiences/update, and the form of any version.
NEWEST_CEP_VERSION: Final = "2.11"
CEP_VERSION: Final = re.compile(r"2\.[0-9]{1,3}", re.ASCII)

#: How the documented example of a project key begins: https://doc.batch.com/developer/api/cep/audiences/create
PROJECT_KEY_PREFIX: Final = "project_"

#: Letters, digits, ``_`` and ``-``, at most 255: https://doc.batch.com/api/custom-audience/1.0/create
AUDIENCE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
AUDIENCE_NAME_RULE: Final = "1 to 255 letters a-z A-Z, digits, '_' or '-'"

#: Profiles in one call of each route, "or the API call will be rejected":
#: https://doc.batch.com/developer/api/cep/profiles/update and
#: https://doc.batch.com/developer/api/cep/profiles/mass-update-profile
MAX_PROFILES_PER_UPDATE: Final = 200
MAX_PROFILES_PER_MASS_UPDATE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Quota:
    """
    A limit that counts ids instead of calls.

    :param ids: the most ids in any so many *seconds*.
    """

    ids: int
    seconds: float = 1.0


#: Custom ids a second over update, and in a burst; and over mass-update, which has none:
#: https://doc.batch.com/developer/api/cep/profiles and https://doc.batch.com/developer/api/cep/profiles/mass-update-profile
PROFILES_PER_SECOND: Final = 300
PROFILES_IN_A_BURST: Final = 1_000
MASS_PROFILES_PER_SECOND: Final = 10_000

#: The key of a profile's attribute: a name, which may declare its type, or one of Batch's own, which begin with ``$``:
#: https://doc.batch.com/developer/api/cep/profiles/update
ATTRIBUTE_KEY: Final = re.compile(r"(?:[a-z0-9_]{1,30}|(?:date|url)\([a-z0-9_]{1,30}\)|\$[a-z0-9_]+)", re.ASCII)
ATTRIBUTE_NAME_RULE: Final = "1 to 30 letters a-z, digits or '_'"

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
    60: "TOO_MANY_REQUESTS",  # https://doc.batch.com/developer/api/mep/campaigns/get
}
