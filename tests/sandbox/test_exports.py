"""The sandbox's exports: states, parts, addresses, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_batch.sandbox import Sandbox
from tests.clock import Clock
from tests.sandbox.client import CEP_HEADERS, DOCUMENTED, REST, Reply, send

EXPORT: dict[str, Any] = {"export_type": "ATTRIBUTES", "identifiers": ["custom_id"]}
MALFORMED = (400, "MALFORMED_PARAMETER")


@pytest.fixture
def slow(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock, export_delay=30, rows_per_part=2) as running:
        running.export_records([{"custom_id": name} for name in "abcde"])
        yield running


def ask(sandbox: Sandbox, body: object = EXPORT, version: str = "2.11") -> Reply:
    return send(sandbox, "POST", f"/{version}/profiles/export", body, headers=CEP_HEADERS)


def get(sandbox: Sandbox, what: str, headers: Any = CEP_HEADERS) -> Reply:
    return send(sandbox, "GET", f"/2.11/exports/{what}", headers=headers)


def test_an_export_goes_through_its_states(slow: Sandbox, clock: Clock) -> None:
    export_id = ask(slow).json["id"]
    seen = []
    for _ in range(4):
        view = get(slow, f"view?id={export_id}").json
        seen.append((view["status"], "files" in view))
        clock.now += 10
    assert seen == [("CREATED", False), ("PENDING", False), ("RUNNING", False), ("SUCCESS", True)]
    files = get(slow, f"view?id={export_id}").json["files"]
    assert [(file["part"], file["size"] > 0) for file in files] == [(1, True), (2, True), (3, True)]


def test_parts_are_arrays_and_lines_in_turn(slow: Sandbox, clock: Clock) -> None:
    export_id = ask(slow).json["id"]
    clock.now += 30
    contents = []
    for file in get(slow, f"view?id={export_id}").json["files"]:
        redirect = get(slow, f"download?id={file['id']}")
        assert (redirect.status, redirect.content) == (307, b"")
        location = redirect.headers["location"]
        assert location.startswith(f"{slow.url}/sandbox/files/")
        found = send(slow, "GET", location.removeprefix(slow.url), headers={})
        assert (found.status, len(found.content)) == (200, file["size"])
        contents.append(found.content)
    assert contents == [
        b'[{"custom_id": "a"}, {"custom_id": "b"}]',
        b'{"custom_id": "c"}\n{"custom_id": "d"}\n',
        b'[{"custom_id": "e"}]',
    ]


def test_an_address_lives_twenty_minutes_and_takes_no_key(slow: Sandbox, clock: Clock) -> None:
    export_id = ask(slow).json["id"]
    clock.now += 30
    file_id = get(slow, f"view?id={export_id}").json["files"][0]["id"]
    path = get(slow, f"download?id={file_id}").headers["location"].removeprefix(slow.url)
    for header in ({"Authorization": f"Bearer {REST}"}, {"X-Batch-Project": "p"}, {"User-Agent": "apache-airflow/3"}):
        assert send(slow, "GET", path, headers=header).status == 400
    assert slow.leaks == 3
    clock.now += 20 * 60 - 1
    assert send(slow, "GET", path, headers={}).status == 200
    clock.now += 1
    assert send(slow, "GET", path, headers={}).status == 403
    assert send(slow, "GET", "/sandbox/files/unknown", headers={}).status == 403
    again = get(slow, f"download?id={file_id}").headers["location"].removeprefix(slow.url)
    slow.expire_addresses()
    assert send(slow, "GET", again, headers={}).status == 403


def test_what_is_not_done_or_not_known_has_no_file(slow: Sandbox, clock: Clock) -> None:
    export_id = ask(slow).json["id"]
    clock.now += 30
    file_id = get(slow, f"view?id={export_id}").json["files"][0]["id"]
    clock.now -= 10
    assert get(slow, f"download?id={file_id}").cep_error == MALFORMED
    assert get(slow, "download?id=file_x").cep_error == (404, "ROUTE_NOT_FOUND")
    assert get(slow, "view?id=export_x").cep_error == (404, "ROUTE_NOT_FOUND")
    assert get(slow, "view").cep_error == (400, "MISSING_PARAMETER")


def test_an_export_may_fail(slow: Sandbox, clock: Clock) -> None:
    slow.fail_exports()
    failed, other = ask(slow).json["id"], ask(slow).json["id"]
    clock.now += 30
    assert get(slow, f"view?id={failed}").json["status"] == "ERROR"
    assert get(slow, f"view?id={other}").json["status"] == "SUCCESS"


def test_the_list_has_pages(slow: Sandbox) -> None:
    ids = [ask(slow).json["id"] for _ in range(3)]
    first = get(slow, "list?limit=2").json
    assert ([each["id"] for each in first["exports"]], first["count"], first["has_more"]) == (ids[:0:-1], 3, True)
    second = get(slow, f"list?limit=2&from={first['next_from']}").json
    assert ([each["id"] for each in second["exports"]], second["has_more"]) == (ids[:1], False)
    assert get(slow, "list?limit=101").cep_error == MALFORMED
    assert get(slow, "list?from=x").cep_error == MALFORMED


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, (400, "MISSING_PARAMETER")),
        ({"export_type": "ATTRIBUTES"}, (400, "MISSING_PARAMETER")),
        ({"export_type": "PROFILES"}, MALFORMED),
        ({**EXPORT, "unknown": 1}, MALFORMED),
        ({**EXPORT, "events": ["email_sent"]}, MALFORMED),
        ({**EXPORT, "identifiers": []}, MALFORMED),
        ({**EXPORT, "identifiers": "custom_id"}, MALFORMED),
        ({**EXPORT, "identifiers": ["email"]}, MALFORMED),
        ({**EXPORT, "attributes": [7]}, MALFORMED),
        ({**EXPORT, "filter": {"segment": 7}}, MALFORMED),
        ({**EXPORT, "filter": {"audience": "vip"}}, MALFORMED),
        ({"export_type": "EVENTS", "attributes": ["a"]}, MALFORMED),
        ({"export_type": "EVENTS", "from": "2018-03-30T00:00:00Z"}, MALFORMED),
        ({"export_type": "EVENTS", "from": "2018-06-29"}, MALFORMED),
        ({"export_type": "EVENTS", "from": 7}, MALFORMED),
        ({"export_type": "REACHABILITY", "from": "2018-06-29T00:00:00Z", "to": "2018-06-28T00:00:00Z"}, MALFORMED),
    ],
    ids=json.dumps,
)
def test_what_is_not_documented_is_refused(body: dict[str, Any], error: tuple[int, str], sandbox: Sandbox) -> None:
    assert DOCUMENTED == 1_530_277_929.0  # in June 2018
    assert ask(sandbox, body).cep_error == error


@pytest.mark.parametrize(
    "body",
    [
        {"export_type": "EVENTS", "from": "2018-06-01T00:00:00Z", "to": "now", "events": ["email_sent"]},
        {"export_type": "REACHABILITY", "channels": ["email"]},
        {**EXPORT, "filter": {"segment": "VIP"}, "attributes": ["$language"]},
    ],
    ids=json.dumps,
)
def test_what_is_documented_is_accepted(body: dict[str, Any], sandbox: Sandbox) -> None:
    assert ask(sandbox, body).status == 202


def test_a_segment_needs_version_2_7() -> None:
    with Sandbox(api_version=None) as sandbox:
        body = {**EXPORT, "filter": {"segment": "VIP"}}
        assert ask(sandbox, body, "2.6").cep_error == MALFORMED
        assert ask(sandbox, body, "2.7").status == 202


def test_keys_are_checked(sandbox: Sandbox) -> None:
    assert get(sandbox, "list", {"X-Batch-Project": "project_sandbox"}).status == 401
    assert get(sandbox, "list", {"Authorization": f"Bearer {REST}", "X-Batch-Project": "other"}).status == 401


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="export_delay"):
        Sandbox(export_delay=-1)
    with pytest.raises(ValueError, match="rows_per_part"):
        Sandbox(rows_per_part=0)
