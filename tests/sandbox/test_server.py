from __future__ import annotations

import http.client
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.sandbox.errors import Rejected
from tests.clock import eventually
from tests.sandbox.client import (
    APP,
    AUDIENCES,
    CEP_HEADERS,
    HEADERS,
    PROJECT,
    REST,
    VIP,
    changes,
    get,
    post,
    send,
)


def kept_open(sandbox: Sandbox) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=5)
    connection.request("GET", VIP, headers=HEADERS)
    assert connection.getresponse().read()
    return connection


def test_a_restart_keeps_port_and_state(sandbox: Sandbox) -> None:
    token = send(sandbox, "PATCH", VIP, changes(add=["a"])).json["indexing_token"]
    url = sandbox.url
    sandbox.stop()
    with pytest.raises(ConnectionRefusedError):
        send(sandbox, "GET")
    sandbox.start()
    assert sandbox.url == url
    assert send(sandbox, "GET", f"{VIP}?indexing_token={token}").json["nb_ids"] == 1
    assert len(sandbox.calls) == 2


def test_a_second_stop_has_no_effect_and_a_second_start_fails(sandbox: Sandbox) -> None:
    with pytest.raises(RuntimeError, match="already running"):
        sandbox.start()
    sandbox.stop()
    sandbox.stop()


def test_stopping_closes_idle_connections(sandbox: Sandbox) -> None:
    connection = kept_open(sandbox)
    started = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - started < 5
    assert connection.sock.recv(1) == b""  # the connection is closed
    connection.close()


def test_stopping_waits_for_no_response_and_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    sandbox = Sandbox(latency=3600).start()
    broken: list[BaseException] = []

    def wait_long() -> None:
        try:
            send(sandbox, "PATCH", VIP, changes(add=["a"]), timeout=30)
        except OSError as exc:
            broken.append(exc)

    with caplog.at_level(logging.DEBUG):
        client = threading.Thread(target=wait_long)
        client.start()
        eventually(lambda: sandbox.members("vip"))
        started = time.monotonic()
        sandbox.stop()
        assert time.monotonic() - started < 5
        client.join(5)
    assert len(broken) == 1
    assert [record.message for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_stopping_leaves_no_thread() -> None:
    before = threading.active_count()
    with Sandbox() as sandbox:
        kept_open(sandbox).close()
    assert threading.active_count() == before


def test_latency_is_added_to_each_response() -> None:
    with Sandbox(latency=0.05) as sandbox:
        assert send(sandbox, "GET").status == 200
        assert 0.05 <= sandbox.calls[0].seconds < 5


def test_a_half_sent_request_is_not_a_call(sandbox: Sandbox) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port)) as client:
        client.sendall(f"PATCH {VIP} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode())
    assert send(sandbox, "GET").status == 200
    assert [call.method for call in sandbox.calls] == ["GET"]


@pytest.mark.parametrize("path", ["/", "/sandbox/state", "/sandbox/members/1", VIP])
def test_only_its_own_names_are_answered(sandbox: Sandbox, path: str) -> None:
    own = ["127.0.0.1", "localhost", f"localhost:{sandbox.port}", f"127.0.0.1:{sandbox.port}"]
    others = ["evil.example", f"evil.example:{sandbox.port}", "localhost.evil.example", "127.0.0.1.evil.example"]
    assert [send(sandbox, "GET", path, headers={**HEADERS, "Host": host}).status for host in own] == [200] * 4
    replies = [send(sandbox, "GET", path, headers={**HEADERS, "Host": host}) for host in others]
    assert [(reply.status, reply.content) for reply in replies] == [(400, b"Invalid host header")] * 4
    assert len(sandbox.calls) == (4 if path == VIP else 0)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", VIP, {"type": "custom_ids", "ids": [{"action": "add", "id": "\ud800"}]}),
        ("PUT", VIP, {"type": "custom_ids", "ids": [{"id": "\udfffx"}]}),
        ("POST", f"{AUDIENCES}/new", {"type": "custom_ids", "description": "\ud83d"}),
    ],
)
def test_half_a_character_is_rejected(sandbox: Sandbox, method: str, path: str, body: object) -> None:
    assert send(sandbox, method, path, body).error == (400, 32, "MALFORMED_JSON_BODY")
    assert sandbox.members("vip") == frozenset()
    assert send(sandbox, "GET", "/sandbox/state", headers={}).status == 200


