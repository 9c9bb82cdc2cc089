"""Every transient fault of a call: the push ends with the whole audience, and one token a chunk."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from airflow_provider_batch.exceptions import (
    BatchAPIError,
    BatchConnectionError,
    BatchProtocolError,
    IndexingTimeoutError,
)
from airflow_provider_batch.protocol.audiences.audience import IndexingState
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.transport.traffic import Traffic
from tests.faults.conftest import Connect, Push
from tests.faults.service import Service, announced, in_pieces
from tests.transport.servers import STALL, RawServer, Script, Torn, answer, self_signed

SOON = {"Retry-After": "0"}
HTML = "<html><body><h1>Please sign in to this network.</h1></body></html>"

PASSING = {
    "500": [Fault(500)],
    "500 after the write": [Fault(500, after_write=True)],
    "502 in HTML": [Fault(502, body=HTML), Fault(502, body=HTML, after_write=True)],
    "503": [Fault(503)],
    "503 with a time": [Fault(503, headers={"Retry-After": "1"}), Fault(503, headers=SOON, after_write=True)],
    "429": [Fault(429)],
    "reset before the write": [Fault(reset=True), Fault(reset=True)],
    "reset after the write": [Fault(reset=True, after_write=True), Fault(reset=True, after_write=True)],
    "cut-off body": [Fault(cut_body=True)],
    "HTML with 201": [Fault(201, body=HTML), Fault(201, body=HTML, after_write=True)],
    "201 without a token": [Fault(201, body={}), Fault(201, body={"indexing_token": ""}, after_write=True)],
    "201 without a body": [Fault(201)],
    "204 for a write": [Fault(204, after_write=True)],
    "stalled answer": [Fault(stall=60)],
}


@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_neither_loses_nor_leaves_an_id(
    faults: list[Fault], connect: Connect, batch_sandbox: Sandbox
) -> None:
    push = Push()
    hook = connect(batch_sandbox, timeout=1 if any(fault.stall for fault in faults) else 10)
    hook.update_custom_audience("vip", add_ids=push.before)
    # The first answers as ever, so that the push is under way when things go wrong.
    batch_sandbox.faults(None, *faults)
    result = push.run(hook)
    push.assert_done(batch_sandbox.members("vip"), result)
    assert sum(call.fault for call in batch_sandbox.calls) == len(faults)
    assert len(batch_sandbox.calls) == 1 + push.calls + len(faults)


@pytest.mark.parametrize(("headers", "count"), [(SOON, 6), ({}, 3)], ids=["with a time", "without"])
def test_a_storm_of_429_over_several_workers_is_weathered(
    headers: dict[str, str], count: int, connect: Connect, batch_sandbox: Sandbox
) -> None:
    push = Push(before=())
    batch_sandbox.faults(*[Fault(429, headers=headers)] * count)
    result = push.run(connect(batch_sandbox, max_attempts=20, max_concurrency=4))
    push.assert_done(batch_sandbox.members("vip"), result)
    assert [call.status for call in batch_sandbox.calls].count(429) == count


def test_every_call_fails_once_after_its_write(connect: Connect, batch_sandbox: Sandbox) -> None:
    push = Push(before=())
    batch_sandbox.faults(*[Fault(503, headers=SOON, after_write=True)] * push.calls)
    result = push.run(connect(batch_sandbox))
    push.assert_done(batch_sandbox.members("vip"), result)


def test_a_server_that_is_gone_for_a_while_is_waited_for(
    connect: Connect, batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Push(before=())
    failed = count(1)
    retried = Traffic.retried

    def noticed(traffic: Traffic) -> None:
        retried(traffic)
        if next(failed) == 5:
            batch_sandbox.start()

    def flowing() -> Iterator[str]:
        yield from push.adds[:25]
        batch_sandbox.stop()
        yield from push.adds[25:]

    monkeypatch.setattr(Traffic, "retried", noticed)
    result = push.run(connect(batch_sandbox, max_attempts=12), adds=flowing())
    push.assert_done(batch_sandbox.members("vip"), result)
    assert next(failed) > 5


def test_a_server_that_does_not_come_back_ends_the_push(connect: Connect, batch_sandbox: Sandbox) -> None:
    push = Push(before=())

    def flowing() -> Iterator[str]:
        yield from push.adds[:30]
        batch_sandbox.stop()
        yield from push.adds[30:]

    with pytest.raises(BatchConnectionError) as caught:
        push.run(connect(batch_sandbox, max_attempts=2, max_concurrency=1), adds=flowing())
    accepted = caught.value.accepted_chunks
    assert accepted is not None
    # What was cut off in the middle of its answer is written, but Batch never said so.
    assert len(batch_sandbox.members("vip")) // push.chunk_size in (accepted, accepted + 1)
    assert batch_sandbox.members("vip") < push.expected


def too_long(body: bytes) -> bytes:
    return announced(body, len(body) + 10)


def too_short(body: bytes) -> bytes:
    return announced(body, len(body) - 5)


def deep(body: bytes) -> bytes:
    return answer(201, b'{"indexing_token":' + b"[" * 100_000)


def oops(body: bytes) -> bytes:
    return answer(500, b"[" * 100_000)


@pytest.mark.parametrize("reply", [too_long, too_short, deep, oops])
def test_a_body_that_is_not_what_it_says_is_asked_for_again(reply: object, connect: Connect) -> None:
    push, service = Push(), Service()
    service.add(push.before)
    with RawServer(service.then(reply), service) as server:  # type: ignore[arg-type]
        result = push.run(connect(server, timeout=3))
    push.assert_done(service.members, result)
    assert len(server.asked) == push.calls + 1


@pytest.mark.parametrize("script", [STALL, Torn(b"HTTP/1.1 201 Created\r\nContent-Le")], ids=["nothing", "half a head"])
def test_an_answer_that_never_gets_whole_is_asked_for_again(script: Script, connect: Connect) -> None:
    push, service = Push(), Service()
    service.add(push.before)
    with RawServer(script, service) as server:
        result = push.run(connect(server, timeout=0.5))
    push.assert_done(service.members, result)


def test_a_trickle_without_an_end_is_given_up_in_about_the_timeout(connect: Connect) -> None:
    push, service = Push(before=()), Service()
    over = threading.Event()
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 1000000\r\n\r\n"
    # Each piece comes in time; the whole would take 40 s.
    trickle = in_pieces(head, b" ", lambda: over.wait(0.1), 400)
    with RawServer(trickle, service) as server:
        started = time.monotonic()
        result = push.run(connect(server, timeout=0.5))
        taken = time.monotonic() - started
        over.set()
    push.assert_done(service.members, result)
    assert taken < 5


def test_a_redirect_to_another_host_ends_the_push_and_is_not_followed(connect: Connect) -> None:
    push, service = Push(before=()), Service()
    with RawServer(answer(201, {"indexing_token": "elsewhere"})) as elsewhere:
        moved = answer(307, Location=f"{elsewhere.url}/1.0/key/custom-audience/vip")
        with RawServer(service, moved) as server, pytest.raises(BatchAPIError, match="redirect") as caught:
            push.run(connect(server, max_concurrency=1))
    assert elsewhere.connections == 0
    assert caught.value.accepted_chunks == 1
    assert len(service.members) == push.chunk_size
    assert len(server.asked) == 2


def test_a_server_that_nobody_vouches_for_gets_no_request(connect: Connect, tmp_path: Path) -> None:
    with (
        RawServer(answer(201, {"indexing_token": "t"}), tls=self_signed(tmp_path)) as server,
        pytest.raises(BatchConnectionError, match="certificate verify failed: self-signed") as caught,
    ):
        Push().run(connect(server, max_attempts=2))
    assert caught.value.accepted_chunks == 0
    assert server.asked == []


def test_a_host_without_an_address_ends_the_push(connect: Connect, batch_sandbox: Sandbox) -> None:
    with pytest.raises(BatchConnectionError, match="NameResolution") as caught:
        Push().run(connect(batch_sandbox, host="https://batch.invalid", max_attempts=2))
    assert caught.value.accepted_chunks == 0
    assert batch_sandbox.calls == []


def test_a_state_that_no_page_names_is_not_taken_for_done(connect: Connect) -> None:
    push, service = Push(before=()), Service()
    odd = answer(200, {"name": "vip", "indexing_state": "PONDERING"})
    with RawServer(*[service] * push.calls, odd) as server:
        hook = connect(server)
        result = push.run(hook)
        with pytest.raises(IndexingTimeoutError) as caught:
            hook.wait_for_indexing("vip", result.indexing_tokens, poke_interval=0.1, timeout=0.3)
    push.assert_done(service.members, result)
    assert caught.value.indexing_tokens == tuple(result.indexing_tokens)


def test_every_token_of_a_push_with_faults_is_one_that_batch_knows(connect: Connect, batch_sandbox: Sandbox) -> None:
    push = Push(before=())
    hook = connect(batch_sandbox)
    batch_sandbox.faults(*[Fault(reset=True, after_write=True), Fault(201, body={}, after_write=True)])
    result = push.run(hook)
    batch_sandbox.faults(Fault(502, body=HTML), Fault(200, body={"indexing_state": "PONDERING"}), Fault(200, body=HTML))
    audience = hook.wait_for_indexing("vip", result.indexing_tokens, poke_interval=0.1, timeout=20)
    assert audience is not None
    assert (audience.indexing_state, audience.nb_ids) == (IndexingState.APPLIED, len(push.expected))


def test_what_does_not_pass_ends_in_its_own_error(connect: Connect, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(*[Fault(201, body=HTML)] * 20)
    with pytest.raises(BatchProtocolError) as caught:
        Push().run(connect(batch_sandbox, max_attempts=1))
    assert caught.value.accepted_chunks == 0
    assert batch_sandbox.members("vip") == frozenset()
