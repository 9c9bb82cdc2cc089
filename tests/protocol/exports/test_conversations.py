"""Exports by hand: what is asked next after which answer."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from airflow_provider_batch.exceptions import (
    BatchConnectionError,
    BatchError,
    BatchNotFoundError,
    BatchProtocolError,
    BatchServerError,
    ExportFailedError,
    ExportTimeoutError,
)
from airflow_provider_batch.protocol.exports import conversations
from airflow_provider_batch.protocol.exports.export import Export, ExportFile, ExportQuery, ExportState
from airflow_provider_batch.protocol.flow import Done, Flow, advance, no_retry
from airflow_provider_batch.protocol.pages import Page
from airflow_provider_batch.protocol.retry import Backoff, Polling, Spacing
from airflow_provider_batch.protocol.wire import Request, Response, Sleep
from tests.clock import Clock

VIEW = Request("GET", "/2.11/exports/view", (("id", "export_1"),))


def no_jitter(most: float) -> float:
    return most


def polling(clock: Clock, timeout: float = 600.0) -> Polling:
    delay = Backoff(no_jitter, attempts=1_000, longest=30.0, total=math.inf)
    return Polling(delay, Spacing(lambda most: 0.0, 30.0), clock.now + timeout, clock)


def view(status: str, **fields: Any) -> Response:
    return Response(200, {}, json.dumps({"id": "export_1", "status": status, **fields}).encode())


def test_an_export_is_asked_for_and_has_an_id() -> None:
    flow = conversations.request("2.11", ExportQuery(), no_retry)
    asked = advance(flow, None)
    assert isinstance(asked, Request)
    assert asked.route == "POST /2.11/profiles/export"
    assert json.loads(asked.body or b"") == {"export_type": "ATTRIBUTES", "identifiers": ["custom_id"]}
    assert advance(flow, Response(202, {}, b'{"id": "export_1"}')) == Done("export_1")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        *((body, "without the id of an export$") for body in (b"{}", b'{"id": 7}', b'{"id": ""}')),
        (b"<html>", "with 6 bytes that are not a JSON object"),
    ],
)
def test_an_export_without_an_id_is_no_answer(body: bytes, reason: str) -> None:
    flow = conversations.request("2.11", ExportQuery(), no_retry)
    advance(flow, None)
    with pytest.raises(BatchProtocolError, match=rf"^POST /2\.11/profiles/export: answered 202 {reason}"):
        advance(flow, Response(202, {}, body))


def test_the_wait_goes_through_all_states_and_over_errors() -> None:
    clock = Clock()
    flow = conversations.await_export("2.11", "export_1", polling(clock))
    assert advance(flow, None) == VIEW
    assert advance(flow, view("CREATED")) == Sleep(0.8)
    assert advance(flow, None) == VIEW
    assert advance(flow, view("PENDING")) == Sleep(1.6)
    assert advance(flow, None) == VIEW
    pause = advance(flow, Response(503, {"retry-after": "9"}))
    assert (pause, pause.everyone) == (Sleep(9.0, everyone=True), True)  # type: ignore[union-attr]
    assert advance(flow, None) == VIEW
    assert advance(flow, BatchConnectionError("no answer")) == Sleep(2.0)
    assert advance(flow, None) == VIEW
    assert advance(flow, view("SOMETHING NEW")) == Sleep(3.2)
    assert advance(flow, None) == VIEW
    files = [{"id": "f2", "part": 2, "size": 5}, {"id": "f1", "part": 1, "size": "5"}]
    assert advance(flow, view("SUCCESS", files=files)) == Done(
        Export("export_1", ExportState.SUCCESS, "SUCCESS", (ExportFile("f1", 1, None), ExportFile("f2", 2, 5)))
    )


def test_only_an_attempt_after_an_error_is_a_retry() -> None:
    flow = conversations.await_export("2.11", "export_1", polling(Clock()))
    lost = BatchConnectionError("no answer")
    retries = []
    for answer in (view("RUNNING"), lost, view("RUNNING")):
        advance(flow, None)
        pause = advance(flow, answer)
        assert isinstance(pause, Sleep)
        retries.append(pause.retries)
    assert retries == [None, lost, None]


def test_where_the_backoff_gives_up_the_wait_does_not() -> None:
    delays: list[tuple[int, str, float]] = []

    def give_up(attempt: int, error: BatchError, waited: float) -> None:
        delays.append((attempt, str(error), waited))

    flow = conversations.await_export("2.11", "export_1", Polling(give_up, lambda poll: 2.0 * poll, 100.0, lambda: 0.0))
    for seconds in (2.0, 4.0):
        advance(flow, None)
        assert advance(flow, BatchConnectionError("no answer")) == Sleep(seconds)
    assert delays == [(1, "no answer", 0.0), (2, "no answer", 0.0)]


@pytest.mark.parametrize("status", ["RUNNING", "SOMETHING NEW"])
def test_an_export_that_is_not_done_has_no_files_yet(status: str) -> None:
    flow = conversations.view("2.11", "export_1", no_retry)
    advance(flow, None)
    done = advance(flow, view(status, files=[{"id": "f1"}, {}]))
    assert isinstance(done, Done)
    assert done.value.files == ()


def test_an_export_without_files_is_an_empty_one() -> None:
    flow = conversations.view("2.11", "export_1", no_retry)
    advance(flow, None)
    assert advance(flow, view("SUCCESS")) == Done(Export("export_1", ExportState.SUCCESS, "SUCCESS"))


def test_a_long_state_is_cut() -> None:
    flow = conversations.view("2.11", "export_1", no_retry)
    advance(flow, None)
    assert advance(flow, view("X" * 65)) == Done(Export("export_1", ExportState.UNKNOWN, "X" * 64))


def test_a_file_without_a_number_comes_first() -> None:
    flow = conversations.view("2.11", "export_1", no_retry)
    advance(flow, None)
    files = [{"id": "f2", "part": 2}, {"id": "f1", "part": 1}, {"id": "f0"}]
    assert advance(flow, view("SUCCESS", files=files)) == Done(
        Export(
            "export_1",
            ExportState.SUCCESS,
            "SUCCESS",
            (ExportFile("f0", 1), ExportFile("f1", 2), ExportFile("f2", 3)),
        )
    )


@pytest.mark.parametrize("files", [{}, [{"part": 1}], ["f1"], [{"id": None}], [{"id": ""}], [{"id": 7}], "f1"])
def test_files_without_ids_are_no_answer(files: Any) -> None:
    flow = conversations.view("2.11", "export_1", no_retry)
    advance(flow, None)
    with pytest.raises(BatchProtocolError, match="its files have no ids"):
        advance(flow, view("SUCCESS", files=files))


@pytest.mark.parametrize("body", [{}, {"status": None}, {"status": 7}, []])
def test_a_view_without_a_status_is_no_answer(body: Any) -> None:
    flow = conversations.view("2.11", "export_1", no_retry)
    advance(flow, None)
    with pytest.raises(BatchProtocolError, match=r"^GET /2\.11/exports/view: answered 200"):
        advance(flow, Response(200, {}, json.dumps(body).encode()))


def test_a_failed_export_ends_the_wait() -> None:
    flow = conversations.await_export("2.11", "export_1", polling(Clock()))
    advance(flow, None)
    with pytest.raises(ExportFailedError) as caught:
        advance(flow, view("ERROR"))
    assert str(caught.value) == (
        "export_1: Batch reports that the export has failed (ERROR). Run the task again for a new one; if that fails "
        "too, check its arguments, and ask Batch's support with this id."
    )
    assert (caught.value.export_id, caught.value.retryable) == ("export_1", True)


@pytest.mark.parametrize(
    ("answer", "last"),
    [(view("RUNNING"), "last state RUNNING"), (Response(500), f"{VIEW.route}: answered 500")],
    ids=["state", "500"],
)
def test_the_deadline_ends_the_wait(answer: Response, last: str) -> None:
    clock = Clock()
    flow = conversations.await_export("2.11", "export_1", polling(clock, timeout=1.0))
    advance(flow, None)
    pause = advance(flow, answer)
    assert isinstance(pause, Sleep)
    assert pause.seconds <= 1.0
    clock.now += 1.0
    advance(flow, None)
    with pytest.raises(ExportTimeoutError) as caught:
        advance(flow, answer)
    assert str(caught.value) == (
        f"export_1: the export is not done in time; {last}. A retry takes it up (Airflow 3.3 and later), or raise "
        "export_timeout."
    )
    assert (caught.value.export_id, caught.value.retryable) == ("export_1", True)


def test_an_export_that_is_gone_ends_the_wait() -> None:
    flow = conversations.await_export("2.11", "export_1", polling(Clock()))
    advance(flow, None)
    with pytest.raises(BatchNotFoundError, match="not older than three months"):
        advance(flow, Response(404))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_address_is_what_a_redirect_has(status: int) -> None:
    flow = conversations.address("2.11", "f1", no_retry)
    asked = advance(flow, None)
    assert asked == Request("GET", "/2.11/exports/download", (("id", "f1"),))
    answer = Response(status, {"location": "https://storage.example/f1?signature=x"})
    assert advance(flow, answer) == Done("https://storage.example/f1?signature=x")
    assert "signature" not in repr(answer)


@pytest.mark.parametrize("answer", [Response(200, {}, b"[]"), Response(307), Response(204), Response(304)])
def test_without_an_address_there_is_no_file(answer: Response) -> None:
    flow = conversations.address("2.11", "f1", no_retry)
    advance(flow, None)
    with pytest.raises(BatchProtocolError, match="without the address of the file"):
        advance(flow, answer)


@pytest.mark.parametrize(("start", "query"), [(None, (("limit", "100"),)), ("x", (("from", "x"), ("limit", "100")))])
def test_exports_are_listed_in_pages(start: str | None, query: tuple[tuple[str, str], ...]) -> None:
    flow = conversations.page("2.11", start, no_retry)
    assert advance(flow, None) == Request("GET", "/2.11/exports/list", query)
    answer = {"exports": [{"id": "export_1"}], "has_more": True, "next_from": "y"}
    assert advance(flow, Response(200, {}, json.dumps(answer).encode())) == Done(Page(({"id": "export_1"},), "y"))


def test_an_export_that_is_not_there_has_its_own_remedy() -> None:
    for flow in (
        conversations.request("2.11", ExportQuery(), no_retry),
        conversations.view("2.11", "export_1", no_retry),
        conversations.address("2.11", "f1", no_retry),
    ):
        advance(flow, None)
        with pytest.raises(BatchNotFoundError, match=r"answered 404\. Check that the export exists and is not older"):
            advance(flow, Response(404))


def test_every_question_about_exports_is_tried_again() -> None:
    delay = Backoff(no_jitter, attempts=2)
    flows: list[Flow[Any]] = [
        conversations.request("2.11", ExportQuery(), delay),
        conversations.view("2.11", "export_1", delay),
        conversations.page("2.11", None, delay),
        conversations.address("2.11", "f1", delay),
    ]
    for flow in flows:
        asked = advance(flow, None)
        assert isinstance(advance(flow, Response(500)), Sleep)
        assert advance(flow, None) == asked


def test_no_other_request_takes_a_redirect_for_an_answer() -> None:
    flow = conversations.view("2.11", "export_1", no_retry)
    advance(flow, None)
    with pytest.raises(Exception, match="redirects are not followed") as caught:
        advance(flow, Response(307, {"location": "https://elsewhere.example"}))
    assert not isinstance(caught.value, BatchServerError)
    assert "elsewhere" not in str(caught.value)