def test_half_a_character_is_rejected_in_attributes_of_2_x(sandbox: Sandbox) -> None:
    for attributes in ({"plan": "\ud800"}, {"\udc00": "gold"}, {"plans": ["gold", "\udbff"]}):
        change = {"name": "vip", "ids": [{"action": "add", "id": "a", "attributes": attributes}]}
        assert post(sandbox, "update", change).cep_error == (400, "MALFORMED_JSON_BODY")
    whole = {"name": "vip", "ids": [{"action": "add", "id": "\U0001f600"}]}  # json.dumps escapes it as two halves
    assert post(sandbox, "update", whole).status == 202
    assert sandbox.members("vip", PROJECT) == {"\U0001f600"}


def test_a_body_can_come_in_pieces(sandbox: Sandbox) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=5)
    whole = json.dumps(changes(add=["a"])).encode()
    connection.request("PATCH", VIP, iter([whole[:9], whole[9:]]), HEADERS, encode_chunked=True)
    assert connection.getresponse().status == 201
    connection.close()


def test_only_127_0_0_1_is_served(sandbox: Sandbox) -> None:
    assert sandbox.url.startswith("http://127.0.0.1:")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", sandbox.port), timeout=1)


def test_a_taken_port_raises_in_the_caller(sandbox: Sandbox) -> None:
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=sandbox.port).start()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"latency": -1}, "0 seconds or more"),
        ({"indexing_delay": -1}, "0 seconds or more"),
        ({"latency": float("nan")}, "0 seconds or more"),
        ({"apps": ()}, "at least one app"),
        ({"indexing_order": "x"}, "sent or random"),
        ({"apps": ["same"], "projects": ["same"]}, "same key"),
        ({"audiences": ["vip", "vip:install_ids"]}, "twice"),
        ({"api_version": "1.0"}, "like 2.11"),
        ({"requests_per_second": 0}, "more than 0"),
        ({"requests_per_second": 1, "rate_limit_wait": float("nan")}, "0 seconds or more"),
    ],
)
def test_wrong_settings_raise_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sandbox(**wrong)


@pytest.mark.parametrize("name", ["", "a b", "é", "x" * 256, "vip:emails"])
def test_a_wrong_name_raises_at_once(name: str) -> None:
    with pytest.raises(ValueError, match="audience name"):
        Sandbox([name])


def test_the_connection_is_airflows_json(sandbox: Sandbox) -> None:
    assert json.loads(sandbox.connection_json()) == {
        "conn_type": "batch",
        "login": APP,
        "password": REST,
        "host": f"http://127.0.0.1:{sandbox.port}",
    }


def test_the_connection_of_a_project_has_its_platform(sandbox: Sandbox) -> None:
    connection = json.loads(sandbox.connection_json(PROJECT))
    assert (connection["login"], connection["password"]) == (PROJECT, REST)
    assert connection["extra"] == {"platform": "cep", "api_version": "2.11"}
    assert json.loads(Sandbox(api_version=None).connection_json(PROJECT))["extra"] == {"platform": "cep"}


def test_a_sandbox_can_have_no_project() -> None:
    with Sandbox(projects=()) as sandbox:
        assert get(sandbox, "list").status == 401
        assert send(sandbox, "GET").status == 200


def test_each_app_has_every_audience_and_its_own_members() -> None:
    with Sandbox(["a", "b"], apps=["ios", "android"], rest_api_key="k") as sandbox:
        path = "/1.0/android/custom-audience/b"
        send(sandbox, "PATCH", path, changes(add=["x"]), headers={**HEADERS, "X-Authorization": "k"})
        assert sandbox.members("b", "android") == {"x"}
        assert sandbox.members("b") == sandbox.members("a", "android") == frozenset()
        assert json.loads(sandbox.connection_json("android"))["login"] == "android"
        assert sandbox.audience("b", "android").nb_ids == 1
        with pytest.raises(Rejected, match="ROUTE_NOT_FOUND"):
            sandbox.members("c")


