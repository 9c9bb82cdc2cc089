"""The sandbox's memory: apps, projects and their audiences. This module does not know HTTP."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from itertools import chain, count, islice
from typing import Any, Literal

from airflow_provider_batch.sandbox.audience import Audience, AudienceFacts, Change, Traits, Write
from airflow_provider_batch.sandbox.errors import UnknownAudience, malformed
from airflow_provider_batch.sandbox.exports import Exports
from airflow_provider_batch.sandbox.names import ALL_TYPES, CEP_TYPES, parse_audience
from airflow_provider_batch.sandbox.profile import Profiles
from airflow_provider_batch.sandbox.statistics import Statistics

IndexingOrder = Literal["sent", "random"]


class State:
    """
    The audiences of every app and project; safe to share between threads.

    In the methods, *key* is the key of an app or a project, and an audience whose type is not in *types* is unknown.

    :param audiences: audiences that exist from the start, each as ``name`` or ``name:type``.
    :param replaced_states: whether writes before an applied replace show ``REPLACED``; None for projects only, because
        https://doc.batch.com/developer/api/cep/audiences/view lists that state and the pages of 1.0 and 1.1 do not.
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
        export_delay: float = 0.0,
        rows_per_part: int = 1000,
    ) -> None:
        self.clock = clock
        self.apps, self.projects = tuple(apps), tuple(projects)
        # Undocumented: whether 1.0 and 1.1 share the audience names of an app. In the sandbox they do.
        self._audiences: dict[str, dict[str, Audience]] = {key: {} for key in (*self.apps, *self.projects)}
        self._profiles = {project: Profiles() for project in self.projects}
        self._numbers = count(1)
        self._delay = indexing_delay
        self.late = 0.0  # seconds added to the delay of the next write
        self._order = indexing_order
        self._replaced_states = replaced_states
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.exports = Exports(self.projects, clock, export_delay, rows_per_part)
        self.statistics = Statistics(self.apps, self.projects, clock)
        for name, audience_type in map(parse_audience, audiences):
            for key in (*self.apps, *(self.projects if audience_type in CEP_TYPES else ())):
                self.create(key, name, audience_type, "")

    def create(self, key: str, name: str, audience_type: str, description: str) -> None:
        """Create an audience without members."""
        now = self.clock()
        shows_replaced = key in self.projects if self._replaced_states is None else self._replaced_states
        with self._lock:
            if name in self._audiences[key]:
                # Undocumented: the creation of an existing audience. The sandbox rejects it, so that tests notice it.
                raise malformed("the audience already exists")
            self._audiences[key][name] = Audience(
                next(self._numbers), name, audience_type, description, now, now, Write(0, now), shows_replaced
            )

    def write(self, key: str, name: str, change: Change, types: Set[str] = ALL_TYPES) -> str:
        """Accept *change* and return its indexing token."""
        now = self.clock()
        with self._lock:
            audience = self._audience(key, name, types)
            if change.stated_type not in {None, audience.type}:
                # Undocumented: whether this is an error, and which one.
                raise malformed("type differs from the type of the audience")
            return audience.accept(change, now, self._due(now, audience))

    def view(self, key: str, name: str, token: str | None = None, types: Set[str] = ALL_TYPES) -> AudienceFacts:
        """
        Return the audience with the state of a write.

        :param token: the write's indexing token; None for the latest write, which is applied if there was none.
        """
        now = self.clock()
        with self._lock:
            audience = self._audience(key, name, types).apply_due(now)
            write = audience.latest if token is None else audience.writes.get(token)
            if write is None:
                # Undocumented: the error for an unknown token or one of another audience.
                raise malformed("indexing_token was not issued for this audience")
            return audience.view(now, write)

    def listed(self, key: str, types: Set[str] = ALL_TYPES) -> list[tuple[int, AudienceFacts]]:
        """Return every audience with its number, newest first."""
        now = self.clock()
        with self._lock:
            return [
                (audience.number, audience.apply_due(now).view(now, audience.latest))
                for audience in reversed(self._audiences[key].values())
                if audience.type in types
            ]

    def delete(self, key: str, name: str, types: Set[str] = ALL_TYPES) -> None:
        """Delete the whole audience."""
        with self._lock:
            self._audience(key, name, types)
            # Undocumented: whether the name is free at once. In the sandbox it is, and the old tokens are unknown.
            del self._audiences[key][name]

    def apply_pending(self) -> None:
        """Apply every accepted write now, in the order in which they were due."""
        now = self.clock()
        with self._lock:
            for audience in self._all():
                for write, _ in audience.pending:
                    write.due = min(write.due, now)

    def members(self, key: str, name: str) -> frozenset[str]:
        """Return the ids whose writes are applied."""
        return frozenset(self.traits(key, name))

    def traits(self, key: str, name: str) -> dict[str, Traits]:
        """Return the members with their attributes and tags."""
        now = self.clock()
        with self._lock:
            return dict(self._audience(key, name, ALL_TYPES).apply_due(now).members)

    def profiles(self, project: str) -> list[dict[str, object]]:
        """Return the records of an export: one for each member of the project's audiences, and each of its profiles."""
        # Undocumented: the form of a record.
        now = self.clock()
        known: dict[str, dict[str, object]] = {}
        with self._lock:
            for audience in self._audiences[project].values():
                for member, traits in audience.apply_due(now).members.items():
                    known.setdefault(member, {}).update(traits.attributes)
            for member, attributes in self._profiles[project].content().items():
                known.setdefault(member, {}).update(attributes)
        return [{"custom_id": member, "attributes": attributes} for member, attributes in known.items()]

    def newest(self, number: int, most: int = 200) -> dict[str, Traits]:
        """Return the *most* members that the audience with *number* got last, the last first; none if it is unknown."""
        now = self.clock()
        with self._lock:
            for audience in self._all():
                if audience.number == number:
                    return dict(islice(reversed(audience.apply_due(now).members.items()), most))
        return {}

    def write_profile(self, key: str, custom_id: str, attributes: Mapping[str, Any], most: int) -> bool:
        """Set and delete attributes of a profile of the project *key*; return False if there would be too many."""
        with self._lock:
            return self._profiles[key].write(custom_id, attributes, most)

    def profile_attributes(self, key: str) -> dict[str, dict[str, Any]]:
        """Return the profiles of the project *key* with their attributes."""
        with self._lock:
            return self._profiles[key].content()

    def profile_counts(self) -> list[int]:
        """Return how many profiles each project has, in their order."""
        with self._lock:
            return [len(profiles) for profiles in self._profiles.values()]

    def newest_profiles(self, number: int, most: int = 200) -> dict[str, dict[str, Any]]:
        """Return the *most* profiles that the project with *number*, from 0, got last; none if it is unknown."""
        with self._lock:
            return self._profiles[self.projects[number]].newest(most) if number < len(self.projects) else {}

    def _all(self) -> Iterator[Audience]:
        return chain.from_iterable(audiences.values() for audiences in self._audiences.values())

    def _due(self, now: float, audience: Audience) -> float:
        # Undocumented: the order in which writes are applied. "sent" keeps it even if the clock is set back.
        if self._order == "random":
            return now + self._random.uniform(0, self._delay) + self.late
        audience.due = max(now + self._delay, audience.due)
        return audience.due + self.late

    def _audience(self, key: str, name: str, types: Set[str]) -> Audience:
        audience = self._audiences[key].get(name)
        if audience is None or audience.type not in types:
            # Undocumented: the error for an audience of a type that the version does not accept.
            raise UnknownAudience
        return audience
