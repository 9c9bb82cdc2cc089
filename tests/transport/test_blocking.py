"""What only the blocking transport has: a session that is handed out, and a way to stop it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from queue import Empty
from types import SimpleNamespace
from typing import Any, Final, cast

import psutil
import pytest
import requests
from urllib3.connection import HTTPConnection
from urllib3.util.connection import allowed_gai_family

from airflow_provider_batch.exceptions import BatchConnectionError, PushStoppedError
from airflow_provider_batch.protocol.audiences.chunk import Chunk
from airflow_provider_batch.protocol.flow import Answer
from airflow_provider_batch.protocol.limits import Quota
from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from airflow_provider_batch.protocol.writes import Parcel, Receipt
from airflow_provider_batch.push.delivery import deliver
from airflow_provider_batch.transport import MAX_CONNECTIONS, blocking, deadline
from airflow_provider_batch.transport.blocking import BlockingTransport, open_session
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.deadline import Call
from airflow_provider_batch.transport.pace import Pace
from tests.clock import Clock, as_soon_as, eventually
from tests.transport.conftest import Make
from tests.transport.servers import REST_KEY, STALL, TRICKLES, RawServer, Script, SlowHandshake, answer, self_signed

VIEW = Request("GET", "/1.0/{api_key}/custom-audience/vip")


def transport_to(credentials: Credentials, pace: Pace | None = None, timeout: float = 5) -> BlockingTransport:
    session = open_session(credentials, timeout=timeout)
    return BlockingTransport(session, credentials, pace or Pace(None), timeout=timeout)


def test_ids_count_from_the_moment_at_which_their_call_is_sent(
    credentials: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota, clock = Quota(10), Clock(1000.0)
    pace = Pace(None, clock)
    write = Request("POST", "/2.7/profiles/update", body=b"[]", quota=quota, ids=10)
    with SlowHandshake(answer(202, b""), tls=self_signed(tmp_path)) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "server.pem"))
        transport = transport_to(credentials(server.url), pace, timeout=60)
        with ThreadPoolExecutor(1) as thread:
            first = thread.submit(transport.perform, write)
            eventually(lambda: pace._spent and pace._spent[quota]._unsent == 10)
            clock.now = 1005.0
            turn = pace.turn(quota, 10)
            # It connects still, and counts as sent just now.
            assert [next(turn), next(turn)] == [0.0, pytest.approx(1.04)]
            clock.now = 1006.0
            server.may.set()
            assert cast(Response, first.result(60)).status == 202
        # A new connection may be accepted a little late.
        assert next(turn) == pytest.approx(1.04 + 0.05)


def test_the_ids_of_a_call_that_could_not_connect_do_not_count(credentials: Make) -> None:
    quota, clock = Quota(10), Clock(1000.0)
    pace = Pace(None, clock)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        transport = transport_to(credentials(f"http://127.0.0.1:{nobody.getsockname()[1]}"), pace)
        assert isinstance(
            transport.perform(Request("POST", "/p", body=b"[]", quota=quota, ids=10)), BatchConnectionError
        )
    assert list(pace.turn(quota, 10)) == [0.0]


def test_only_the_first_call_of_a_connection_may_be_late(credentials: Make) -> None:
    quota, clock = Quota(10), Clock(1000.0)
    pace = Pace(None, clock)
    write = Request("POST", "/2.7/profiles/update", body=b"[]", quota=quota, ids=5)
    with RawServer(answer(202, b"")) as server:
        transport = transport_to(credentials(server.url), pace)
        transport.perform(write)
        clock.now += 0.5
        transport.perform(write)
        assert server.connections == 1
    turn = pace.turn(quota, 10)
    assert [next(turn), next(turn)] == [0.0, pytest.approx(1.04)]


@contextmanager
def black_holes(many: int) -> Iterator[list[tuple[str, int]]]:
    """Addresses of this machine that take no connection: their queues of waiting ones are full."""
    with ExitStack() as ending:
        addresses: list[tuple[str, int]] = []
        for number in range(many):
            listener = ending.enter_context(socket.socket())
            listener.bind((f"127.0.0.{10 + number}", addresses[0][1] if addresses else 0))
            listener.listen(0)
            addresses.append(listener.getsockname())
            for _ in range(3):
                waiting = ending.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(addresses[-1])
        yield addresses


def connecting() -> int:
    """How many connections of this process have no answer yet."""
    return sum(one.status == psutil.CONN_SYN_SENT for one in psutil.Process().net_connections("tcp4"))


@contextmanager
def lost_calls(monkeypatch: pytest.MonkeyPatch, credentials: Make, timeout: float) -> Iterator[BlockingTransport]:
    """A transport to a host with three addresses, none of which answers."""
    with black_holes(3) as addresses:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        yield transport_to(credentials(f"http://localhost:{addresses[0][1]}"), timeout=timeout)


def test_the_deadline_is_one_over_all_addresses_of_the_host(monkeypatch: pytest.MonkeyPatch, credentials: Make) -> None:
    with lost_calls(monkeypatch, credentials, timeout=1.0) as transport:
        started = time.monotonic()
        answered = transport.perform(VIEW)
        assert time.monotonic() - started < 2.9  # each of the addresses by itself: 3
    assert "no answer: TimeoutError" in str(answered)


def test_an_interruption_ends_a_call_that_connects(monkeypatch: pytest.MonkeyPatch, credentials: Make) -> None:
    with lost_calls(monkeypatch, credentials, timeout=60.0) as transport, ThreadPoolExecutor(1) as executor:
        before = connecting()
        call = executor.submit(transport.perform, VIEW)
        eventually(lambda: connecting() > before)
        transport.interrupt()
        assert "no answer: TimeoutError" in str(call.result(timeout=5))


@pytest.mark.parametrize("stop_first", [False, True])
def test_a_call_under_way_has_some_seconds_left_when_it_is_told_to_stop(
    stop_first: bool, credentials: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "_LAST_SECONDS", 0.2)
    with RawServer(STALL) as server:
        transport = transport_to(credentials(server.url), timeout=60.0)
        if stop_first:  # right after the transport has looked
            monkeypatch.setattr(transport, "_watch", transport.stop)
        else:
            as_soon_as(lambda: server.asked, transport.stop)
        started = time.monotonic()
        assert "no answer: TimeoutError" in str(transport.perform(VIEW))
        assert time.monotonic() - started < 10.0
        with pytest.raises(PushStoppedError):
            transport.perform(VIEW)


def test_a_call_that_is_answered_in_its_last_seconds_counts(credentials: Make) -> None:
    with RawServer(answer(200, {})) as server:
        transport = transport_to(credentials(server.url), timeout=60.0)
        transport._watch = transport.stop
        assert isinstance(transport.perform(VIEW), Response)


@pytest.mark.parametrize("given", [{}, {"timeout": None}])
def test_a_call_over_the_session_itself_has_the_timeout_too(given: dict[str, Any], credentials: Make) -> None:
    with (
        RawServer(STALL) as server,
        open_session(credentials(server.url), timeout=0.2) as session,
        pytest.raises(requests.Timeout),
    ):
        session.get(server.url, **given)


def test_a_call_over_the_session_itself_may_have_a_timeout_of_its_own(credentials: Make) -> None:
    with (
        RawServer(STALL) as server,
        open_session(credentials(server.url), timeout=600) as session,
        pytest.raises(requests.Timeout),
    ):
        session.get(server.url, timeout=0.2)


def test_the_session_itself_may_be_used_by_a_thread_that_makes_no_other_call(credentials: Make) -> None:
    with (
        RawServer(answer(200)) as server,
        open_session(credentials(server.url), timeout=5) as session,
        ThreadPoolExecutor(1) as thread,
    ):
        answers = [thread.submit(session.get, server.url).result(timeout=10) for _ in range(2)]
        assert [got.status_code for got in answers] == [200, 200]
        assert server.connections == 1


def test_a_call_over_the_session_itself_follows_no_redirect(credentials: Make) -> None:
    with RawServer(answer(200)) as elsewhere, RawServer(answer(302, Location="http://127.0.0.1:1/")) as server:
        with open_session(credentials(server.url), timeout=5) as session:
            got = session.get(server.url, allow_redirects=True)
        assert (got.status_code, got.history, got.next) == (302, [], None)
        assert server.asked[0].headers["x-authorization"] == REST_KEY
        assert elsewhere.connections == 0


def test_a_call_over_the_session_itself_keeps_no_cookie(credentials: Make) -> None:
    given = answer(200, Set_Cookie="a=b; Path=/")
    with RawServer(given) as server, open_session(credentials(server.url), timeout=5) as session:
        for _ in range(2):
            session.get(server.url)
        assert len(session.cookies) == 0
    assert ["cookie" in asked.headers for asked in server.asked] == [False, False]


def test_a_call_over_the_session_itself_has_no_key_of_the_machine(
    credentials: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with RawServer(answer(200)) as server, open_session(credentials(server.url), timeout=5) as session:
        assert session.get(server.url).status_code == 200
    assert "authorization" not in server.asked[0].headers


def test_as_many_connections_are_kept_as_calls_may_be_in_flight(credentials: Make) -> None:
    with RawServer(answer(200)) as server:
        connections: Any = transport_to(credentials(server.url))._connections
        opened = [connections._get_conn() for _ in range(MAX_CONNECTIONS + 1)]
        for connection in opened:
            connection.connect()
            assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            connections._put_conn(connection)
        assert [connection.sock is not None for connection in opened].count(True) == MAX_CONNECTIONS
        for connection in opened:
            connection.close()


def test_the_wait_for_a_connection_is_one_of_the_timeout_at_each_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with black_holes(2) as addresses:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        opened = SimpleNamespace(_dns_host="[localhost]", port=9, socket_options=None, timeout=0.05)
        with Call(3600) as call, pytest.raises(TimeoutError):
            deadline._connected(call, opened)
        assert not call.ended


def test_whoever_else_connects_for_a_call_is_told_how_long_that_may_take(
    monkeypatch: pytest.MonkeyPatch, credentials: Make
) -> None:
    """The package of a SOCKS proxy: while that connects, no deadline reaches it."""
    told: list[float] = []

    def connect(_: object, timeout: float, **__: object) -> None:
        told.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(HTTPConnection, "_socks_options", {}, raising=False)
    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    answered = transport_to(credentials("http://localhost:9"), timeout=7.5).perform(VIEW)
    assert str(answered) == f"{VIEW.route}: no answer: ConnectTimeoutError < TimeoutError"
    assert told == [7.5]


def test_a_call_that_ends_while_the_name_is_looked_up_is_not_sent(
    monkeypatch: pytest.MonkeyPatch, credentials: Make
) -> None:
    with RawServer(answer(200)) as server:
        port = int(server.url.rpartition(":")[2])
        transport = transport_to(credentials(f"http://localhost:{port}"))

        def resolve(*_: object) -> list[Any]:
            transport.interrupt()
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))] * 2

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        assert str(transport.perform(VIEW)) == f"{VIEW.route}: no answer: TimeoutError"
        assert server.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[127.0.0.1]"])
def test_the_first_address_that_answers_is_used_and_the_others_are_closed(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def resolve(*wanted: Any) -> list[Any]:
        asked.append(wanted)
        refused = ("127.0.0.1", 1)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in (refused, taken)]

    with socket.create_server(("127.0.0.1", 0)) as server, Call(3600) as call:
        taken = server.getsockname()
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        before = len(os.listdir("/proc/self/fd"))
        opened = SimpleNamespace(_dns_host=host, port=8443, socket_options=[], timeout=5.0)
        with deadline._connected(call, opened) as line:
            assert (line.getpeername(), line.gettimeout()) == (taken, 5.0)
            assert len(os.listdir("/proc/self/fd")) == before + 2  # and the call's own
    assert asked == [("127.0.0.1", 8443, allowed_gai_family(), socket.SOCK_STREAM)]


@pytest.mark.parametrize("environments", [None, "http://käthe:s3cret@Proxy.Example:3128"])
@pytest.mark.parametrize(("login", "basic"), [("", None), ("user:word@", "Basic dXNlcjp3b3Jk")])
def test_a_proxy_of_a_callers_own_gets_the_callers_login_and_not_that_of_the_environment(
    environments: str | None, login: str, basic: str | None, credentials: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    if environments:
        monkeypatch.setenv("HTTPS_PROXY", environments)
    with (
        RawServer(answer(503)) as proxy,
        open_session(credentials("https://api.batch.com"), timeout=5) as session,
        pytest.raises(requests.exceptions.ProxyError),
    ):
        session.get("https://api.batch.com", proxies={"https": proxy.url.replace("//", f"//{login}")})
    (asked,) = proxy.asked
    assert (asked.method, asked.target) == ("CONNECT", "api.batch.com:443")
    assert asked.headers.get("proxy-authorization") == basic


def test_the_proxy_of_the_environment_gets_its_login_however_its_name_is_spelled(
    credentials: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    with RawServer(answer(503)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//127.0.0.1", "//user:word@LocalHost"))
        transport_to(credentials("https://api.batch.com")).perform(VIEW)
    assert [asked.headers["proxy-authorization"] for asked in proxy.asked] == ["Basic dXNlcjp3b3Jk"]


def test_head_and_body_are_sent_at_once_over_new_and_kept_connections(
    monkeypatch: pytest.MonkeyPatch, credentials: Make
) -> None:
    sent: list[bytes] = []

    def sendall(line: socket.socket, data: bytes) -> None:
        if not data.startswith(b"HTTP/"):  # as the server's answers do
            sent.append(data)
        super(socket.socket, line).sendall(data)

    monkeypatch.setattr(socket.socket, "sendall", sendall, raising=False)
    with RawServer(answer(201)) as server:
        transport = transport_to(credentials(server.url))
        for body in (b"[1]", None, b"", b"[2]"):
            transport.perform(Request("PATCH", "/1.0/{api_key}/custom-audience/vip", (), body))
    assert [data.startswith(b"PATCH /1.0/") for data in sent] == [True] * 4
    assert [data.partition(b"\r\n\r\n")[2] for data in sent] == [b"[1]", b"", b"", b"[2]"]
    assert [asked.body for asked in server.asked] == [b"[1]", b"", b"", b"[2]"]
    assert server.connections == 1


def test_a_session_for_https_does_not_speak_http(credentials: Make) -> None:
    with RawServer(answer(200)) as server, open_session(credentials("https://api.batch.com"), timeout=5) as session:
        with pytest.raises(requests.exceptions.InvalidSchema):
            session.get(server.url)
        assert server.connections == 0


def test_a_stopped_transport_sends_nothing_more(credentials: Make) -> None:
    with RawServer(answer(200)) as server:
        transport = transport_to(credentials(server.url))
        transport.perform(VIEW)
        transport.stopped.set()
        with pytest.raises(PushStoppedError):
            transport.perform(VIEW)
    assert len(server.asked) == 1


def test_a_check_says_whether_the_transport_was_stopped_and_waits_for_nothing(credentials: Make) -> None:
    class Unawaited(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise AssertionError("waited")

    transport = transport_to(credentials("http://127.0.0.1:9"))
    transport.stopped = Unawaited()
    transport.check()
    transport.stopped.set()
    with pytest.raises(PushStoppedError):
        transport.check()


def test_a_stop_ends_a_wait_of_an_hour(credentials: Make) -> None:
    transport = transport_to(credentials("http://127.0.0.1:9"))
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(transport.perform, Sleep(3600))
        transport.stopped.set()
        with pytest.raises(PushStoppedError):
            waiting.result(timeout=10)


def test_a_stop_ends_the_wait_for_a_turn(credentials: Make) -> None:
    transport = transport_to(credentials("http://127.0.0.1:9"), Pace(0.001))
    list(transport._pace.turn())
    as_soon_as(lambda: transport.traffic.pace_seconds, transport.stopped.set)
    with pytest.raises(PushStoppedError):
        transport.perform(VIEW)


class TaskTimeoutError(BaseException):
    """As Airflow's, no Exception, and raised by a signal in the main thread, whatever that does at the moment."""


