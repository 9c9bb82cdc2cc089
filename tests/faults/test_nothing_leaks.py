"""Neither an id nor a key in a log record or an error, with everything at DEBUG and everything going wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from traceback import TracebackException

import pytest

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.conftest import hook_logs_a_line
from tests.faults.conftest import Connect
from tests.faults.service import Service, in_pieces
from tests.faults.test_one_fault import PASSING
from tests.transport.servers import HANG_UP, KEY, REST_KEY, STALL, Asked, RawServer, Script, Torn, answer

MARK = "marked-id"
ADDS = [f"{MARK}-{number:03}" for number in range(60)]
REMOVES = [f"{MARK}-gone-{number:03}" for number in range(6)]
SANDBOX_KEYS = ("marked-app-key", "marked-rest-key")

#: On which platform, by the connection's extra.
BOTH = pytest.mark.parametrize("platform", [{}, {"platform": "cep"}], ids=["mep", "cep"])


class Records(logging.Handler):
    """All that is logged anywhere, formatted as a worker's log is, tracebacks included, and all that is printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(logging.DEBUG)
        self._logged: list[str] = []
        self._capsys = capsys

    def emit(self, record: logging.LogRecord) -> None:
        self._logged += [self.format(record), repr(record.__dict__)]

    def told(self) -> list[str]:
        """All of it up to now: what Airflow 3 logs by itself it prints."""
        self._logged += self._capsys.readouterr()
        return self._logged


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Records]:
    records = Records(capsys)
    existing = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    loggers = [logging.getLogger(), *existing, logging.getLogger("urllib3.connection")]
    for logger in loggers:
        monkeypatch.setattr(logger, "level", logging.DEBUG)
        monkeypatch.setattr(logger, "disabled", False)
        logger.manager._clear_cache()  # type: ignore[attr-defined]
        # A logger that does not propagate would keep its records to itself.
        if logger.parent is None or not logger.propagate:
            logger.addHandler(records)
    line = hook_logs_a_line()
    yield records
    for heard in (line, "Starting new HTTP connection"):
        assert any(heard in text for text in records.told())
    for logger in loggers:
        logger.removeHandler(records)


def told_by(error: BaseException | None) -> list[str]:
    """Everything that an error can be made to say: text, attributes, and its traceback with all causes."""
    if error is None:
        return []
    told = [
        str(error),
        repr(error),
        repr(error.args),
        repr(vars(error)),
        *TracebackException.from_exception(error).format(),
    ]
    return [*told, *told_by(error.__cause__), *told_by(error.__context__)]


def assert_private(told: list[str], *secrets: str) -> None:
    for text in told:
        for secret in secrets:
            assert secret not in text


