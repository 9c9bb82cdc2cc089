from __future__ import annotations

import json
import re

import pytest

from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sandbox.calls import LAST_CALLS
from tests.clock import Clock
from tests.sandbox.client import APP, CEP_HEADERS, PHONES, PROJECT, REST, VIP, changes, get, post, send


def test_the_page_loads_nothing_from_other_hosts(sandbox: Sandbox) -> None:
    page = send(sandbox, "GET", "/", headers={})
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    text = page.content.decode()
    assert "Batch sandbox" in text
    for asked in ("/sandbox/state", "/sandbox/members/", "c.reason", "m.attributes", "m.tags"):
        assert asked in text
    assert not re.search(r"innerHTML|insertAdjacent|document\.write", text)  # an id is never read as HTML
    assert "color-scheme: light dark" in text
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|url\(", text)


def test_the_state_lists_audiences_and_calls_newest_first(clock: Clock) -> None:
    with Sandbox(["vip", "new"], apps=["first-app", "second-app"], indexing_delay=9, clock=clock) as sandbox:
        path = "/1.0/first-app/custom-audience/vip"
        send(sandbox, "PATCH", path, changes(add=["a", "b"]))
        sandbox.faults(Fault(503))
        send(sandbox, "GET", path)
        shown = send(sandbox, "GET", "/sandbox/state", headers={})
        clock.now += 9
        later = send(sandbox, "GET", "/sandbox/state", headers={}).json
    assert shown.headers["cache-control"] == "no-store"
    owners = ["f…", "f…", "s…", "s…", "proj…ox", "proj…ox"]
    assert [audience["key"] for audience in shown.json["audiences"]] == owners
    vip = shown.json["audiences"][1]
    assert (vip["name"], vip["type"], vip["nb_ids"], vip["indexing_state"]) == ("vip", "custom_ids", 0, "IN_PROGRESS")
    assert later["audiences"][1]["nb_ids"] == 2
    assert [(call["method"], call["status"], call["fault"]) for call in shown.json["calls"]] == [
        ("GET", 503, True),
        ("PATCH", 201, False),
    ]
    assert (shown.json["calls"][1]["adds"], shown.json["calls"][1]["removes"]) == (2, 0)
    assert len(sandbox.calls) == 2  # loading the page is not a call


def test_every_audience_is_shown_with_platform_version_and_type(clock: Clock) -> None:
    names = ["vip", "ads:advertising_ids", "phones:install_ids"]
    with Sandbox(names, projects=["project_first", "project_second"], clock=clock) as sandbox:
        headers = {**CEP_HEADERS, "X-Batch-Project": "project_second"}
        change = {"name": "vip", "ids": [{"action": "add", "id": "a"}, {"action": "remove", "id": "b"}]}
        post(sandbox, "update", change, headers=headers)
        shown = send(sandbox, "GET", "/sandbox/state", headers={}).json
    assert [(each["name"], each["key"], each["api"], each["type"], each["nb_ids"]) for each in shown["audiences"]] == [
        ("phones", "sand…ey", "MEP 1.1", "install_ids", 0),
        ("ads", "sand…ey", "MEP 1.0", "advertising_ids", 0),
        ("vip", "sand…ey", "MEP 1.0", "custom_ids", 0),
        ("vip", "proj…st", "CEP 2.x", "custom_ids", 0),
        ("vip", "proj…nd", "CEP 2.x", "custom_ids", 1),
    ]
    (call,) = shown["calls"]
    assert (call["route"], call["status"], call["adds"], call["removes"]) == ("/2.11/audiences/update", 202, 1, 1)
    assert call["app"] == "proj…nd"


def test_neither_page_nor_state_shows_a_key_or_an_id(sandbox: Sandbox) -> None:
    send(sandbox, "PATCH", VIP, changes(add=["jane@example.com"]))
    send(sandbox, "GET", VIP, headers={"X-Authorization": "another-secret"})
    post(sandbox, "update", {"name": "vip", "ids": [{"action": "add", "id": "jane@example.com"}]})
    get(sandbox, "view", name="jane@example.com")
    shown = b"".join(send(sandbox, "GET", path, headers={}).content for path in ("/", "/sandbox/state")).decode()
    assert "ey/custom-audience/vip" in shown
    assert "/2.11/audiences/update" in shown
    assert not any(private in shown for private in ("jane@example.com", "another-secret", APP, PROJECT, REST))


def members_of(sandbox: Sandbox, number: object) -> object:
    reply = send(sandbox, "GET", f"/sandbox/members/{number}", headers={})
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    return reply.json


def test_members_are_those_of_the_asked_audience_only(clock: Clock) -> None:
    with Sandbox(["vip", "phones:install_ids"], indexing_delay=5, clock=clock) as sandbox:
        traits = {"attributes": {"plan": "gold", "visits": 12}, "tags": ["a", "b"]}
        send(sandbox, "PATCH", PHONES, {"ids": [{"action": "add", "id": "p-1", **traits}]})
        send(sandbox, "PATCH", VIP, changes(add=["jane@example.com", "😀"]))
        date = {"date(last_order)": "2026-01-31T12:00:00Z"}
        post(sandbox, "update", {"name": "vip", "ids": [{"action": "add", "id": "c-1", "attributes": date}]})
        state = send(sandbox, "GET", "/sandbox/state", headers={}).json
        numbers = [audience["number"] for audience in state["audiences"]]
        assert [members_of(sandbox, number) for number in numbers] == [{"members": []}] * 3  # not yet applied
        clock.now += 5
        assert [members_of(sandbox, number) for number in numbers] == [
            {"members": [{"id": "p-1", **traits}]},
            {"members": [{"id": each, "attributes": {}, "tags": []} for each in ("😀", "jane@example.com")]},
            {"members": [{"id": "c-1", "attributes": date, "tags": []}]},
        ]
        send(sandbox, "DELETE", VIP)
        assert [members_of(sandbox, number) for number in (numbers[1], 99)] == [{"members": []}] * 2
        assert len(sandbox.calls) == 4  # showing members is not a call


def body_of(sandbox: Sandbox, number: int) -> object:
    reply = send(sandbox, "GET", f"/sandbox/calls/{number}", headers={})
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    return reply.json


def test_a_call_has_the_beginnings_of_request_and_response(sandbox: Sandbox) -> None:
    send(sandbox, "PATCH", VIP, changes(add=["a"]))
    long = changes(add=[f"customer-{number}" for number in range(1_000)])
    send(sandbox, "PATCH", VIP, long)
    sandbox.faults(Fault(reset=True))
    with pytest.raises(ConnectionResetError):
        send(sandbox, "GET", VIP)
    state = send(sandbox, "GET", "/sandbox/state", headers={}).json
    assert [call["number"] for call in state["calls"]] == [3, 2, 1]
    assert not {"body", "beginning", "answer"} & state["calls"][0].keys()

    sent = json.dumps(changes(add=["a"]))
    assert body_of(sandbox, 1) == {"size": len(sent), "request": sent, "answer": sandbox.calls[0].answer.decode()}
    assert json.loads(sandbox.calls[0].answer).keys() == {"indexing_token"}
    sent = json.dumps(long)
    assert body_of(sandbox, 2) == {
        "size": len(sent),
        "request": sent[:4096],
        "answer": sandbox.calls[1].answer.decode(),
    }
    assert body_of(sandbox, 3) == {"size": 0, "request": "", "answer": ""}
    assert body_of(sandbox, 4) == {"size": 0, "request": "", "answer": ""}
    assert "customer-" not in repr(sandbox.calls)


def test_calls_keep_their_numbers_when_old_ones_are_dropped(sandbox: Sandbox) -> None:
    for _ in range(LAST_CALLS + 1):
        send(sandbox, "GET", VIP)
    numbers = [call["number"] for call in send(sandbox, "GET", "/sandbox/state", headers={}).json["calls"]]
    assert (numbers[0], numbers[-1]) == (LAST_CALLS + 1, 2)


def test_only_the_newest_members_are_shown(sandbox: Sandbox) -> None:
    send(sandbox, "PATCH", VIP, changes(add=[f"c-{number}" for number in range(1000)]))
    number = send(sandbox, "GET", "/sandbox/state", headers={}).json["audiences"][0]["number"]
    shown = send(sandbox, "GET", f"/sandbox/members/{number}", headers={})
    assert [member["id"] for member in shown.json["members"]] == [f"c-{number}" for number in range(999, 799, -1)]
    assert not any(key in shown.content.decode() for key in (APP, PROJECT, REST))


def test_the_state_gives_the_reason_of_a_rejection_without_ids(clock: Clock) -> None:
    with Sandbox(keep_bodies=True, clock=clock) as sandbox:
        send(sandbox, "PATCH", VIP, changes(add=["fine"]))
        send(sandbox, "PATCH", VIP, changes(add=["jane@example.com", "x" * 129]))
        send(sandbox, "GET", VIP, headers={"X-Authorization": "another-secret"})
        send(sandbox, "GET", f"{VIP}?jane=jane@example.com")
        post(sandbox, "update", {"name": "gone", "ids": [{"action": "jane@example.com", "id": "a"}]})
        post(sandbox, "remove", {"name": "gone"})
        sandbox.faults(Fault(503), Fault(reset=True), Fault(stall=0.01))
        send(sandbox, "PATCH", VIP, {})
        with pytest.raises(ConnectionResetError):
            send(sandbox, "PATCH", VIP, {})
        send(sandbox, "PATCH", VIP, {})
        state = send(sandbox, "GET", "/sandbox/state", headers={})
    assert [(call["status"], call["reason"]) for call in reversed(state.json["calls"])] == [
        (201, ""),
        (400, "ids[1].id must be a string of 1 to 128 characters"),
        (401, "X-Authorization is missing or wrong"),
        (400, "the query has an unknown, repeated or empty parameter"),
        (400, "ids[0].action must be one of add, remove"),
        (400, "the audience does not exist"),
        (503, ""),
        (None, ""),
        (400, "type is missing"),
    ]
    assert [call.reason for call in sandbox.calls] == [call["reason"] for call in reversed(state.json["calls"])]
    assert not any(private in state.content.decode() for private in ("jane@example.com", "another-secret", APP, REST))


def test_the_page_takes_no_fault(sandbox: Sandbox) -> None:
    sandbox.faults(Fault(500))
    assert send(sandbox, "GET", "/sandbox/state").status == send(sandbox, "GET", "/").status == 200
    assert send(sandbox, "GET").status == 500
