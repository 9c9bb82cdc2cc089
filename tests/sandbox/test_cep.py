from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_batch.sandbox import Sandbox
from tests.clock import Clock
from tests.sandbox.client import APP, CEP, CEP_HEADERS, PROJECT, REST, Reply, get, post, send

MISSING = (400, "MISSING_PARAMETER")
MALFORMED = (400, "MALFORMED_PARAMETER")
NOT_JSON = (400, "MALFORMED_JSON_BODY")
NOT_FOUND = (404, "ROUTE_NOT_FOUND")

ADD = {"action": "add", "id": "a"}
REMOVE = {"action": "remove", "id": "a"}


def update(sandbox: Sandbox, *elements: dict[str, Any]) -> Reply:
    return post(sandbox, "update", {"name": "vip", "ids": list(elements)})


@pytest.fixture
def slow(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(indexing_delay=60, clock=clock) as running:
        yield running


def state_of(sandbox: Sandbox, reply: Reply) -> str:
    return str(get(sandbox, "view", name="vip", indexing_token=reply.json["indexing_token"]).json["indexing_state"])


def test_a_view_has_exactly_the_documented_fields(sandbox: Sandbox) -> None:
    post(sandbox, "create", {"name": "new", "type": "custom_ids", "display_name": "New customers"})
    assert get(sandbox, "view", name="new").json == {
        "name": "new",
        "display_name": "New customers",
        "type": "CUSTOM_ID",
        "nb_ids": 0,
        "indexing_state": "APPLIED",
        "created": "2018-06-29T13:12:09Z",
        "updated": "2018-06-29T13:12:09Z",
    }


def test_every_write_returns_202_with_a_token(sandbox: Sandbox) -> None:
    replies = [
        post(sandbox, "create", {"name": "new", "type": "custom_ids"}),
        post(sandbox, "update", {"name": "new", "ids": [ADD]}),
        post(sandbox, "replace", {"name": "new", "ids": [{"id": "b"}]}),
        post(sandbox, "remove", {"name": "new"}),
    ]
    assert [(reply.status, list(reply.json)) for reply in replies] == [(202, ["indexing_token"])] * 4
    assert len({reply.json["indexing_token"] for reply in replies}) == 4


def test_the_view_accepts_the_token_of_a_creation(slow: Sandbox, clock: Clock) -> None:
    token = post(slow, "create", {"name": "new", "type": "custom_ids"}).json["indexing_token"]
    assert get(slow, "view", name="new", indexing_token=token).json["indexing_state"] == "IN_PROGRESS"
    clock.now += 60
    assert get(slow, "view", name="new", indexing_token=token).json["indexing_state"] == "APPLIED"


@pytest.mark.parametrize(("elements", "members"), [([ADD, REMOVE], set()), ([REMOVE, ADD], {"a"})])
def test_of_several_actions_on_one_id_the_last_one_wins(
    sandbox: Sandbox, elements: list[dict[str, str]], members: set[str]
) -> None:
    update(sandbox, ADD)
    update(sandbox, *elements)
    assert sandbox.members("vip", PROJECT) == members
    assert (sandbox.calls[-1].adds, sandbox.calls[-1].removes) == (1, 1)


def test_attributes_come_with_an_add(sandbox: Sandbox) -> None:
    first = {"age": 42, "date(born)": "1982-08-12T22:30:05Z", "langs": ["fr", "en"]}
    update(sandbox, {**ADD, "attributes": first}, {"action": "add", "id": "b"})
    assert sandbox.attributes("vip", PROJECT) == {
        "a": {"attributes": first, "tags": []},
        "b": {"attributes": {}, "tags": []},
    }
    post(sandbox, "replace", {"name": "vip", "ids": [{"id": "c", "attributes": {"score": 0.5}}, {"id": "d"}]})
    assert sandbox.attributes("vip", PROJECT)["c"] == {"attributes": {"score": 0.5}, "tags": []}
    assert sandbox.members("vip", PROJECT) == {"c", "d"}


def test_an_id_can_be_longer_than_in_1_0(sandbox: Sandbox) -> None:
    assert update(sandbox, {"action": "add", "id": "x" * 1024}).status == 202


def test_a_replace_can_empty_an_audience(sandbox: Sandbox) -> None:
    update(sandbox, ADD)
    assert post(sandbox, "replace", {"name": "vip", "ids": []}).status == 202
    assert sandbox.members("vip", PROJECT) == frozenset()


def test_earlier_writes_show_replaced_once_a_replace_is_applied(slow: Sandbox, clock: Clock) -> None:
    before = update(slow, ADD)
    clock.now += 30
    replace = post(slow, "replace", {"name": "vip", "ids": [{"id": "b"}]})
    after = update(slow, {"action": "add", "id": "c"})
    clock.now += 30
    assert [state_of(slow, reply) for reply in (before, replace, after)] == ["APPLIED", "IN_PROGRESS", "IN_PROGRESS"]
    clock.now += 30
    assert [state_of(slow, reply) for reply in (before, replace, after)] == ["REPLACED", "APPLIED", "APPLIED"]
    assert slow.members("vip", PROJECT) == {"b", "c"}


def test_remove_deletes_the_audience(sandbox: Sandbox) -> None:
    token = update(sandbox, ADD).json["indexing_token"]
    assert post(sandbox, "remove", {"name": "vip"}).status == 202
    assert get(sandbox, "view", name="vip").cep_error == NOT_FOUND
    assert get(sandbox, "view", name="vip", indexing_token=token).cep_error == NOT_FOUND
    assert get(sandbox, "list").json["audiences"] == []


@pytest.mark.parametrize("verb", ["update", "replace", "remove"])
def test_only_the_view_returns_404_for_an_unknown_audience(sandbox: Sandbox, verb: str) -> None:
    ids = {"update": {"ids": [ADD]}, "replace": {"ids": [{"id": "a"}]}, "remove": {}}[verb]
    assert post(sandbox, verb, {"name": "other", **ids}).cep_error == MALFORMED
    assert get(sandbox, "view", name="other").cep_error == NOT_FOUND


def test_a_list_is_paged_by_a_cursor(sandbox: Sandbox) -> None:
    for number in range(4):
        post(sandbox, "create", {"name": f"a{number}", "type": "custom_ids"})
    first = get(sandbox, "list", limit=2).json
    assert list(first) == ["audiences", "count", "has_more", "next_from"]
    assert ([item["name"] for item in first["audiences"]], first["count"], first["has_more"]) == (["a3", "a2"], 5, True)
    post(sandbox, "create", {"name": "newest", "type": "custom_ids"})  # shifts no later page
    second = get(sandbox, "list", limit=2, from_=first["next_from"]).json
    assert list(second) == ["audiences", "has_more", "next_from"]
    assert [item["name"] for item in second["audiences"]] == ["a1", "a0"]
    last = get(sandbox, "list", limit=2, from_=second["next_from"]).json
    assert list(last) == ["audiences", "has_more"]
    assert ([item["name"] for item in last["audiences"]], last["has_more"]) == (["vip"], False)
    assert last["audiences"][0] == get(sandbox, "view", name="vip").json


def test_a_page_has_ten_audiences_by_default_and_a_hundred_at_most() -> None:
    with Sandbox([f"a{number}" for number in range(120)]) as sandbox:
        assert len(get(sandbox, "list").json["audiences"]) == 10
        page = get(sandbox, "list", limit=100).json
        assert (len(page["audiences"]), page["count"], page["has_more"]) == (100, 120, True)
        assert get(sandbox, "list", limit=101).cep_error == MALFORMED


@pytest.mark.parametrize(
    ("verb", "query", "error"),
    [
        ("view", {}, MISSING),
        ("view", {"name": "v p"}, MALFORMED),
        ("view", {"name": ""}, MALFORMED),
        ("view", {"name": "vip", "indexing_token": "unknown"}, MALFORMED),
        ("view", {"name": "vip", "token": "a"}, MALFORMED),
        ("list", {"from_": "0"}, MALFORMED),
        ("list", {"from_": "é"}, MALFORMED),
        ("list", {"from_": "YmVsb3cgMQ"}, MALFORMED),
        ("list", {"limit": "0"}, MALFORMED),
        ("list", {"limit": "ten"}, MALFORMED),
        ("list", {"name": "vip"}, MALFORMED),
    ],
)
def test_reads_reject(sandbox: Sandbox, verb: str, query: dict[str, Any], error: tuple[int, str]) -> None:
    assert get(sandbox, verb, **query).cep_error == error


@pytest.mark.parametrize(
    ("verb", "body", "error"),
    [
        ("create", {"type": "custom_ids"}, MISSING),
        ("create", {"name": "new"}, MISSING),
        ("create", {"name": "vip", "type": "custom_ids"}, MALFORMED),
        ("create", {"name": "new", "type": "install_ids"}, MALFORMED),
        ("create", {"name": "new", "type": "CUSTOM_ID"}, MALFORMED),
        ("create", {"name": "new", "type": "custom_ids", "display_name": None}, MALFORMED),
        ("create", {"name": "new", "type": "custom_ids", "description": "x"}, MALFORMED),
        ("create", {"name": "é", "type": "custom_ids"}, MALFORMED),
        ("create", {"name": "x" * 256, "type": "custom_ids"}, MALFORMED),
        ("create", {"name": 7, "type": "custom_ids"}, MALFORMED),
        ("update", {"ids": [ADD]}, MISSING),
        ("update", {"name": "vip"}, MISSING),
        ("update", {"name": "vip", "ids": []}, MALFORMED),
        ("update", {"name": "vip", "ids": [ADD] * 10_001}, MALFORMED),
        ("update", {"name": "vip", "ids": ["a"]}, MALFORMED),
        ("update", {"name": "vip", "ids": [{"id": "a"}]}, MISSING),
        ("update", {"name": "vip", "ids": [{"action": "add"}]}, MISSING),
        ("update", {"name": "vip", "ids": [{"action": "add", "id": ""}]}, MALFORMED),
        ("update", {"name": "vip", "ids": [{"action": "add", "id": 7}]}, MALFORMED),
        ("update", {"name": "vip", "ids": [{**REMOVE, "attributes": {}}]}, MALFORMED),
        ("update", {"name": "vip", "ids": [{**ADD, "tags": []}]}, MALFORMED),
        ("update", {"name": "vip", "type": "custom_ids", "ids": [ADD]}, MALFORMED),
        ("replace", {"name": "vip", "ids": [ADD]}, MALFORMED),
        ("replace", {"name": "vip"}, MISSING),
        ("remove", {}, MISSING),
        ("remove", {"name": "vip", "ids": []}, MALFORMED),
        ("remove", ["vip"], MALFORMED),
    ],
)
def test_writes_reject(sandbox: Sandbox, verb: str, body: Any, error: tuple[int, str]) -> None:
    assert post(sandbox, verb, body).cep_error == error


def test_errors_that_2_x_does_not_list_become_malformed_parameter(sandbox: Sandbox) -> None:
    headers = {**CEP_HEADERS, "Content-Type": "text/plain"}
    assert post(sandbox, "update", {"name": "vip", "ids": [ADD]}, headers=headers).cep_error == MALFORMED
    assert send(sandbox, "GET", f"{CEP}/list", {}, headers=CEP_HEADERS).cep_error == MALFORMED
    assert send(sandbox, "POST", f"{CEP}/update?name=vip", {}, headers=CEP_HEADERS).cep_error == MALFORMED
    assert send(sandbox, "POST", f"{CEP}/update", raw=b"{", headers=CEP_HEADERS).cep_error == NOT_JSON


def test_one_wrong_element_rejects_the_whole_request(sandbox: Sandbox) -> None:
    assert update(sandbox, ADD, {"action": "add", "id": "b", "attributes": {"x": True}}).cep_error == MALFORMED
    assert sandbox.members("vip", PROJECT) == frozenset()


def test_no_message_contains_a_key_or_an_id(sandbox: Sandbox) -> None:
    secret = "jane@example.com"
    elements: list[Any] = [
        {"action": secret, "id": "a"},
        {**ADD, secret: 1},
        secret,
        {**ADD, "attributes": {secret: None}},
        {**ADD, "attributes": {f"date({secret})": secret}},
        {**ADD, "attributes": {f"url({secret})": secret}},
        {**REMOVE, "id": secret, "attributes": {secret: 1}},
    ]
    replies = [update(sandbox, element) for element in elements]
    replies.append(post(sandbox, "remove", {"name": secret}))
    replies.append(get(sandbox, "view", name=secret))
    replies.append(get(sandbox, "list", from_=secret))
    replies.append(get(sandbox, "list", headers={"Authorization": secret, "X-Batch-Project": secret}))
    assert all(reply.status >= 400 for reply in replies)
    assert not any(private in reply.content.decode() for reply in replies for private in (secret, APP, PROJECT, REST))
