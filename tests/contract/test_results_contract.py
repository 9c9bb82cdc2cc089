"""
The documented facts about exports and statistics, replayed on the client and on the sandbox.

`call` is what the client is asked for, null where it never makes the request; `{yesterday}` and `{today}` stand for
days, as Batch has figures of the last months only. `verbatim` means that what the request names is unknown to the
sandbox; otherwise it is replaced by what the sandbox has. `app` is the key of the app, `sandbox` are other settings.
"""

from __future__ import annotations

import http.client
import json
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from airflow_provider_batch import exceptions
from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.protocol.exports import decode as export_decode
from airflow_provider_batch.protocol.exports import encode as export_encode
from airflow_provider_batch.protocol.exports.export import ExportQuery
from airflow_provider_batch.protocol.flow import exchange, no_retry
from airflow_provider_batch.protocol.statistics import decode, encode
from airflow_provider_batch.protocol.statistics.period import Period
from airflow_provider_batch.protocol.statistics.subjects import CAMPAIGNS, ORCHESTRATIONS, TRANSACTIONAL
from airflow_provider_batch.protocol.wire import Request, Response
from airflow_provider_batch.sandbox import Sandbox

APP, PROJECT, REST = "contract-app", "project_contract", "contract-rest"
TODAY = datetime.now(UTC).date()
DAYS = {"{yesterday}": f"{TODAY - timedelta(days=1)}", "{today}": f"{TODAY}"}
SUBJECTS = {"orchestrations": ORCHESTRATIONS, "campaigns": CAMPAIGNS, "transactional": TRANSACTIONAL}
VERBS = {
    *("profiles/export", "exports/view", "exports/list", "exports/download"),
    *("orchestrations/list", "orchestrations/stats", "campaigns/list", "campaigns/stats", "transactional/stats"),
}


def with_days(value: Any) -> Any:
    text = json.dumps(value)
    for name, day in DAYS.items():
        is_moment = '"export_type"' in text  # an export takes moments
        text = text.replace(name, f"{day}T00:00:00Z" if is_moment else day)
    return json.loads(text)


FILES = sorted(Path(__file__).with_name("results").glob("*.json"))
CASES: list[dict[str, Any]] = [
    {**case, "request": with_days(case["request"]), "call": with_days(case["call"])}
    for file in FILES
    for case in json.loads(file.read_text("utf-8"))
]
CALLED = [case for case in CASES if case["call"] is not None or case["verb"].startswith("exports/")]
in_turn = pytest.mark.parametrize("case", CASES, ids=itemgetter("name"))


def pairs(query: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, each) for name, value in query.items() for each in (value if isinstance(value, list) else [value])]


def encoded(case: dict[str, Any]) -> Request:
    call, (resource, _, word) = case["call"] or {}, case["verb"].partition("/")
    match case["verb"]:
        case "profiles/export":
            return export_encode.request_export("2.11", ExportQuery(**call))
        case "exports/view":
            return export_encode.view_export("2.11", case["request"]["query"]["id"])
        case "exports/list":
            return export_encode.list_exports("2.11", None)
        case "exports/download":
            return export_encode.download("2.11", case["request"]["query"]["id"])
    if word == "list":
        filters = tuple((name, value) for name, value in call.get("filters", ()))
        return encode.list_page(SUBJECTS[resource], "2.11", None, filters)
    period = Period(*(date.fromisoformat(call[name]) for name in ("since", "until"))) if "since" in call else None
    return encode.stats(SUBJECTS[resource], "2.11", call["key"], period)


def read(case: dict[str, Any]) -> Any:
    """What the client makes of the documented answer."""
    documented, (resource, _, word) = case["response"], case["verb"].partition("/")
    readers: dict[str, Any] = {
        "profiles/export": export_decode.export_id,
        "exports/view": export_decode.export,
        "exports/list": export_decode.exports_page,
        "exports/download": export_decode.address,
    }
    reader = readers.get(case["verb"]) or (decode.list_page(SUBJECTS[resource]) if word == "list" else decode.stats)
    sent = case["request"]
    request = Request(sent["method"], sent["path"], tuple(pairs(sent["query"])), redirects=word == "download")
    flow = exchange(request, reader, no_retry)
    next(flow)
    try:
        flow.send(
            Response(documented["status"], documented.get("headers", {}), json.dumps(documented["body"]).encode())
        )
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it asked for more")


@pytest.mark.parametrize("case", CALLED, ids=itemgetter("name"))
def test_a_call_becomes_the_documented_request(case: dict[str, Any]) -> None:
    if case["request"]["query"].get("from") == "2020-01-01" or (case["verb"] == "profiles/export" and not case["call"]):
        return
    request, documented = encoded(case), case["request"]
    assert (request.method, request.path, list(request.query), request.body and json.loads(request.body)) == (
        documented["method"],
        documented["path"],
        pairs(documented["query"]),
        documented.get("body"),
    )


