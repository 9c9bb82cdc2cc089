from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_batch.sandbox import Sandbox
from tests.clock import Clock
from tests.sandbox.client import APP, AUDIENCES, HEADERS, PHONES, REST, VIP, changes, send

MISUSE = (403, 12, "API_MISUSE")
NOT_FOUND = (404, 20, "ROUTE_NOT_FOUND")
MISSING = (400, 30, "MISSING_PARAMETER")
MALFORMED = (400, 31, "MALFORMED_PARAMETER")
NOT_JSON = (400, 32, "MALFORMED_JSON_BODY")

ADD = {"action": "add", "id": "a"}


def test_update_returns_201_with_a_token_that_the_view_accepts(sandbox: Sandbox) -> None:
    reply = send(sandbox, "PATCH", VIP, changes(add=["a", "b"], remove=["b"]))
    assert (reply.status, reply.headers["content-type"]) == (201, "application/json")
    assert list(reply.json) == ["indexing_token"]
    view = send(sandbox, "GET", f"{VIP}?indexing_token={reply.json['indexing_token']}")
    assert (view.status, view.json["indexing_state"], view.json["nb_ids"]) == (200, "APPLIED", 1)
    assert sandbox.members("vip") == {"a"}


def test_view_has_exactly_the_documented_fields(sandbox: Sandbox) -> None:
    assert send(sandbox, "GET").json == {
        "name": "vip",
        "type": "custom_ids",
        "description": "",
        "created": "2018-06-29T13:12:09",
        "updated": "2018-06-29T13:12:09",
        "nb_ids": 0,
        "indexing_state": "APPLIED",
    }


def test_the_largest_update_is_applied_whole(sandbox: Sandbox) -> None:
    body = changes(add=[f"{number:0128}" for number in range(10_000)])
    assert send(sandbox, "PATCH", VIP, body).status == 201
    assert len(sandbox.members("vip")) == 10_000


def test_128_counts_characters_not_bytes(sandbox: Sandbox) -> None:
    assert send(sandbox, "PATCH", VIP, changes(add=["é" * 128])).status == 201
    assert send(sandbox, "PATCH", VIP, changes(add=["é" * 129])).error == MALFORMED


def test_replace_takes_ids_without_an_action_and_can_empty_an_audience(sandbox: Sandbox) -> None:
    send(sandbox, "PATCH", VIP, changes(add=["a", "b"]))
    assert send(sandbox, "PUT", VIP, {"type": "custom_ids", "ids": [{"id": "c"}]}).status == 201
    assert sandbox.members("vip") == {"c"}
    assert send(sandbox, "PUT", VIP, {"type": "custom_ids", "ids": [ADD]}).error == MALFORMED
    assert send(sandbox, "PUT", VIP, {"type": "custom_ids", "ids": []}).json["indexing_token"]
    assert sandbox.members("vip") == frozenset()


def test_create_then_delete(sandbox: Sandbox) -> None:
    path = f"{AUDIENCES}/{'N-_1' * 63}"
    created = send(sandbox, "POST", path, {"type": "advertising_ids", "description": "phones"})
    assert (created.status, created.json) == (200, {})
    assert send(sandbox, "GET", path).json["description"] == "phones"
    assert send(sandbox, "PATCH", path, changes(add=["a"], audience_type="advertising_ids")).status == 201
    assert send(sandbox, "POST", path, {"type": "custom_ids"}).error == MALFORMED
    deleted = send(sandbox, "DELETE", path)
    assert (deleted.status, deleted.json) == (200, {})
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", changes(["a"])), ("PUT", changes())):
        assert send(sandbox, method, path, body).error == NOT_FOUND


