"""The deferred wait on a whole Airflow: scheduler, worker processes, triggerer and API server."""

from __future__ import annotations

import time
from datetime import datetime
from importlib.util import find_spec

import pytest

from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.dags.api import VERSION, WholeAirflow, ask, wait_until
from tests.dags.conftest import INDEXING_DELAY
from tests.real_servers import missing
from tests.transport.udp import UdpServer

#: As wait_long.py has it.
POKE_INTERVAL = 2.0

pytestmark = pytest.mark.airflow_server


def test_a_deferred_wait_ends_when_the_audience_is_indexed(
    whole_airflow: WholeAirflow, default_sandbox: Sandbox, statsd: UdpServer
) -> None:
    run = whole_airflow.run("example_custom_audience_wait", "indexed")
    run.wait()
    log = whole_airflow.logs(run)

    assert run.seen["update"][-1] == "success", log[-8000:]
    assert "deferred" in run.seen["update"]
    assert default_sandbox.members("newsletter") == {"customer-2001", "customer-2002"}
    assert "2 added, 2 removed, 1 duplicate, 0 rejected in 1 call" in log
    everything = whole_airflow.logs()
    assert log in everything
    for private in ("sandbox-rest-key", "sandbox-app-key"):
        assert private not in everything
    if not find_spec("statsd"):
        missing("the package statsd is not installed")
    tags = ",conn_id=batch_default,audience=newsletter"
    ours = statsd.lines("airflow.batch.")
    assert {f"airflow.batch.ids.added{tags}:2|c", f"airflow.batch.audience.size{tags}:2|g"} <= set(ours)
    assert len([line for line in ours if line.startswith(f"airflow.batch.indexing_wait{tags}:")]) == 1
    calls = sum(int(line.rpartition(":")[2].partition("|")[0]) for line in ours if f".batch.calls{tags}:" in line)
    assert calls == len([call for call in default_sandbox.calls if "newsletter" in call.route])  # the triggerer's, too


def test_a_deferred_wait_that_somebody_marks_failed_asks_no_more(whole_airflow: WholeAirflow) -> None:
    with Sandbox(indexing_delay=3600.0) as sandbox:
        run = whole_airflow.run("wait_long", "marked", sandbox)
        run.wait_for("push", "deferred")
        # The worker asked once before; what comes after is the triggerer's.
        wait_until(lambda: len(asked(sandbox)) >= 3)
        run.mark_failed("push")
        run.wait()
        wait_until(lambda: time.time() - asked(sandbox)[-1] > 3 * POKE_INTERVAL, patience=30.0)
    assert run.seen["push"][-1] == "failed"


def asked(sandbox: Sandbox) -> list[float]:
    """When each question was asked."""
    return [call.at for call in sandbox.calls if call.method == "GET"]


def test_of_two_tasks_that_mirror_one_audience_one_waits_for_its_retry(whole_airflow: WholeAirflow) -> None:
    with Sandbox() as sandbox:
        sandbox.faults(*[Fault(stall=0.4)] * 40)  # the writes: no question is asked before
        run = whole_airflow.run("mirror_twice", "twice", sandbox)
        run.wait()
        log = whole_airflow.logs(run)
        assert {name: states[-1] for name, states in run.seen.items()} == {"one": "success", "another": "success"}, log
        assert "is at work on this mirror; its claim dates from" in log
        assert sandbox.members("vip") == {f"id-{number}" for number in range(1, 4001)}
        assert sum(call.method == "PATCH" for call in sandbox.calls) == 40


def test_a_campaign_starts_when_its_audiences_are_indexed_and_not_a_moment_before(
    whole_airflow: WholeAirflow, default_sandbox: Sandbox
) -> None:
    before = len(default_sandbox.calls)
    producer = "example_custom_audience_asset"
    whole_airflow.unpause(f"{producer}_campaign")
    run = whole_airflow.run(producer, "audiences")
    run.wait()
    assert {states[-1] for states in run.seen.values()} == {"success"}, whole_airflow.logs(run)[-8000:]
    assert "deferred" in run.seen["update_vip"]

    # Airflow has started the other DAG by itself.
    dags = f"{whole_airflow.url}/api/{VERSION}/dags"
    campaign = f"{dags}/{producer}_campaign/dagRuns"
    wait_until(lambda: [started["state"] for started in ask(campaign)["dag_runs"]] == ["success"])
    (started,) = ask(campaign)["dag_runs"]
    accepted = [call.at for call in default_sandbox.calls[before:] if call.method == "PATCH"]
    assert len(accepted) == 2
    assert datetime.fromisoformat(started["start_date"]).timestamp() >= max(accepted) + INDEXING_DELAY
    assert "the campaign reaches" in whole_airflow.logs()

    # The link is what the web server makes of it, which knows neither the hook nor the connection.
    for task in run.seen:
        links = ask(f"{dags}/{producer}/dagRuns/{run.name}/taskInstances/{task}/links")
        assert links.get("extra_links", links) == {"Batch dashboard": "https://dashboard.batch.com"}