@BOTH
def test_a_push_through_every_fault_tells_nothing(
    platform: dict[str, str], connect: Connect, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, rest = SANDBOX_KEYS
    of_project = {"projects": [key], "apps": ["other-app"]} if platform else {"apps": [key]}
    with Sandbox(rest_api_key=rest, **of_project) as sandbox:  # type: ignore[arg-type]  # lists of keys
        hook = connect(sandbox, login=key, timeout=1, max_attempts=12, max_concurrency=6, **platform)
        sandbox.faults(*(fault for faults in PASSING.values() for fault in faults))
        result = hook.update_custom_audience("vip", add_ids=ADDS, remove_ids=REMOVES, chunk_size=3)
        sandbox.faults(Fault(502, body="<html>"), Fault(reset=True), Fault(200, body={"indexing_state": "PONDERING"}))
        audience = hook.wait_for_indexing("vip", result.indexing_tokens[:3], poke_interval=0.1, timeout=20)
        assert sandbox.members("vip", key) == set(ADDS)
    assert len(records.told()) > 100
    assert_private([*records.told(), repr(result), repr(result.summary()), repr(audience)], MARK, *SANDBOX_KEYS)


@BOTH
@pytest.mark.parametrize("fault", [faults[0] for faults in PASSING.values()], ids=list(PASSING))
def test_a_push_that_ends_in_a_fault_tells_nothing(
    fault: Fault, platform: dict[str, str], connect: Connect, records: Records
) -> None:
    key, rest = SANDBOX_KEYS
    of_project = {"projects": [key], "apps": ["other-app"]} if platform else {"apps": [key]}
    with Sandbox(rest_api_key=rest, **of_project) as sandbox:  # type: ignore[arg-type]  # lists of keys
        hook = connect(sandbox, login=key, timeout=0.3, max_attempts=1, max_concurrency=6, **platform)
        sandbox.faults(*[fault] * 50)
        with pytest.raises(BatchError) as caught:
            hook.update_custom_audience("vip", add_ids=ADDS, remove_ids=REMOVES, chunk_size=11)
    assert_private([*records.told(), *told_by(caught.value)], MARK, *SANDBOX_KEYS)


def quoted(asked: Asked) -> bytes:
    """All that was sent, on one line."""
    ids = [element["id"] for element in json.loads(asked.body)["ids"]] if asked.body else []
    keys = [value for name, value in asked.headers.items() if "authorization" in name or "project" in name]
    return f"{asked.target} {' '.join(keys)} {' '.join(ids)}".encode()


#: Where an answer may quote what was sent: what the HTTP libraries cannot read, they like to repeat.
QUOTING: dict[str, Callable[[bytes], bytes]] = {
    "no HTTP": lambda text: text + b"\r\n\r\n",
    "reason": lambda text: b"HTTP/1.1 502 " + text + b"\r\nContent-Length: 0\r\n\r\n",
    "status": lambda text: b"HTTP/1.1 " + text + b"\r\n\r\n",
    "header": lambda text: b"HTTP/1.1 502 Bad\r\nX-Quoted: " + text + b"\r\nContent-Length: 0\r\n\r\n",
    "no header": lambda text: b"HTTP/1.1 502 Bad\r\nX: y\r\n" + text + b"\r\nContent-Length: 0\r\n\r\n",
    "folded header": lambda text: b"HTTP/1.1 502 Bad\r\n " + text + b"\r\nContent-Length: 0\r\n\r\n",
    "length": lambda text: b"HTTP/1.1 201 Created\r\nContent-Length: " + text + b"\r\n\r\n{}",
    "lengths": lambda text: b"HTTP/1.1 201 Created\r\nContent-Length: 1, " + text + b"\r\n\r\n{}",
    "chunk": lambda text: b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n" + text + b"\r\n",
    "encoding": lambda text: b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n" + text,
    "Retry-After": lambda text: b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: " + text + b"\r\n\r\n",
    "Location": lambda text: b"HTTP/1.1 302 Go\r\nContent-Length: 0\r\nLocation: http://" + text + b"\r\n\r\n",
    "cookie": lambda text: b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nSet-Cookie: " + text + b"\r\n\r\n",
    "no JSON": lambda text: answer(201, text),
    "no token": lambda text: answer(201, {"indexing_token": [text.decode()]}),
    "cut off": lambda text: b"HTTP/1.1 201 Created\r\nContent-Length: 99999\r\n\r\n" + text,
}


@BOTH
@pytest.mark.parametrize(
    "quote",
    [pytest.param(quote, id=name) for name, quote in QUOTING.items()],
)
def test_an_answer_that_quotes_what_was_sent_anywhere_is_not_repeated(
    quote: Callable[[bytes], bytes], platform: dict[str, str], connect: Connect, records: Records
) -> None:
    def quoting(asked: Asked) -> Iterator[bytes]:
        yield quote(quoted(asked))
        raise ConnectionAbortedError

    with RawServer(quoting) as server:  # type: ignore[arg-type]
        hook = connect(server, timeout=2, max_attempts=1, **platform)
        with pytest.raises(BatchError) as caught:
            hook.update_custom_audience("vip", add_ids=ADDS, chunk_size=30)
    assert_private([*records.told(), *told_by(caught.value)], MARK, KEY, REST_KEY)


def test_what_is_no_answer_at_all_tells_nothing(connect: Connect, records: Records) -> None:
    silent: list[Script] = [
        STALL,
        HANG_UP,
        Torn(b"HTTP/1.1 20"),
        answer(307, Location="http://127.0.0.1:1/"),
        b"\x00\r\n\r\n",
    ]
    told = []
    for script in [*silent, in_pieces(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1_000_000, lambda: None, 50)]:
        with RawServer(script) as server:
            hook = connect(server, timeout=0.3, max_attempts=1, max_concurrency=1)
            with pytest.raises(BatchError) as caught:
                hook.update_custom_audience("vip", add_ids=ADDS, chunk_size=30)
        told += told_by(caught.value)
    with RawServer(Service()) as server:
        hook = connect(server, host="https://batch.invalid", max_attempts=1)
    with pytest.raises(BatchError) as caught:
        hook.update_custom_audience("vip", add_ids=ADDS, chunk_size=30)
    assert_private([*records.told(), *told, *told_by(caught.value)], MARK, KEY, REST_KEY)
