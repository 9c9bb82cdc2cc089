"""What both transports do on the wire."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest

from airflow_provider_batch.exceptions import BatchConnectionError
from airflow_provider_batch.protocol.dialect import MEP, Platform, cep
from airflow_provider_batch.protocol.flow import Answer
from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.transport import MAX_BODY
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.pace import Pace, Turn
from tests.clock import Clock
from tests.transport.conftest import Converse, Make
from tests.transport.servers import (
    HANG_UP,
    KEY,
    REST_KEY,
    STALL,
    TRICKLES,
    RawServer,
    Script,
    Torn,
    Trickle,
    answer,
    self_signed,
)

VIEW = Request("GET", "/1.0/{api_key}/custom-audience/vip", (("indexing_token", "a b&c=d"),))
PUSH = Request("PATCH", "/1.0/{api_key}/custom-audience/vip", (), b'{"type":"custom_ids","ids":[]}')


def broken(answers: object) -> BatchConnectionError:
    """The one broken connection in *answers*, with no key in anything that it prints."""
    assert isinstance(answers, list)
    (error,) = answers
    assert isinstance(error, BatchConnectionError)
    printed = "".join([str(error), repr(error), repr(vars(error)), *format_exception(error)])
    assert KEY not in printed
    assert REST_KEY not in printed
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


def response(given: Answer) -> Response:
    assert isinstance(given, Response)
    return given


def test_a_request_is_sent_as_the_pages_ask(converse: Converse, credentials: Make) -> None:
    with RawServer(answer(201, {"indexing_token": "t"})) as server:
        converse(credentials(server.url), PUSH)
    (asked,) = server.asked
    assert (asked.method, asked.target, asked.body) == ("PATCH", f"/1.0/{KEY}/custom-audience/vip", PUSH.body)
    wanted = {
        "x-authorization": REST_KEY,
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "tests/1",
        "content-length": str(len(PUSH.body or b"")),
    }
    assert wanted.items() <= asked.headers.items()
    assert not asked.headers.keys() & {"authorization", "cookie", "transfer-encoding"}


def test_a_question_has_its_query_encoded_and_no_body(converse: Converse, credentials: Make) -> None:
    with RawServer(answer(200, {})) as server:
        converse(credentials(server.url), VIEW)
    (asked,) = server.asked
    path, _, query = asked.target.partition("?")
    assert (asked.method, path, asked.body) == ("GET", f"/1.0/{KEY}/custom-audience/vip", b"")
    assert query.replace("+", "%20") == "indexing_token=a%20b%26c%3Dd"


def test_a_key_with_signs_of_an_address_arrives_as_one_segment(converse: Converse) -> None:
    with RawServer(answer(200, {})) as server:
        converse(Credentials(server.url, "a/b?c%2Fd~e", "r"), VIEW)
    assert server.asked[0].target.partition("?")[0] == "/1.0/a%2Fb%3Fc%252Fd~e/custom-audience/vip"


def test_an_answer_comes_back_whole(converse: Converse, credentials: Make) -> None:
    with RawServer(answer(201, b'{"a": 1}', Retry_After="7", X_Odd="yes")) as server:
        (given,) = converse(credentials(server.url), VIEW)
    got = response(given)
    assert (got.status, got.body) == (201, b'{"a": 1}')
    assert got.headers["retry-after"] == "7"
    assert got.headers["x-odd"] == "yes"
    assert got.received_at > 0


@pytest.mark.parametrize("status", [204, 301, 400, 401, 404, 429, 500, 503, 599])
def test_every_status_is_an_answer(status: int, converse: Converse, credentials: Make) -> None:
    with RawServer(answer(status)) as server:
        (given,) = converse(credentials(server.url), PUSH)
    assert response(given).status == status
    assert len(server.asked) == 1


def test_answers_in_pieces_are_put_together(converse: Converse, credentials: Make) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with RawServer([head, b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n"]) as server:
        (given,) = converse(credentials(server.url), VIEW)
    assert response(given).body == b"abcde"


def test_one_connection_serves_many_calls(converse: Converse, credentials: Make) -> None:
    with RawServer(answer(200, {"some": "answer"})) as server:
        converse(credentials(server.url), *[VIEW, PUSH] * 5)
    assert len(server.asked) == 10
    assert server.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int, converse: Converse, credentials: Make) -> None:
    with RawServer(answer(200, {})) as elsewhere:
        with RawServer(answer(status, Location=f"{elsewhere.url}/1.0/x/custom-audience/vip")) as server:
            push, view = converse(credentials(server.url), PUSH, VIEW)
        assert (response(push).status, response(view).status) == (status, status)
        assert len(server.asked) == 2
        assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [300, 302, 400, 401, 500])
def test_the_keys_are_blotted_out_of_what_is_no_success(status: int, converse: Converse, credentials: Make) -> None:
    with RawServer(answer(status, {"message": f"{KEY} and {REST_KEY}"})) as server:
        (given,) = converse(credentials(server.url), PUSH)
    assert response(given).body == b'{"message": "*** and ***"}'


@pytest.mark.parametrize("quoted", ["app/key-1", r"app\/key-1", "app%2Fkey-1"])
def test_a_key_with_a_slash_is_blotted_out_however_it_is_quoted(quoted: str, converse: Converse) -> None:
    with RawServer(answer(400, f'{{"path": "/1.0/{quoted}/custom-audience"}}'.encode())) as server:
        (given,) = converse(Credentials(server.url, "app/key-1", REST_KEY), PUSH)
    assert response(given).body == b'{"path": "/1.0/***/custom-audience"}'


def test_cookies_are_not_sent_back(converse: Converse, credentials: Make) -> None:
    with RawServer(answer(200, {}, Set_Cookie="session=1; Path=/")) as server:
        converse(credentials(server.url), VIEW, VIEW)
    assert [asked.headers.get("cookie") for asked in server.asked] == [None, None]


@pytest.mark.parametrize(
    ("platform", "authorization"), [(MEP, None), (cep(), f"Bearer {REST_KEY}")], ids=["mep", "cep"]
)
def test_a_netrc_does_not_replace_the_key(
    platform: Platform, authorization: str | None, converse: Converse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\ndefault login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    # Over https, where the environment counts.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "server.pem"))
    with RawServer(answer(200, {}), tls=self_signed(tmp_path)) as server:
        (given,) = converse(Credentials(server.url, KEY, REST_KEY, platform=platform), VIEW)
    assert response(given).status == 200
    assert server.asked[0].headers.get("authorization") == authorization


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_http_on_the_loopback_does_not_go_through_a_proxy(
    variable: str, converse: Converse, credentials: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with RawServer(answer(200, {})) as proxy, RawServer(answer(200, {})) as server:
        monkeypatch.setenv(variable, proxy.url)
        converse(credentials(server.url), VIEW)
    assert (len(server.asked), len(proxy.asked)) == (1, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_loopbacks_are_reached(host: str, converse: Converse, credentials: Make) -> None:
    try:
        server = RawServer(answer(200, {}), host=host)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with server:
        (given,) = converse(credentials(server.url), VIEW)
    assert response(given).status == 200


def test_fifty_megabytes_are_not_read(converse: Converse, credentials: Make) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b"HTTP/1.1 500 Oops\r\nContent-Length: 52428800\r\n\r\n"
        for _ in range(50):
            yield b"x" * 1_048_576
            sent += 1

    with RawServer(endless()) as server:
        (given,) = converse(credentials(server.url), VIEW)
    assert response(given).body == b"x" * MAX_BODY
    assert sent < 25  # what the system buffers on the way was sent, too


def test_what_is_packed_against_the_request_is_bounded_as_well(converse: Converse, credentials: Make) -> None:
    bomb = gzip.compress(b"x" * 52_428_800)
    with RawServer(answer(200, bomb, Content_Encoding="gzip")) as server:
        (given,) = converse(credentials(server.url), VIEW)
    assert response(given).body == b"x" * MAX_BODY


_TORN: dict[str, Script] = {
    "hung up at once": HANG_UP,
    "cut in the status line": Torn(b"HTTP/1.1 2"),
    "no HTTP": Torn(b"220 mail.example ESMTP ready\r\n\r\n"),
    "packed, but not really": answer(200, b"not gzip", Content_Encoding="gzip"),
}


@pytest.mark.parametrize("script", _TORN.values(), ids=_TORN)
def test_what_is_no_whole_answer_is_a_broken_connection(script: Script, converse: Converse, credentials: Make) -> None:
    with RawServer(script) as server:
        error = broken(converse(credentials(server.url), VIEW, timeout=5))
    assert str(error).startswith("GET /1.0/{api_key}/custom-audience/vip: no answer: ")
    assert error.retryable


@pytest.mark.parametrize("body", [b"", b'{"indexing_token'])
def test_a_body_that_is_shorter_than_announced_is_a_broken_connection(
    body: bytes, converse: Converse, credentials: Make
) -> None:
    torn = b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n" + body
    with RawServer(Torn(torn)) as server:
        broken(converse(credentials(server.url), PUSH))


def test_a_cut_body_of_the_sandbox_is_a_broken_connection(converse: Converse, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(Fault(cut_body=True))
    keys = Credentials(batch_sandbox.url, "sandbox-app-key", "sandbox-rest-key")
    (given,) = converse(keys, Request("GET", VIEW.path))
    assert isinstance(given, BatchConnectionError)


def test_a_reset_is_a_broken_connection(converse: Converse, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(Fault(reset=True))
    keys = Credentials(batch_sandbox.url, "sandbox-app-key", "sandbox-rest-key")
    broken_, whole = converse(keys, Request("GET", VIEW.path), Request("GET", VIEW.path))
    assert isinstance(broken_, BatchConnectionError)
    assert response(whole).status == 200


@pytest.mark.parametrize(
    "script", [STALL, [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"half"]], ids=["nothing", "half"]
)
def test_an_answer_that_does_not_come_is_a_broken_connection(
    script: Script, converse: Converse, credentials: Make
) -> None:
    with RawServer(script) as server:
        error = broken(converse(credentials(server.url), PUSH, timeout=0.2))
    assert "Timeout" in str(error)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("trickle", TRICKLES.values(), ids=TRICKLES)
def test_an_answer_that_trickles_ends_at_the_deadline(
    trickle: Trickle,
    tls: bool,
    converse: Converse,
    credentials: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "server.pem"))
    with RawServer(trickle, tls=self_signed(tmp_path) if tls else None) as server:
        error = broken(converse(credentials(server.url), PUSH, timeout=0.8))
    assert str(error) == "PATCH /1.0/{api_key}/custom-audience/vip: no answer: TimeoutError"
    assert error.retryable
    assert len(server.asked) == 1


def test_a_server_that_does_not_read_ends_the_call_at_the_deadline(converse: Converse, credentials: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        push = Request("PATCH", PUSH.path, (), b"x" * 20_000_000)
        error = broken(converse(credentials(f"http://127.0.0.1:{deaf.getsockname()[1]}"), push, timeout=0.3))
    assert "Timeout" in str(error)


def test_nobody_listening_is_a_broken_connection(converse: Converse, credentials: Make) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = broken(converse(credentials(f"http://127.0.0.1:{unused.getsockname()[1]}"), VIEW))
    assert str(error).startswith("GET /1.0/{api_key}/custom-audience/vip: no answer: ")
    assert "Connect" in str(error)


def test_an_unknown_host_is_a_broken_connection(converse: Converse, credentials: Make) -> None:
    broken(converse(credentials("https://nowhere.invalid"), VIEW, timeout=5))


@pytest.mark.parametrize("host", ["api..batch.com", "a" * 70 + ".example", ".example"])
def test_a_host_that_is_no_name_is_a_broken_connection(host: str, converse: Converse, credentials: Make) -> None:
    broken(converse(credentials(f"https://{host}"), VIEW, timeout=5))


def test_a_certificate_that_nobody_vouches_for_is_refused(
    converse: Converse, credentials: Make, tmp_path: Path
) -> None:
    with RawServer(answer(200, {}), tls=self_signed(tmp_path)) as server:
        error = broken(converse(credentials(server.url), VIEW))
    assert server.asked == []
    assert "no answer" in str(error)


def test_tls_is_not_spoken_to_a_server_of_plain_http(converse: Converse, credentials: Make) -> None:
    with RawServer(answer(200, {})) as server:
        broken(converse(credentials(server.url.replace("http:", "https:")), VIEW, timeout=2))


def test_a_wait_is_answered_with_nothing(converse: Converse, credentials: Make) -> None:
    assert converse(credentials("http://127.0.0.1:9"), Sleep(0.0), Sleep(0.001)) == [None, None]


def test_each_call_takes_its_turn(converse: Converse, credentials: Make) -> None:
    turns = []

    class Counted(Pace):
        def turn(self, *quota: Any) -> Turn:
            turns.append(1)
            return super().turn(*quota)

    with RawServer(answer(200, {})) as server:
        converse(credentials(server.url), VIEW, Sleep(0), VIEW, pace=Counted(None))
    assert len(turns) == 2


def test_a_success_comes_back_as_it_is_whatever_it_holds(converse: Converse, credentials: Make) -> None:
    with RawServer(answer(200, {"name": KEY})) as server:
        (given,) = converse(credentials(server.url), VIEW)
    assert response(given).body == b'{"name": "%s"}' % KEY.encode()


def test_an_answer_that_never_ends_is_a_broken_connection(converse: Converse, credentials: Make) -> None:
    hung_up = threading.Event()

    def dripping() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
        while not hung_up.wait(0.02):  # each piece comes in time
            yield b"x"

    with RawServer(dripping()) as server:
        error = broken(converse(credentials(server.url), VIEW, timeout=0.3))
        hung_up.set()
    assert str(error) == f"{VIEW.route}: no answer: TimeoutError"


def test_a_wait_of_everyone_holds_the_pace(converse: Converse, credentials: Make) -> None:
    pace = Pace(None, Clock(1000.0))
    converse(credentials("http://127.0.0.1:9"), Sleep(0.01), pace=pace)
    assert next(pace.turn()) == 0
    converse(credentials("http://127.0.0.1:9"), Sleep(0.01, everyone=True), pace=pace)
    assert next(pace.turn()) == pytest.approx(0.01)
