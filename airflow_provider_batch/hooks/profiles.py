"""The attributes of profiles as Python calls."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from airflow_provider_batch.exceptions import counted
from airflow_provider_batch.hooks.base import BatchBaseHook, one_at_a_time
from airflow_provider_batch.hooks.lineage import report_profiles
from airflow_provider_batch.hooks.xcoms import concatenated
from airflow_provider_batch.protocol.arguments import Nulls, OnInvalidId, RouteName, check_choice, check_count
from airflow_provider_batch.protocol.dialect import ProfileRoute
from airflow_provider_batch.protocol.limits import MAX_PROFILES_PER_MASS_UPDATE, MAX_PROFILES_PER_UPDATE
from airflow_provider_batch.protocol.profiles.intake import Places, ProfileIntake
from airflow_provider_batch.protocol.profiles.results import ProfilesResult, push_name
from airflow_provider_batch.protocol.profiles.writes import ProfileChunk, ProfileWrites, row_of
from airflow_provider_batch.protocol.rows import NAMED_REJECTIONS, OnRejection, Rejection
from airflow_provider_batch.protocol.writes import Sent
from airflow_provider_batch.push.parcels import Journal
from airflow_provider_batch.push.push import Push
from airflow_provider_batch.push.spool import Spool

#: The most profiles that route="auto" sends over the route for few: it takes them in a burst.
_FEW: Final = 1_000


class _Calls(NamedTuple):
    """Over which route, and in chunks of which size."""

    route: ProfileRoute
    size: int


@dataclass(frozen=True, slots=True)
class _Chunks:
    """The chunks of one push; they can be read again and again."""

    spool: Spool
    places: Places = field(default_factory=Places)
    size: int = MAX_PROFILES_PER_MASS_UPDATE

    def __iter__(self) -> Iterator[ProfileChunk]:
        for number, (numbers, lines) in enumerate(self.spool.blocks(self.size), 1):
            yield ProfileChunk(number, lines, partial(self._rejection, numbers))

    def _rejection(self, numbers: Sequence[int], index: int, reason: str) -> Rejection:
        return self.places.rejection(numbers[index], reason)


class ProfileHook(BatchBaseHook):
    """The part of the hook that writes profiles."""

    def update_profiles(
        self,
        profiles: Iterable[object] | str | None,
        *,
        route: RouteName = "auto",
        chunk_size: int | None = None,
        max_concurrency: int | None = None,
        on_invalid_id: OnInvalidId = "fail",
        nulls: Nulls = "keep",
        on_rejection: OnRejection | None = None,
        journal: Journal | None = None,
        dry_run: bool = False,
        id_column: str = "custom_id",
        attribute_columns: Sequence[str | int] | Mapping[str | int, str] | None = None,
    ) -> ProfilesResult:
        """
        Set attributes of profiles, in as many calls as needed; Batch creates profiles that it does not know.

        See https://doc.batch.com/developer/api/cep/profiles/update and
        https://doc.batch.com/developer/api/cep/profiles/mass-update-profile. All rows are read and checked before the
        first call, and wait in a temporary file. Of several rows of one profile the last counts. Batch reports nothing
        about profiles after it has accepted them.

        :param profiles: rows: dicts with the id and attributes beside it, or with the id and ``attributes``, or
            :class:`~airflow_provider_batch.protocol.profiles.table.Profile`.
        :param route: ``update``, ``mass-update``, or ``auto``: the latter for more than 1,000 profiles.
        :param chunk_size: profiles in one call; None for as many as the route takes, 200 or 10,000.
        :param max_concurrency: calls in flight, at most 64; None for the connection's value.
        :param on_invalid_id: ``fail``, or ``skip`` to send the other rows and count the invalid ones.
        :param nulls: ``keep`` to leave a missing value out, ``clear`` to delete the attribute.
        :param on_rejection: called with each row that is skipped, or that Batch refuses in part, its place and the
            reason; never twice at once, but from several threads.
        :param journal: keeps what Batch accepted for the next try.
        :param dry_run: check and count everything, and send nothing.
        :param id_column: the field of a row with the id.
        :param attribute_columns: the fields to send, or a dict from fields to the names of attributes; None for all.
        :raises InvalidArgumentError: if an argument breaks a documented rule.
        :raises InvalidMemberError: if a row is invalid and is not to be skipped; nothing was sent.
        :raises BatchConfigurationError: if the connection cannot be used, or is not to a project.
        :raises BatchAPIError: if Batch rejects a call, or fails at every attempt.
        :raises BatchConnectionError: if Batch does not answer any attempt.
        """
        window = self._window(max_concurrency)
        self._check_calls(route, chunk_size)
        notify = one_at_a_time(on_rejection) if on_rejection else None
        intake = ProfileIntake(
            concatenated(profiles),
            name=push_name(self.batch_conn_id),
            id_column=id_column,
            attribute_columns=attribute_columns,
            nulls=nulls,
            on_invalid_id=on_invalid_id,
            on_rejection=notify,
            checkpoint=self.pause,
        )
        with self._spooled(intake) as (spool, places):
            calls = self._calls(route, chunk_size, len(spool))
            chunks = _Chunks(spool, places, calls.size)
            sent = (
                _planned(chunks)
                if dry_run
                else self._push_profiles(ProfileWrites(calls.route, notify), chunks, window, journal)
            )
        result = _result(self.batch_conn_id, calls.route, intake, spool.duplicates, sent)
        self._report_profiles(result)
        return result

    def _check_calls(self, route: RouteName, chunk_size: int | None) -> None:
        """Check the arguments of the calls before anything is read."""
        check_choice("route", route)
        self._settings.profile_route("update")
        if chunk_size is not None:
            most = MAX_PROFILES_PER_UPDATE if route == "update" else MAX_PROFILES_PER_MASS_UPDATE
            check_count("chunk_size", chunk_size, most)

    def _calls(self, route: RouteName, chunk_size: int | None, profiles: int) -> _Calls:
        name = route if route != "auto" else "mass-update" if profiles > _FEW else "update"
        chosen = self._settings.profile_route(name)
        return _Calls(chosen, min(chunk_size or chosen.most, chosen.most))

    @contextmanager
    def _spooled(self, intake: ProfileIntake) -> Iterator[tuple[Spool, Places]]:
        """Read all profiles, each once."""
        places = Places()
        with Spool(lambda line: row_of(line)["custom_id"]) as spool:
            for block in intake.blocks():
                places.add(spool.written, block)
                spool.write(block.ids, block.text)
            spool.settle()
            yield spool, places

    def _push_profiles(self, writes: ProfileWrites, chunks: _Chunks, window: int, journal: Journal | None) -> Sent:
        with self._line() as line:
            return Push(line, writes, push_name(self.batch_conn_id), window).run(
                chunks, total=len(chunks.spool), journal=journal
            )

    def _report_profiles(self, result: ProfilesResult) -> None:
        if result.calls and not result.dry_run:
            report_profiles(self)
        earlier = f", {result.earlier_calls:,} of them in an earlier try," if result.earlier_calls else ""
        self.log.info(
            "%s%s: %s, %s rejected in %s%s and %.1f s",
            "dry run, nothing is sent: " if result.dry_run else "",
            result.name,
            f"{result.accepted:,} {'to send' if result.dry_run else 'accepted'}, "
            + counted(result.duplicates, "duplicate"),
            f"{result.rejected:,}",
            f"{counted(result.calls, 'call')} ({result.route})",
            earlier,
            result.seconds,
        )
        for rejection in result.rejections:
            self.log.warning("rejected %s: %s", rejection.where, rejection.reason)


def _planned(chunks: Iterable[ProfileChunk]) -> Sent:
    """Return the sum of a push that is not sent."""
    started = time.monotonic()
    sizes = [len(chunk.lines) for chunk in chunks]
    return Sent(sum(sizes), seconds=time.monotonic() - started, planned_calls=len(sizes))


def _result(
    batch_conn_id: str, route: ProfileRoute, intake: ProfileIntake, duplicates: int, sent: Sent
) -> ProfilesResult:
    return ProfilesResult(
        batch_conn_id=batch_conn_id,
        route=route.name,
        accepted=sent.added,
        duplicates=duplicates,
        rejected=intake.rejected + len(sent.rejections),
        rejections=(*intake.rejections, *sent.rejections)[:NAMED_REJECTIONS],
        calls=len(sent.indexing_tokens) if sent.planned_calls is None else sent.planned_calls,
        seconds=sent.seconds,
        earlier_calls=sent.earlier_calls,
        dry_run=sent.planned_calls is not None,
    )
