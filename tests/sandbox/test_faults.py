from __future__ import annotations

import http.client
import json
import math
from collections import Counter

import pytest

from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sandbox.faults import ANY_CALL, FaultInjector, any_write
from tests.clock import Clock, eventually
from tests.sandbox.client import CEP, PHONES, PROJECT, VIP, changes, get, post, send

WRITE = changes(add=["a"])
CEP_WRITES: dict[str, dict[str, object]] = {
    "create": {"name": "new", "type": "custom_ids"},
    "update": {"name": "vip", "ids": [{"action": "add", "id": "a"}]},
    "replace": {"name": "vip", "ids": [{"id": "a"}]},
    "remove": {"name": "vip"},
}


def test_each_call_takes_one_fault_and_none_means_the_usual_response(sandbox: Sandbox) -> None:
    sandbox.faults(Fault(500), None, Fault(429, headers={"Retry-After": "7"}))
    replies = [send(sandbox, "GET") for _ in range(4)]
    assert [reply.status for reply in replies] == [500, 200, 429, 200]
    assert replies[2].headers["retry-after"] == "7"
    assert replies[2].error == (429, 60, "TOO_MANY_REQUESTS")
    assert [call.fault for call in sandbox.calls] == [True, False, True, False]


@pytest.mark.parametrize(
    ("status", "code", "name"),
    [
        (400, 30, "MISSING_PARAMETER"),
        (401, 10, "AUTHENTICATION_INVALID"),
        (403, 12, "API_MISUSE"),
        (404, 20, "ROUTE_NOT_FOUND"),
        (429, 60, "TOO_MANY_REQUESTS"),
        (500, 1, "SERVER_ERROR"),
        (503, 2, "MAINTENANCE_ERROR"),
    ],
)
def test_a_documented_status_brings_its_documented_body(sandbox: Sandbox, status: int, code: int, name: str) -> None:
    sandbox.faults(Fault(status))
    assert send(sandbox, "GET").error == (status, code, name)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "MISSING_PARAMETER"),
        (401, "AUTHENTICATION_INVALID"),
        (404, "ROUTE_NOT_FOUND"),
        (429, "TOO_MANY_REQUESTS"),
        (500, "SERVER_ERROR"),
        (503, "MAINTENANCE_ERROR"),
    ],
)
def test_a_status_of_2_x_brings_a_body_of_2_x(sandbox: Sandbox, status: int, code: str) -> None:
    sandbox.faults(Fault(status), Fault(status), Fault(403))
    assert get(sandbox, "list").cep_error == (status, code)
    assert send(sandbox, "POST", "/2.11/no/such/route").cep_error == (status, code)
    assert get(sandbox, "list").content == b""


@pytest.mark.parametrize("verb", CEP_WRITES)
@pytest.mark.parametrize("after_write", [False, True])
def test_a_fault_covers_every_write_of_2_x(sandbox: Sandbox, verb: str, after_write: bool) -> None:
    before = get(sandbox, "list").content
    sandbox.faults(Fault(202, body={}, after_write=after_write))
    reply = post(sandbox, verb, CEP_WRITES[verb])
    assert (reply.status, reply.json) == (202, {})
    assert (get(sandbox, "list").content != before) is after_write


def test_a_fault_covers_every_write_of_1_1() -> None:
    new = PHONES.replace("phones", "new")
    with Sandbox(["phones:install_ids"]) as sandbox:
        sandbox.faults(*[Fault(500, after_write=True)] * 4)
        for method, path, body in (
            ("PATCH", PHONES, {"ids": [{"action": "add", "id": "a"}]}),
            ("PUT", PHONES, {"ids": [{"id": "b"}]}),
            ("POST", new, {"type": "install_ids"}),
        ):
            assert send(sandbox, method, path, body).error == (500, 1, "SERVER_ERROR")
        assert sandbox.members("phones") == {"b"}
        assert sandbox.members("new") == frozenset()
        assert send(sandbox, "DELETE", PHONES).status == 500
        assert send(sandbox, "GET", PHONES).status == 404


