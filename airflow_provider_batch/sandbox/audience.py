"""One audience: its members, and the writes on their way to them. Knows no app, no project and no clock."""

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
    """What the view route tells, spelled as in 1.0; https://doc.batch.com/api/custom-audience/1.0/get/"""

    name: str
    type: str
    description: str
    created: str
    updated: str
    nb_ids: int
    indexing_state: IndexingState


@dataclass(frozen=True, slots=True)
class Traits:
    """What came with an id when it was added."""

    attributes: Mapping[str, object]
    tags: tuple[str, ...]


NO_TRAITS = Traits({}, ())


@dataclass(frozen=True, slots=True)
class Change:
    """What one update or replace asks for. *stated_type* is the audience's type, where a request has to say it."""

    adds: Mapping[str, Traits] = field(default_factory=dict)
    removes: Collection[str] = ()
    replaces: bool = False
    stated_type: str | None = None

    def apply_to(self, members: dict[str, Traits]) -> None:
        if self.replaces:
            members.clear()
        # not documented: whether the attributes of a later add join those of an earlier one. Here: they replace them.
        members.update(self.adds)
        # An id that is among both ends up removed: the rule of 1.0. Where the last one wins, it is among one only.
        for member in self.removes:
            members.pop(member, None)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which write of its audience this is, and from which moment on it counts."""

    number: int
    due: float


@dataclass(slots=True)
class Audience:
    """*number* grows with each creation. With *tells_replaced*, a replace ends the writes that came before it."""

    number: int
    name: str
    type: str
    description: str
    created: float
    updated: float
    latest: Stamp
    tells_replaced: bool
    members: dict[str, Traits] = field(default_factory=dict)
    waiting: deque[tuple[Stamp, Change]] = field(default_factory=deque)
    # not documented: how long a token lives. Here: as long as its audience.
    stamps: dict[str, Stamp] = field(default_factory=dict)
    last_replace: int = 0

    def settle(self, now: float) -> Audience:
        """Apply what is due, in that order; each write is looked at once, so a long past costs nothing."""
        while self.waiting and self.waiting[0][0].due <= now:
            stamp, change = self.waiting.popleft()
            # not documented: whether a replaced write is ever applied. Here: not any more once it is called REPLACED.
            if not self._is_replaced(stamp):
                change.apply_to(self.members)
                if change.replaces:
                    self.last_replace = stamp.number
        return self

    def accept(self, change: Change, now: float, due: float) -> str:
        token = secrets.token_hex(16)
        self.stamps[token] = self.latest = stamp = Stamp(self.latest.number + 1, due)
        insort(self.waiting, (stamp, change), key=lambda waiting: waiting[0].due)
        self.updated = now
        return token

    def facts(self, now: float, stamp: Stamp) -> AudienceFacts:
        return AudienceFacts(
            name=self.name,
            type=self.type,
            description=self.description,
            created=_date(self.created),
            updated=_date(self.updated),
            nb_ids=len(self.members),  # not documented: ids sent, or users found. Here: the ids that are applied.
            indexing_state=self._state_of(stamp, now),
        )

    def _state_of(self, stamp: Stamp, now: float) -> IndexingState:
        if self._is_replaced(stamp):
            return "REPLACED"
        return "APPLIED" if stamp.due <= now else "IN_PROGRESS"

    def _is_replaced(self, stamp: Stamp) -> bool:
        return self.tells_replaced and stamp.number < self.last_replace


def _date(moment: float) -> str:
    # The documented dates of MEP carry no zone; UTC is this sandbox's choice.
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")
