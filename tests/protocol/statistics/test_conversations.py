"""Lists and figures: what is asked, and what the answers are."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from airflow_provider_batch.exceptions import BatchNotFoundError, BatchProtocolError
from airflow_provider_batch.protocol.flow import Done, advance, no_retry
from airflow_provider_batch.protocol.pages import Page
from airflow_provider_batch.protocol.retry import Backoff
from airflow_provider_batch.protocol.statistics import conversations, encode
from airflow_provider_batch.protocol.statistics.period import Period
from airflow_provider_batch.protocol.statistics.subjects import CAMPAIGNS, ORCHESTRATIONS, TRANSACTIONAL, Subject
from airflow_provider_batch.protocol.wire import Request, Response, Sleep

DAY = date(2026, 8, 31)
PERIOD = Period(date(2026, 8, 1), DAY)


def answer(body: Any) -> Response:
    return Response(200, {}, json.dumps(body).encode())


def test_a_page_is_asked_for_with_its_filters_its_start_and_its_length() -> None:
    filters = (("states", "RUNNING"), ("states", "COMPLETED"))
    assert encode.list_page(ORCHESTRATIONS, "2.11", "x", filters) == Request(
        "GET", "/2.11/orchestrations/list", (*filters, ("from", "x"), ("limit", "100"))
    )
    assert encode.list_page(CAMPAIGNS, "2.11", None) == Request(
        "GET", "/1.1/{api_key}/campaigns/list", (("limit", "100"),)
    )


@pytest.mark.parametrize(
    ("subject", "period", "path", "query"),
    [
        (
            ORCHESTRATIONS,
            PERIOD,
            "/2.11/orchestrations/stats",
            (("orchestration_id", "a/b"), ("from", "2026-08-01"), ("to", "2026-08-31")),
        ),
        (ORCHESTRATIONS, None, "/2.11/orchestrations/stats", (("orchestration_id", "a/b"),)),
        # Where the first day must be before the last, no day is lost: neither of one nor of more.
        (
            TRANSACTIONAL,
            Period(DAY, DAY),
            "/1.1/{api_key}/transactional/stats/a%2Fb",
            (("since", "2026-08-30"), ("until", "2026-08-31")),
        ),
        (
            TRANSACTIONAL,
            PERIOD,
            "/1.1/{api_key}/transactional/stats/a%2Fb",
            (("since", "2026-08-01"), ("until", "2026-08-31")),
        ),
        (
            ORCHESTRATIONS,
            Period(DAY, DAY),
            "/2.11/orchestrations/stats",
            (("orchestration_id", "a/b"), ("from", "2026-08-31"), ("to", "2026-08-31")),
        ),
        (CAMPAIGNS, PERIOD, "/1.1/{api_key}/campaigns/stats/a%2Fb", ()),
    ],
)
def test_figures_are_asked_for_by_the_key_and_the_days(
    subject: Subject, period: Period | None, path: str, query: tuple[tuple[str, str], ...]
) -> None:
    assert encode.stats(subject, "2.11", "a/b", period) == Request("GET", path, query)


@pytest.mark.parametrize("subject", [ORCHESTRATIONS, TRANSACTIONAL, CAMPAIGNS], ids=lambda subject: subject.name)
def test_an_error_has_the_remedy_of_its_subject(subject: Subject) -> None:
    for flow in (
        conversations.stats(subject, "2.11", "o1", PERIOD, no_retry),
        conversations.page(subject, "2.11", None, (), no_retry),
    ):
        advance(flow, None)
        with pytest.raises(BatchNotFoundError) as caught:
            advance(flow, Response(404))
        assert str(caught.value).endswith(f"answered 404. {subject.remedies[404]}")


def test_a_page_is_read_as_its_subject_lists_it() -> None:
    flow = conversations.page(ORCHESTRATIONS, "2.11", "x", (("states", "RUNNING"),), no_retry)
    assert advance(flow, None) == encode.list_page(ORCHESTRATIONS, "2.11", "x", (("states", "RUNNING"),))
    assert advance(flow, answer({"orchestrations": [{"id": "o1"}], "has_more": True, "next_from": "y"})) == Done(
        Page(({"id": "o1"},), "y")
    )


def test_figures_come_as_they_are() -> None:
    flow = conversations.stats(ORCHESTRATIONS, "2.11", "o1", PERIOD, no_retry)
    assert advance(flow, None) == encode.stats(ORCHESTRATIONS, "2.11", "o1", PERIOD)
    assert advance(flow, answer({"details": [{"sent": 3}], "new": None})) == Done(
        {"details": [{"sent": 3}], "new": None}
    )


def test_figures_that_are_none_are_no_answer() -> None:
    flow = conversations.stats(ORCHESTRATIONS, "2.11", "o1", PERIOD, no_retry)
    advance(flow, None)
    with pytest.raises(BatchProtocolError):
        advance(flow, answer([]))


def test_both_are_tried_again() -> None:
    delay = Backoff(lambda most: most, attempts=2)
    for flow in (
        conversations.page(ORCHESTRATIONS, "2.11", None, (), delay),
        conversations.stats(ORCHESTRATIONS, "2.11", "o1", PERIOD, delay),
    ):
        asked = advance(flow, None)
        assert isinstance(advance(flow, Response(500)), Sleep)
        assert advance(flow, None) == asked
