"""
A version of the API as a value: what is sent where, and within which limits.

Encoding and decoding read a dialect; they never ask for a version number. Another version is another value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from airflow_provider_batch.protocol import limits


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and a path; ``{api_key}`` is filled in by the credentials, ``{audience_name}`` by the encoder."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """One version of the audience API."""

    version: str
    update: Endpoint
    view: Endpoint
    list: Endpoint
    audience_types: tuple[str, ...]
    max_ids_per_call: int
    max_id_length: int


_AUDIENCES: Final = "/1.0/{api_key}/custom-audience"
# The view page's route line shows the list's address; only its example has the name in it, which is what works
# for the other verbs: https://doc.batch.com/api/custom-audience/1.0/get/
_AUDIENCE: Final = _AUDIENCES + "/{audience_name}"

#: https://doc.batch.com/developer/api/mep/custom-audience/1.0/update
MEP_1_0: Final = Dialect(
    version="1.0",
    update=Endpoint("PATCH", _AUDIENCE),
    view=Endpoint("GET", _AUDIENCE),
    list=Endpoint("GET", _AUDIENCES),
    audience_types=("custom_ids", "advertising_ids"),
    max_ids_per_call=limits.MAX_IDS_PER_CALL,
    max_id_length=limits.MAX_ID_LENGTH,
)
