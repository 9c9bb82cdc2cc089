"""What the sandbox remembers: apps, their audiences, and the writes not indexed yet. Knows no HTTP."""

from __future__ import annotations

import random
import re
import secrets
import threading
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from operator import attrgetter
from typing import Literal

from .errors import ApiError, Refused

# https://doc.batch.com/api/custom-audience/1.0/create
AUDIENCE_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
AUDIENCE_TYPES = frozenset({"custom_ids", "advertising_ids"})

IndexingState = Literal["IN_PROGRESS", "APPLIED"]
IndexingOrder = Literal["sent", "random"]


@dataclass(frozen=True, slots=True)
class AudienceFacts:
    """What the view route tells; https://doc.batch.com/api/custom-audience/1.0/get/"""

    name: str
    type: str
    description: str
    created: str
    updated: str
    nb_ids: int
    indexing_state: IndexingState


@dataclass(frozen=True, slots=True)
class Write:
    """One accepted update or replace: it counts from the moment *due* on."""

    due: float
    adds: frozenset[str]
    removes: frozenset[str]
    replaces: bool

    def apply_to(self, members: set[str]) -> None:
        if self.replaces:
            members.clear()
        # An id that one request both adds and removes ends up removed, whatever the order.
        members |= self.adds
        members -= self.removes


@dataclass(slots=True)
class Audience:
    name: str
    type: str
    description: str
    created: float
    updated: float
    latest_due: float
    members: set[str] = field(default_factory=set)
    waiting: deque[Write] = field(default_factory=deque)
    # not documented: how long a token lives. Here: as long as its audience.
    due_by_token: dict[str, float] = field(default_factory=dict)

    def settle(self, now: float) -> Audience:
        """Apply what is due, in that order; each write is looked at once, so a long past costs nothing."""
        while self.waiting and self.waiting[0].due <= now:
            self.waiting.popleft().apply_to(self.members)
        return self

    def accept(self, write: Write, now: float) -> str:
        token = secrets.token_hex(16)
        insort(self.waiting, write, key=attrgetter("due"))
        self.due_by_token[token] = self.latest_due = write.due
        self.updated = now
        return token

    def facts(self, now: float, due: float) -> AudienceFacts:
        return AudienceFacts(
            name=self.name,
            type=self.type,
            description=self.description,
            created=_date(self.created),
            updated=_date(self.updated),
            nb_ids=len(self.members),  # not documented: ids sent, or users found. Here: the ids that are applied.
            # A replace leaves earlier tokens as they are: the 1.0 page lists exactly these two states.
            indexing_state="APPLIED" if due <= now else "IN_PROGRESS",
        )


class State:
    """Every app's audiences; safe to use from several threads. *clock* gives Unix seconds."""

    def __init__(
        self,
        apps: Iterable[str],
        audiences: Iterable[str],
        *,
        indexing_delay: float,
        clock: Callable[[], float],
        indexing_order: IndexingOrder = "sent",
        seed: int | None = None,
    ) -> None:
        self._apps: dict[str, dict[str, Audience]] = {app: {} for app in apps}
        self._delay = indexing_delay
        self._order = indexing_order
        self._random = random.Random(seed)
        self._clock = clock
        self._lock = threading.Lock()
        for app in self._apps:
            for name in audiences:
                self.create(app, name, "custom_ids", "")

    @property
    def apps(self) -> tuple[str, ...]:
        return tuple(self._apps)

    def create(self, app: str, name: str, audience_type: str, description: str) -> None:
        now = self._clock()
        with self._lock:
            if name in self._apps[app]:
                # not documented: creating a name again. Here: an error, so that a blind repeat is noticed.
                raise Refused(ApiError.MALFORMED_PARAMETER, "an audience of this name exists")
            self._apps[app][name] = Audience(name, audience_type, description, now, now, latest_due=now)

    def write(
        self, app: str, name: str, audience_type: str, adds: Iterable[str], removes: Iterable[str], *, replaces: bool
    ) -> str:
        """Accept a write and give its indexing token. Adding a present id or removing an absent one is fine."""
        now = self._clock()
        with self._lock:
            audience = self._audience(app, name)
            if audience.type != audience_type:
                # not documented: which error this is, or whether it is one.
                raise Refused(ApiError.MALFORMED_PARAMETER, "type differs from the type of the audience")
            due = self._due(now, audience)
            return audience.accept(Write(due, frozenset(adds), frozenset(removes), replaces), now)

    def facts(self, app: str, name: str, token: str | None = None) -> AudienceFacts:
        """With *token* the state of that write; without, of the latest one (`APPLIED` if there never was one)."""
        now = self._clock()
        with self._lock:
            audience = self._audience(app, name).settle(now)
            due = audience.latest_due if token is None else audience.due_by_token.get(token)
            if due is None:
                # not documented: an unknown token, or another audience's.
                raise Refused(ApiError.MALFORMED_PARAMETER, "indexing_token was not issued for this audience")
            return audience.facts(now, due)

    def page(self, app: str, start: int, limit: int) -> list[AudienceFacts]:
        """Up to *limit* audiences, the newest creation first."""
        now = self._clock()
        with self._lock:
            audiences = islice(reversed(self._apps[app].values()), start, start + limit)
            return [audience.settle(now).facts(now, audience.latest_due) for audience in audiences]

    def delete(self, app: str, name: str) -> None:
        with self._lock:
            self._audience(app, name)
            # not documented: whether the name is free at once. Here: yes.
            del self._apps[app][name]

    def members(self, app: str, name: str) -> frozenset[str]:
        now = self._clock()
        with self._lock:
            return frozenset(self._audience(app, name).settle(now).members)

    def _due(self, now: float, audience: Audience) -> float:
        # not documented: whether writes are applied in order. Here: yes, even if the clock is set back; or not at all.
        if self._order == "random":
            return now + self._random.uniform(0, self._delay)
        return max(now + self._delay, audience.latest_due)

    def _audience(self, app: str, name: str) -> Audience:
        try:
            return self._apps[app][name]
        except KeyError:
            # not documented: an unknown audience; code 20 speaks of routes.
            raise Refused(ApiError.ROUTE_NOT_FOUND, "this app has no audience of that name") from None


def _date(moment: float) -> str:
    # The documented dates carry no zone; UTC is this sandbox's choice.
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")