def test_a_call_is_recorded_before_its_response_arrives(sandbox: Sandbox) -> None:
    send(sandbox, "PATCH", VIP, changes(add=["a", "b"], remove=["c"]), headers={**HEADERS, "User-Agent": "me/1"})
    (call,) = sandbox.calls
    assert (call.method, call.route, call.status) == ("PATCH", "/1.0/{api_key}/custom-audience/vip", 201)
    assert (call.adds, call.removes, call.elements) == (2, 1, 3)
    assert (call.user_agent, call.under_way, call.fault, call.body) == ("me/1", 1, False, None)


def test_records_contain_no_keys_and_no_ids(sandbox: Sandbox) -> None:
    secret = "jane@example.com"
    send(sandbox, "PATCH", VIP, changes(add=[secret]))
    send(sandbox, "GET", f"{AUDIENCES}/{secret}")
    send(sandbox, "GET", f"/2.0/{APP}/{secret}")
    send(sandbox, "GET", f"{VIP}?indexing_token={secret}", headers={"X-Authorization": secret})
    post(sandbox, "update", {"name": "vip", "ids": [{"action": "add", "id": secret}]})
    get(sandbox, "view", name=secret)
    post(sandbox, secret, {})
    post(sandbox, "update", {}, headers={"X-Batch-Project": secret})
    send(sandbox, "POST", f"/2.11/{PROJECT}", headers=CEP_HEADERS)
    assert [call.route for call in sandbox.calls] == [
        "/1.0/{api_key}/custom-audience/vip",
        "/1.0/{api_key}/custom-audience/{name}",
        "unknown route",
        "/1.0/{api_key}/custom-audience/vip",
        "/2.11/audiences/update",
        "/2.11/audiences/view",
        "unknown route",
        "/2.11/audiences/update",
        "unknown route",
    ]
    assert not any(private in repr(sandbox.calls) for private in (secret, APP, PROJECT, REST))


def test_bodies_are_kept_only_on_request_and_never_shown() -> None:
    with Sandbox(keep_bodies=True) as sandbox:
        send(sandbox, "PATCH", VIP, changes(add=["secret-id"]))
        (call,) = sandbox.calls
    assert call.body is not None
    assert json.loads(call.body) == changes(add=["secret-id"])
    assert "secret-id" not in repr(call)


def test_only_the_last_calls_are_kept(sandbox: Sandbox) -> None:
    connection = kept_open(sandbox)
    for _ in range(230):
        connection.request("GET", AUDIENCES, headers=HEADERS)
        connection.getresponse().read()
    connection.close()
    assert len(sandbox.calls) == 200
    assert {call.route for call in sandbox.calls} == {"/1.0/{api_key}/custom-audience"}


def test_calls_count_those_under_way() -> None:
    with Sandbox(latency=2) as sandbox:
        clients = [threading.Thread(target=send, args=(sandbox, "GET")) for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert max(call.under_way for call in sandbox.calls) == 4


def test_no_log_line_contains_a_key(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), Sandbox() as sandbox:
        send(sandbox, "PATCH", VIP, changes(add=["a"]))
    assert "Using selector" in caplog.text  # of the sandbox's own loop: what its thread logs arrives here
    assert not any(private in caplog.text for private in (APP, REST))


def test_importing_costs_no_extra_and_running_imports_nothing_of_the_provider() -> None:
    code = """
import sys
from airflow_provider_batch.sandbox import Fault, Sandbox
assert not {"starlette", "uvicorn", "h11"} & set(sys.modules)
with Sandbox():
    ours = [name for name in sys.modules if name.startswith("airflow_provider_batch.")]
    assert all(name.startswith("airflow_provider_batch.sandbox") for name in ours), ours
    assert not {"airflow", "requests", "httpx"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_error_without_the_extra_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "airflow_provider_batch.sandbox.web", raising=False)
    monkeypatch.delattr("airflow_provider_batch.sandbox.web", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn.config", None)
    with pytest.raises(ImportError, match=r"pip install 'airflow-provider-batch\[sandbox\]'"):
        Sandbox().start()
