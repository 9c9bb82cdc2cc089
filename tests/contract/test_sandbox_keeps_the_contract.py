"""The documented facts, replayed on the sandbox: same status, same keys, same kinds of values.

A case whose answer no request brings about, like a failing service, says `"sandbox": false`; `effect` tells who is a
member afterwards and who is not; `inferred` lists the parts of a documented case that no page shows.
"""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from airflow_provider_batch.sandbox import Sandbox

APP, REST = "contract-app", "contract-rest"
HEADERS = {"X-Authorization": REST, "Content-Type": "application/json"}
VIP = f"/1.0/{APP}/custom-audience/vip"
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in sorted(Path(__file__).with_name("cases").glob("*.json"))
    for case in json.loads(file.read_text("utf-8"))
    if case.get("sandbox", True)
]


def sandbox_for(case: dict[str, Any]) -> Sandbox:
    """One that spells errors as *case* does, and is as slow to index."""
    documented = case["response"]["body"]
    return Sandbox(
        audiences=(),
        apps=[APP],
        rest_api_key=REST,
        error_keys=("error_code", "error_message") if "error_code" in documented else ("code", "message"),
        indexing_delay=3600 if documented.get("indexing_state") == "IN_PROGRESS" else 0,
    )


def send(sandbox: Sandbox, method: str, path: str, headers: dict[str, str], body: str | None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=10)
    try:
        connection.request(method, path, None if body is None else body.encode(), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def prepare(sandbox: Sandbox, audience_type: str) -> str:
    """The audience `vip` with one member, and the token of that write."""
    send(sandbox, "POST", VIP, HEADERS, json.dumps({"type": audience_type, "description": "Best customers"}))
    someone = {"type": audience_type, "ids": [{"action": "add", "id": "someone"}]}
    return str(send(sandbox, "PATCH", VIP, HEADERS, json.dumps(someone))[1]["indexing_token"])


def replay(sandbox: Sandbox, asked: dict[str, Any], token: str) -> tuple[int, Any]:
    """Send *asked* with the sandbox's keys, and a token that it issued in place of the documented one."""
    path = asked["path"].replace("{api_key}", APP)
    query = urlencode({name: token if name == "indexing_token" else value for name, value in asked["query"].items()})
    headers = {name: value.replace("{rest_api_key}", REST) for name, value in asked["headers"].items()}
    body = json.dumps(asked["body"]) if "body" in asked else asked.get("raw_body")
    return send(sandbox, asked["method"], f"{path}?{query}" if query else path, headers, body)


def same_shape(documented: Any, answered: Any) -> bool:
    match documented, answered:
        case dict(), dict():
            return documented.keys() == answered.keys() and all(
                same_shape(value, answered[key]) for key, value in documented.items()
            )
        case list(), list():
            return len(documented) == len(answered) and all(map(same_shape, documented, answered))
        case str(), str():
            return answered != "" and bool(DATE.fullmatch(documented)) == bool(DATE.fullmatch(answered))
    return type(documented) is type(answered)


@pytest.mark.parametrize("case", CASES)
def test_the_sandbox_answers_as_documented(case: dict[str, Any]) -> None:
    documented = case["response"]
    with sandbox_for(case) as sandbox:
        token = prepare(sandbox, case.get("audience_type", "custom_ids"))
        status, body = replay(sandbox, case["request"], token)
        members = sandbox.members("vip")
    assert (status, same_shape(documented["body"], body)) == (documented["status"], True), body
    for exact in ("code", "error_code", "indexing_state", "nb_ids", "type"):
        assert body.get(exact) == documented["body"].get(exact)
    effect = case.get("effect", {"members": [], "strangers": []})
    assert set(effect["members"]) <= members
    assert not members & set(effect["strangers"])


def test_every_case_is_complete_and_told_apart_by_its_name() -> None:
    cases = [case for file in Path(__file__).with_name("cases").glob("*.json") for case in json.loads(file.read_text())]
    needed = {"name", "source", "certainty", "call", "request", "response", "result"}
    assert all(needed <= case.keys() for case in cases)
    assert all(case["source"].startswith("https://doc.batch.com/") for case in cases)
    assert {case["certainty"] for case in cases} == {"documented", "inferred"}
    assert len({case["name"] for case in cases}) == len(cases)
