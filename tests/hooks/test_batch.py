"""The hook against a local Batch."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_batch.exceptions import (
    BatchAPIError,
    BatchAuthenticationError,
    BatchConnectionError,
    BatchNotFoundError,
    BatchProtocolError,
    BatchRateLimitError,
    BatchRequestError,
    BatchServerError,
    IndexingTimeoutError,
    InvalidArgumentError,
    InvalidMemberError,
    PushStoppedError,
)
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.protocol.audiences.audience import IndexingState
from airflow_provider_batch.protocol.audiences.members import Change
from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.connections import Connect
from tests.transport.servers import STALL, Asked, RawServer, answer

SOON = {"Retry-After": "0"}
HTML = "<html><h1>502 Bad Gateway</h1></html>"


def ids(count: int, start: int = 0) -> list[str]:
    return [f"customer-{number}" for number in range(start, start + count)]


@pytest.fixture
def hook(batch_sandbox: Sandbox) -> BatchHook:
    return BatchHook()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that keeps what was sent."""
    with Sandbox(keep_bodies=True) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        yield sandbox


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that never gets done with indexing."""
    with Sandbox(indexing_delay=3600) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        yield sandbox


# What a push does


def test_a_push_adds_and_removes(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    hook.update_custom_audience("vip", add_ids=["old", "gone"])
    result = hook.update_custom_audience("vip", add_ids=["new", 7, ("row",)], remove_ids=["gone", "never-there"])
    assert batch_sandbox.members("vip") == {"old", "new", "7", "row"}
    assert (result.added, result.removed, result.duplicates, result.rejected, result.calls) == (3, 2, 0, 0, 1)
    assert (result.audience_name, result.audience_type) == ("vip", "custom_ids")
    assert result.seconds >= 0


def test_each_value_is_in_one_of_the_counts(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    result = hook.update_custom_audience(
        "vip", add_ids=["a", "b", "a", None, "both"], remove_ids=["both", "x", "x", ""], on_invalid_id="skip"
    )
    assert (result.added, result.removed, result.duplicates, result.rejected) == (2, 2, 3, 2)
    assert [(r.argument, r.position) for r in result.rejections] == [("add_ids", 3), ("remove_ids", 3)]
    assert batch_sandbox.members("vip") == {"a", "b"}


@pytest.mark.parametrize("as_iterator", [False, True])
def test_twenty_five_thousand_ids_are_three_calls(as_iterator: bool, hook: BatchHook, batch_sandbox: Sandbox) -> None:
    given = ids(25_000)
    result = hook.update_custom_audience("vip", add_ids=iter(given) if as_iterator else given)
    assert batch_sandbox.members("vip") == set(given)
    assert Counter(call.adds for call in batch_sandbox.calls) == {10_000: 2, 5_000: 1}
    assert (result.added, result.calls, len(set(result.indexing_tokens))) == (25_000, 3, 3)


def test_tokens_are_in_the_order_of_the_chunks_however_late_their_answers_are(connect: Connect) -> None:
    second_is_answered = threading.Event()

    def named(asked: Asked) -> bytes:
        first: str = json.loads(asked.body)["ids"][0]["id"]
        if first == "customer-0":
            second_is_answered.wait(timeout=10)
        elif first == "customer-2":
            second_is_answered.set()
        return answer(201, {"indexing_token": f"token-of-{first}"})

    with RawServer(named) as server:
        result = connect(host=server.url).update_custom_audience("vip", add_ids=ids(40), chunk_size=2)
    assert result.indexing_tokens == [f"token-of-customer-{number}" for number in range(0, 40, 2)]


def test_one_call_after_the_other_is_sent_in_order(connect: Connect) -> None:
    with RawServer(answer(201, {"indexing_token": "t"})) as server:
        hook = connect(host=server.url, extra={"max_concurrency": 1})
        hook.update_custom_audience("vip", add_ids=ids(5), chunk_size=1)
    assert [json.loads(asked.body)["ids"][0]["id"] for asked in server.asked] == ids(5)


@pytest.mark.parametrize("as_iterator", [False, True])
def test_an_id_has_one_action_in_all_chunks(as_iterator: bool, recorded: Sandbox) -> None:
    adds, removes = ids(30), ids(30, start=20)
    BatchHook().update_custom_audience(
        "vip",
        add_ids=iter(adds) if as_iterator else adds,
        remove_ids=iter(removes) if as_iterator else removes,
        chunk_size=7,
    )
    sent = [element for call in recorded.calls for element in json.loads(call.body or b"")["ids"]]
    assert Counter(element["id"] for element in sent) == Counter(set(adds) | set(removes))
    assert {element["id"] for element in sent if element["action"] == "remove"} == set(removes)
    assert all(call.elements <= 7 for call in recorded.calls)


@pytest.mark.parametrize("nothing", [(), [], None, "[]", iter(())])
def test_nothing_to_send_is_no_call(nothing: Any, hook: BatchHook, batch_sandbox: Sandbox) -> None:
    result = hook.update_custom_audience("vip", add_ids=nothing)
    assert (result.indexing_tokens, result.calls, batch_sandbox.calls) == ([], 0, [])


def test_ids_of_every_alphabet_arrive_as_they_are(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    given = {
        "ünïcode",
        'qu"ote',
        "back\\slash",
        " padded ",
        "日本語",
        "🎉",
        "no-break\u00a0space",
        "x" * 128,
        "é" * 128,
        "a/b?c#d%20",
    }
    hook.update_custom_audience("vip", add_ids=given)
    assert batch_sandbox.members("vip") == given


def test_ids_that_may_be_mistakes_are_sent_and_warned_of_once(
    hook: BatchHook, batch_sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    hook.update_custom_audience("vip", add_ids=iter(["a", " b", "nan"]), remove_ids=["c", "NULL", "null"], chunk_size=2)
    assert batch_sandbox.members("vip") == {"a", " b", "nan"}
    # Airflow 3 prints what it logs outside a worker.
    places = (caplog.text, capsys.readouterr().out)
    for warning in (
        "ids with blanks around them (sent as they are; trim_ids=True removes the blanks): 1, the first at add_ids[1]",
        "vip: ids that look like missing values, such as nan or NULL (sent as they are): 1, the first at add_ids[2]",
        "vip: ids that look like missing values, such as nan or NULL (sent as they are): 2, the first at remove_ids[1]",
    ):
        assert max(place.count(warning) for place in places) == 1


def test_ids_that_may_be_mistakes_are_warned_of_if_the_push_breaks_off(
    hook: BatchHook, batch_sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_sandbox.faults(None, Fault(403))
    many = (" b" if number == 1 else f"id-{number}" for number in range(1_000))
    with pytest.raises(BatchAuthenticationError):
        hook.update_custom_audience("vip", add_ids=many, chunk_size=2, max_concurrency=1)
    warning = "vip: ids with blanks around them (sent as they are; trim_ids=True removes the blanks): 1, the first at"
    assert max(place.count(warning) for place in (caplog.text, capsys.readouterr().out)) == 1
    assert next(many)  # it was not read to its end


def test_trim_ids_is_a_switch(hook: BatchHook) -> None:
    with pytest.raises(InvalidArgumentError, match="trim_ids: 'False' is neither True nor False"):
        hook.update_custom_audience("vip", add_ids=["a"], trim_ids="False")  # type: ignore[arg-type]


def test_advertising_ids_are_sent_as_such(recorded: Sandbox) -> None:
    with pytest.raises(BatchRequestError):  # the sandbox's audience is one of custom ids
        BatchHook().update_custom_audience("vip", add_ids=["a"], audience_type="advertising_ids")
    assert json.loads(recorded.calls[0].body or b"")["type"] == "advertising_ids"


def test_no_more_calls_are_in_flight_than_allowed(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(*[Fault(stall=0.02)] * 12)
    hook.update_custom_audience("vip", add_ids=ids(12), chunk_size=1, max_concurrency=3)
    assert max(call.under_way for call in batch_sandbox.calls) == 3


def test_the_connection_says_how_many_calls_are_in_flight(batch_sandbox: Sandbox, connect: Connect) -> None:
    batch_sandbox.faults(*[Fault(stall=0.02)] * 6)
    fields = json.loads(batch_sandbox.connection_json())
    connect(**fields, extra={"max_concurrency": 2}).update_custom_audience("vip", add_ids=ids(6), chunk_size=1)
    assert max(call.under_way for call in batch_sandbox.calls) == 2


# Bad input: before the first call where that can be


@pytest.mark.parametrize(
    "arguments",
    [
        {"add_ids": [*ids(30_000), None]},
        {"add_ids": ids(3), "remove_ids": [*ids(30_000), "x" * 129]},
        {"add_ids": ["a", ""]},
        {"add_ids": "a single text"},
        {"add_ids": "None"},
        {"add_ids": {"a": 1}},
        {"add_ids": b"bytes"},
        {"add_ids": 5},
        {"add_ids": ["a"], "remove_ids": object()},
        {"add_ids": ["a"], "chunk_size": 10_001},
        {"add_ids": ["a"], "chunk_size": 0},
        {"add_ids": ["a"], "chunk_size": True},
        {"add_ids": ["a"], "audience_type": "emails"},
        {"add_ids": ["a"], "max_concurrency": 0},
        {"add_ids": ["a"], "max_concurrency": 65},
    ],
)
def test_bad_input_is_refused_before_the_first_call(
    arguments: dict[str, Any], hook: BatchHook, batch_sandbox: Sandbox
) -> None:
    with pytest.raises(InvalidArgumentError):
        hook.update_custom_audience("vip", **arguments)
    assert batch_sandbox.calls == []


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "é", "x" * 256, None])
def test_what_is_no_name_of_an_audience_is_refused_before_any_call(
    name: Any, hook: BatchHook, batch_sandbox: Sandbox
) -> None:
    with pytest.raises(InvalidArgumentError):
        hook.update_custom_audience(name, add_ids=["a"])
    with pytest.raises(InvalidArgumentError):
        hook.get_custom_audience(name)
    assert batch_sandbox.calls == []


def test_a_generator_that_goes_bad_says_how_much_was_accepted(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    with pytest.raises(InvalidMemberError) as caught:
        hook.update_custom_audience("vip", add_ids=iter([*ids(25), None]), chunk_size=10, max_concurrency=1)
    assert caught.value.position == 25
    assert caught.value.accepted_chunks == 2
    assert "(Batch had accepted 2 chunks of this push before)" in str(caught.value)
    assert batch_sandbox.members("vip") == set(ids(20))


def test_a_generator_that_breaks_says_how_much_was_accepted(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    def torn() -> Iterator[str]:
        yield from ids(25)
        raise OSError("the cursor is gone")

    with pytest.raises(OSError, match="the cursor is gone") as caught:
        hook.update_custom_audience("vip", add_ids=torn(), chunk_size=10)
    assert caught.value.__notes__ == ["Batch had accepted 2 chunks of this push before"]
    assert batch_sandbox.members("vip") == set(ids(20))


def test_what_is_no_id_may_be_skipped(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    values = [*ids(15), None, 1.5, *ids(15, start=15), "", True]
    result = hook.update_custom_audience("vip", add_ids=iter(values), on_invalid_id="skip", chunk_size=10)
    assert batch_sandbox.members("vip") == set(ids(30))
    assert (result.added, result.rejected) == (30, 4)
    assert [rejection.position for rejection in result.rejections] == [15, 16, 32, 33]


# What Batch rejects, and which errors are transient


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(400), BatchRequestError),
        (Fault(401), BatchAuthenticationError),
        (Fault(403), BatchAuthenticationError),
        (Fault(404), BatchNotFoundError),
        (Fault(409), BatchRequestError),
        (Fault(302, headers={"Location": "https://elsewhere.example/"}), BatchAPIError),
    ],
)
def test_a_refusal_is_not_tried_again(
    fault: Fault, error: type[BatchAPIError], hook: BatchHook, batch_sandbox: Sandbox
) -> None:
    batch_sandbox.faults(fault)
    with pytest.raises(error) as caught:
        hook.update_custom_audience("vip", add_ids=["a"])
    assert type(caught.value) is error
    assert caught.value.status == fault.status
    assert caught.value.accepted_chunks == 0
    assert not caught.value.retryable
    assert caught.value.route == "PATCH /1.0/{api_key}/custom-audience/vip"
    assert [call.method for call in batch_sandbox.calls].count("PATCH") == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, headers=SOON),
        Fault(500, headers=SOON),
        Fault(502, headers=SOON, body=HTML),
        Fault(503, headers=SOON),
        Fault(503, headers=SOON, after_write=True),
    ],
)
def test_what_may_pass_is_tried_again(fault: Fault, hook: BatchHook, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(fault, fault, fault, fault)
    result = hook.update_custom_audience("vip", add_ids=["a"])
    assert (result.added, result.calls) == (1, 1)
    assert batch_sandbox.members("vip") == {"a"}
    assert len(batch_sandbox.calls) == 5


@pytest.mark.parametrize(
    "fault",
    [
        Fault(reset=True),
        Fault(reset=True, after_write=True),
        Fault(cut_body=True),
        Fault(201, body={}, after_write=True),
        Fault(201, body=HTML),
        Fault(201, body={"indexing_token": ""}),
    ],
)
def test_what_is_no_answer_of_batchs_is_tried_again(fault: Fault, hook: BatchHook, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(fault)
    result = hook.update_custom_audience("vip", add_ids=["a"])
    assert (result.added, result.calls) == (1, 1)
    assert batch_sandbox.members("vip") == {"a"}
    assert len(batch_sandbox.calls) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(429, headers=SOON), BatchRateLimitError),
        (Fault(503, headers=SOON), BatchServerError),
        (Fault(500, headers=SOON, body=HTML), BatchServerError),
    ],
)
def test_the_connection_says_how_often_a_call_is_tried(
    fault: Fault, error: type[BatchAPIError], batch_sandbox: Sandbox, connect: Connect
) -> None:
    batch_sandbox.faults(*[fault] * 10)
    hook = connect(**json.loads(batch_sandbox.connection_json()), extra={"max_attempts": 3})
    with pytest.raises(error) as caught:
        hook.update_custom_audience("vip", add_ids=["a"])
    assert caught.value.retryable
    assert len(batch_sandbox.calls) == 3


def test_one_try_is_one_call(batch_sandbox: Sandbox, connect: Connect) -> None:
    batch_sandbox.faults(Fault(201, body=HTML))
    hook = connect(**json.loads(batch_sandbox.connection_json()), extra={"max_attempts": "1"})
    with pytest.raises(BatchProtocolError):
        hook.update_custom_audience("vip", add_ids=["a"])
    assert len(batch_sandbox.calls) == 1


def test_a_longer_wait_than_is_worth_it_gives_up_at_once(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(Fault(429, headers={"Retry-After": "601"}))
    with pytest.raises(BatchRateLimitError) as caught:
        hook.update_custom_audience("vip", add_ids=["a"])
    assert caught.value.retry_after == 601
    assert len(batch_sandbox.calls) == 1


def test_a_refused_chunk_stops_the_push(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(None, None, Fault(400))
    with pytest.raises(BatchRequestError) as caught:
        hook.update_custom_audience("vip", add_ids=ids(100), chunk_size=10, max_concurrency=1)
    assert caught.value.accepted_chunks == 2
    assert [call.method for call in batch_sandbox.calls].count("PATCH") == 3
    assert batch_sandbox.members("vip") == set(ids(20))


def test_an_unknown_audience_is_told_as_such(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    with pytest.raises(BatchNotFoundError, match="Check that the audience exists"):
        hook.update_custom_audience("nobody", add_ids=["a"])


def test_a_dry_run_logs_what_it_would_do(hook: BatchHook, batch_sandbox: Sandbox, told: Callable[[], str]) -> None:
    hook.update_custom_audience("vip", add_ids=["a", "a", "b"], remove_ids=["c"], chunk_size=9, dry_run=True)
    logged = told()
    assert "dry run, nothing is sent: vip: 2 to add, 1 to remove, 1 duplicate, 0 rejected in 1 call and 0.0 s" in logged
    assert "accepted" not in logged
    hook.update_custom_audience("vip", add_ids=["a", "b"], chunk_size=1)
    assert "vip: 2 added, 0 removed, 0 duplicates, 0 rejected in 2 calls and" in told()


# Stopping


def test_a_stopped_push_sends_no_further_call(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    def stopping() -> Iterator[str]:
        yield from ids(10)
        hook.stop()
        yield from ids(10, start=10)

    with pytest.raises(PushStoppedError) as caught:
        hook.update_custom_audience("vip", add_ids=stopping(), chunk_size=5, max_concurrency=1)
    assert caught.value.retryable
    assert caught.value.accepted_chunks == len(batch_sandbox.calls) <= 2


CALLS: dict[str, Callable[[BatchHook, Path], Any]] = {
    "update": lambda hook, _: hook.update_custom_audience("vip", add_ids=["a"]),
    "update, new": lambda hook, _: hook.update_custom_audience("new", add_ids=["a"], create_if_missing=True),
    "replace": lambda hook, _: hook.replace_custom_audience("vip", ["a"], max_shrink=0.5),
    "mirror": lambda hook, path: hook.mirror_custom_audience("vip", ["a"], snapshot_path=path),
    "create": lambda hook, _: hook.create_custom_audience("new"),
    "delete": lambda hook, _: hook.delete_custom_audience("vip"),
    "list": lambda hook, _: list(hook.list_custom_audiences()),
    "view": lambda hook, _: hook.get_custom_audience("vip"),
    "wait": lambda hook, _: hook.wait_for_indexing("vip", ["t"]),
    "check": lambda hook, _: hook.check_indexing("vip", ["t"]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_hook_that_was_stopped_stays_stopped(
    call: Callable[[BatchHook, Path], Any], hook: BatchHook, batch_sandbox: Sandbox, tmp_path: Path
) -> None:
    hook.stop()
    with pytest.raises(PushStoppedError):
        call(hook, tmp_path)
    assert batch_sandbox.calls == []


class Stopping:
    """Ten ids that can be read again and again; at the seventh one of them the hook is stopped."""

    def __init__(self, hook: BatchHook) -> None:
        self.hook = hook
        self.given = 0

    def __iter__(self) -> Iterator[str]:
        for number, id_ in enumerate(ids(10), 1):
            self.given += 1
            if number == 7:
                self.hook.stop()
            yield id_


READING: dict[str, Callable[[BatchHook, Any, Path], Any]] = {
    "update": lambda hook, given, _: hook.update_custom_audience("vip", add_ids=given, chunk_size=2),
    "remove": lambda hook, given, _: hook.update_custom_audience("vip", remove_ids=given, chunk_size=2),
    "changes": lambda hook, given, _: hook.update_custom_audience(
        "vip", changes=(Change("add", id_) for id_ in given), chunk_size=2
    ),
    "replace": lambda hook, given, _: hook.replace_custom_audience("vip", given, chunk_size=2),
    "held": lambda hook, given, _: hook.replace_custom_audience("vip", given, chunk_size=2, max_shrink=1.0),
    "mirror": lambda hook, given, path: hook.mirror_custom_audience("vip", given, snapshot_path=path, chunk_size=2),
    "dry run": lambda hook, given, _: hook.update_custom_audience("vip", add_ids=given, chunk_size=2, dry_run=True),
}


@pytest.mark.parametrize("read", READING.values(), ids=READING.keys())
def test_a_stop_ends_the_reading_of_a_source(
    read: Callable[[BatchHook, Any, Path], Any], hook: BatchHook, batch_sandbox: Sandbox, tmp_path: Path
) -> None:
    given = Stopping(hook)
    with pytest.raises(PushStoppedError):
        read(hook, given, tmp_path)
    assert batch_sandbox.calls == []
    assert given.given == 8  # its block to the end, and no other
    assert list(tmp_path.rglob("*.*")) == []


def test_a_stop_ends_a_push_while_it_reads_what_it_sends(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    given = Stopping(hook)
    with pytest.raises(PushStoppedError):
        hook.update_custom_audience("vip", add_ids=iter(given), chunk_size=2, max_concurrency=1)
    assert given.given == 8
    assert len(batch_sandbox.calls) <= 3


def test_a_stop_ends_a_wait_for_indexing(slow: Sandbox) -> None:
    hook = BatchHook()
    tokens = hook.update_custom_audience("vip", add_ids=["a"]).indexing_tokens
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(hook.wait_for_indexing, "vip", tokens, poke_interval=3600)
        while not any(call.method == "GET" for call in slow.calls):
            assert not waiting.done()
        hook.stop()
        with pytest.raises(PushStoppedError):
            waiting.result(timeout=10)


def test_threads_may_share_a_hook(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    barrier = threading.Barrier(6)

    def push(number: int) -> int:
        barrier.wait(timeout=10)
        return hook.update_custom_audience("vip", add_ids=ids(50, start=number * 50), chunk_size=10).calls

    with ThreadPoolExecutor(6) as executor:
        assert list(executor.map(push, range(6))) == [5] * 6
    assert batch_sandbox.members("vip") == set(ids(300))


# Views and waits


def test_a_view_tells_the_audience(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    (token,) = hook.update_custom_audience("vip", add_ids=ids(3)).indexing_tokens
    audience = hook.get_custom_audience("vip", token)
    assert (audience.name, audience.type, audience.nb_ids) == ("vip", "custom_ids", 3)
    assert audience.indexing_state is IndexingState.APPLIED
    assert audience.updated is not None
    assert audience.updated.tzinfo is UTC
    assert hook.get_custom_audience("vip") == audience


def test_a_view_is_tried_again_and_then_not(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(Fault(503, headers=SOON), Fault(404))
    with pytest.raises(BatchNotFoundError):
        hook.get_custom_audience("vip")
    assert [call.method for call in batch_sandbox.calls] == ["GET", "GET"]


def test_a_check_asks_up_to_the_first_token_that_is_not_confirmed(slow: Sandbox) -> None:
    hook = BatchHook()
    tokens = hook.update_custom_audience("vip", add_ids=ids(3), chunk_size=1).indexing_tokens
    outcome = hook.check_indexing("vip", tokens)
    assert outcome.pending == tuple(tokens)
    assert [call.method for call in slow.calls] == ["PATCH"] * 3 + ["GET"]


def test_a_check_of_confirmed_tokens_asks_each_once(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    tokens = hook.update_custom_audience("vip", add_ids=ids(3), chunk_size=1).indexing_tokens
    outcome = hook.check_indexing("vip", tokens)
    assert (outcome.pending, outcome.last_error) == ((), None)
    assert outcome.audience is not None
    assert [call.method for call in batch_sandbox.calls] == ["PATCH"] * 3 + ["GET"] * 3


def test_a_check_leaves_pending_what_could_not_be_asked(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    tokens = hook.update_custom_audience("vip", add_ids=ids(2), chunk_size=1).indexing_tokens
    batch_sandbox.faults(None, Fault(503))
    outcome = hook.check_indexing("vip", tokens)
    assert outcome.pending == (tokens[1],)
    assert "answered 503" in (outcome.last_error or "")


def test_a_check_raises_what_will_not_pass(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(Fault(401))
    with pytest.raises(BatchAuthenticationError):
        hook.check_indexing("vip", ["a" * 32])


def test_a_wait_asks_until_the_write_is_applied(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    (token,) = hook.update_custom_audience("vip", add_ids=["a"]).indexing_tokens
    pending = {"name": "vip", "indexing_state": "IN_PROGRESS"}
    batch_sandbox.faults(Fault(200, body=pending), Fault(500, headers=SOON), Fault(200, body=pending))
    audience = hook.wait_for_indexing("vip", [token], poke_interval=0.001)
    assert audience is not None
    assert audience.indexing_state is IndexingState.APPLIED
    assert [call.method for call in batch_sandbox.calls] == ["PATCH", "GET", "GET", "GET", "GET"]


def test_a_wait_without_tokens_is_over_at_once(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    assert hook.wait_for_indexing("vip", []) is None
    assert batch_sandbox.calls == []


def test_a_wait_that_takes_too_long_names_its_tokens(slow: Sandbox) -> None:
    hook = BatchHook()
    tokens = hook.update_custom_audience("vip", add_ids=ids(2), chunk_size=1).indexing_tokens
    with pytest.raises(IndexingTimeoutError) as caught:
        hook.wait_for_indexing("vip", tokens, poke_interval=0.01, timeout=0.05)
    assert caught.value.indexing_tokens == tuple(tokens)
    assert caught.value.indexing_token == tokens[0]
    assert caught.value.retryable
    for word in (*tokens, "vip", "2 indexing tokens", "last state IN_PROGRESS"):
        assert word in str(caught.value)


def test_a_state_that_no_page_names_is_never_done(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(*[Fault(200, body={"name": "vip", "indexing_state": "SHINY"})] * 100)
    with pytest.raises(IndexingTimeoutError, match="last state SHINY"):
        hook.wait_for_indexing("vip", ["a" * 32], poke_interval=0.01, timeout=0.02)


def test_replaced_is_done_with_a_warning(
    hook: BatchHook,
    batch_sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    batch_sandbox.faults(Fault(200, body={"name": "vip", "indexing_state": "REPLACED"}))
    audience = hook.wait_for_indexing("vip", ["a" * 32])
    assert audience is not None
    assert audience.indexing_state is IndexingState.REPLACED
    # Airflow 3 prints what it logs outside a worker.
    assert "a later replace of the audience took over from 1 of" in caplog.text + capsys.readouterr().out


# The session that is handed out


def test_the_session_asks_batch_with_the_connections_headers(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    got = hook.get_conn().get(f"{batch_sandbox.url}/1.0/sandbox-app-key/custom-audience", timeout=5)
    assert got.status_code == 200
    assert batch_sandbox.calls[0].user_agent.startswith("airflow-provider-batch/")
    assert hook.get_conn() is hook.get_conn()


def test_the_session_has_the_connections_timeout(connect: Connect) -> None:
    with RawServer(STALL) as server, pytest.raises(requests.Timeout):
        connect(host=server.url, extra={"timeout": 0.2}).get_conn().get(server.url)


def test_the_session_follows_no_redirect(connect: Connect) -> None:
    with RawServer(answer(200)) as elsewhere:
        with RawServer(answer(302, Location=elsewhere.url)) as server:
            assert connect(host=server.url).get_conn().get(server.url).status_code == 302
        assert elsewhere.connections == 0


# Testing a connection


def test_right_keys_are_told_as_right(hook: BatchHook, batch_sandbox: Sandbox) -> None:
    assert hook.test_connection() == (True, "Batch accepted both keys")
    assert [call.method for call in batch_sandbox.calls] == ["GET"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": "wrong-rest-key"}, ["401", "AUTHENTICATION_INVALID", "Check the connection's password"]),
        ({"login": "wrong-app-key"}, ["401", "AUTHENTICATION_INVALID", "the app's or project's key"]),
        ({"login": None}, ["no Batch API key (login)"]),
        ({"password": None}, ["no REST API key (password)"]),
        ({"extra": {"tiemout": 3}}, ["unknown field 'tiemout'", "Did you mean 'timeout'?"]),
        ({"host": "http://api.batch.com"}, ["unencrypted. Use https"]),
    ],
)
def test_a_wrong_connection_is_told_in_words(
    fields: dict[str, Any], words: list[str], batch_sandbox: Sandbox, connect: Connect
) -> None:
    ok, message = connect(**{**json.loads(batch_sandbox.connection_json()), **fields}).test_connection()
    assert not ok
    assert all(word in message for word in words)
    assert not any(key in message for key in ("wrong-rest-key", "wrong-app-key", "sandbox-rest-key", "sandbox-app-key"))
    assert len(batch_sandbox.calls) <= 1


def test_nobody_listening_is_told_in_words(connect: Connect) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ok, message = connect(host=f"http://127.0.0.1:{unused.getsockname()[1]}").test_connection()
    assert not ok
    assert "no answer" in message
    assert "Connection refused" in message
    assert "key-1" not in message


def test_a_missing_connection_is_told_in_words() -> None:
    ok, message = BatchHook("no_such_connection").test_connection()
    assert not ok
    assert "no_such_connection" in message


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>hello</html>", "not a JSON object"),
        (200, b"{}", "the host answered, but not with a list of audiences"),
        (200, b'{"custom_audiences": {}}', "the host answered, but not with a list of audiences"),
        (302, b"", "redirects are not followed"),
        (503, b"", "503"),
    ],
)
def test_another_service_is_told_as_such(status: int, body: bytes, words: str, connect: Connect) -> None:
    with RawServer(answer(status, body)) as server:
        ok, message = connect(host=server.url).test_connection()
    assert not ok
    assert words in message
    assert len(server.asked) == 1


def test_no_answer_at_all_is_a_broken_connection(connect: Connect) -> None:
    with RawServer(STALL) as server:
        hook = connect(host=server.url, extra={"timeout": 0.1, "max_attempts": 1})
        with pytest.raises(BatchConnectionError):
            hook.update_custom_audience("vip", add_ids=["a"])
