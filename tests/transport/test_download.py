"""The download from an address that is not Batch's."""

from __future__ import annotations

import gzip
import io
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_batch.exceptions import (
    BatchConnectionError,
    BatchError,
    BatchProtocolError,
    ExportError,
    PushStoppedError,
    ResultError,
)
from airflow_provider_batch.transport.download import Downloader
from tests.transport.servers import HANG_UP, STALL, TRICKLES, RawServer, Script, Torn, answer

LOCAL, PUBLIC = "http://127.0.0.1:1", "https://api.batch.example"


def save(address: str, base_url: str = LOCAL, size: int | None = None, timeout: float = 5) -> bytes:
    into = io.BytesIO()
    downloader = Downloader(base_url, timeout=timeout, stopped=threading.Event())
    assert downloader.save(address, into, size) == len(into.getvalue())
    return into.getvalue()


def unsafe(reason: str) -> str:
    return f"the address of the export's file is not used: {reason}. Check the connection's host, and any proxy."


def test_nothing_of_ours_goes_along() -> None:
    with RawServer(answer(200, b"[]")) as server:
        assert save(f"{server.url}/f?signature=s") == b"[]"
    (asked,) = server.asked
    assert (asked.method, asked.target) == ("GET", "/f?signature=s")
    assert set(asked.headers) <= {"host", "accept-encoding", "user-agent"}
    assert asked.headers["accept-encoding"] == "identity"
    assert "airflow" not in asked.headers.get("user-agent", "")


def test_an_address_may_lack_the_host() -> None:
    with RawServer(answer(200, b"[]")) as server:
        assert save("/f", server.url) == b"[]"


def test_an_address_may_be_relative_to_that_which_leads_to_it() -> None:
    with RawServer(answer(200, b"[]")) as server:
        save("f?signature=s", f"{server.url}/2.11/exports/download")
    assert [call.target for call in server.asked] == ["/2.11/exports/f?signature=s"]


def test_a_redirect_is_not_followed_any_further() -> None:
    server = RawServer(answer(302, b"", Location="https://elsewhere.example/"))
    with server, pytest.raises(ExportError, match="answered 302") as caught:
        save(f"{server.url}/f")
    assert caught.value.retryable
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404, 410, 429, 500, 503])
def test_any_other_answer_than_the_file_is_an_error_that_may_pass(status: int) -> None:
    server = RawServer(answer(status, b"<Error>secret</Error>"))
    with server, pytest.raises(ExportError) as caught:
        save(f"{server.url}/f?signature=s")
    assert caught.value.retryable
    assert str(caught.value) == f"GET the file of the export: answered {status}. Its address may have expired."


