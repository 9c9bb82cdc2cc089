"""The trigger against a local Batch, built again from its own words as a triggerer does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_provider_batch.exceptions import IndexingError, IndexingTimeoutError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.triggers.custom_audience import CustomAudienceIndexingTrigger, IndexingEvent
from tests.transport.servers import KEY, REST_KEY, STALL, TRICKLES, RawServer, Trickle, answer, self_signed

ODD = "f" * 32
PENDING = Fault(200, body={"name": "vip", "indexing_state": "IN_PROGRESS"})


def trigger(indexing_tokens: list[str], **arguments: Any) -> CustomAudienceIndexingTrigger:
    """A trigger as the triggerer has it: through JSON and built again."""
    given = {
        "batch_conn_id": "batch_default",
        "poke_interval": 0.001,
        "start_time": time.time(),
        "end_time": time.time() + 60,
        **arguments,
    }
    first = CustomAudienceIndexingTrigger(audience_name="vip", indexing_tokens=indexing_tokens, **given)
    path, kwargs = first.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(import_module(module), name)(**json.loads(json.dumps(kwargs)))
    assert again.serialize() == first.serialize()
    assert isinstance(again, CustomAudienceIndexingTrigger)
    return again


def only_event(waiting: CustomAudienceIndexingTrigger) -> IndexingEvent:
    """The one event that *waiting* fires, through JSON."""

    async def events() -> list[TriggerEvent]:
        return [event async for event in waiting.run()]

    (event,) = asyncio.run(events())
    return IndexingEvent.from_payload(json.loads(json.dumps(event.payload)))


@pytest.fixture
def tokens(batch_sandbox: Sandbox) -> list[str]:
    """The tokens of three writes that are applied."""
    given = [f"id-{number}" for number in range(3)]
    return BatchHook().update_custom_audience("vip", add_ids=given, chunk_size=1).indexing_tokens


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that never gets done with indexing."""
    with Sandbox(indexing_delay=3600) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        yield sandbox


def test_it_fires_once_when_all_is_confirmed(batch_sandbox: Sandbox, tokens: list[str]) -> None:
    batch_sandbox.faults(None, PENDING, Fault(503, headers={"Retry-After": "0"}))
    event = only_event(trigger(tokens))
    assert (event.status, event.audience_name, event.indexing_tokens) == ("finished", "vip", tuple(tokens))
    assert event.audience is not None
    assert (event.audience["nb_ids"], event.audience["indexing_state"]) == (3, "APPLIED")
    assert (event.pending, event.message, event.warning) == ((), "", "")
    assert [call.method for call in batch_sandbox.calls[3:]] == ["GET"] * 5
    event.raise_unless_finished()


def test_what_is_known_to_be_confirmed_is_not_asked_for_but_told(batch_sandbox: Sandbox, tokens: list[str]) -> None:
    event = only_event(trigger(tokens, confirmed=2))
    assert event.indexing_tokens == tuple(tokens)
    assert len(batch_sandbox.calls[3:]) == 1


def test_without_tokens_it_fires_without_a_call(batch_sandbox: Sandbox) -> None:
    event = only_event(trigger([]))
    assert (event.status, event.audience) == ("finished", None)
    assert batch_sandbox.calls == []


