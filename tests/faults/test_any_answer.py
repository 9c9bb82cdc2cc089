"""Whatever comes back over the wire ends in a result or in an error of ours, soon."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.protocol.audiences.audience import CustomAudience
from airflow_provider_batch.protocol.audiences.results import PushResult
from tests.faults.conftest import Connect, Push
from tests.faults.service import Service, in_pieces
from tests.transport.servers import Asked, RawServer

steady = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


status_lines = st.one_of(
    st.builds(b"HTTP/1.1 %d Whatever".__mod__, st.integers(0, 1100)),
    st.sampled_from(
        [b"HTTP/1.1 201 Created", b"HTTP/1.0 200", b"HTTP/1.1 429 ", b"HTTP/9.9 200 OK", b"HTTP/1.1 2e2 OK"]
    ),
    st.sampled_from([b"ICY 200 OK", b"HTTP/1.1", b"HTTP/1.1 -1 No", b"HTTP/1.1 \xb2\xb0\xb0 Odd", b"\x16\x03\x01\x02"]),
    st.binary(max_size=30),
)
values = st.one_of(
    st.sampled_from(
        [b"0", b"-1", b"1e3", b"5, 6", b"9" * 30, b"\xb2", b"chunked", b"gzip", b"deflate, gzip", b"identity, chunked"]
    ),
    st.sampled_from([b"Fri, 31 Dec 9999 23:59:59 GMT", b"Mon, 99 Foo 0 99:99:99 +9999999999", b"1 Jan", b"close"]),
    st.binary(max_size=20),
)
names = st.one_of(
    st.sampled_from([b"Content-Length", b"Transfer-Encoding", b"Content-Encoding", b"Retry-After", b"Date"]),
    st.sampled_from([b"Content-Type", b"Location", b"Set-Cookie", b"Connection", b"X\x00Y", b" Folded"]),
    st.binary(max_size=10),
)
headers = st.lists(st.builds(b"%s: %s".__mod__, st.tuples(names, values)), max_size=4)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
keys = st.sampled_from(
    ["indexing_token", "indexing_state", "nb_ids", "created", "error", "code", "message", "error_code", "error_message"]
)
bodies = st.one_of(
    st.dictionaries(keys, json_values, max_size=4).map(as_json),
    json_values.map(as_json),
    st.sampled_from([b"[" * 100_000, b'{"nb_ids": %s}' % (b"9" * 5_000), b"\xff\xfe{\x00", b"\xef\xbb\xbf{}"]),
    st.sampled_from([b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\nx", b"-5\r\nx\r\n", b"\x1f\x8b\x08\x00garbage"]),
    st.binary(max_size=60),
)
answers = st.one_of(
    st.builds(
        lambda line, fields, body: b"\r\n".join([line, *fields, b"", body]),
        status_lines,
        headers,
        bodies,
    ),
    st.binary(max_size=200),
)


class Anything:
    """Answers every call with the same bytes, and hangs up."""

    given = b""

    def __call__(self, asked: Asked) -> Iterator[bytes]:
        yield self.given
        raise ConnectionAbortedError


@pytest.fixture
def anything() -> Iterator[tuple[Anything, RawServer]]:
    anything = Anything()
    with RawServer(anything) as server:  # type: ignore[arg-type]
        yield anything, server


def ends_well(connected: Callable[[], BatchHook], seconds: float) -> list[BatchError]:
    """Push and ask, and return the errors that came of it: no other than ours, and none late."""
    errors: list[BatchError] = []
    started = time.monotonic()
    for call in (
        lambda: connected().update_custom_audience("vip", add_ids=["a", "b"], remove_ids=["c"], chunk_size=3),
        lambda: connected().get_custom_audience("vip", "token"),
    ):
        try:
            assert isinstance(call(), PushResult | CustomAudience)
        except BatchError as error:
            errors.append(error)
    assert time.monotonic() - started < seconds
    return errors


@given(raw=answers)
@example(raw=b"HTTP/1.1 201 Created\r\nRetry-After: Mon, 99 Foo 0 99:99:99 +9999999999\r\n\r\n{}")
@example(raw=b"HTTP/1.1 503 No\r\nRetry-After: " + b"9" * 5_000 + b"\r\n\r\n")
@example(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n{}")
@example(raw=b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n{}")
@example(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)
@steady
def test_any_bytes_end_in_a_result_or_in_an_error_of_ours(
    raw: bytes, anything: tuple[Anything, RawServer], connect: Connect
) -> None:
    answering, server = anything
    answering.given = raw
    # An app of its own for each call: whoever shares one keeps to the pace that earlier answers of 429 taught.
    ends_well(lambda: connect(server, login=uuid4().hex, max_attempts=1, timeout=2), seconds=10)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\nX", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"],
    ids=["nothing", "status line", "headers", "chunk"],
)
def test_an_answer_that_stops_anywhere_ends_in_time(beginning: bytes, connect: Connect) -> None:
    with RawServer(lambda asked: beginning) as server:
        errors = ends_well(lambda: connect(server, max_attempts=1, timeout=0.3), seconds=5)
    assert len(errors) == 2


def test_fifty_megabytes_are_neither_held_nor_believed(connect: Connect) -> None:
    push, service = Push(before=(), chunk_size=100), Service()
    megabyte = b"x" * 1_048_576
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 52428800\r\n\r\n"
    with RawServer(in_pieces(head, megabyte, lambda: None, 50), service) as server:
        hook = connect(server)
        hook.get_conn()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            result = push.run(hook)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    push.assert_done(service.members, result)
    assert peak - before < 20_000_000