CUT = {
    "no answer": HANG_UP,
    "in the status": Torn(b"HTTP/1.1 2"),
    "in the body": Torn(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{}"),
    "in a chunk": Torn(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[{"),
    "before the last chunk": Torn(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[{\r\n"),
}


@pytest.mark.parametrize("script", CUT.values(), ids=CUT.keys())
def test_a_file_that_is_cut_short_is_an_error_that_may_pass(script: Script) -> None:
    with RawServer(script) as server, pytest.raises(BatchConnectionError) as caught:
        save(f"{server.url}/f?signature=s")
    assert caught.value.retryable
    assert "signature" not in str(caught.value)
    assert server.url not in str(caught.value)


def test_a_file_that_is_cut_short_says_by_how_much() -> None:
    torn = Torn(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 1_500)
    with RawServer(torn) as server, pytest.raises(BatchConnectionError) as caught:
        save(f"{server.url}/f")
    assert str(caught.value) == "GET the file of the export: the answer ends after 1,500 of 20,000 bytes"


def test_a_file_is_kept_as_it_was_packed() -> None:
    packed = gzip.compress(b"[]")
    with RawServer(answer(200, packed, Content_Encoding="gzip")) as server:
        assert save(f"{server.url}/f", size=len(packed)) == packed


def test_a_file_whose_size_is_not_known_has_an_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_batch.transport.download._LARGEST", 1_000)
    with RawServer(answer(200, b"x" * 1_000), answer(200, b"x" * 1_001)) as server:
        assert len(save(f"{server.url}/f")) == 1_000
        with pytest.raises(ExportError) as caught:
            save(f"{server.url}/f")
    assert str(caught.value) == ("GET the file of the export: it has more than 1,000 bytes, but Batch reports 1,000.")


def test_a_file_that_is_too_long_is_not_read_to_its_end() -> None:
    with RawServer(answer(200, b"x" * 1124)) as server:
        assert len(save(f"{server.url}/f", size=100)) == 1124  # gzip may make a small file larger
        with pytest.raises(ExportError, match="more than 1,123 bytes, but Batch reports 99"):
            save(f"{server.url}/f", size=99)


def test_a_large_file_is_held_in_pieces() -> None:
    class Pieces(io.BytesIO):
        longest = 0

        def write(self, piece: Any) -> int:
            self.longest = max(self.longest, len(piece))
            return super().write(piece)

    into = Pieces()
    with RawServer(answer(200, b"x" * 200_000)) as server:
        assert Downloader(LOCAL, timeout=5, stopped=threading.Event()).save(f"{server.url}/f", into, None) == 200_000
    assert into.longest <= 65_536


def test_a_file_that_never_ends_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_batch.transport.download._LONGEST", 0.3)
    with RawServer(TRICKLES["body"]) as server, pytest.raises(BatchConnectionError, match="TimeoutError"):
        save(f"{server.url}/f")


def test_a_silent_answer_ends_at_the_timeout_of_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_batch.transport.download._LONGEST", 10)
    with RawServer(STALL) as server, pytest.raises(BatchConnectionError) as caught:
        save(f"{server.url}/f", timeout=0.2)
    assert str(caught.value) == "GET the file of the export: no answer: ReadTimeout < ReadTimeoutError < TimeoutError"


def test_an_end_at_the_deadline_is_not_that_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a length, the end of the connection is the end of the file."""
    monkeypatch.setattr("airflow_provider_batch.transport.download._LONGEST", 0.3)
    over = threading.Event()

    def begun() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n["
        over.wait(10)

    with RawServer(begun()) as server, pytest.raises(BatchConnectionError) as caught:
        save(f"{server.url}/f")
    over.set()
    assert str(caught.value) == "GET the file of the export: no answer: TimeoutError"


def test_a_full_disk_is_an_error_with_its_remedy() -> None:
    class Full(io.BytesIO):
        def write(self, piece: Any) -> int:
            raise OSError(28, "No space left on device")

    downloader = Downloader(LOCAL, timeout=5, stopped=threading.Event())
    with RawServer(answer(200, b"[]")) as server, pytest.raises(ResultError) as caught:
        downloader.save(f"{server.url}/f", Full(), None)
    assert str(caught.value) == (
        "the temporary file cannot be written: No space left on device. Free space, or set TMPDIR to a larger disk."
    )


def test_a_stop_ends_it() -> None:
    stopped = threading.Event()
    stopped.set()
    with (
        RawServer(answer(200, b"x" * 1000)) as server,
        pytest.raises(PushStoppedError, match=r"^stopped during a download$"),
    ):
        Downloader(LOCAL, timeout=5, stopped=stopped).save(f"{server.url}/f", io.BytesIO(), None)


@pytest.mark.parametrize(
    "address",
    [
        "http://storage.example/f",
        "http://127.0.0.1/f",
        "ftp://storage.example/f",
        "file:///etc/passwd",
        "https://user:word@storage.example/f",
        "https://[::1/f",
        "https://storage.example:port/f",
        "https://storage.example/\x00",
        "https://127.0.0.1/f",
        "https://localhost/f",
        "https://[::1]/f",
        "https://[::ffff:10.0.0.1]/f",
        "https://[64:ff9b::10.0.0.1]/f",
        "https://[2002:0a00:0001::]/f",
        "https://10.0.0.1/f",
        "https://192.168.1.1:8443/f",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00::1]/f",
        "https://0.0.0.0/f",
    ],
)
def test_an_address_that_may_lead_astray_is_refused_before_anything_is_sent(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*arguments: Any, **others: Any) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    with pytest.raises(BatchProtocolError, match="the address of the export's file is not used") as caught:
        save(address, PUBLIC)
    assert not caught.value.retryable
    assert "storage" not in str(caught.value)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("https://user:word@storage.example/f", "it is not a web address without credentials"),
        ("https://[::1/f", "it is not a web address without credentials"),
        ("http://storage.example/f", "it is not encrypted (https)"),
        ("http://10.0.0.1/f", "it is not encrypted (https)"),
        ("https://10.0.0.1/f", "it is inside this network"),
        ("https://169.254.169.254/f", "it is inside this network"),
    ],
)
def test_a_sandbox_leads_to_the_loopback_alone(address: str, reason: str) -> None:
    with pytest.raises(BatchProtocolError) as caught:
        save(address, LOCAL)
    assert str(caught.value) == unsafe(reason)


def test_the_host_of_the_connection_itself_may_be_in_this_network() -> None:
    """Such as a proxy of the company's own before Batch; it has the keys already, and gets none again."""
    downloader = Downloader("https://10.0.0.1:8443/batch", timeout=5, stopped=threading.Event())
    assert downloader._checked("https://10.0.0.1:8443/files/f") == "https://10.0.0.1:8443/files/f"
    assert downloader._checked("/files/f") == "https://10.0.0.1:8443/files/f"
    for address in ("https://10.0.0.1/f", "https://10.0.0.2:8443/f", "http://10.0.0.1:8443/f"):
        with pytest.raises(BatchProtocolError, match="is not used"):
            downloader._checked(address)


@pytest.mark.parametrize("host", ["8.8.8.8", "2a00:1450::a00:1", "64:ff9b::808:808", "storage.example"])
def test_what_is_outside_this_network_is_allowed(host: str) -> None:
    assert Downloader(PUBLIC, timeout=5, stopped=threading.Event())._is_allowed(host)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "::1%lo", "fe80::1%eth0", "::ffff:10.0.0.1"])
def test_a_name_that_leads_into_this_network_is_found_out_before_anything_is_sent(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(answer(200, b"[]")) as server:
        port = int(server.url.rpartition(":")[2])

        def resolve(host: str, *rest: Any, **others: Any) -> Any:
            assert host == "storage.example"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with pytest.raises(BatchProtocolError) as caught:
            save(f"https://storage.example:{port}/f", PUBLIC)
    assert str(caught.value) == unsafe("it leads into this network")
    assert not caught.value.retryable
    assert server.asked == []


def test_behind_a_proxy_the_proxy_resolves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is the one to the proxy, which is in this network."""
    with RawServer(answer(503)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(BatchConnectionError, match="the proxy answered 503"):
            save("https://storage.example/f", PUBLIC)
    assert [asked.method for asked in proxy.asked] == ["CONNECT"]


def test_the_address_is_in_no_log(told: Callable[[], str]) -> None:
    for name in ("urllib3", "requests", "airflow_provider_batch"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    with RawServer(answer(200, b"[]"), answer(403)) as server:
        save(f"{server.url}/a-secret-path?signature=s")
        with pytest.raises(BatchError):
            save(f"{server.url}/a-secret-path?signature=s")
        text = told()
        import requests

        requests.get(f"{server.url}/another", timeout=5)
    assert "secret-path" not in text
    assert "signature" not in text
    assert "another" in told()  # what others log goes on