def test_a_body_can_be_anything(sandbox: Sandbox) -> None:
    sandbox.faults(
        Fault(502, body="<h1>502</h1>"),
        Fault(201, body={"indexing_token": 7}),
        Fault(200, body=b"\xff", headers={"Content-Type": "x/y"}),
        Fault(503, body=b""),
    )
    html, odd_json, raw, empty = [send(sandbox, "GET") for _ in range(4)]
    assert html.headers["content-type"].startswith("text/html")
    assert html.content == b"<h1>502</h1>"
    assert odd_json.json == {"indexing_token": 7}
    assert (raw.headers["content-type"], raw.content) == ("x/y", b"\xff")
    assert (empty.status, empty.content) == (503, b"")


@pytest.mark.parametrize("after_write", [False, True])
def test_a_fault_with_a_status_writes_only_with_after_write(sandbox: Sandbox, after_write: bool) -> None:
    sandbox.faults(Fault(500, after_write=after_write))
    assert send(sandbox, "PATCH", VIP, WRITE).status == 500
    assert sandbox.members("vip") == (frozenset({"a"}) if after_write else frozenset())
    assert sandbox.calls[0].elements == 1


@pytest.mark.parametrize("after_write", [False, True])
def test_a_reset_breaks_the_connection_before_or_after_the_write(sandbox: Sandbox, after_write: bool) -> None:
    sandbox.faults(Fault(reset=True, after_write=after_write))
    with pytest.raises(ConnectionResetError):
        send(sandbox, "PATCH", VIP, WRITE)
    assert sandbox.members("vip") == (frozenset({"a"}) if after_write else frozenset())
    assert (sandbox.calls[0].status, sandbox.calls[0].fault) == (None, True)


def test_a_cut_body_announces_more_than_it_sends(sandbox: Sandbox) -> None:
    sandbox.faults(Fault(cut_body=True), Fault(502, body=b"", cut_body=True))
    with pytest.raises(http.client.IncompleteRead) as cut:
        send(sandbox, "PATCH", VIP, WRITE)
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.value.partial)
    assert sandbox.members("vip") == {"a"}
    with pytest.raises(http.client.IncompleteRead):
        send(sandbox, "GET")


def test_the_write_happens_before_a_stall(sandbox: Sandbox) -> None:
    sandbox.faults(Fault(stall=3600))
    with pytest.raises(TimeoutError):
        send(sandbox, "PATCH", VIP, WRITE, timeout=0.05)
    assert sandbox.members("vip") == {"a"}
    eventually(lambda: sandbox.calls)  # the stall ends with its client


@pytest.mark.parametrize("delay", [0, 10])
def test_a_late_write_is_applied_after_later_ones(clock: Clock, delay: float) -> None:
    with Sandbox(indexing_delay=delay, clock=clock) as sandbox:
        sandbox.faults(Fault(late=60), None, Fault(503, after_write=True, late=30))
        token = send(sandbox, "PATCH", VIP, changes(add=["a", "b"])).json["indexing_token"]
        assert send(sandbox, "PATCH", VIP, changes(remove=["a"], add=["c"])).status == 201
        assert send(sandbox, "PATCH", VIP, changes(add=["d"])).status == 503
        clock.now += delay
        assert sandbox.members("vip") == {"c"}
        assert send(sandbox, "GET", f"{VIP}?indexing_token={token}").json["indexing_state"] == "IN_PROGRESS"
        clock.now += 30
        assert sandbox.members("vip") == {"c", "d"}
        clock.now += 30
        assert sandbox.members("vip") == {"a", "b", "c", "d"}
        assert send(sandbox, "GET", f"{VIP}?indexing_token={token}").json["indexing_state"] == "APPLIED"


def test_a_write_can_be_late_until_a_test_applies_it(sandbox: Sandbox) -> None:
    sandbox.faults(Fault(late=math.inf), None, Fault(late=5))
    token = post(sandbox, "update", {"name": "vip", "ids": [{"action": "add", "id": "a"}]}).json["indexing_token"]
    post(sandbox, "update", {"name": "vip", "ids": [{"action": "remove", "id": "a"}]})
    send(sandbox, "PATCH", VIP, changes(add=["x"]))
    assert get(sandbox, "view", name="vip", indexing_token=token).json["indexing_state"] == "IN_PROGRESS"
    assert sandbox.members("vip", PROJECT) == sandbox.members("vip") == frozenset()
    sandbox.apply_pending()
    assert get(sandbox, "view", name="vip", indexing_token=token).json["indexing_state"] == "APPLIED"
    assert sandbox.members("vip", PROJECT) == {"a"}
    assert sandbox.members("vip") == {"x"}
    post(sandbox, "update", {"name": "vip", "ids": [{"action": "remove", "id": "a"}]})  # not late: applied at once
    assert sandbox.members("vip", PROJECT) == frozenset()


