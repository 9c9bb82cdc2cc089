"""Lists in pages: what is a page, where the next one begins, and what would never end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_batch.exceptions import BatchProtocolError
from airflow_provider_batch.protocol.pages import Page, page_of, unseen
from airflow_provider_batch.protocol.statistics import decode
from airflow_provider_batch.protocol.statistics.subjects import CAMPAIGNS, ORCHESTRATIONS
from airflow_provider_batch.protocol.wire import Request, Response


def answer(body: Any) -> Response:
    return Response(200, {}, json.dumps(body).encode())


def asked(**query: str) -> Request:
    return Request("GET", "/things", tuple(query.items()))


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ({"things": []}, None),
        ({"things": [], "has_more": False, "next_from": "x"}, None),
        ({"things": [{"id": "a"}], "has_more": True, "next_from": "x"}, "x"),
        ({"things": [{"id": "a"}], "has_more": True, "next_from": 7}, "7"),
        ({"things": [{"id": "a"}], "has_more": "true", "next_from": "x"}, None),
    ],
)
def test_a_page_has_entries_and_a_cursor(body: Any, start: str | None) -> None:
    assert page_of("things")(answer(body), asked()) == Page(tuple(body["things"]), start)


@pytest.mark.parametrize("body", [[], {}, {"things": None}, {"things": {}}, {"things": ["a"]}, {"others": []}])
def test_anything_else_is_no_page(body: Any) -> None:
    with pytest.raises(BatchProtocolError, match=r"^GET /things: answered 200"):
        page_of("things")(answer(body), asked())


@pytest.mark.parametrize("start", [None, "x", [], 1.5])
def test_more_without_a_new_cursor_would_never_end(start: Any) -> None:
    body = {"things": [{"id": "a"}], "has_more": True, "next_from": start}
    with pytest.raises(BatchProtocolError, match="has_more, but without a next_from"):
        page_of("things")(answer(body), asked(**{"from": "x"}))


def test_an_entry_is_new_once() -> None:
    seen: set[str] = set()
    first = Page(({"id": "a"}, {"id": "b"}, {"id": "a"}), "x")
    assert unseen(first, "id", seen) == [{"id": "a"}, {"id": "b"}]
    assert unseen(Page(({"id": "b"}, {"id": "c"}), "y"), "id", seen) == [{"id": "c"}]
    assert unseen(Page(({"id": "c"},), None), "id", seen) == []
    assert seen == {"a", "b", "c"}


def test_a_page_without_news_that_has_more_would_never_end() -> None:
    with pytest.raises(BatchProtocolError, match=r"^the list repeats a page, although it has more$"):
        unseen(Page(({"id": "a"},), "x"), "id", {"a"})


@pytest.mark.parametrize("entry", [{}, {"id": None}, {"id": ""}, {"id": 7}])
def test_an_entry_has_what_identifies_it(entry: dict[str, Any]) -> None:
    with pytest.raises(BatchProtocolError, match="an entry of the list has no id"):
        unseen(Page((entry,), None), "id", set())


def test_a_list_may_be_the_answer_itself() -> None:
    read = decode.list_page(CAMPAIGNS)
    entries = ({"campaign_token": "a"}, {"campaign_token": "b"})
    assert read(answer(list(entries)), asked(limit="100")) == Page(entries, "2")
    assert read(answer(list(entries)), asked(**{"from": "7"}, limit="100")) == Page(entries, "9")
    assert read(answer([]), asked(**{"from": "7"}, limit="100")) == Page((), None)
    bodies: list[Any] = [{}, {"campaigns": []}, ["a"], None, 7]
    for body in bodies:
        with pytest.raises(BatchProtocolError, match="without a list"):
            read(answer(body), asked())
    with pytest.raises(BatchProtocolError):
        read(Response(200, {}, b"<html>"), asked())
    with pytest.raises(BatchProtocolError, match="without a list of orchestrations"):
        decode.list_page(ORCHESTRATIONS)(answer({"things": []}), asked())
