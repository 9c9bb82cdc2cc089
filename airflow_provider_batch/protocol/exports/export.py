"""An export: what is asked for, and what Batch answers about it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Final

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.arguments import check_choice, check_names

#: The identifiers of an export unless the caller names others.
DEFAULT_IDENTIFIERS: Final = ("custom_id",)

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT: Final = re.compile(rf"{_DAY.pattern}[ T]")


class ExportState(StrEnum):
    """The states of https://doc.batch.com/developer/api/cep/exports/view; ``UNKNOWN`` for one that it does not list."""

    CREATED = "CREATED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class ExportFile:
    """
    One part of an export.

    :param id: identifies it to Batch.
    :param number: its place, from 1.
    :param size: its bytes; None if Batch does not report them.
    """

    id: str
    number: int
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """
    An export as Batch shows it.

    :param reported_state: the state in Batch's own word.
    :param files: its parts in order; empty unless the state is ``SUCCESS``.
    """

    id: str
    state: ExportState
    reported_state: str
    files: tuple[ExportFile, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """
    What an export shall hold: https://doc.batch.com/developer/api/cep/profiles/export

    Batch documents the fields of ``attributes`` in full; those of the other types were seen in use only, so they are
    passed on as they are, and Batch's answer decides.

    :raises InvalidArgumentError: if arguments contradict each other.
    """

    export_type: str = "attributes"
    attributes: Sequence[str] | None = None
    identifiers: Sequence[str] | None = DEFAULT_IDENTIFIERS
    segment: str | None = None
    events: Sequence[str] | None = None
    channels: Sequence[str] | None = None
    since: datetime | date | str | None = None
    until: datetime | date | str | None = None

    def __post_init__(self) -> None:
        check_choice("export_type", self.export_type)
        for name in ("attributes", "identifiers", "events", "channels"):
            check_names(name, getattr(self, name))
        without_effect = ("events", "channels", "since", "until") if self.is_snapshot else ("attributes",)
        if given := [name for name in without_effect if getattr(self, name)]:
            raise InvalidArgumentError(
                f"{given[0]}: it has no effect with export_type={self.export_type!r}. Drop it, or change export_type."
            )
        if self.is_snapshot and not (self.attributes or self.identifiers):
            raise InvalidArgumentError("attributes: an export needs attributes, identifiers or both. Pass one of them.")

    @property
    def is_snapshot(self) -> bool:
        """Whether it shows the profiles as they are, instead of what happened in a period."""
        return self.export_type == "attributes"

    def body(self) -> dict[str, Any]:
        """Return the body of the request."""
        fields: dict[str, Any] = {
            "export_type": self.export_type.upper(),
            "attributes": self.attributes and list(self.attributes),
            "identifiers": self._identifiers(),
            "events": self.events and list(self.events),
            "channels": self.channels and list(self.channels),
            "from": _moment("since", self.since),
            "to": _moment("until", self.until),
            "filter": {"segment": self.segment} if self.segment else None,
        }
        return {name: value for name, value in fields.items() if value}

    @property
    def digest(self) -> str:
        """Identifies the query, so that a retry takes up an export of the same one only."""
        return hashlib.sha256(json.dumps(self.body()).encode()).hexdigest()

    def _identifiers(self) -> list[str]:
        given = list(self.identifiers or ())
        # Of the types with a period, no page was seen whose request has identifiers: only a caller's own are sent.
        return [] if given == list(DEFAULT_IDENTIFIERS) and not self.is_snapshot else given


def _moment(name: str, value: Any) -> str | None:
    """Return a moment as Batch takes it; a day, such as ``{{ ds }}`` yields, begins in UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"{value}T00:00:00Z"
    if isinstance(value, str):
        if _DAY.fullmatch(value):
            return f"{value}T00:00:00Z"
        if _MOMENT.match(value):  # {{ data_interval_start }} has a blank in it, and a text may lack the zone
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat().replace("+00:00", "Z")
    if value is None or isinstance(value, str):
        return value
    raise InvalidArgumentError(f"{name}: a value of type {type(value).__name__} is not a moment. Pass a str.")
