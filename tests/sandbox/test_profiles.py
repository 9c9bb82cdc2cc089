"""The routes of profiles, read strictly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.sandbox.profile import Profiles
from airflow_provider_batch.sandbox.rate import ProfileLimits
from tests.clock import Clock
from tests.sandbox.client import CEP_HEADERS, send

MASS, FEW = "/2.11/profiles/mass-update", "/2.11/profiles/update"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(keep_bodies=True) as sandbox:
        yield sandbox


def write(sandbox: Sandbox, body: Any, path: str = MASS) -> Any:
    return send(sandbox, "POST", path, body, headers=CEP_HEADERS)


def entry(id_: str = "a", /, **attributes: object) -> dict[str, object]:
    return {"identifiers": {"custom_id": id_}, "attributes": attributes}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("plan", "x" * 300),
        ("plan", 7),
        ("plan", 0.5),
        ("plan", False),
        ("plan", ["a"]),
        ("plan", []),
        ("date(plan)", "2026-01-31T12:00:00.5+02:00"),
        ("url(plan)", "https://example.com"),
        ("$email_address", "a@example.com"),
        ("$email_marketing", "unsubscribed"),
        ("$sms_marketing", "subscribed"),
        ("$phone_number", "+33600000000"),
        ("$language", "fr"),
        ("$region", "FR"),
        ("$timezone", "Europe/Paris"),
        ("$topic_preferences", ["sport"]),
    ],
)
def test_a_documented_attribute_is_written(sandbox: Sandbox, key: str, value: object) -> None:
    answer = write(sandbox, [entry(**{key: value})])
    assert (answer.status, answer.json) == (202, {"code": "SUCCESS"})
    assert sandbox.profiles() == {"a": {key: value}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("plan", ""),
        ("plan", "x" * 301),
        ("plan", {"city": "Paris"}),
        ("plan", {"$add": "a"}),
        ("plan", {}),
        ("plan", [1]),
        ("Plan", 1),
        ("x" * 31, 1),
        ("day(x)", 1),
        ("date(plan)", "2026-01-31"),
        ("date(plan)", 7),
        ("url(plan)", "example"),
        ("$email_marketing", "maybe"),
        ("$language", "french"),
        ("$timezone", "Europe Paris"),
        ("$unknown", "x"),
        ("$unknown", None),
    ],
)
def test_any_other_attribute_is_a_partial_error_and_the_others_are_written(
    sandbox: Sandbox, key: str, value: object
) -> None:
    answer = write(sandbox, [entry("b"), entry(**{key: value, "score": 1})])
    (error,) = answer.json["errors"]
    assert (answer.status, answer.json["code"]) == (202, "SUCCESS_WITH_PARTIAL_ERRORS")
    assert (error["bulk_index"], error["attribute"]) == (1, key)
    assert sandbox.profiles() == {"b": {}, "a": {"score": 1}}


def test_an_attribute_has_one_type_and_is_deleted_by_any_of_its_keys(sandbox: Sandbox) -> None:
    write(sandbox, [entry(last="never")])
    write(sandbox, [entry(**{"date(last)": "2026-01-31T12:00:00Z"})])
    assert sandbox.profiles() == {"a": {"date(last)": "2026-01-31T12:00:00Z"}}
    write(sandbox, [entry(last=None)])
    assert sandbox.profiles() == {"a": {}}
    errors = write(sandbox, [entry(**{"last": "x", "date(last)": None})]).json["errors"]
    assert [error["attribute"] for error in errors] == ["date(last)"]


def test_attributes_beyond_the_most_are_not_written(sandbox: Sandbox) -> None:
    write(sandbox, [entry(**{f"n{number}": 1 for number in range(50)})])
    errors = write(sandbox, [entry(one_more=1), entry(n0=2), entry(n0=None, one_more=1)]).json["errors"]
    assert [error["bulk_index"] for error in errors] == [0]
    assert sandbox.profiles()["a"]["one_more"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        ["a"],
        [{"identifiers": {}}],
        [{"identifiers": {"custom_id": ""}}],
        [{"identifiers": {"custom_id": 7}}],
        [{"identifiers": {"custom_id": "a"}, "attributes": []}],
        [{"identifiers": {"custom_id": "a"}, "events": []}],
    ],
    ids=repr,
)
def test_a_malformed_call_writes_nothing(sandbox: Sandbox, body: object) -> None:
    assert write(sandbox, body).status == 400
    assert sandbox.profiles() == {}


@pytest.mark.parametrize("path", ["/2.11/profiles/view", "/2.10/profiles/update", "/2.11/profiles"])
def test_no_other_route_exists(sandbox: Sandbox, path: str) -> None:
    assert write(sandbox, [entry()], path).status == 404


def test_a_call_is_recorded_with_its_profiles_and_without_their_ids(sandbox: Sandbox) -> None:
    write(sandbox, [entry("jane"), entry("joe")], FEW)
    (call,) = sandbox.calls
    assert (call.route, call.adds, call.removes, call.status) == (FEW, 2, 0, 202)
    shown = send(sandbox, "GET", "/sandbox/state", headers={})
    assert shown.json["profiles"] == [{"number": 0, "key": "proj…ox", "count": 2}]
    assert b"jane" not in shown.content


def test_the_page_shows_the_profiles_that_were_written_last(sandbox: Sandbox) -> None:
    write(sandbox, [entry(f"id-{number}", score=number) for number in range(201)])
    write(sandbox, [entry("id-3", score=None, plan="gold")])
    shown = send(sandbox, "GET", "/sandbox/profiles/0", headers={})
    assert shown.headers["cache-control"] == "no-store"
    assert len(shown.json["profiles"]) == 200
    assert shown.json["profiles"][:2] == [
        {"id": "id-3", "attributes": {"plan": "gold"}},
        {"id": "id-200", "attributes": {"score": 200}},
    ]
    assert send(sandbox, "GET", "/sandbox/profiles/1", headers={}).json == {"profiles": []}


def test_mass_update_takes_so_many_ids_in_any_second() -> None:
    clock = Clock()
    limits = ProfileLimits(clock)

    def admits(ids: int, key: str = "a") -> bool:
        return limits.admits(key, "profiles/mass-update", ids, clock())

    assert [admits(4_000), admits(6_000), admits(1)] == [True, True, False]
    assert admits(10_000, "b")
    clock.now += 0.999
    assert not admits(1)
    clock.now += 0.002
    assert [admits(10_000), admits(1)] == [True, False]


def test_update_takes_a_burst_and_then_so_many_ids_a_second() -> None:
    clock = Clock()
    limits = ProfileLimits(clock)

    def admits(ids: int) -> bool:
        return limits.admits("a", "profiles/update", ids, clock())

    assert [admits(200) for _ in range(6)] == [True] * 5 + [False]
    clock.now += 0.5
    assert [admits(150), admits(1)] == [True, False]
    clock.now += 100
    assert [admits(200) for _ in range(6)] == [True] * 5 + [False]


def test_the_items_of_an_array_are_there_once() -> None:
    profiles = Profiles()
    for value in ({"$add": ["a", "b"]}, {"$add": ["b", "c"], "$remove": ["a"]}, {"$remove": ["x"]}):
        profiles.write("id", {"tags": value}, 50)
    assert profiles.content() == {"id": {"tags": ["b", "c"]}}