@contextmanager
def raised_in_the_main_thread(when: Callable[[], bool]) -> Iterator[None]:
    raised = threading.Event()

    def raise_it(*_: object) -> None:
        if not raised.is_set():
            raised.set()
            raise TaskTimeoutError

    def signal_it() -> None:
        # More than once: a signal right before a thread begins to wait does not end that wait.
        while not raised.wait(0.02):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raise_it)
    signalling = as_soon_as(when, signal_it)
    try:
        with pytest.raises(TaskTimeoutError):
            yield
    finally:
        signalling.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("script", [STALL, *TRICKLES.values()], ids=["nothing", *TRICKLES])
def test_an_exception_of_airflow_ends_a_call_at_once(script: Script, credentials: Make) -> None:
    with RawServer(script) as server:
        transport = transport_to(credentials(server.url), timeout=3600)
        with raised_in_the_main_thread(lambda: len(server.asked) == 1):
            transport.perform(VIEW)
    assert not transport._under_way


@pytest.mark.parametrize("script", [STALL, *TRICKLES.values()], ids=["nothing", *TRICKLES])
def test_an_exception_of_airflow_ends_the_calls_of_all_threads_at_once(script: Script, credentials: Make) -> None:
    answers: list[Answer] = []

    def send(parcel: Parcel[Any]) -> Receipt:
        answers.append(transport.perform(VIEW))
        raise PushStoppedError("stopped")

    parcels: list[Parcel[Any]] = [Parcel(Chunk(number, ["a"], []), VIEW, "") for number in range(1, 9)]
    with RawServer(script) as server:
        transport = transport_to(credentials(server.url), timeout=3600)
        with raised_in_the_main_thread(lambda: len(server.asked) == 4):
            list(deliver(parcels, send, max_concurrency=4, stopped=transport.stopped, interrupt=transport.interrupt))
    assert [str(given) for given in answers] == ["GET /1.0/{api_key}/custom-audience/vip: no answer: TimeoutError"] * 4
    assert len(server.asked) == 4


