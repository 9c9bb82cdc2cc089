"""
One push of profiles: all rows are read before the first call, and wait in a spool; then all of them are sent.

In the spool the last row of a profile replaces the others, and their number selects the route.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from airflow_provider_batch.protocol.arguments import RouteName
from airflow_provider_batch.protocol.dialect import ProfileRoute
from airflow_provider_batch.protocol.profiles.intake import Places, ProfileIntake
from airflow_provider_batch.protocol.profiles.results import ProfilesResult, push_name
from airflow_provider_batch.protocol.profiles.writes import ProfileChunk, ProfileWrites, row_of
from airflow_provider_batch.protocol.rows import NAMED_REJECTIONS, OnRejection, Rejection
from airflow_provider_batch.protocol.writes import Sent
from airflow_provider_batch.push.line import Line
from airflow_provider_batch.push.parcels import Journal
from airflow_provider_batch.push.push import Push, planned
from airflow_provider_batch.push.spool import Spool

R = TypeVar("R", bound=ProfilesResult)

#: The most profiles that route="auto" sends over the route for few: it takes them in a burst.
_FEW: Final = 1_000


@dataclass(frozen=True, slots=True)
class Spooled:
    """All profiles of a push, each once, with their places in the source."""

    spool: Spool
    places: Places

    def chunks(self, size: int) -> Iterator[ProfileChunk]:
        """See :meth:`Chunked.chunks`."""
        for number, (numbers, lines) in enumerate(self.spool.blocks(size), 1):
            yield ProfileChunk(number, lines, partial(self._rejection, numbers))

    def rejection_of(self, custom_id: str, reason: str) -> Rejection | None:
        """Return the rejection of a profile by its id; None if no row is of it."""
        number = self.spool.number_of(custom_id)
        return None if number is None else self.places.rejection(number, reason)

    def _rejection(self, numbers: Sequence[int], index: int, reason: str) -> Rejection:
        return self.places.rejection(numbers[index], reason)


class Chunked(Protocol):
    """Profiles that can be read in chunks, again and again."""

    def chunks(self, size: int) -> Iterator[ProfileChunk]:
        """Yield the profiles in chunks, from the first on."""


@dataclass(frozen=True, slots=True)
class Again:
    """Chunks of one size that can be made again."""

    profiles: Chunked
    size: int

    def __iter__(self) -> Iterator[ProfileChunk]:
        return self.profiles.chunks(self.size)


@dataclass(frozen=True, slots=True)
class ProfilePush:
    """
    Where a push sends, and how.

    :param max_concurrency: calls in flight at most.
    :param chunk_size: profiles in one call; None for as many as the route takes.
    :param on_rejection: called with each profile that Batch rejects in part.
    :param on_doubt: called with all lines of a call of which Batch rejects a part without a valid place.
    """

    line: Line
    batch_conn_id: str
    max_concurrency: int
    route: RouteName = "auto"
    chunk_size: int | None = None
    on_rejection: OnRejection | None = None
    on_doubt: Callable[[Sequence[bytes]], None] | None = None

    def run(self, intake: ProfileIntake, *, journal: Journal | None, dry_run: bool) -> ProfilesResult:
        """Read and send all profiles."""
        with self.spooled(intake) as spooled:
            total = len(spooled.spool)
            route, size = self.calls(total)
            chunks = Again(spooled, size)
            sent = planned(chunks) if dry_run else self.send(route, chunks, total, journal)
            return self.result(ProfilesResult, route, intake, sent, duplicates=spooled.spool.duplicates)

    @contextmanager
    def spooled(self, intake: ProfileIntake) -> Iterator[Spooled]:
        """Read all profiles."""
        places = Places()
        with Spool(lambda line: row_of(line)["custom_id"]) as spool:
            for block in intake.blocks():
                places.add(spool.written, block)
                spool.write(block.ids, block.text)
            spool.settle()
            yield Spooled(spool, places)

    def calls(self, profiles: int) -> tuple[ProfileRoute, int]:
        """Return the route for so many profiles, and how many of them a call has."""
        name = self.route if self.route != "auto" else "mass-update" if profiles > _FEW else "update"
        route = self.line.settings.profile_route(name)
        return route, min(self.chunk_size or route.most, route.most)

    def send(
        self,
        route: ProfileRoute,
        chunks: Iterable[ProfileChunk],
        total: int,
        journal: Journal | None,
        **more: Any,
    ) -> Sent:
        """Send *chunks*, which can be read again; *more* are the other arguments of :meth:`Push.run`."""
        writes = ProfileWrites(route, self.on_rejection, self.on_doubt)
        push = Push(self.line, writes, push_name(self.batch_conn_id), self.max_concurrency)
        return push.run(chunks, total=total, journal=journal, **more)

    def result(self, kind: type[R], route: ProfileRoute, intake: ProfileIntake, sent: Sent, **more: Any) -> R:
        """Return the result of a push; *more* are its other fields, some of which only its *kind* has."""
        return kind(
            batch_conn_id=self.batch_conn_id,
            route=route.name,
            accepted=sent.added,
            rejected=intake.rejected + len(sent.rejections),
            rejections=(*intake.rejections, *sent.rejections)[:NAMED_REJECTIONS],
            calls=len(sent.indexing_tokens) if sent.planned_calls is None else sent.planned_calls,
            seconds=sent.seconds,
            earlier_calls=sent.earlier_calls,
            dry_run=sent.planned_calls is not None,
            rejected_by_batch=len(sent.rejections),
            **more,
        )
