"""The sandbox's statistics: they grow, and it refuses what is not documented."""

from __future__ import annotations

import pytest

from airflow_provider_batch.sandbox import Sandbox
from tests.clock import Clock
from tests.sandbox.client import APP, CEP_HEADERS, HEADERS, Reply, send

MALFORMED = (400, "MALFORMED_PARAMETER")


def cep(sandbox: Sandbox, what: str) -> Reply:
    return send(sandbox, "GET", f"/2.11/orchestrations/{what}", headers=CEP_HEADERS)


def mep(sandbox: Sandbox, what: str, app: str = APP) -> Reply:
    return send(sandbox, "GET", f"/1.1/{app}/{what}", headers={"X-Authorization": HEADERS["X-Authorization"]})


def newest(sandbox: Sandbox) -> str:
    return str(cep(sandbox, "list?limit=1").json["orchestrations"][0]["id"])


def test_figures_grow_for_two_days(sandbox: Sandbox, clock: Clock) -> None:
    asked = f"stats?orchestration_id={newest(sandbox)}&from=2018-06-29&to=2018-06-29"
    sent = []
    for _ in range(4):
        (day,) = cep(sandbox, asked).json["details"]
        sent.append(day["sent"])
        clock.now += 86_400
    assert 0 < sent[0] < sent[1] < sent[2] == sent[3]
    assert day["date"] == "2018-06-29"


def test_a_period_has_the_days_that_were(sandbox: Sandbox) -> None:
    whole = cep(sandbox, f"stats?orchestration_id={newest(sandbox)}&from=2018-06-01&to=2018-07-30").json["details"]
    assert [day["date"] for day in whole] == [f"2018-06-{number}" for number in range(19, 30)]


@pytest.mark.parametrize(
    "query",
    [
        "from=2018-06-01&to=2018-06-29&orchestration_id=unknown",
        "from=2017-12-01&to=2018-06-29&orchestration_id={id}",
        "from=2018-06-29&to=2018-06-28&orchestration_id={id}",
        "from=2018-6-1&to=2018-06-28&orchestration_id={id}",
        "from=20180601&to=2018-06-28&orchestration_id={id}",
        "from=2018-06-01&to=2018-06-28&orchestration_id={id}&unknown=1",
    ],
)
def test_what_is_not_documented_is_refused(query: str, sandbox: Sandbox) -> None:
    assert cep(sandbox, "stats?" + query.replace("{id}", newest(sandbox))).cep_error == MALFORMED


@pytest.mark.parametrize("query", ["from=2018-06-01&to=2018-06-29", "orchestration_id=x&to=2018-06-29"])
def test_what_is_missing_is_refused(query: str, sandbox: Sandbox) -> None:
    assert cep(sandbox, f"stats?{query}").cep_error == (400, "MISSING_PARAMETER")


def test_the_list_has_filters_and_pages(sandbox: Sandbox) -> None:
    sandbox.add_orchestrations(9)
    page = cep(sandbox, "list?status=running&status=completed&type=campaign&limit=3").json
    assert {each["type"] for each in page["orchestrations"]} == {"campaign"}
    assert (page["count"], page["has_more"]) == (4, True)
    rest = cep(sandbox, f"list?type=campaign&limit=3&from={page['next_from']}").json
    assert (len(rest["orchestrations"]), rest["has_more"]) == (1, False)
    for query in ("status=new", "type=all", "channels=fax", "limit=0", "name=x"):
        assert cep(sandbox, f"list?{query}").cep_error == MALFORMED


def test_campaigns_are_listed_by_their_place(sandbox: Sandbox) -> None:
    tokens = [each["campaign_token"] for each in mep(sandbox, "campaigns/list").json]
    assert len(tokens) == 3
    assert [each["campaign_token"] for each in mep(sandbox, "campaigns/list?from=1&limit=1").json] == tokens[1:2]
    assert mep(sandbox, "campaigns/list?from=3").json == []
    assert len(mep(sandbox, "campaigns/list?live=true").json) == 2
    assert mep(sandbox, "campaigns/list?live=yes").error == (400, 31, "MALFORMED_PARAMETER")
    detail = mep(sandbox, f"campaigns/stats/{tokens[0]}").json["detail"]
    assert detail[0].keys() == {"date", "sent", "sent_optins", "direct_open", "influenced_open", "reengaged", "errors"}
    sandbox.forget_statistics(tokens[0])
    assert mep(sandbox, f"campaigns/stats/{tokens[0]}").error == (404, 20, "ROUTE_NOT_FOUND")
    assert mep(sandbox, f"campaigns/stats/{tokens[1]}?from=x").error == (400, 31, "MALFORMED_PARAMETER")


def test_groups_need_a_window(sandbox: Sandbox) -> None:
    days = mep(sandbox, "transactional/stats/welcome?since=2018-06-28").json
    assert (days["group_id"], [day["date"] for day in days["detail"]]) == ("welcome", ["2018-06-28", "2018-06-29"])
    for query in ("since=2018-06-28&until=2018-06-28", "since=2017-01-01", "since=yesterday"):
        assert mep(sandbox, f"transactional/stats/welcome?{query}").error == (400, 31, "MALFORMED_PARAMETER")
    assert mep(sandbox, "transactional/stats/welcome").error == (400, 30, "MISSING_PARAMETER")
    assert mep(sandbox, "transactional/stats/other?since=2018-06-28").error == (404, 20, "ROUTE_NOT_FOUND")


def test_a_dev_key_has_no_statistics() -> None:
    with Sandbox(apps=["DEV-app"]) as sandbox:
        token = sandbox.add_campaigns(1)[0]
        for what in (f"campaigns/stats/{token}", "transactional/stats/welcome?since=2026-01-01"):
            assert mep(sandbox, what, "DEV-app").error == (403, 12, "API_MISUSE")
        assert mep(sandbox, "campaigns/list", "DEV-app").status == 200


def test_the_record_of_calls_has_neither_key_nor_name(sandbox: Sandbox) -> None:
    mep(sandbox, "transactional/stats/jane@example.com?since=2018-06-28")
    assert sandbox.calls[-1].route == "/1.1/{api_key}/transactional/stats/{name}"