def test_a_deadline_ends_no_call_but_its_own(credentials: Make) -> None:
    with RawServer(answer(200)) as server:
        transport = transport_to(credentials(server.url))
        with Call(3600) as over:
            transport._session.get(server.url)
        over.end()
        assert isinstance(transport.perform(VIEW), Response)
    assert (len(server.asked), server.connections) == (2, 1)


def test_the_shortest_deadline_comes_first_whichever_call_began_first(credentials: Make) -> None:
    with RawServer(TRICKLES["body"]) as server, Call(3600) as long:
        transport = transport_to(credentials(server.url), timeout=0.1)
        given = transport.perform(VIEW)
    assert str(given) == "GET /1.0/{api_key}/custom-audience/vip: no answer: TimeoutError"
    assert not long.ended


def test_a_trickle_over_a_kept_connection_ends_at_the_deadline(credentials: Make) -> None:
    with RawServer(answer(200), TRICKLES["body"]) as server:
        transport = transport_to(credentials(server.url), timeout=0.3)
        assert isinstance(transport.perform(VIEW), Response)
        assert "no answer: TimeoutError" in str(transport.perform(VIEW))
        assert server.connections == 1


def test_a_call_that_is_over_is_forgotten() -> None:
    with Call(3600) as call:
        assert call in deadline._deadlines._calls
    assert call not in deadline._deadlines._calls