def test_list_pages_from_the_newest_creation(sandbox: Sandbox) -> None:
    for number in range(12):
        send(sandbox, "POST", f"{AUDIENCES}/a{number}", {"type": "custom_ids"})

    def names(query: str) -> list[str]:
        return [item["name"] for item in send(sandbox, "GET", AUDIENCES + query).json["custom_audiences"]]

    assert names("") == [f"a{number}" for number in range(11, 1, -1)]
    assert names("?from=10") == ["a1", "a0", "vip"]
    assert names("?from=1&limit=2") == ["a10", "a9"]
    assert names("?limit=100&from=13") == []
    item = send(sandbox, "GET", AUDIENCES).json["custom_audiences"][0]
    assert sorted(item) == ["created", "description", "name", "nb_ids", "type", "updated"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"ids": [ADD]}, MISSING),
        ({"type": "custom_ids"}, MISSING),
        ({"type": "custom_ids", "ids": [{"id": "a"}]}, MISSING),
        ({"type": "custom_ids", "ids": [{"action": "add"}]}, MISSING),
        ({"type": "install_ids", "ids": [ADD]}, MALFORMED),
        ({"type": "advertising_ids", "ids": [ADD]}, MALFORMED),
        ({"type": None, "ids": [ADD]}, MALFORMED),
        ({"type": ["custom_ids"], "ids": [ADD]}, MALFORMED),
        ({"type": "custom_ids", "ids": []}, MALFORMED),
        ({"type": "custom_ids", "ids": {}}, MALFORMED),
        ({"type": "custom_ids", "ids": None}, MALFORMED),
        ({"type": "custom_ids", "ids": ["a"]}, MALFORMED),
        ({"type": "custom_ids", "ids": [ADD] * 10_001}, MALFORMED),
        ({"type": "custom_ids", "ids": [{"action": "ADD", "id": "a"}]}, MALFORMED),
        ({"type": "custom_ids", "ids": [{"action": "add", "id": ""}]}, MALFORMED),
        ({"type": "custom_ids", "ids": [{"action": "add", "id": 7}]}, MALFORMED),
        ({"type": "custom_ids", "ids": [{"action": "add", "id": None}]}, MALFORMED),
        ({"type": "custom_ids", "ids": [{"action": "add", "id": "x" * 129}]}, MALFORMED),
        ({"type": "custom_ids", "ids": [{**ADD, "attributes": {}}]}, MALFORMED),
        ({"type": "custom_ids", "ids": [ADD], "name": "vip"}, MALFORMED),
        ([ADD], MALFORMED),
    ],
)
def test_update_rejects(sandbox: Sandbox, body: Any, error: tuple[int, int, str]) -> None:
    assert send(sandbox, "PATCH", VIP, body).error == error


def test_one_wrong_element_rejects_the_whole_request(sandbox: Sandbox) -> None:
    assert send(sandbox, "PATCH", VIP, changes(add=["good", ""])).json == {
        "code": 31,
        "message": "MALFORMED_PARAMETER: ids[1].id must be a string of 1 to 128 characters",
    }
    assert sandbox.members("vip") == frozenset()


@pytest.mark.parametrize("raw", [b"", b"{", b'{"type": NaN}', b"\xff\xfe", b"[" * 100_000, b'\xef\xbb\xbf{"type":1}'])
def test_a_body_that_is_not_json_is_rejected_as_such(sandbox: Sandbox, raw: bytes) -> None:
    assert send(sandbox, "PATCH", VIP, raw=raw).error == NOT_JSON


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "/", None),
        ("POST", VIP.replace("1.0", "1.2"), NOT_FOUND),
        ("GET", VIP.replace("custom-audience", "custom-audiences"), NOT_FOUND),
        ("GET", f"{AUDIENCES}/", NOT_FOUND),
        ("GET", f"{AUDIENCES}//vip", NOT_FOUND),
        ("GET", f"{VIP}/ids", NOT_FOUND),
        ("GET", "/1.0//custom-audience", NOT_FOUND),
        ("OPTIONS", VIP, NOT_FOUND),
        ("POST", AUDIENCES, NOT_FOUND),
        ("DELETE", AUDIENCES, NOT_FOUND),
        ("GET", f"{AUDIENCES}/VIP", NOT_FOUND),
        ("GET", f"{AUDIENCES}/v%2Fip", MALFORMED),
        ("GET", f"{AUDIENCES}/v%20p", MALFORMED),
        ("GET", f"{AUDIENCES}/%C3%A9", MALFORMED),
        ("GET", f"{AUDIENCES}/{'v' * 256}", MALFORMED),
        ("GET", f"{VIP}?indexing_token=unknown", MALFORMED),
        ("GET", f"{VIP}?indexing_token=", MALFORMED),
        ("GET", f"{VIP}?token=a", MALFORMED),
        ("DELETE", f"{VIP}?force=1", MALFORMED),
        ("GET", f"{AUDIENCES}?limit=0", MALFORMED),
        ("GET", f"{AUDIENCES}?limit=101", MALFORMED),
        ("GET", f"{AUDIENCES}?limit=ten", MALFORMED),
        ("GET", f"{AUDIENCES}?from=-1", MALFORMED),
        ("GET", f"{AUDIENCES}?from=1&from=2", MALFORMED),
    ],
)
def test_routes_names_and_queries_are_read_strictly(
    sandbox: Sandbox, method: str, path: str, error: tuple[int, int, str] | None
) -> None:
    reply = send(sandbox, method, path)
    assert (reply.status == 200) if error is None else (reply.error == error)


