"""What the sandbox remembers: apps and projects, and their audiences. Knows no HTTP."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Set
from itertools import count
from typing import Literal

from .audience import Audience, AudienceFacts, Change, Stamp, Traits
from .errors import ApiError, Refused, UnknownAudience
from .names import ALL_TYPES, CEP_TYPES, audience_of

IndexingOrder = Literal["sent", "random"]


class State:
    """Every app's and project's audiences, by key; safe to use from several threads. *clock* gives Unix seconds.

    Where *types* are given, an audience of another type is unknown. *replaced_states* says whether a replace ends the
    writes before it as `REPLACED`; None: in projects, as documented, and not in apps, whose pages know two states.
    """

    def __init__(
        self,
        apps: Iterable[str],
        audiences: Iterable[str],
        *,
        projects: Iterable[str] = (),
        indexing_delay: float,
        clock: Callable[[], float],
        indexing_order: IndexingOrder = "sent",
        seed: int | None = None,
        replaced_states: bool | None = None,
    ) -> None:
        self.apps, self.projects = tuple(apps), tuple(projects)
        # not documented: whether 1.0 and 1.1 share the names of an app. Here: yes, there is one namespace for each key.
        self._audiences: dict[str, dict[str, Audience]] = {key: {} for key in (*self.apps, *self.projects)}
        self._numbers = count(1)
        self._delay = indexing_delay
        self._order = indexing_order
        self._replaced_states = replaced_states
        self._random = random.Random(seed)
        self._clock = clock
        self._lock = threading.Lock()
        for name, audience_type in map(audience_of, audiences):
            for key in (*self.apps, *(self.projects if audience_type in CEP_TYPES else ())):
                self.create(key, name, audience_type, "")

    def create(self, key: str, name: str, audience_type: str, description: str) -> None:
        now = self._clock()
        tells_replaced = key in self.projects if self._replaced_states is None else self._replaced_states
        with self._lock:
            if name in self._audiences[key]:
                # not documented: creating a name again. Here: an error, so that a blind repeat is noticed.
                raise Refused(ApiError.MALFORMED_PARAMETER, "an audience of this name exists")
            self._audiences[key][name] = Audience(
                next(self._numbers), name, audience_type, description, now, now, Stamp(0, now), tells_replaced
            )

    def write(self, key: str, name: str, change: Change, types: Set[str] = ALL_TYPES) -> str:
        """Accept a write and give its indexing token. Adding a present id or removing an absent one is fine."""
        now = self._clock()
        with self._lock:
            audience = self._audience(key, name, types)
            if change.stated_type not in {None, audience.type}:
                # not documented: which error this is, or whether it is one.
                raise Refused(ApiError.MALFORMED_PARAMETER, "type differs from the type of the audience")
            return audience.accept(change, now, self._due(now, audience))

    def facts(self, key: str, name: str, token: str | None = None, types: Set[str] = ALL_TYPES) -> AudienceFacts:
        """With *token* the state of that write; without, of the latest one (`APPLIED` if there never was one)."""
        now = self._clock()
        with self._lock:
            audience = self._audience(key, name, types).settle(now)
            stamp = audience.latest if token is None else audience.stamps.get(token)
            if stamp is None:
                # not documented: an unknown token, or another audience's.
                raise Refused(ApiError.MALFORMED_PARAMETER, "indexing_token was not issued for this audience")
            return audience.facts(now, stamp)

    def listed(self, key: str, types: Set[str] = ALL_TYPES) -> list[tuple[int, AudienceFacts]]:
        """Every audience with its number, the newest creation and highest number first."""
        now = self._clock()
        with self._lock:
            return [
                (audience.number, audience.settle(now).facts(now, audience.latest))
                for audience in reversed(self._audiences[key].values())
                if audience.type in types
            ]

    def delete(self, key: str, name: str, types: Set[str] = ALL_TYPES) -> None:
        with self._lock:
            self._audience(key, name, types)
            # not documented: whether the name is free at once. Here: yes, and its tokens are unknown from now on.
            del self._audiences[key][name]

    def members(self, key: str, name: str) -> frozenset[str]:
        return frozenset(self.traits(key, name))

    def traits(self, key: str, name: str) -> dict[str, Traits]:
        """The members, each with what came when it was added."""
        now = self._clock()
        with self._lock:
            return dict(self._audience(key, name, ALL_TYPES).settle(now).members)

    def _due(self, now: float, audience: Audience) -> float:
        # not documented: whether writes are applied in order. Here: yes, even if the clock is set back; or not at all.
        if self._order == "random":
            return now + self._random.uniform(0, self._delay)
        return max(now + self._delay, audience.latest.due)

    def _audience(self, key: str, name: str, types: Set[str]) -> Audience:
        audience = self._audiences[key].get(name)
        if audience is None or audience.type not in types:
            # not documented: a route of 1.0 on install_ids, or of 1.1 on others. Here: as if there were no such name.
            raise UnknownAudience
        return audience