@in_turn
def test_a_documented_answer_becomes_its_result(case: dict[str, Any]) -> None:
    result = case["result"]
    if "error" in result:
        with pytest.raises(BatchError) as caught:
            read(case)
        expected = dict(result)
        assert type(caught.value) is getattr(exceptions, expected.pop("error"))
        assert {name: getattr(caught.value, name) for name in expected} == expected
        return
    value = read(case)
    match case["verb"]:
        case "profiles/export":
            assert value == result["id"]
        case "exports/view":
            files = [{"id": file.id, "number": file.number, "size": file.size} for file in value.files]
            assert {"id": value.id, "state": value.state, "files": files} == result
        case "exports/download":
            assert value == result["address"]
        case "exports/list" | "orchestrations/list" | "campaigns/list":
            keys = [entry.get("id") or entry.get("campaign_token") for entry in value.entries]
            assert {"keys": keys, "next_start": value.next_start} == result
        case _:
            assert result.items() <= value.items()


def send(sandbox: Sandbox, app: str, asked: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
    query = urlencode(pairs(asked["query"]))
    path = asked["path"].replace("{api_key}", app) + (f"?{query}" if query else "")
    headers = {
        name: value.replace("{rest_api_key}", REST).replace("{project_key}", PROJECT)
        for name, value in asked["headers"].items()
    }
    body = json.dumps(asked["body"]).encode() if "body" in asked else None
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=10)
    try:
        connection.request(asked["method"], path, body, headers)
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None, dict(response.getheaders())
    finally:
        connection.close()


def known(sandbox: Sandbox, app: str, case: dict[str, Any]) -> dict[str, Any]:
    """The request, about what this sandbox has."""
    asked: dict[str, Any] = case["request"]
    if case.get("verbatim"):
        return asked
    headers = {"Authorization": "Bearer {rest_api_key}", "X-Batch-Project": "{project_key}"}
    if case["verb"].startswith("exports/"):
        body = {"export_type": "ATTRIBUTES", "identifiers": ["custom_id"]}
        new = {"method": "POST", "path": "/2.11/profiles/export", "query": {}, "headers": headers, "body": body}
        export_id = send(sandbox, app, new)[1]["id"]
        view = {"method": "GET", "path": "/2.11/exports/view", "query": {"id": export_id}, "headers": headers}
        if case["verb"] == "exports/download":
            return {**asked, "query": {"id": send(sandbox, app, view)[1]["files"][0]["id"]}}
        return view if case["verb"] == "exports/view" else asked
    if case["verb"] == "orchestrations/stats":
        every = {"method": "GET", "path": "/2.11/orchestrations/list", "query": {}, "headers": headers}
        first = send(sandbox, app, every)[1]["orchestrations"][-1]["id"]
        return {**asked, "query": {**asked["query"], "orchestration_id": first}}
    if case["verb"] == "campaigns/stats":
        return {**asked, "path": f"/1.1/{{api_key}}/campaigns/stats/{sandbox.add_campaigns(1, app)[0]}"}
    return asked


def same_shape(documented: Any, answered: Any) -> bool:
    match documented, answered:
        case dict(), dict():
            return documented.keys() == answered.keys() and all(
                same_shape(value, answered[key]) for key, value in documented.items()
            )
        case list(), list():  # days and entries: as many as there are
            return bool(documented) == bool(answered) and all(same_shape(documented[0], each) for each in answered[:1])
    return type(documented) is type(answered)


@in_turn
def test_the_sandbox_answers_as_documented(case: dict[str, Any]) -> None:
    app, documented = case.get("app", APP), case["response"]
    settings = {"apps": [app], "projects": [PROJECT], "rest_api_key": REST, **case.get("sandbox", {})}
    with Sandbox(**settings) as sandbox:
        sandbox.export_records([{"custom_id": "a"}])
        status, body, headers = send(sandbox, app, known(sandbox, app, case))
    assert (status, same_shape(documented["body"], body)) == (documented["status"], True), body
    if "error" in case["result"]:
        code = "error_code" if "error_code" in documented["body"] else "code"
        assert body[code] == documented["body"][code]
    if documented.get("headers"):
        assert headers["location"].startswith(f"{sandbox.url}/sandbox/files/")


def test_every_case_is_complete_and_every_verb_is_there() -> None:
    needed = {"name", "source", "certainty", "verb", "call", "request", "response", "result"}
    assert all(needed <= case.keys() for case in CASES)
    assert all(case["source"].startswith("https://doc.batch.com/") for case in CASES)
    assert {case["certainty"] for case in CASES} == {"documented", "inferred"}
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert {case["verb"] for case in CASES} == VERBS
