"""
The facts about profiles, replayed on the client and on the sandbox.

`rows` is what a client is given, null where it never makes the request. A body with `repeat` stands for so many
entries; `before` is what was written just before. `effect` tells the attributes of profiles afterwards: `someone` is
there from the start. `sandbox` is false where no request brings the answer about.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch import exceptions
from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.protocol.dialect import ProfileRoute, cep
from airflow_provider_batch.protocol.flow import no_retry
from airflow_provider_batch.protocol.profiles.table import table_of
from airflow_provider_batch.protocol.profiles.writes import ProfileChunk, ProfileWrites
from airflow_provider_batch.protocol.refusals import raise_for_status
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.wire import Request, Response
from airflow_provider_batch.protocol.writes import Parcel, Receipt
from airflow_provider_batch.sandbox import Sandbox

PROJECT, REST = "project_contract", "contract-rest"
CASES: list[dict[str, Any]] = [
    case
    for file in sorted(Path(__file__).with_name("profiles").glob("*.json"))
    for case in json.loads(file.read_text("utf-8"))
]
GIVEN = [case for case in CASES if case["rows"]]
REFUSED = [case for case in CASES if "error" in case["result"]]
REPLAYED = [case for case in CASES if case.get("sandbox") is not False]


def route_of(case: dict[str, Any]) -> ProfileRoute:
    return next(route for route in cep(case["version"]).profile_routes if route.name == case["verb"])


def rejection(index: int, reason: str) -> Rejection:
    return Rejection("profiles", index, reason)


def parcel_of(case: dict[str, Any]) -> tuple[ProfileWrites, Parcel[ProfileChunk]]:
    """The call that the client makes of the rows of *case*."""
    _, lines, _ = table_of(case["rows"], "custom_id", None).encoded(clears=True)
    writes = ProfileWrites(route_of(case))
    chunk = ProfileChunk(1, [line.encode() for line in lines], rejection)
    return writes, Parcel(chunk, writes.encode(chunk), "")


def answered(case: dict[str, Any]) -> Response:
    return Response(case["response"]["status"], {}, json.dumps(case["response"]["body"]).encode())


@pytest.mark.parametrize("case", GIVEN, ids=itemgetter("name"))
def test_rows_become_the_documented_request(case: dict[str, Any]) -> None:
    _, parcel = parcel_of(case)
    request, documented = parcel.request, case["request"]
    assert (request.method, request.path, request.query) == (documented["method"], documented["path"], ())
    assert json.loads(request.body or b"") == documented["body"]
    assert request.ids == len(documented["body"])


@pytest.mark.parametrize("case", GIVEN, ids=itemgetter("name"))
def test_a_documented_answer_becomes_its_result(case: dict[str, Any]) -> None:
    writes, parcel = parcel_of(case)
    flow = writes.send(parcel, no_retry)
    assert next(flow) == parcel.request
    with pytest.raises(StopIteration) as ended:
        flow.send(answered(case))
    receipt: Receipt = ended.value.value
    told = {str(one.position): one.reason for one in receipt.rejected}
    assert told.keys() == case["result"]["rejected"].keys()
    assert all(text in (None, told[place]) for place, text in case["result"]["rejected"].items())
    assert receipt.added == len(case["rows"]) - len(told)


@pytest.mark.parametrize("case", REFUSED, ids=itemgetter("name"))
def test_a_documented_refusal_becomes_its_error(case: dict[str, Any]) -> None:
    expected = dict(case["result"])
    kind = getattr(exceptions, expected.pop("error"))
    with pytest.raises(BatchError) as caught:
        raise_for_status(answered(case), Request(case["request"]["method"], case["request"]["path"]))
    assert type(caught.value) is kind
    assert {key: getattr(caught.value, key) for key in expected} == expected


def entries(body: Any) -> Any:
    if isinstance(body, dict) and "repeat" in body:
        return [{"identifiers": {"custom_id": f"id-{number}"}} for number in range(body["repeat"])]
    return body


def send(sandbox: Sandbox, asked: dict[str, Any], body: Any) -> tuple[int, Any]:
    headers = {
        name: value.replace("{rest_api_key}", REST).replace("{project_key}", PROJECT)
        for name, value in asked["headers"].items()
    }
    text = asked["raw_body"] if "raw_body" in asked else json.dumps(entries(body))
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=10)
    try:
        connection.request(asked["method"], asked["path"], text.encode(), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    clock = 1_800_000_000.0  # stands still, so that all calls are in one second
    with Sandbox(projects=[PROJECT], rest_api_key=REST, clock=lambda: clock) as sandbox:
        yield sandbox


@pytest.mark.parametrize("case", REPLAYED, ids=itemgetter("name"))
def test_the_sandbox_answers_as_documented(case: dict[str, Any], sandbox: Sandbox) -> None:
    asked, documented = case["request"], case["response"]
    if before := case.get("before"):
        for _ in range(before["times"]):
            assert send(sandbox, asked, before)[0] == 202
    else:
        someone = {"identifiers": {"custom_id": "someone"}, "attributes": {"plan": "free", "score": 1}}
        keys = {"Authorization": f"Bearer {REST}", "X-Batch-Project": PROJECT, "Content-Type": "application/json"}
        other = {"method": "POST", "path": "/2.11/profiles/mass-update", "headers": keys}
        assert send(sandbox, other, [someone])[0] == 202
    status, body = send(sandbox, asked, asked.get("body"))
    assert status == documented["status"]
    if status == 202:
        assert body == documented["body"]
    else:
        assert body.keys() == documented["body"].keys()
        assert body["error_code"] == documented["body"]["error_code"]
    profiles = sandbox.profiles()
    assert {id_: profiles[id_] for id_ in case.get("effect", {})} == case.get("effect", {})


def test_every_case_is_complete_and_told_apart_by_its_name() -> None:
    needed = {"name", "source", "certainty", "version", "verb", "rows", "request", "response", "result"}
    assert all(needed <= case.keys() for case in CASES)
    assert all(case["source"].startswith("https://doc.batch.com/") for case in CASES)
    assert {case["certainty"] for case in CASES} == {"documented", "inferred"}
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert {case["verb"] for case in GIVEN} == {case["verb"] for case in REFUSED} == {"update", "mass-update"}
