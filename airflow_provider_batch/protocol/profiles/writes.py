"""How a push sends profiles: see :class:`~airflow_provider_batch.protocol.writes.Writes`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from airflow_provider_batch.protocol.dialect import ProfileRoute
from airflow_provider_batch.protocol.flow import Flow, exchange
from airflow_provider_batch.protocol.limits import ATTRIBUTE_KEY
from airflow_provider_batch.protocol.profiles.decode import PartialError, partial_errors
from airflow_provider_batch.protocol.refusals import WITHHELD, shown
from airflow_provider_batch.protocol.retry import Delay, Patience, Polling
from airflow_provider_batch.protocol.rows import OnRejection, Rejection
from airflow_provider_batch.protocol.wire import Request
from airflow_provider_batch.protocol.writes import Parcel, Receipt

#: In place of an indexing token: Batch returns none for profiles, and has no view of them.
ACCEPTED: Final = "accepted"

#: What a rejection quotes of the errors of one profile, and its text where Batch has none that can be shown.
_MOST_ERRORS: Final = 3
_NO_REASON: Final = "Batch gives no reason"
_NO_PLACE: Final = "Batch rejects a part of the call that begins here, without a valid place"


@dataclass(frozen=True, slots=True)
class ProfileChunk:
    """
    The profiles of one call; numbers count from 1.

    :param lines: the JSON of each.
    :param rejection: returns the rejection of the profile at an index, with a reason.
    :param cleared: how many of them, from the last on, are profiles whose rows have gone.
    """

    number: int
    lines: Sequence[bytes] = field(repr=False)
    rejection: Callable[[int, str], Rejection] = field(repr=False, compare=False)
    cleared: int = 0

    @property
    def added(self) -> int:
        """How many profiles have a row."""
        return len(self.lines) - self.cleared

    @property
    def removed(self) -> int:
        """How many are cleared."""
        return self.cleared


@dataclass(frozen=True, slots=True)
class ProfileWrites:
    """
    The writes of one push of profiles.

    :param on_rejection: called with each profile that Batch rejects in part.
    :param on_doubt: called with all lines of a call of which Batch rejects a part without a valid place.
    """

    route: ProfileRoute
    on_rejection: OnRejection | None = None
    on_doubt: Callable[[Sequence[bytes]], None] | None = None

    first_alone = False
    patience = Patience()

    def encode(self, chunk: ProfileChunk) -> Request:
        """Return the call that sends *chunk*."""
        return Request(
            self.route.endpoint.method,
            self.route.endpoint.path,
            body=b"[%b]" % b",".join(chunk.lines),
            private=partial(_all_private_texts, chunk.lines),
            quota=self.route.quota,
            ids=len(chunk.lines),
        )

    def packed(self, chunk: ProfileChunk, request: Request) -> ProfileChunk:
        """Return *chunk* as its parcel keeps it."""
        return chunk

    def send(self, parcel: Parcel[ProfileChunk], delay: Delay) -> Flow[Receipt]:
        """Send *parcel* until Batch accepts it, and notify the caller of what it rejects in part."""
        errors = yield from exchange(parcel.request, partial_errors, delay)
        found: dict[int, list[PartialError]] = {}
        for error in errors:
            found.setdefault(error.index or 0, []).append(error)
        if self.on_doubt is not None and any(error.index is None for error in errors):
            self.on_doubt(parcel.chunk.lines)
        rejected = {index: self._reject(parcel.chunk, index, found[index]) for index in sorted(found)}
        return _receipt(parcel, rejected)

    def recall(self, parcel: Parcel[ProfileChunk], indexing_token: str) -> Receipt:
        """Return the receipt of a parcel that an earlier try has sent."""
        return _receipt(parcel, earlier=True)

    def await_first(self, receipt: Receipt, polling: Polling) -> Flow[str]:
        """Return at once: of an accepted call, nothing more can be known."""
        yield from ()
        return ""

    def _reject(self, chunk: ProfileChunk, index: int, errors: list[PartialError]) -> Rejection:
        row = row_of(chunk.lines[index])
        reasons = [_NO_PLACE if error.index is None else _reason(error, row) for error in errors[:_MOST_ERRORS]]
        rejection = chunk.rejection(index, "; ".join(reasons))
        if self.on_rejection is not None:
            self.on_rejection(rejection, row)
        return rejection


def row_of(line: bytes) -> dict[str, Any]:
    """Return the row in the JSON of a profile."""
    profile = json.loads(line)
    return {"custom_id": profile["identifiers"]["custom_id"], "attributes": profile["attributes"]}


def _reason(error: PartialError, row: dict[str, Any]) -> str:
    private = list(_private_texts(row, error.attribute))
    # Of an attribute that is deleted, Batch has the value, and may quote it.
    attributes = row["attributes"]
    about = [attributes[error.attribute]] if error.attribute in attributes else attributes.values()
    reason = WITHHELD if error.reason.strip() and None in about else shown(error.reason, private)
    words = [text for text in (shown(error.category, private), reason) if text]
    # What may be a value is not named, even if Batch calls it an attribute.
    if ATTRIBUTE_KEY.fullmatch(error.attribute) and error.attribute not in private:
        words.insert(0, f"attribute {error.attribute!r}")
    return ": ".join(words) or _NO_REASON


def _receipt(
    parcel: Parcel[ProfileChunk], rejected: Mapping[int, Rejection] = MappingProxyType({}), *, earlier: bool = False
) -> Receipt:
    chunk = parcel.chunk
    rejected_updates = sum(index < chunk.added for index in rejected)
    return Receipt(
        parcel.number,
        chunk.added - rejected_updates,
        chunk.removed - (len(rejected) - rejected_updates),
        (ACCEPTED,),
        parcel.fingerprint,
        tuple(rejected.values()),
        earlier,
    )


def _all_private_texts(lines: Sequence[bytes]) -> Iterator[str]:
    for line in lines:
        yield from _private_texts(row_of(line))


def _private_texts(row: dict[str, Any], attribute: str = "") -> Iterator[str]:
    """
    Yield the private texts of a profile: its id, and the values of its attributes.

    :param attribute: the one that a text is about, if that is known. Then the numbers of the others are not searched
        for: a score of 1 would withhold every text with that figure.
    """
    yield row["custom_id"]
    for key, value in row["attributes"].items():
        for each in _values(value):
            if isinstance(each, str) or attribute in ("", key):
                yield str(each)


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _values(item)
    elif value is not None:
        yield value
