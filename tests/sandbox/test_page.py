from __future__ import annotations

import re

from airflow_provider_batch.sandbox import Fault, Sandbox

from .asking import APP, REST, VIP, Clock, ask, changes


def test_the_page_needs_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    page = ask(sandbox, "GET", "/", headers={})
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    text = page.content.decode()
    assert "Batch sandbox" in text
    assert "/sandbox/state" in text
    assert "color-scheme: light dark" in text
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|url\(", text)


def test_the_state_tells_audiences_and_calls_newest_first(clock: Clock) -> None:
    with Sandbox(["vip", "new"], apps=["first-app", "second-app"], indexing_delay=9, clock=clock) as sandbox:
        path = "/1.0/first-app/custom-audience/vip"
        ask(sandbox, "PATCH", path, changes(add=["a", "b"]))
        sandbox.faults(Fault(503))
        ask(sandbox, "GET", path)
        shown = ask(sandbox, "GET", "/sandbox/state", headers={})
        clock.now += 9
        later = ask(sandbox, "GET", "/sandbox/state", headers={}).json
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
    assert len(sandbox.calls) == 2  # looking at the page is no call


def test_neither_page_nor_state_shows_a_key_or_an_id(sandbox: Sandbox) -> None:
    ask(sandbox, "PATCH", VIP, changes(add=["jane@example.com"]))
    ask(sandbox, "GET", VIP, headers={"X-Authorization": "another-secret"})
    shown = b"".join(ask(sandbox, "GET", path, headers={}).content for path in ("/", "/sandbox/state")).decode()
    assert not any(told in shown for told in ("jane@example.com", "another-secret", APP, REST))


def test_the_page_takes_no_fault(sandbox: Sandbox) -> None:
    sandbox.faults(Fault(500))
    assert ask(sandbox, "GET", "/sandbox/state").status == ask(sandbox, "GET", "/").status == 200
    assert ask(sandbox, "GET").status == 500
