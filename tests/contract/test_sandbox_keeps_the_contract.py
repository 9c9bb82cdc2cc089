"""The documented facts, replayed on the sandbox: same status, same keys, same kinds of values.

`call` is what a client is asked for, null where it never makes the request. Beside what is asked and answered, a case
may say what else is needed to replay it: `audience_type`, of the audience that is there before; `sandbox`, settings
without which no request brings the answer about, or false where none does, like a failing service; `verbatim`,
that the token or cursor of the request is sent as it stands, and not replaced by one that the sandbox issued. `effect`
tells what is so afterwards: who is a member and who is not, attributes and tags of members, the audience that was made,
or the one that is gone. `inferred` lists the parts of a documented case that no page shows.
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
from airflow_provider_batch.sandbox.errors import UnknownAudience

APP, PROJECT, REST = "contract-app", "project_contract", "contract-rest"
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z?)")
VERBS = {"create", "update", "replace", "view", "list", "delete"}
TYPES = {"1.0": "custom_ids", "1.1": "install_ids", "2.11": "custom_ids"}
#: What is told exactly, and not only in kind.
EXACT = ("code", "error_code", "name", "display_name", "description", "type", "indexing_state", "nb_ids", "count")

FILES = sorted(Path(__file__).with_name("cases").glob("*.json"))
CASES: list[dict[str, Any]] = [case for file in FILES for case in json.loads(file.read_text("utf-8"))]


def is_cep(case: dict[str, Any]) -> bool:
    return bool(case["version"].startswith("2."))


def sandbox_for(case: dict[str, Any]) -> Sandbox:
    """One that spells errors as *case* does, and is as slow to index."""
    documented = case["response"]["body"]
    settings: dict[str, Any] = {
        "audiences": (),
        "apps": [APP],
        "projects": [PROJECT],
        "rest_api_key": REST,
        "error_keys": ("error_code", "error_message") if "error_code" in documented else ("code", "message"),
        "indexing_delay": 3600 if documented.get("indexing_state") == "IN_PROGRESS" else 0,
    }
    return Sandbox(**(settings | case.get("sandbox", {})))


def send(sandbox: Sandbox, asked: dict[str, Any], query: dict[str, str]) -> tuple[int, Any]:
    path = asked["path"].replace("{api_key}", APP) + (f"?{urlencode(query)}" if query else "")
    headers = {
        name: value.replace("{rest_api_key}", REST).replace("{project_key}", PROJECT)
        for name, value in asked["headers"].items()
    }
    body = json.dumps(asked["body"]) if "body" in asked else asked.get("raw_body")
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=10)
    try:
        connection.request(asked["method"], path, None if body is None else body.encode(), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def ask(sandbox: Sandbox, case: dict[str, Any], method: str, verb: str, body: Any = None, **query: str) -> Any:
    """What the sandbox answers to a request of the test's own, in the version of *case*."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if is_cep(case):
        path, keys = f"/{case['version']}/audiences/{verb}", {"Authorization": f"Bearer {REST}"}
        asked = {"method": method, "path": path, "headers": {**headers, **keys, "X-Batch-Project": PROJECT}}
    else:
        path = f"/{case['version']}/{APP}/custom-audience/vip"
        asked = {"method": method, "path": path, "headers": {**headers, "X-Authorization": REST}}
    return send(sandbox, asked if body is None else {**asked, "body": body}, query)[1]


def prepare(sandbox: Sandbox, case: dict[str, Any]) -> dict[str, str]:
    """The audience `vip` with one member, and what the sandbox issued in place of a documented token or cursor."""
    audience_type = case.get("audience_type", TYPES[case["version"]])
    named = {"name": "vip"} if is_cep(case) else {}
    typed = {"type": audience_type} if case["version"] == "1.0" else {}
    description = {"display_name" if is_cep(case) else "description": "Best customers"}
    ask(sandbox, case, "POST", "create", {**named, "type": audience_type, **description})
    add = {**named, **typed, "ids": [{"action": "add", "id": "someone"}]}
    written = ask(sandbox, case, "POST" if is_cep(case) else "PATCH", "update", add)
    if case["response"]["body"].get("indexing_state") == "REPLACED":
        replace = {**named, **typed, "ids": [{"id": "someone"}]}
        ask(sandbox, case, "POST" if is_cep(case) else "PUT", "replace", replace)
    if case.get("verbatim"):
        return {}
    issued = {"indexing_token": str(written.get("indexing_token"))}
    if is_cep(case) and "from" in case["request"]["query"]:
        issued["from"] = str(ask(sandbox, case, "GET", "list", limit="1").get("next_from"))
    return issued


