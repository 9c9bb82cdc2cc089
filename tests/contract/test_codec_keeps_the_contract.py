"""
The documented facts, replayed on the codec: the call becomes the request, the answer becomes the result.

The codec asks otherwise than a case in one place, on purpose: a list always says how many audiences it wants (as many
as a page holds), and on the older platform from which one on. Of a list's answer it drops `count`: nobody needs it.
"""

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
from airflow_provider_batch.protocol.audiences import decode, encode
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.chunk import Chunk
from airflow_provider_batch.protocol.audiences.intake import MemberIntake
from airflow_provider_batch.protocol.dialect import MEP, MEP_1_0, MEP_1_1, Dialect, Platform, cep
from airflow_provider_batch.protocol.limits import ERROR_NAMES
from airflow_provider_batch.protocol.refusals import raise_for_status
from airflow_provider_batch.protocol.wire import Request, Response
from airflow_provider_batch.transport.credentials import Credentials

APP, PROJECT, REST = "contract-app", "project_contract", "contract-rest"
CASES: list[dict[str, Any]] = [
    case
    for file in sorted(Path(__file__).with_name("cases").glob("*.json"))
    for case in json.loads(file.read_text("utf-8"))
]
#: Those that a client is asked for; the others are requests that our own encoder never makes.
CALLED = [case for case in CASES if case["call"]]
#: A name alone is enough to know the number.
NUMBERS = {name: number for number, name in ERROR_NAMES.items()}


def platform_of(case: dict[str, Any]) -> Platform:
    return cep(case["version"]) if case["version"].startswith("2.") else MEP


def dialect_of(case: dict[str, Any]) -> Dialect:
    return {"1.0": MEP_1_0, "1.1": MEP_1_1}.get(case["version"]) or platform_of(case).dialects[0]


def refused(case: dict[str, Any]) -> bool:
    return "error" in case["result"]


def encoded(case: dict[str, Any]) -> Request:
    call, dialect = case["call"], dialect_of(case)

    def block(argument: str) -> Block:
        intake = MemberIntake(call.get(argument), argument, name="vip", rules=dialect.members, block_size=10_000)
        return next(intake.blocks(), Block((), argument, ()))

    match call["verb"]:
        case "create":
            named = call["audience_name"], call["audience_type"], call["description"]
            return encode.create_custom_audience(dialect, *named)
        case "update":
            adds, removes = block("add_ids"), block("remove_ids")
            chunk = Chunk(1, adds, removes, (adds, removes))
            return encode.update_custom_audience(dialect, call["audience_name"], call["audience_type"], chunk)
        case "replace":
            ids = block("ids")
            chunk = Chunk(1, ids, (), (ids,))
            return encode.replace_custom_audience(dialect, call["audience_name"], call["audience_type"], chunk)
        case "view":
            return encode.view_custom_audience(dialect, call["audience_name"], call["indexing_token"])
        case "list":
            return encode.list_custom_audiences(dialect, call["start"], limit=call["limit"] or 100)
        case "delete":
            return encode.delete_custom_audience(dialect, call["audience_name"])
    raise AssertionError(f"the codec has no verb {call['verb']}")


def asked(case: dict[str, Any]) -> Request:
    """The request of *case* as the decoder sees it, also where our own encoder makes none like it."""
    if case["call"]:
        return encoded(case)
    request = case["request"]
    return Request(request["method"], request["path"], tuple(request["query"].items()), audience_name="vip")


def answered(case: dict[str, Any]) -> Response:
    response = case["response"]
    body = json.dumps(response["body"]) if "body" in response else response["raw_body"]
    headers = {name.lower(): value for name, value in response.get("headers", {}).items()}
    return Response(response["status"], headers, body.encode())


def decoded(case: dict[str, Any]) -> dict[str, Any]:
    """What the decoder makes of an answer, spelled like the result of a case."""
    response, request = answered(case), asked(case)
    raise_for_status(response, request)
    match case["verb"]:
        case "create" | "delete":
            token = decode.optional_indexing_token(response, request)
            return {"indexing_token": token} if token else {}
        case "update" | "replace":
            return {"indexing_token": decode.indexing_token(response, request)}
        case "view":
            return asdict(decode.custom_audience(response, request))
    page = decode.audience_page(dialect_of(case), response, request)
    return {"custom_audiences": [asdict(audience) for audience in page.audiences], "next_start": page.next_start}


