"""The documented facts, replayed on the codec: the call becomes the request, the answer becomes the result."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch import exceptions
from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.protocol import decode, encode
from airflow_provider_batch.protocol.dialect import MEP_1_0
from airflow_provider_batch.protocol.limits import ERROR_NAMES
from airflow_provider_batch.protocol.model import Chunk, Request, Response

CASES: list[dict[str, Any]] = [
    case
    for file in sorted(Path(__file__).with_name("cases").glob("*.json"))
    for case in json.loads(file.read_text("utf-8"))
    if case["version"] == "1.0" and case["verb"] in {"update", "view", "list"}  # what the codec speaks
]
#: A name alone is enough to know the number.
NUMBERS = {name: number for number, name in ERROR_NAMES.items()}


def spoken(*verbs: str | None) -> list[dict[str, Any]]:
    """The cases of these verbs; None stands for requests that our own encoder does not make."""
    return [case for case in CASES if (case["call"]["verb"] if case["call"] else None) in verbs]


def refused(case: dict[str, Any]) -> bool:
    return "error" in case["result"]


def encoded(call: dict[str, Any]) -> Request:
    match call["verb"]:
        case "update":
            chunk = Chunk(1, call["add_ids"], call["remove_ids"])
            return encode.update_custom_audience(MEP_1_0, call["audience_name"], call["audience_type"], chunk)
        case "view":
            return encode.view_custom_audience(MEP_1_0, call["audience_name"], call["indexing_token"])
        case "list":
            return encode.list_custom_audiences(MEP_1_0, limit=call["limit"] or 10)
    raise AssertionError(f"the codec has no verb {call['verb']}")


def answered(response: dict[str, Any]) -> Response:
    body = json.dumps(response["body"]) if "body" in response else response["raw_body"]
    headers = {name.lower(): value for name, value in response.get("headers", {}).items()}
    return Response(response["status"], headers, body.encode())


def decoded(response: Response, request: Request) -> dict[str, Any]:
    """What the decoder makes of an answer, spelled like the result of a case."""
    decode.raise_for_status(response, request)
    if request.body is not None:
        return {"indexing_token": decode.indexing_token(response, request)}
    return asdict(decode.custom_audience(response, request))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def asked(case: dict[str, Any]) -> Request:
    """The request of *case* as the decoder sees it, also where our own encoder makes none like it."""
    request = case["request"]
    body = json.dumps(request["body"]).encode() if "body" in request else request.get("raw_body", "").encode() or None
    return Request(request["method"], request["path"], tuple(request["query"].items()), body)


@pytest.mark.parametrize("case", spoken("update", "view"), ids=itemgetter("name"))
def test_a_call_becomes_the_documented_request(case: dict[str, Any]) -> None:
    request = encoded(case["call"])
    documented = case["request"]
    assert (request.method, request.path, dict(request.query), request.body and json.loads(request.body)) == (
        documented["method"],
        documented["path"],
        documented["query"],
        documented.get("body"),
    )


@pytest.mark.parametrize("case", spoken("list"), ids=itemgetter("name"))
def test_a_list_is_asked_for_where_it_is_documented(case: dict[str, Any]) -> None:
    request = encoded(case["call"])
    assert (request.method, request.path, request.body) == (case["request"]["method"], case["request"]["path"], None)


@pytest.mark.parametrize("case", [case for case in spoken("list") if not refused(case)], ids=itemgetter("name"))
def test_a_documented_list_is_told_apart(case: dict[str, Any]) -> None:
    assert decode.audience_page(MEP_1_0, answered(case["response"]), asked(case)).audiences


@pytest.mark.parametrize(
    "case", [case for case in spoken("update", "view", None) if not refused(case)], ids=itemgetter("name")
)
def test_a_documented_answer_becomes_its_result(case: dict[str, Any]) -> None:
    result = case["result"] | {
        key: moment(case["result"][key]) for key in ("created", "updated") if key in case["result"]
    }
    value = decoded(answered(case["response"]), asked(case))
    assert {key: value[key] for key in result} == result


@pytest.mark.parametrize("case", [case for case in CASES if refused(case)], ids=itemgetter("name"))
def test_a_documented_refusal_becomes_its_error(case: dict[str, Any]) -> None:
    expected = {"number": None} | case["result"]
    expected["number"] = expected["number"] or NUMBERS.get(expected.get("code"))
    kind = getattr(exceptions, expected.pop("error"))
    with pytest.raises(BatchError) as caught:
        decoded(answered(case["response"]), asked(case))
    assert type(caught.value) is kind
    assert {key: getattr(caught.value, key) for key in expected} == expected
