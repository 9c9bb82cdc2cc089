"""The answer to an accepted call -> what Batch has rejected of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_batch.exceptions import BatchProtocolError
from airflow_provider_batch.protocol.answers import json_object
from airflow_provider_batch.protocol.wire import Request, Response

#: How the names of accepted calls begin; with errors it is ``SUCCESS_WITH_PARTIAL_ERRORS``.
_ACCEPTED = "SUCCESS"


@dataclass(frozen=True, slots=True)
class PartialError:
    """
    What Batch rejects of one profile, in its words.

    :param index: the profile's place in the call, from 0; None if the answer has none.
    """

    index: int | None = None
    category: str = ""
    attribute: str = ""
    reason: str = ""


def partial_errors(response: Response, request: Request) -> list[PartialError]:
    """
    Return what Batch rejects of an accepted call: https://doc.batch.com/developer/api/cep/profiles/update.

    The fields of an error are known from third parties alone, so each of them may be missing or another one.

    :raises BatchProtocolError: if the call was not accepted: the answer of a proxy, or an unknown code.
    """
    if response.status == 202 and not response.body.strip():
        return []
    answer = json_object(response, request)
    code = answer.get("code", _ACCEPTED)
    if not isinstance(code, str) or not code.startswith(_ACCEPTED):
        raise BatchProtocolError(f"{request.route}: answered {response.status} with a code that is not documented")
    errors = answer.get("errors")
    found = [_error(error, request.ids) for error in errors] if isinstance(errors, list) else []
    # Errors that are announced, but not listed in a known form, must not pass for none.
    return found or ([] if code == _ACCEPTED and not errors else [PartialError()])


def _error(error: Any, size: int) -> PartialError:
    fields: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    index = fields.get("bulk_index")
    is_place = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < size
    texts = (text if isinstance(text := fields.get(name), str) else "" for name in ("category", "attribute", "reason"))
    return PartialError(index if is_place else None, *texts)