def promised(told: Any) -> Any:
    """The result of a case, or a part of it, with dates as the codec gives them."""
    if isinstance(told, list):
        return [promised(item) for item in told]
    if not isinstance(told, dict):
        return told
    dates = ("created", "updated")
    return {
        key: datetime.fromisoformat(f"{value.removesuffix('Z')}+00:00") if key in dates else promised(value)
        for key, value in told.items()
        if key != "count"
    }


def assert_tells(value: Any, result: Any) -> None:
    """The value has all that *result* has."""
    if isinstance(result, list):
        assert len(value) == len(result)
        for one, other in zip(value, result, strict=True):
            assert_tells(one, other)
    elif isinstance(result, dict):
        for key in result:
            assert_tells(value[key], result[key])
    else:
        assert value == result


@pytest.mark.parametrize("case", [case for case in CALLED if case["verb"] != "list"], ids=itemgetter("name"))
def test_a_call_becomes_the_documented_request(case: dict[str, Any]) -> None:
    request, documented = encoded(case), case["request"]
    assert (request.method, request.path, dict(request.query), request.body and json.loads(request.body)) == (
        documented["method"],
        documented["path"],
        documented["query"],
        documented.get("body"),
    )


@pytest.mark.parametrize("case", [case for case in CALLED if case["verb"] == "list"], ids=itemgetter("name"))
def test_a_list_is_asked_for_as_documented_and_says_always_how_much_it_wants(case: dict[str, Any]) -> None:
    request, documented = encoded(case), case["request"]
    said = {"limit": "100"} if dialect_of(case).cursor else {"from": "0", "limit": "100"}
    assert (request.method, request.path, request.body) == (documented["method"], documented["path"], None)
    assert dict(request.query) == said | documented["query"]


@pytest.mark.parametrize("case", CALLED, ids=itemgetter("name"))
def test_the_keys_travel_where_they_are_documented(case: dict[str, Any]) -> None:
    platform = platform_of(case)
    login = APP if platform is MEP else PROJECT
    credentials = Credentials("https://api.batch.com", login, REST, platform=platform)
    documented = {
        name: value.replace("{rest_api_key}", REST).replace("{project_key}", PROJECT)
        for name, value in case["request"]["headers"].items()
    }
    assert documented.items() <= credentials.headers.items()
    path = case["request"]["path"].replace("{api_key}", APP)
    assert credentials.url(encoded(case)) == f"https://api.batch.com{path}"


@pytest.mark.parametrize(
    ("platform", "headers"),
    [(MEP, {"X-Authorization": REST}), (cep(), {"Authorization": f"Bearer {REST}", "X-Batch-Project": PROJECT})],
    ids=["mep", "cep"],
)
def test_no_key_travels_anywhere_else(platform: Platform, headers: dict[str, str]) -> None:
    sent = Credentials("https://api.batch.com", APP if platform is MEP else PROJECT, REST, platform=platform).headers
    assert {name: value for name, value in sent.items() if any(key in value for key in (APP, PROJECT, REST))} == headers


@pytest.mark.parametrize("case", [case for case in CASES if not refused(case)], ids=itemgetter("name"))
def test_a_documented_answer_becomes_its_result(case: dict[str, Any]) -> None:
    value, result = decoded(case), promised(case["result"])
    assert_tells(value, result)
    if case["verb"] in ("create", "delete"):
        assert value == result


@pytest.mark.parametrize("case", [case for case in CASES if refused(case)], ids=itemgetter("name"))
def test_a_documented_refusal_becomes_its_error(case: dict[str, Any]) -> None:
    expected = {"number": None} | case["result"]
    expected["number"] = expected["number"] or NUMBERS.get(expected.get("code"))
    kind = getattr(exceptions, expected.pop("error"))
    with pytest.raises(BatchError) as caught:
        decoded(case)
    assert type(caught.value) is kind
    assert {key: getattr(caught.value, key) for key in expected} == expected


def test_every_verb_of_every_version_is_replayed() -> None:
    verbs = {"create", "update", "replace", "view", "list", "delete"}
    assert {(case["version"], case["verb"]) for case in CALLED} == {
        (version, verb) for version in ("1.0", "1.1", "2.11") for verb in verbs
    }