def zone(text: str) -> str | None:
    """The zone of a date, empty if it has none, and None for what is no date."""
    date = DATE.fullmatch(text)
    return date[1] if date else None


def same_shape(documented: Any, answered: Any) -> bool:
    match documented, answered:
        case dict(), dict():
            return documented.keys() == answered.keys() and all(
                same_shape(value, answered[key]) for key, value in documented.items()
            )
        case list(), list():
            return len(documented) == len(answered) and all(map(same_shape, documented, answered))
        case str(), str():
            return bool(documented) == bool(answered) and zone(documented) == zone(answered)
    return type(documented) is type(answered)


def told_exactly(documented: Any, answered: Any) -> bool:
    if isinstance(documented, list):
        return all(map(told_exactly, documented, answered))
    if not isinstance(documented, dict):
        return True
    same = all(documented[key] == answered[key] for key in documented.keys() & EXACT)
    return same and all(told_exactly(value, answered[key]) for key, value in documented.items())


def assert_effect(sandbox: Sandbox, effect: dict[str, Any], key: str) -> None:
    if "members" in effect:
        members = sandbox.members("vip", key)
        assert set(effect["members"]) <= members
        assert not members & set(effect["strangers"])
    for member, traits in effect.get("attributes", {}).items():
        assert sandbox.attributes("vip", key)[member] == traits
    if made := effect.get("audience"):
        facts = sandbox.audience(made["name"], key)
        assert (facts.type, facts.description) == (made["type"], made["description"])
    if gone := effect.get("deleted"):
        with pytest.raises(UnknownAudience):
            sandbox.audience(gone, key)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in CASES if case.get("sandbox") is not False]
)
def test_the_sandbox_answers_as_documented(case: dict[str, Any]) -> None:
    documented, asked = case["response"], case["request"]
    with sandbox_for(case) as sandbox:
        issued = prepare(sandbox, case)
        query = {name: issued.get(name, value) for name, value in asked["query"].items()}
        status, body = send(sandbox, asked, query)
        assert (status, same_shape(documented["body"], body)) == (documented["status"], True), body
        assert told_exactly(documented["body"], body), body
        assert_effect(sandbox, case.get("effect", {}), PROJECT if is_cep(case) else APP)


def test_every_case_is_complete_and_told_apart_by_its_name() -> None:
    needed = {"name", "source", "certainty", "version", "verb", "call", "request", "response", "result"}
    assert all(needed <= case.keys() for case in CASES)
    assert all(case["source"].startswith("https://doc.batch.com/") for case in CASES)
    assert {case["certainty"] for case in CASES} == {"documented", "inferred"}
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_every_verb_of_every_version_has_a_case_that_goes_well_and_one_that_does_not() -> None:
    for well in (True, False):
        covered = {(case["version"], case["verb"]) for case in CASES if ("error" not in case["result"]) is well}
        assert covered == {(version, verb) for version in TYPES for verb in VERBS}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES if case["call"]])
def test_every_call_has_the_fields_of_its_verb(case: dict[str, Any]) -> None:
    fields = {
        "create": {"description"},
        "update": {"add_ids", "remove_ids"},
        "replace": {"ids"},
        "view": {"indexing_token"},
        "list": {"start", "limit"},
        "delete": set(),
    }
    call = case["call"]
    assert (call["verb"], call["version"]) == (case["verb"], case["version"])
    assert call.keys() == {"verb", "version", "audience_name", "audience_type", *fields[case["verb"]]}