def test_writes_take_no_query_and_reads_no_body(sandbox: Sandbox) -> None:
    assert send(sandbox, "PATCH", f"{VIP}?dry_run=1", changes(["a"])).error == MALFORMED
    assert send(sandbox, "DELETE", VIP, {}).error == MISUSE


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_a_body_must_be_declared_as_json(sandbox: Sandbox, content_type: str | None) -> None:
    headers = {"X-Authorization": REST} | ({"Content-Type": content_type} if content_type else {})
    assert send(sandbox, "PATCH", VIP, changes(["a"]), headers=headers).error == MISUSE


def test_a_content_type_can_name_its_charset(sandbox: Sandbox) -> None:
    headers = {**HEADERS, "Content-Type": "Application/JSON; charset=utf-8"}
    assert send(sandbox, "PATCH", VIP, changes(["a"]), headers=headers).status == 201


def test_create_needs_a_known_type_and_a_string(sandbox: Sandbox) -> None:
    new = f"{AUDIENCES}/new"
    assert send(sandbox, "POST", new, {}).error == MISSING
    assert send(sandbox, "POST", new, {"type": "install_ids"}).error == MALFORMED
    assert send(sandbox, "POST", new, {"type": "custom_ids", "description": 1}).error == MALFORMED
    assert send(sandbox, "POST", new, {"type": "custom_ids", "ids": []}).error == MALFORMED


def test_no_message_contains_a_key_or_an_id(sandbox: Sandbox) -> None:
    secret = "jane@example.com"
    wrong = [{"action": secret, "id": "a"}, {"action": "add", "id": secret * 9}, {**ADD, secret: 1}, secret]
    replies = [send(sandbox, "PATCH", VIP, {"type": "custom_ids", "ids": [element]}) for element in wrong]
    replies.append(send(sandbox, "PATCH", VIP, {"type": secret, "ids": [ADD]}))
    replies.append(send(sandbox, "PATCH", VIP, {"type": "custom_ids", "ids": [ADD], secret: 1}))
    replies.append(send(sandbox, "GET", f"{VIP}?indexing_token={secret}"))
    replies.append(send(sandbox, "GET", f"{AUDIENCES}/{secret}"))
    replies.append(send(sandbox, "GET", VIP.replace(APP, secret), headers={"X-Authorization": secret}))
    assert all(reply.status >= 400 for reply in replies)
    assert not any(private in reply.content.decode() for reply in replies for private in (secret, APP, REST))


def test_the_keys_of_an_error_are_a_setting() -> None:
    with Sandbox(error_keys=("error_code", "error_message")) as sandbox:
        body = send(sandbox, "GET", headers={}).json
    assert body["error_code"] == 10
    assert body["error_message"].startswith("AUTHENTICATION_INVALID")


def test_indexing_follows_the_clock(clock: Clock) -> None:
    with Sandbox(indexing_delay=60, clock=clock) as sandbox:
        token = send(sandbox, "PATCH", VIP, changes(["a"])).json["indexing_token"]
        view = f"{VIP}?indexing_token={token}"
        before = send(sandbox, "GET", view).json
        clock.now += 60
        after = send(sandbox, "GET", view).json
    assert (before["indexing_state"], before["nb_ids"]) == ("IN_PROGRESS", 0)
    assert (after["indexing_state"], after["nb_ids"]) == ("APPLIED", 1)


def test_ids_keep_every_character(sandbox: Sandbox) -> None:
    odd = [" a ", "A", 'quote"', "é", "\u0000", "👋"]
    send(sandbox, "PATCH", VIP, raw=json.dumps(changes(odd), ensure_ascii=False).encode())
    assert sandbox.members("vip") == frozenset(odd)


ATTRIBUTES = {"age": 42, "date(born)": "1982-08-12T22:30:05", "url(page)": "https://example.com/jane"}


@pytest.fixture
def phones(clock: Clock) -> Iterator[Sandbox]:
    """A sandbox with an audience of each type."""
    with Sandbox(["vip", "ads:advertising_ids", "phones:install_ids"], clock=clock) as running:
        yield running


def test_1_1_takes_attributes_and_tags_and_no_type(phones: Sandbox) -> None:
    adds = [{"action": "add", "id": "a", "attributes": ATTRIBUTES, "tags": ["x", "y"]}, {"action": "add", "id": "b"}]
    reply = send(phones, "PATCH", PHONES, {"ids": [*adds, {"action": "remove", "id": "c"}]})
    assert (reply.status, list(reply.json)) == (201, ["indexing_token"])
    assert phones.attributes("phones") == {
        "a": {"attributes": ATTRIBUTES, "tags": ["x", "y"]},
        "b": {"attributes": {}, "tags": []},
    }
    assert send(phones, "PUT", PHONES, {"ids": [{"id": "b", "tags": ["z"]}]}).status == 201
    assert phones.attributes("phones") == {"b": {"attributes": {}, "tags": ["z"]}}
    assert phones.calls[0].adds == 2
    assert phones.calls[0].removes == 1