def test_the_response_follows_a_short_stall(sandbox: Sandbox) -> None:
    sandbox.faults(Fault(stall=0.02), Fault(503, stall=0.02))
    assert [send(sandbox, "GET").status for _ in range(2)] == [200, 503]
    assert all(call.seconds >= 0.02 for call in sandbox.calls)


def test_a_reset_after_the_client_has_left_does_no_harm(sandbox: Sandbox) -> None:
    sandbox.faults(Fault(reset=True, stall=3600))
    with pytest.raises(TimeoutError):
        send(sandbox, "GET", timeout=0.05)
    eventually(lambda: sandbox.calls)
    assert send(sandbox, "GET").status == 200


def test_a_fault_also_replaces_a_rejection(sandbox: Sandbox) -> None:
    sandbox.faults(Fault(201, body={}, after_write=True))
    assert send(sandbox, "PATCH", VIP, {}).status == 201


def test_a_body_needs_a_status() -> None:
    with pytest.raises(ValueError, match="status"):
        Fault(body="<html>")


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Sandbox(fault_rate=rate)


def drawn(rate: float, seed: int, token_status: int | None = 201) -> list[Fault | None]:
    script = FaultInjector(rate, seed)
    return [script.take(token_status) for _ in range(500)]


def test_random_faults_repeat_with_their_seed_at_the_given_rate() -> None:
    assert drawn(0.2, seed=7) == drawn(0.2, seed=7) != drawn(0.2, seed=8)
    assert 60 < 500 - drawn(0.2, seed=7).count(None) < 140
    assert set(drawn(0.0, seed=7)) == {None}


def test_every_fault_is_drawn_and_only_writes_get_a_status_of_success() -> None:
    for status in (201, 202):
        mix = drawn(1.0, seed=1, token_status=status)
        assert {repr(fault) for fault in mix} == {repr(fault) for fault in any_write(status)}
        assert {fault.status for fault in mix if fault and (fault.status or 500) < 300} == {status}
    assert {repr(fault) for fault in drawn(1.0, seed=1, token_status=None)} == {repr(fault) for fault in ANY_CALL}


def promised(sandbox: Sandbox, method: str, path: str) -> int:
    """Count, in a hundred calls, the random faults that look like an accepted write."""
    statuses = []
    for _ in range(100):
        try:
            statuses.append(send(sandbox, method, path).status)
        except ConnectionError:
            statuses.append(0)
    return sum(200 < status < 300 for status in statuses)


def test_only_calls_that_return_a_token_get_a_status_of_success() -> None:
    with Sandbox(fault_rate=1, seed=5) as sandbox:
        for method, path in (("PATCH", VIP), ("PUT", PHONES), *(("POST", f"{CEP}/{verb}") for verb in CEP_WRITES)):
            assert promised(sandbox, method, path)
        for method, path in (("POST", VIP), ("DELETE", VIP), ("GET", f"{CEP}/view"), ("GET", f"{CEP}/list")):
            assert not promised(sandbox, method, path)
        assert sandbox.members("vip", PROJECT) == frozenset()


def test_writes_succeed_between_random_faults() -> None:
    seen: Counter[object] = Counter()
    with Sandbox(fault_rate=0.6, seed=3) as sandbox:
        for number in range(100):
            try:
                seen[send(sandbox, "PATCH", VIP, changes(add=[str(number)])).status] += 1
            except ConnectionError:
                seen["reset"] += 1
        assert {201, 429, 500, 502, 503, "reset"} == set(seen)
        assert 100 - sum(call.fault for call in sandbox.calls) <= len(sandbox.members("vip")) < 100
