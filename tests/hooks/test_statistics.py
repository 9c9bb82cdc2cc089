"""Statistics with the hook, on both platforms."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_provider_batch.exceptions import (
    BatchAuthenticationError,
    BatchProtocolError,
    BatchServerError,
    InvalidArgumentError,
    StatisticsMissingError,
)
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.clock import Clock
from tests.transport.servers import Asked, RawServer, answer

SOON = {"Retry-After": "0"}
#: Every one of these in a call for figures; the list is the first call.
TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)


@pytest.fixture
def cep(batch_sandbox: Sandbox) -> BatchHook:
    return BatchHook("batch_cep")


@pytest.fixture
def mep(batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> BatchHook:
    return connect(batch_sandbox, monkeypatch, requests_per_second=1000)


def connect(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, key: str | None = None, **extra: Any) -> BatchHook:
    connection = json.loads(sandbox.connection_json(key))
    connection["extra"] = {**connection.get("extra", {}), **extra}
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_TEST", json.dumps(connection))
    return BatchHook("batch_test")


def test_orchestrations_are_listed_over_all_pages_as_they_come(batch_sandbox: Sandbox, cep: BatchHook) -> None:
    batch_sandbox.add_orchestrations(117)
    listed = list(cep.orchestrations())
    assert len({entry["id"] for entry in listed}) == 120
    assert listed[0]["name"] == "Orchestration 120"
    assert listed[0].keys() == {
        *("id", "type", "channels", "platforms", "source", "created_date"),
        *("name", "labels", "status", "start_time"),
    }
    assert len(batch_sandbox.calls) == 2


def test_filters_choose_orchestrations(batch_sandbox: Sandbox, cep: BatchHook) -> None:
    batch_sandbox.add_orchestrations(3)
    assert {entry["type"] for entry in cep.orchestrations(type="trigger")} == {"trigger"}
    assert len(list(cep.orchestrations(type=["trigger", "campaign"]))) == 4
    assert len(list(cep.orchestrations(status=["running"], channels="email"))) == 3


def test_figures_are_one_line_a_day_and_version(batch_sandbox: Sandbox, cep: BatchHook) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    rows = list(cep.orchestration_stats(since=YESTERDAY, until=TODAY))
    ids = [entry["id"] for entry in cep.orchestrations()]
    assert [(row["id"], row["date"], row["version"]) for row in rows] == [
        (ids[0], f"{YESTERDAY}", None),
        (ids[0], f"{TODAY}", None),
        (ids[1], f"{YESTERDAY}", None),
        (ids[1], f"{TODAY}", None),
        (ids[2], f"{YESTERDAY}", None),
        (ids[2], f"{YESTERDAY}", "a"),
        (ids[2], f"{YESTERDAY}", "b"),
        (ids[2], f"{TODAY}", None),
        (ids[2], f"{TODAY}", "a"),
        (ids[2], f"{TODAY}", "b"),
    ]
    assert all(before <= datetime.fromisoformat(row["read_at"]) <= datetime.now(UTC) for row in rows)
    assert {"name", "created_date", "sent", "unique_machine_open", "skipped"} <= rows[0].keys()


def test_figures_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(time.time())
    with Sandbox(clock=clock) as sandbox:
        hook = connect(sandbox, monkeypatch, "project_sandbox")
        today = datetime.fromtimestamp(clock.now, UTC).date()
        first = sum(row["sent"] for row in hook.orchestration_stats(since=today))
        clock.now += 3 * 86_400
        assert sum(row["sent"] for row in hook.orchestration_stats(since=today, until=today)) > first


def test_120_orchestrations_and_a_rate_limit_in_the_middle(batch_sandbox: Sandbox, cep: BatchHook) -> None:
    batch_sandbox.add_orchestrations(117)
    batch_sandbox.faults(*[None] * 62, Fault(429), Fault(429, headers=SOON))
    rows = list(cep.orchestration_stats(since=TODAY, until=TODAY))
    assert len({row["id"] for row in rows}) == 120
    assert len(rows) == 120 + 2 * 40  # every third has two versions
    assert [call.status for call in batch_sandbox.calls].count(429) == 2
    assert len(batch_sandbox.calls) == 2 + 120 + 2
    limited = next(place for place, call in enumerate(batch_sandbox.calls) if call.status == 429)
    assert batch_sandbox.calls[limited + 1].at - batch_sandbox.calls[limited].at >= 5.0


def test_one_that_is_missing_is_an_error_after_all_others(batch_sandbox: Sandbox, cep: BatchHook) -> None:
    first = next(cep.orchestrations())["id"]
    batch_sandbox.forget_statistics(first)
    read: list[str] = []
    rows = cep.orchestration_stats(since=TODAY)
    with pytest.raises(StatisticsMissingError, match=r"the statistics of 1 orchestration cannot be read") as caught:
        read.extend(row["id"] for row in rows)
    assert len(set(read)) == 2
    assert first not in read
    assert (caught.value.missing, caught.value.retryable) == ((first,), False)
    assert "Pass on_missing='skip'" in str(caught.value)


def test_one_that_is_missing_may_be_left_out_and_that_is_told(
    batch_sandbox: Sandbox, cep: BatchHook, told: Callable[[], str]
) -> None:
    first = next(cep.orchestrations())["id"]
    batch_sandbox.forget_statistics(first)
    assert len({row["id"] for row in cep.orchestration_stats(since=TODAY, on_missing="skip")}) == 2
    text = told()
    assert f"{first} cannot be read" in text
    assert "1 orchestration left out" in text


def test_an_answer_that_stays_away_is_missing_and_may_come_with_a_retry(
    batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = connect(batch_sandbox, monkeypatch, "project_sandbox", max_attempts=1)
    batch_sandbox.faults(None, Fault(500))
    with pytest.raises(StatisticsMissingError, match="answered 500") as caught:
        list(hook.orchestration_stats(since=TODAY))
    assert caught.value.retryable
    assert len(batch_sandbox.calls) == 4


def test_a_service_that_fails_again_and_again_ends_it(batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_sandbox.add_orchestrations(9)
    hook = connect(batch_sandbox, monkeypatch, "project_sandbox", max_attempts=1)
    batch_sandbox.faults(None, *[Fault(500)] * 4, None, *[Fault(500)] * 5)
    with pytest.raises(BatchServerError):
        list(hook.orchestration_stats(since=TODAY))
    assert len(batch_sandbox.calls) == 11


@pytest.mark.parametrize("fault", [Fault(403), Fault(reset=True), Fault(404)], ids=["403", "reset", "404"])
def test_whatever_keeps_one_away_the_others_are_read(
    fault: Fault, batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_sandbox.add_orchestrations(1)
    hook = connect(batch_sandbox, monkeypatch, "project_sandbox", max_attempts=1)
    batch_sandbox.faults(None, fault, fault, None, fault)
    with pytest.raises(StatisticsMissingError, match="3 orchestrations cannot be read") as caught:
        list(hook.orchestration_stats(since=TODAY))
    assert caught.value.retryable is fault.reset
    batch_sandbox.faults(None, None, fault)
    assert len({row["id"] for row in hook.orchestration_stats(since=TODAY, on_missing="skip")}) == 3


@pytest.mark.parametrize("count", [1, 4, 5, 6])
def test_a_permission_that_is_missing_is_no_detail(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(asked: Asked) -> bytes:
        if "/list" in asked.target:
            return answer(200, {"orchestrations": [{"id": f"o{number}"} for number in range(count)]})
        return answer(403)

    with RawServer(serve) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_TEST", server.connection_json(platform="cep"))
        with pytest.raises(BatchAuthenticationError):
            list(BatchHook("batch_test").orchestration_stats(since=TODAY, on_missing="skip"))
    assert len(server.asked) == 1 + min(count, 5)


def test_wrong_keys_end_it(batch_sandbox: Sandbox, cep: BatchHook) -> None:
    batch_sandbox.faults(None, None, Fault(401))
    with pytest.raises(BatchAuthenticationError):
        list(cep.orchestration_stats(since=TODAY, on_missing="skip"))
    assert len(batch_sandbox.calls) == 3


def test_campaigns_are_listed_over_all_pages(batch_sandbox: Sandbox, mep: BatchHook) -> None:
    batch_sandbox.add_campaigns(197)
    assert len({entry["campaign_token"] for entry in mep.campaigns()}) == 200
    assert len(batch_sandbox.calls) == 3
    assert {entry["live"] for entry in mep.campaigns(live=True)} == {True}
    assert {entry["from_api"] for entry in mep.campaigns(from_api=False)} == {False}


def test_figures_of_campaigns_are_those_of_the_period(mep: BatchHook) -> None:
    everything = list(mep.campaign_stats())
    assert len(everything) == 3 * 11
    assert everything[0].keys() >= {"campaign_token", "name", "push_time", "date", "sent_optins", "read_at"}
    assert {row["date"] for row in mep.campaign_stats(since=YESTERDAY, until=YESTERDAY)} == {f"{YESTERDAY}"}


def test_a_dev_key_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(apps=["DEV-app"]) as sandbox:
        hook = connect(sandbox, monkeypatch, requests_per_second=1000)
        for rows in (hook.campaign_stats(), hook.transactional_stats(["welcome"])):
            with pytest.raises(BatchAuthenticationError, match="statistics for Live API keys only"):
                list(rows)


def test_groups_are_read_by_their_names(batch_sandbox: Sandbox, mep: BatchHook) -> None:
    rows = list(mep.transactional_stats(["welcome", "receipt", "welcome"], since=YESTERDAY, until=YESTERDAY))
    assert [(row["group_id"], row["date"]) for row in rows] == [
        ("welcome", f"{YESTERDAY}"),
        ("receipt", f"{YESTERDAY}"),
    ]
    assert len(batch_sandbox.calls) == 2
    with pytest.raises(StatisticsMissingError, match="1 group cannot be read") as caught:
        list(mep.transactional_stats(["unknown/group", "welcome"]))
    assert caught.value.missing == ("unknown/group",)


@pytest.mark.parametrize("given", ["welcome", [""], [7], None])
def test_groups_are_a_list_of_names(given: Any, mep: BatchHook) -> None:
    with pytest.raises(InvalidArgumentError, match="group_ids"):
        list(mep.transactional_stats(given))


def test_the_older_platform_is_asked_once_a_second_unless_the_connection_differs(
    batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(
        "airflow_provider_batch.transport.blocking.BlockingTransport._sleep",
        lambda self, seconds: waits.append(seconds),
    )
    list(connect(batch_sandbox, monkeypatch).campaign_stats())
    slow = sum(waits)
    waits.clear()
    list(connect(batch_sandbox, monkeypatch, "project_sandbox").orchestration_stats(since=TODAY))
    assert slow > 3.0  # the list and three campaigns; the first call waits for nothing
    assert sum(waits) == 0.0


def test_each_platform_has_its_own(batch_sandbox: Sandbox, cep: BatchHook, mep: BatchHook) -> None:
    wrong: list[tuple[Any, str]] = [
        (mep.orchestrations(), "only the Customer Engagement Platform has statistics of orchestrations"),
        (mep.orchestration_stats(), "statistics of orchestrations"),
        (cep.campaigns(), "only the Mobile Engagement Platform has statistics of campaigns"),
        (cep.campaign_stats(), "statistics of campaigns"),
        (cep.transactional_stats(["welcome"]), "statistics of transactional"),
    ]
    for rows, reason in wrong:
        with pytest.raises(InvalidArgumentError, match=reason):
            next(rows)
    assert batch_sandbox.calls == []


def test_a_day_too_long_ago_is_refused_before_any_call(batch_sandbox: Sandbox, cep: BatchHook) -> None:
    with pytest.raises(InvalidArgumentError, match="the last 6 months only"):
        list(cep.orchestration_stats(since=date(2020, 1, 1)))
    assert batch_sandbox.calls == []


@pytest.mark.parametrize("page_size", [1, 7, 100])
def test_pages_of_campaigns_may_be_shorter_than_asked_for(page_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And may repeat what was there before, as a list that is paged by its places shifts."""
    campaigns = [{"campaign_token": f"c{number}"} for number in range(20)]

    def serve(asked: Asked) -> bytes:
        start = int(dict(parse_qsl(urlsplit(asked.target).query)).get("from", 0))
        return answer(200, campaigns[max(0, start - 1) :][: page_size + 1])

    with RawServer(serve) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_TEST", server.connection_json(requests_per_second=1000))
        assert list(BatchHook("batch_test").campaigns()) == campaigns


@pytest.mark.parametrize(
    "body", [{"orchestrations": 7}, {"orchestrations": [{"name": "x"}]}, {"orchestrations": ["o"]}, {}], ids=repr
)
def test_a_list_without_ids_is_no_list(body: Any, batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_sandbox.faults(Fault(200, body=body))
    with pytest.raises(BatchProtocolError):
        list(connect(batch_sandbox, monkeypatch, "project_sandbox", max_attempts=1).orchestrations())