class Watched:
    """Where the thread of the deadlines waits: it waits for no time, and sees the clock go on."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.waits: list[float] = []

    def get(self, *, timeout: float) -> None:
        self.waits.append(timeout)
        self.clock.now += timeout
        raise Empty


def test_the_thread_of_the_deadlines_looks_when_the_next_one_is_due_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(100.0)
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=clock))
    deadlines, ended = deadline._Deadlines(), []

    class Ending(Call):
        def end(self) -> None:
            ended.append((self.deadline, clock.now))

    for seconds in (5.0, 0.25, 7.0):
        deadlines._calls.add(Ending(seconds))
    deadlines._earlier = watched = Watched(clock)  # type: ignore[assignment]
    deadlines._thread = threading.current_thread()
    deadlines._watch()
    assert ended == [(100.25, 100.25), (105.0, 105.0), (107.0, 107.0)]
    assert watched.waits == [0.25, 4.75, 2.0, 0.0]
    assert not deadlines._calls
    thread: threading.Thread | None = deadlines._thread
    assert thread is None


def test_the_thread_of_the_deadlines_does_not_keep_the_process_alive() -> None:
    deadlines = deadline._Deadlines()
    deadlines.add(Call(3600))
    thread = deadlines._thread
    assert thread is not None
    assert (thread.name, thread.daemon, thread.is_alive()) == ("batch-deadlines", True, True)
    deadlines.add(earlier := Call(0.05))
    deadlines.add(other := Call(3600))
    assert deadlines._thread is thread
    eventually(lambda: earlier.ended)
    assert not other.ended
    deadlines._calls.clear()
    deadlines._earlier.put(None)
    eventually(lambda: deadlines._thread is None)


def test_a_connection_that_the_other_side_has_ended_is_ended_all_the_same() -> None:
    with Call(3600) as call, socket.socket() as unconnected:
        call.hold(unconnected)
        call.end()
        assert call.ended


def test_a_connection_that_somebody_else_has_opened_is_ended_with_its_call() -> None:
    class Opener:
        _socks_options: Final = {"socks_version": 5}

        def _new_conn(self) -> socket.socket:
            return ours

    ours, theirs = socket.socketpair()
    with ours, theirs:
        opened = type("Connection", (deadline._Reachable, Opener), {})()
        assert opened._new_conn() is ours  # outside of a call, nobody ends it
        with Call(3600) as call:
            assert opened._new_conn() is ours
            call.end()
        assert theirs.recv(1) == b""


def test_deadlines_that_start_over_know_no_earlier_call() -> None:
    deadlines = deadline._Deadlines()
    deadlines._calls.add(forgotten := Call(0))
    deadlines.start_over()
    deadlines.add(call := Call(0.01))
    eventually(lambda: call.ended)
    assert not forgotten.ended


def test_a_host_without_an_address_gives_no_answer(monkeypatch: pytest.MonkeyPatch, credentials: Make) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    answered = transport_to(credentials("http://localhost:9")).perform(VIEW)
    assert str(answered) == f"{VIEW.route}: no answer: NewConnectionError < OSError"


def test_a_forked_process_keeps_its_own_deadlines(credentials: Make) -> None:
    with RawServer(TRICKLES["body"]) as server, Call(3600):
        transport = transport_to(credentials(server.url), timeout=0.1)
        child = os.fork()
        if not child:  # pragma: no cover - in the child
            signal.alarm(20)
            os._exit("TimeoutError" not in str(transport.perform(VIEW)))
        assert os.waitpid(child, 0)[1] == 0


def test_many_threads_share_one_transport(credentials: Make) -> None:
    with RawServer(answer(200, {"a": 1})) as server:
        transport = transport_to(credentials(server.url))
        with ThreadPoolExecutor(8) as executor:
            answers = list(executor.map(transport.perform, [VIEW] * 40))
    assert [given.body for given in answers if isinstance(given, Response)] == [b'{"a": 1}'] * 40
    assert len(server.asked) == 40
    assert server.connections <= 8


class Broken:
    """A session whose every request ends in an error, even the first step of it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def prepare_request(self, *_: object) -> requests.PreparedRequest:
        raise self.error


