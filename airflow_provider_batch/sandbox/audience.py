"""One audience: its members and its writes. This module does not know apps, projects or clocks."""

from __future__ import annotations

import secrets
from bisect import insort
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

IndexingState = Literal["IN_PROGRESS", "APPLIED", "REPLACED"]


@dataclass(frozen=True, slots=True)
class AudienceFacts:
    """The fields of the view route, named as in 1.0: https://doc.batch.com/api/custom-audience/1.0/get/"""

    name: str
    type: str
    description: str
    created: str
    updated: str
    nb_ids: int
    indexing_state: IndexingState


@dataclass(frozen=True, slots=True)
class Traits:
    """The attributes and tags that a member was added with."""

    attributes: Mapping[str, object]
    tags: tuple[str, ...]


NO_TRAITS = Traits({}, ())


@dataclass(frozen=True, slots=True)
class Change:
    """
    The change that an update or a replace makes; a replace drops all earlier members first.

    :param stated_type: the audience's type as the request states it; None on routes that take no type.
    """

    adds: Mapping[str, Traits] = field(default_factory=dict)
    removes: Collection[str] = ()
    replaces: bool = False
    stated_type: str | None = None

    def apply_to(self, members: dict[str, Traits]) -> None:
        """Change *members* in place."""
        if self.replaces:
            members.clear()
        # Undocumented: whether a later add keeps earlier attributes. The sandbox drops them.
        members.update(self.adds)
        # An id that 1.0 adds and removes in one request ends up removed; a Change of 2.x has each id in one of the two.
        # https://doc.batch.com/developer/api/mep/custom-audience/1.0/update
        for member in self.removes:
            members.pop(member, None)


@dataclass(slots=True)
class Write:
    """One accepted write: its position among the writes of its audience, and when it is applied, in Unix seconds."""

    number: int
    due: float


@dataclass(slots=True)
class Audience:
    """
    An audience of one app or project.

    :param number: grows with each creation, over all apps and projects.
    :param shows_replaced: whether an applied replace turns the state of earlier writes into ``REPLACED``.
    """

    number: int
    name: str
    type: str
    description: str
    created: float
    updated: float
    latest: Write
    shows_replaced: bool
    members: dict[str, Traits] = field(default_factory=dict)
    pending: deque[tuple[Write, Change]] = field(default_factory=deque)
    # Undocumented: how long an indexing token is valid. In the sandbox it is valid as long as its audience exists.
    writes: dict[str, Write] = field(default_factory=dict)
    last_replace: int = 0
    due: float = 0.0  # of the latest write, before it was made late

    def apply_due(self, now: float) -> Audience:
        """Apply the pending writes that are due by *now*, in the order of their due times, and return the audience."""
        while self.pending and self.pending[0][0].due <= now:
            write, change = self.pending.popleft()
            # Undocumented: whether a replaced write is still applied. In the sandbox it is not.
            if not self._is_replaced(write):
                change.apply_to(self.members)
                if change.replaces:
                    self.last_replace = write.number
        return self

    def accept(self, change: Change, now: float, due: float) -> str:
        """Accept a write and return its indexing token."""
        token = secrets.token_hex(16)
        self.writes[token] = self.latest = write = Write(self.latest.number + 1, due)
        insort(self.pending, (write, change), key=lambda pending: pending[0].due)
        self.updated = now
        return token

    def view(self, now: float, write: Write) -> AudienceFacts:
        """Return the audience with the state of *write*."""
        return AudienceFacts(
            name=self.name,
            type=self.type,
            description=self.description,
            created=_date(self.created),
            updated=_date(self.updated),
            nb_ids=len(self.members),  # Undocumented: ids sent or users found. The sandbox counts the applied ids.
            indexing_state=self._state_of(write, now),
        )

    def _state_of(self, write: Write, now: float) -> IndexingState:
        if self._is_replaced(write):
            return "REPLACED"
        return "APPLIED" if write.due <= now else "IN_PROGRESS"

    def _is_replaced(self, write: Write) -> bool:
        return self.shows_replaced and write.number < self.last_replace


def _date(moment: float) -> str:
    # Undocumented: the time zone of the dates in 1.0 and 1.1, which have none. The sandbox uses UTC.
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")