def test_in_1_1_too_an_id_that_one_request_adds_and_removes_ends_up_removed(phones: Sandbox) -> None:
    send(phones, "PATCH", PHONES, {"ids": [{"action": "remove", "id": "a"}, ADD, {"action": "add", "id": "b"}]})
    assert phones.members("phones") == {"b"}


def test_1_1_creates_views_lists_and_deletes_install_ids(phones: Sandbox) -> None:
    new = PHONES.replace("phones", "new")
    created = send(phones, "POST", new, {"type": "install_ids", "description": "New phones"})
    assert (created.status, created.json) == (200, {})
    assert send(phones, "GET", new).json["type"] == "install_ids"
    deleted = send(phones, "DELETE", new)
    assert (deleted.status, deleted.json) == (200, {})
    assert send(phones, "GET", new).error == NOT_FOUND


def test_each_version_lists_its_own_types(phones: Sandbox) -> None:
    def names(path: str) -> list[str]:
        return [item["name"] for item in send(phones, "GET", path).json["custom_audiences"]]

    assert names(AUDIENCES) == ["ads", "vip"]
    assert names(AUDIENCES.replace("1.0", "1.1")) == ["phones"]
    assert names(f"{AUDIENCES}?from=1&limit=1") == ["vip"]


@pytest.mark.parametrize("path", [VIP.replace("1.0", "1.1"), PHONES.replace("1.1", "1.0")])
def test_an_audience_of_the_other_version_is_unknown_and_its_name_taken(phones: Sandbox, path: str) -> None:
    body = {"ids": [ADD]} if "1.1" in path else changes(["a"])
    assert send(phones, "PATCH", path, body).error == NOT_FOUND
    replacing = {"ids": [{"id": "a"}]} if "1.1" in path else {"type": "custom_ids", "ids": [{"id": "a"}]}
    assert send(phones, "PUT", path, replacing).error == NOT_FOUND
    assert send(phones, "GET", path).error == NOT_FOUND
    assert send(phones, "DELETE", path).error == NOT_FOUND
    new = {"type": "install_ids" if "1.1" in path else "custom_ids"}
    assert send(phones, "POST", path, new).error == MALFORMED


@pytest.mark.parametrize(
    ("method", "body", "error"),
    [
        ("PATCH", {}, MISSING),
        ("PATCH", {"ids": []}, MALFORMED),
        ("PATCH", {"type": "install_ids", "ids": [ADD]}, MALFORMED),
        ("PATCH", {"ids": [{"id": "a"}]}, MISSING),
        ("PATCH", {"ids": [{**ADD, "attributes": None}]}, MALFORMED),
        ("PATCH", {"ids": [{**ADD, "tags": "x"}]}, MALFORMED),
        ("PATCH", {"ids": [{"action": "remove", "id": "a", "attributes": {}}]}, MALFORMED),
        ("PATCH", {"ids": [{"action": "remove", "id": "a", "tags": []}]}, MALFORMED),
        ("PATCH", {"ids": [{"action": "add", "id": "x" * 129}]}, MALFORMED),
        ("PATCH", {"ids": [ADD] * 10_001}, MALFORMED),
        ("PUT", {"type": "install_ids", "ids": [{"id": "a"}]}, MALFORMED),
        ("PUT", {"ids": [ADD]}, MALFORMED),
        ("POST", {"type": "custom_ids"}, MALFORMED),
        ("POST", {}, MISSING),
    ],
)
def test_1_1_rejects(phones: Sandbox, method: str, body: Any, error: tuple[int, int, str]) -> None:
    assert send(phones, method, PHONES, body).error == error


def test_replaced_states_are_a_setting(clock: Clock) -> None:
    states = []
    for setting in (None, True, False):
        with Sandbox(replaced_states=setting, clock=clock) as sandbox:
            token = send(sandbox, "PATCH", VIP, changes(["a"])).json["indexing_token"]
            send(sandbox, "PUT", VIP, {"type": "custom_ids", "ids": []})
            states.append(send(sandbox, "GET", f"{VIP}?indexing_token={token}").json["indexing_state"])
    assert states == ["APPLIED", "REPLACED", "APPLIED"]