def caused(*errors: BaseException) -> BaseException:
    """The first of *errors*, each of which was raised from the next one."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def with_reason(error: BaseException, reason: object) -> BaseException:
    error.reason = reason  # type: ignore[attr-defined]  # as urllib3's have one
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (requests.ConnectionError("GET /secret"), "ConnectionError"),
        (caused(OSError("a"), ValueError("b")), "OSError < ValueError"),
        (OSError(errno.ECONNRESET, "reset by peer"), "ConnectionResetError (reset by peer)"),
        (OSError(errno.ECONNRESET, ""), "ConnectionResetError"),
        (caused(requests.Timeout(), OSError(errno.EPIPE, "gone")), "Timeout < BrokenPipeError (gone)"),
        (requests.ConnectionError(OSError(errno.EPIPE, "gone")), "ConnectionError < BrokenPipeError (gone)"),
        (with_reason(requests.ConnectionError("a"), TimeoutError()), "ConnectionError < TimeoutError"),
        (with_reason(caused(OSError("a"), ValueError("b")), KeyError("c")), "OSError < KeyError"),
        (with_reason(OSError("a"), "not one"), "OSError"),
        (caused(*(OSError(str(number)) for number in range(9))), " < ".join(["OSError"] * 6)),
    ],
)
def test_what_broke_is_named_as_deep_as_it_is_known(error: BaseException, told: str, credentials: Make) -> None:
    transport = BlockingTransport(cast(Any, Broken(error)), credentials("http://127.0.0.1:9"), Pace(None), timeout=5)
    broken = transport.perform(VIEW)
    assert str(broken) == f"GET /1.0/{{api_key}}/custom-audience/vip: no answer: {told}"


def test_a_stop_says_so(credentials: Make) -> None:
    transport = transport_to(credentials("http://127.0.0.1:9"))
    transport.stopped.set()
    with pytest.raises(PushStoppedError, match=r"^stopped before the next call$"):
        transport.perform(VIEW)
