"""A service that refuses a whole call for one id in it: the rest arrives, the refused ones are named by position."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import BatchRequestError, TooManyRejectedError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.protocol.audiences.results import PushResult
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.files import FileSource
from tests.clock import eventually
from tests.transport.servers import Asked, RawServer, answer


class Choosy:
    """Rejects every call with an id that begins with "bad", and quotes that id; and every call with too many ids."""

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.tokens = 0
        self.largest = 10_000
        self.writes: list[Asked] = []
        self.audiences = ["other", "vip"]

    @property
    def refused(self) -> int:
        """How many ids are known to be rejected: each was, in a call of its own."""
        elements = [json.loads(asked.body)["ids"] for asked in self.writes]
        return sum(len(ids) == 1 and ids[0]["id"].startswith("bad") for ids in elements)

    def __call__(self, asked: Asked) -> bytes:
        if asked.method == "GET":
            return answer(200, {"custom_audiences": [{"name": name} for name in self.audiences]})
        self.writes.append(asked)
        elements = json.loads(asked.body)["ids"]
        if len(elements) > self.largest:
            return answer(413, b"<html>Request Entity Too Large</html>")
        if bad := [element["id"] for element in elements if element["id"].startswith("bad")]:
            return answer(400, {"code": 31, "message": f"the id {bad[0]} is malformed"})
        for element in elements:
            (self.members.add if element["action"] == "add" else self.members.discard)(element["id"])
        self.tokens += 1
        return answer(201, {"indexing_token": f"token-{self.tokens}"})


@pytest.fixture
def choosy() -> Choosy:
    return Choosy()


@pytest.fixture
def server(choosy: Choosy, monkeypatch: pytest.MonkeyPatch) -> Iterator[RawServer]:
    with RawServer(choosy) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", server.connection_json())
        yield server


def push(**arguments: Any) -> PushResult:
    return BatchHook().update_custom_audience("vip", on_rejected_chunk="bisect", **arguments)


def places(result: PushResult) -> list[tuple[str, int]]:
    return [(rejection.argument, rejection.position) for rejection in result.rejections]


def test_by_default_a_refusal_ends_the_push(choosy: Choosy, server: RawServer) -> None:
    with pytest.raises(BatchRequestError, match="MALFORMED_PARAMETER"):
        BatchHook().update_custom_audience("vip", add_ids=["a", "bad-1"])
    assert len(choosy.writes) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_rest_is_sent_and_the_refused_ids_are_named(stream: bool, choosy: Choosy, server: RawServer) -> None:
    ids = [f"id-{n}" if n not in (3, 17, 42) else f"bad-{n}" for n in range(50)]
    result = push(add_ids=iter(ids) if stream else ids, chunk_size=20)
    assert choosy.members == {id_ for id_ in ids if id_.startswith("id-")}
    assert (result.added, result.rejected) == (47, 3)
    assert places(result) == [("add_ids", 3), ("add_ids", 17), ("add_ids", 42)]
    assert "bad-" not in repr(result)
    assert "MALFORMED_PARAMETER" in result.rejections[0].reason
    assert result.calls == len(set(result.indexing_tokens)) == choosy.tokens


def test_positions_are_those_of_the_argument_whatever_was_left_out(choosy: Choosy, server: RawServer) -> None:
    result = push(add_ids=["a", "a", None, "bad-x", "b"], remove_ids=["b", "c", "bad-y", "c"], on_invalid_id="skip")
    assert sorted(places(result)) == [("add_ids", 2), ("add_ids", 3), ("remove_ids", 2)]
    assert (result.added, result.removed, result.duplicates, result.rejected) == (1, 2, 3, 3)


def test_an_id_from_a_file_has_the_place_of_its_line(choosy: Choosy, server: RawServer, tmp_path: Path) -> None:
    rows = [f'id-{n},"two\nlines"' if n not in (3, 17, 42) else f"bad-{n},x" for n in range(50)]
    (tmp_path / "ids.csv").write_text("id,x\n\n" + "\n".join(rows))
    result = push(add_ids=FileSource(tmp_path / "ids.csv", Columns("id")), chunk_size=20)
    assert [(each.position, each.place) for each in result.rejections] == [
        (3, "ids.csv, line 9"),
        (17, "ids.csv, line 36"),
        (42, "ids.csv, line 85"),
    ]


def test_one_bad_id_among_ten_thousand_costs_a_few_calls(choosy: Choosy, server: RawServer) -> None:
    result = push(add_ids=[f"id-{n}" for n in range(6_000)] + ["bad"] + [f"id-{n}" for n in range(6_000, 9_999)])
    assert places(result) == [("add_ids", 6_000)]
    assert len(choosy.members) == 9_999
    assert len(choosy.writes) <= 1 + 2 * 14


def test_refusals_are_told_one_at_a_time_though_they_come_at_once(choosy: Choosy, server: RawServer) -> None:
    at_work = threading.Lock()
    told: list[object] = []

    def tell(rejection: Rejection, value: object) -> None:
        assert at_work.acquire(blocking=False)
        eventually(lambda: choosy.refused == 8)  # the other threads have something to tell, too
        told.append(value)
        at_work.release()

    ids = [f"bad-{number}" if number % 5 == 0 else f"id-{number}" for number in range(40)]
    result = push(add_ids=ids, chunk_size=5, max_concurrency=8, on_rejection=tell)
    assert sorted(map(str, told)) == sorted(id_ for id_ in ids if id_.startswith("bad"))
    assert result.rejected == 8


def test_a_refusal_that_is_not_about_the_ids_ends_soon(choosy: Choosy, server: RawServer) -> None:
    with pytest.raises(BatchRequestError):
        push(add_ids=[f"bad-{n}" for n in range(10_000)])
    assert len(choosy.writes) <= 1 + 40


def test_too_many_bad_ids_end_the_search(choosy: Choosy, server: RawServer) -> None:
    with pytest.raises(BatchRequestError):
        push(add_ids=[f"{'bad' if n % 2 else 'id'}-{n}" for n in range(10_000)])
    assert len(choosy.writes) <= 1 + 400


@pytest.mark.parametrize(
    ("most", "fails"), [(None, False), (3, False), (2, True), (0.3, False), (0.2, True), (0, True)]
)
def test_more_rejected_values_than_allowed_are_an_error(most: float | None, fails: bool, server: RawServer) -> None:
    result = push(add_ids=[f"id-{n}" if n > 2 else f"bad-{n}" for n in range(10)])
    if fails:
        with pytest.raises(TooManyRejectedError, match="3 of 10 values were rejected"):
            result.check_rejected(most)
    else:
        result.check_rejected(most)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    adds=st.lists(st.sampled_from(["a", "b", "c", "d", "bad-1", "bad-2"]), max_size=12),
    removes=st.lists(st.sampled_from(["a", "b", "e", "bad-2", "bad-3"]), max_size=8),
    size=st.integers(2, 6),
    stream=st.booleans(),
)
def test_every_value_is_counted_once_and_every_good_id_arrives(
    adds: list[str], removes: list[str], size: int, stream: bool, choosy: Choosy, server: RawServer
) -> None:
    choosy.members.clear()
    pushed = {"add_ids": iter(adds) if stream else adds, "remove_ids": iter(removes) if stream else removes}
    try:
        result = push(**pushed, chunk_size=size)
    except BatchRequestError:
        pytest.fail("small chunks are always searched to the end")
    assert result.added + result.removed + result.duplicates + result.rejected == len(adds) + len(removes)
    assert choosy.members == {id_ for id_ in adds if not id_.startswith("bad") and id_ not in removes}
    for rejection in result.rejections:
        assert isinstance(rejection, Rejection)
        assert {"add_ids": adds, "remove_ids": removes}[rejection.argument][rejection.position].startswith("bad")


def test_a_refusal_with_bad_ids_in_an_audience_that_exists_names_no_other_remedy(server: RawServer) -> None:
    with pytest.raises(BatchRequestError) as caught:
        BatchHook().update_custom_audience("vip", add_ids=["bad-1"])
    assert "create_if_missing" not in str(caught.value)


@pytest.mark.parametrize("on_rejected_chunk", ["fail", "bisect"])
def test_a_refusal_by_an_audience_that_the_list_does_not_have_names_the_remedy(
    on_rejected_chunk: Any, choosy: Choosy, server: RawServer
) -> None:
    choosy.audiences = ["other"]
    with pytest.raises(BatchRequestError, match="does not exist: create_if_missing=True creates it") as caught:
        BatchHook().update_custom_audience("vip", add_ids=["a", "bad-1"], on_rejected_chunk=on_rejected_chunk)
    assert caught.value.status == 400
    assert len(choosy.writes) == 1


def test_a_call_that_is_too_large_is_sent_in_parts(choosy: Choosy, server: RawServer) -> None:
    choosy.largest = 30
    result = push(add_ids=[f"id-{number}" for number in range(100)])
    assert choosy.members == {f"id-{number}" for number in range(100)}
    assert (result.added, result.rejected, result.calls) == (100, 0, 4)


@pytest.mark.parametrize("on_rejected_chunk", ["fail", "bisect"])
def test_a_replace_that_is_too_large_sends_nothing_else(
    on_rejected_chunk: Any, choosy: Choosy, server: RawServer
) -> None:
    choosy.largest = 1
    with pytest.raises(BatchRequestError, match="Lower chunk_size"):
        BatchHook().replace_custom_audience("vip", ["a", "b", "c"], on_rejected_chunk=on_rejected_chunk)
    assert len(choosy.writes) == 1


def test_without_bisect_a_call_that_is_too_large_names_chunk_size(choosy: Choosy, server: RawServer) -> None:
    choosy.largest = 1
    with pytest.raises(BatchRequestError, match="Lower chunk_size") as caught:
        BatchHook().update_custom_audience("vip", add_ids=["a", "b"])
    assert caught.value.status == 413
    assert len(choosy.writes) == 1
