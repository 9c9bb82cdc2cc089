from __future__ import annotations

import re

from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.clock import Clock
from tests.sandbox.client import APP, CEP_HEADERS, PROJECT, REST, VIP, changes, get, post, send


def test_the_page_loads_nothing_from_other_hosts(sandbox: Sandbox) -> None:
    page = send(sandbox, "GET", "/", headers={})
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    text = page.content.decode()
    assert "Batch sandbox" in text
    assert "/sandbox/state" in text
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
    assert [len(app["audiences"]) for app in shown.json["apps"]] == [2, 2]
    vip = shown.json["apps"][0]["audiences"][1]
    assert (vip["name"], vip["type"], vip["nb_ids"], vip["indexing_state"]) == ("vip", "custom_ids", 0, "IN_PROGRESS")
    assert later["apps"][0]["audiences"][1]["nb_ids"] == 2
    assert [(call["method"], call["status"], call["fault"]) for call in shown.json["calls"]] == [
        ("GET", 503, True),
        ("PATCH", 201, False),
    ]
    assert shown.json["calls"][1]["elements"] == 2
    assert len(sandbox.calls) == 2  # loading the page is not a call


def test_every_audience_is_shown_with_platform_version_and_type(clock: Clock) -> None:
    names = ["vip", "ads:advertising_ids", "phones:install_ids"]
    with Sandbox(names, projects=["project_first", "project_second"], clock=clock) as sandbox:
        headers = {**CEP_HEADERS, "X-Batch-Project": "project_second"}
        change = {"name": "vip", "ids": [{"action": "add", "id": "a"}, {"action": "remove", "id": "b"}]}
        post(sandbox, "update", change, headers=headers)
        shown = send(sandbox, "GET", "/sandbox/state", headers={}).json
    assert [
        (each["name"], each["platform"], each["version"], each["type"]) for each in shown["apps"][0]["audiences"]
    ] == [
        ("phones", "MEP", "1.1", "install_ids"),
        ("ads", "MEP", "1.0", "advertising_ids"),
        ("vip", "MEP", "1.0", "custom_ids"),
    ]
    first, second = shown["projects"]
    assert [(each["name"], each["platform"], each["nb_ids"]) for each in first["audiences"]] == [("vip", "CEP", 0)]
    assert second["audiences"][0]["nb_ids"] == 1
    (call,) = shown["calls"]
    assert (call["route"], call["status"], call["elements"]) == ("/2.11/audiences/update", 202, 2)
    assert call["key"] == second["project"] != first["project"]


def test_neither_page_nor_state_shows_a_key_or_an_id(sandbox: Sandbox) -> None:
    send(sandbox, "PATCH", VIP, changes(add=["jane@example.com"]))
    send(sandbox, "GET", VIP, headers={"X-Authorization": "another-secret"})
    post(sandbox, "update", {"name": "vip", "ids": [{"action": "add", "id": "jane@example.com"}]})
    get(sandbox, "view", name="jane@example.com")
    shown = b"".join(send(sandbox, "GET", path, headers={}).content for path in ("/", "/sandbox/state")).decode()
    assert "ey/custom-audience/vip" in shown
    assert "/2.11/audiences/update" in shown
    assert not any(private in shown for private in ("jane@example.com", "another-secret", APP, PROJECT, REST))


def test_the_page_takes_no_fault(sandbox: Sandbox) -> None:
    sandbox.faults(Fault(500))
    assert send(sandbox, "GET", "/sandbox/state").status == send(sandbox, "GET", "/").status == 200
    assert send(sandbox, "GET").status == 500