@pytest.mark.parametrize("left", [-60, 0, 0.03])
def test_it_fires_once_when_the_time_is_over(left: float, slow: Sandbox) -> None:
    tokens = BatchHook().update_custom_audience("vip", add_ids=["a", "b"], chunk_size=1).indexing_tokens
    event = only_event(trigger(tokens, end_time=time.time() + left, poke_interval=0.01))
    assert (event.status, event.pending) == ("timeout", tuple(tokens))
    assert all(token in event.message for token in tokens)
    assert slow.calls[-1].method == "GET"  # it asked at least once
    with pytest.raises(IndexingTimeoutError) as caught:
        event.raise_unless_finished()
    assert (caught.value.indexing_token, caught.value.indexing_tokens) == (tokens[0], tuple(tokens))
    assert str(caught.value) == event.message


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_it_fires_once_when_batch_refuses(status: int, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(Fault(status))
    event = only_event(trigger([ODD]))
    assert (event.status, event.retryable) == ("error", False)
    assert f"answered {status}" in event.message
    assert len(batch_sandbox.calls) == 1
    with pytest.raises(IndexingError, match=f"answered {status}") as caught:
        event.raise_unless_finished()
    assert not caught.value.retryable


def test_it_fires_once_when_the_connection_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", '{"conn_type": "batch", "login": "an-app-key"}')
    event = only_event(trigger([ODD]))
    assert (event.status, event.retryable) == ("error", False)
    assert "no REST API key" in event.message


@pytest.mark.parametrize(
    ("variable", "extra", "message"),
    [
        ("", "{'platform': 'cep'}", "the connection's extra is not valid JSON (line 1, column 2)"),
        ("SSL_CERT_FILE", "", "the environment variable SSL_CERT_FILE names the certificate authorities '/nowhere'"),
        ("HTTPS_PROXY", "", "the proxy of the environment variable HTTPS_PROXY cannot be used: it is not an address"),
    ],
)
def test_it_fires_once_when_the_environment_cannot_be_used(
    variable: str, extra: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "no_proxy", "NO_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable or "UNUSED", "/nowhere")
    connection = {"conn_type": "batch", "login": KEY, "password": REST_KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", json.dumps(connection))
    event = only_event(trigger([ODD]))
    assert (event.status, event.retryable) == ("error", False)
    if extra and version("apache-airflow").startswith(("3.0.", "3.1.")):
        message = "The conn_id `batch_default` isn't defined"  # as they say by themselves
    assert event.message.startswith(message)


def test_a_certificate_that_nobody_vouches_for_is_not_polled_to_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(answer(200), tls=self_signed(tmp_path)) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", server.connection_json())
        event = only_event(trigger([ODD], end_time=time.time() + 3600))
    assert (event.status, event.retryable) == ("error", False)
    assert "certificate verify failed: self-signed certificate" in event.message


@pytest.mark.parametrize("trickle", TRICKLES.values(), ids=TRICKLES)
def test_an_answer_that_trickles_does_not_outlive_the_deadline(
    trickle: Trickle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(trickle) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", server.connection_json(timeout=0.2))
        event = only_event(trigger([ODD], end_time=time.time() + 0.3))
    assert event.status == "timeout"
    assert "no answer: TimeoutError" in event.message


def test_it_fires_once_when_there_is_no_connection() -> None:
    event = only_event(trigger([ODD], batch_conn_id="no_such_connection"))
    assert event.status == "error"
    assert "no_such_connection" in event.message


def test_no_answer_at_all_is_waited_out_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(STALL) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", server.connection_json(timeout=0.05))
        event = only_event(trigger([ODD], end_time=time.time() + 0.1))
    assert event.status == "timeout"
    assert "no answer" in event.message


def test_replaced_is_done_with_a_warning(batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(Fault(200, body={"name": "vip", "indexing_state": "REPLACED"}))
    event = only_event(trigger([ODD]))
    assert event.status == "finished"
    assert event.warning == "a later replace of the audience took over from 1 of the writes waited for"


def test_it_only_ever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    pending = answer(200, {"name": "vip", "indexing_state": "IN_PROGRESS"})
    applied = answer(200, {"name": "vip", "indexing_state": "APPLIED"})
    with RawServer(pending, answer(500, Retry_After="0"), pending, applied) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", server.connection_json())
        assert only_event(trigger(["a" * 32, "b" * 32])).status == "finished"
    assert {asked.method for asked in server.asked} == {"GET"}
    assert {asked.body for asked in server.asked} == {b""}
    assert len(server.asked) == 5
    assert server.connections == 1


def test_it_may_be_run_again_from_the_start(batch_sandbox: Sandbox, tokens: list[str]) -> None:
    waiting = trigger(tokens)
    assert only_event(waiting) == only_event(waiting) == only_event(trigger(tokens))


def test_many_wait_on_one_loop(batch_sandbox: Sandbox, tokens: list[str]) -> None:
    async def first(waiting: CustomAudienceIndexingTrigger) -> Any:
        return [event.payload async for event in waiting.run()]

    async def together() -> Any:
        return await asyncio.gather(*(first(trigger(tokens)) for _ in range(20)))

    assert [len(events) for events in asyncio.run(together())] == [1] * 20


def test_a_cancelled_trigger_ends_in_the_middle_of_a_wait(slow: Sandbox) -> None:
    (token,) = BatchHook().update_custom_audience("vip", add_ids=["a"]).indexing_tokens

    async def cancelled() -> None:
        async def wait() -> None:
            async for _ in trigger([token], poke_interval=3600, end_time=time.time() + 7200).run():
                pytest.fail("it fired")

        task = asyncio.ensure_future(wait())
        while not any(call.method == "GET" for call in slow.calls):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


def test_nothing_secret_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(answer(200, {"name": "vip", "indexing_state": "APPLIED"})) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", server.connection_json())
        waiting = trigger([ODD])
        event = only_event(waiting)
        stored = json.dumps([waiting.serialize(), event.to_payload(), {k: repr(v) for k, v in vars(waiting).items()}])
    assert stored.count("batch_default") >= 2
    assert KEY not in stored
    assert REST_KEY not in stored


@pytest.mark.parametrize(
    "event",
    [
        IndexingEvent("finished", "vip", ("a", "b"), audience={"name": "vip", "nb_ids": 3}, warning="careful"),
        IndexingEvent("finished", "vip", ()),
        IndexingEvent("timeout", "vip", ("a", "b"), pending=("b",), message="too late"),
        IndexingEvent("error", "vip", ("a",), message="no", retryable=True),
    ],
)
def test_an_event_survives_being_stored(event: IndexingEvent) -> None:
    assert IndexingEvent.from_payload(json.loads(json.dumps(event.to_payload()))) == event
