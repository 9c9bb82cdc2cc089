"""One push of profiles: places, routes and counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_batch.profiles.push import ProfilePush, Spooled
from airflow_provider_batch.protocol.arguments import RouteName
from airflow_provider_batch.protocol.dialect import cep
from airflow_provider_batch.protocol.profiles.intake import ProfileIntake
from airflow_provider_batch.protocol.profiles.writes import ProfileChunk
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.writes import Sent
from airflow_provider_batch.push.push import planned
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.settings import Settings

SETTINGS = Settings(Credentials("https://api.batch.com", "app-key", "rest-key", platform=cep("2.7")))
ROWS = [{"custom_id": id_, "n": place} for place, id_ in enumerate(["a", "b", "a", "c"])]


def push_of(**how: Any) -> ProfilePush:
    return ProfilePush(cast(Any, SimpleNamespace(settings=SETTINGS)), "batch_crm", 4, **how)


@pytest.fixture
def spooled() -> Iterator[Spooled]:
    with push_of().spooled(ProfileIntake(ROWS, name="profiles")) as spooled:
        yield spooled


@pytest.mark.parametrize(
    ("route", "chunk_size", "profiles", "name", "size"),
    [
        ("auto", None, 0, "update", 200),
        ("auto", None, 1_000, "update", 200),
        ("auto", None, 1_001, "mass-update", 10_000),
        ("auto", 50, 1_000, "update", 50),
        ("auto", 300, 1_000, "update", 200),
        ("update", None, 1_001, "update", 200),
        ("mass-update", 20_000, 1, "mass-update", 10_000),
    ],
)
def test_the_route_and_the_size_of_a_call(
    route: RouteName, chunk_size: int | None, profiles: int, name: str, size: int
) -> None:
    found, most = push_of(route=route, chunk_size=chunk_size).calls(profiles)
    assert (found.name, most) == (name, size)


def test_chunks_are_numbered_and_know_the_places_of_their_rows(spooled: Spooled) -> None:
    chunks = list(spooled.chunks(2))
    assert [(chunk.number, len(chunk.lines), chunk.cleared) for chunk in chunks] == [(1, 2, 0), (2, 1, 0)]
    assert [chunk.rejection(0, "no") for chunk in chunks] == [
        Rejection("profiles", 1, "no"),
        Rejection("profiles", 3, "no"),
    ]
    assert spooled.rejection_of("a", "no") == Rejection("profiles", 2, "no")  # the last row of the profile
    assert spooled.rejection_of("z", "no") is None


def test_a_push_knows_how_much_there_is_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = []

    def send(self: ProfilePush, route: object, chunks: Iterable[ProfileChunk], total: int, journal: object) -> Sent:
        totals.append(total)
        return planned(chunks)

    monkeypatch.setattr(ProfilePush, "send", send)
    result = push_of().run(ProfileIntake(ROWS, name="profiles"), journal=None, dry_run=False)
    assert totals == [3]
    assert (result.batch_conn_id, result.route, result.accepted, result.duplicates) == ("batch_crm", "update", 3, 1)


def test_what_is_not_sent_is_counted_like_what_is() -> None:
    def rejection(index: int, reason: str) -> Rejection:
        raise AssertionError("nothing is rejected")

    chunks = [ProfileChunk(1, [b"a", b"b"], rejection), ProfileChunk(2, [b"c", b"d", b"e"], rejection, cleared=2)]
    sent = planned(chunks)
    assert (sent.added, sent.removed, sent.planned_calls, sent.indexing_tokens) == (3, 2, 2, ())
    assert 0 <= sent.seconds < 60
