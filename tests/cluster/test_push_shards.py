"""A push from two Celery workers: nothing is lost, all of them together keep a limit, and one of them may die."""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import Any

import pytest
from airflow_api import Run, add_connection, wait_until
from local_cluster import Cluster

from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.sandbox.calls import Call

#: As push_shards.py has it.
SHARDS, CALLS, EXPECTED, CONCURRENCY = 6, 60, {f"id-{number}" for number in range(6000)}, 2

pytestmark = pytest.mark.cluster


def start(cluster: Cluster, name: str, sandbox: Sandbox, **extra: Any) -> Run:
    connection = json.loads(sandbox.connection_json())
    add_connection(cluster.url, name, json.dumps({**connection, "extra": extra}))
    return Run(cluster.url, "push_shards", name)


def test_a_pool_of_slots_and_their_share_of_the_rate_limit_all_shards_together(cluster: Cluster) -> None:
    """
    Three of the four tasks that both workers could run at once: so two of them run on one worker, and one on the other.

    Without limits, each call takes 0.2 s, and a task makes ten a second.
    """
    slots, rate = 3, 6
    cluster.set_pool("batch_api", slots)
    with Sandbox(latency=0.2, indexing_delay=45.0) as sandbox:
        run = start(cluster, "limited", sandbox, requests_per_second=rate / slots)
        assert run.wait() == "success", cluster.logs()[-8000:]

        assert sandbox.members("vip") == EXPECTED
        writes = written(sandbox)
        assert len(writes) == CALLS
        assert max(call.under_way for call in writes) <= slots * CONCURRENCY
        # On a busy machine a call may arrive half a second late, and its successors do not wait for it.
        assert most_within(4.0, writes) <= rate * 4.5
        # One task alone would not come near that.
        assert most_within(4.0, writes) > rate / slots * 4.5
        assert {host(ti) for ti in pushes(run)} == {"worker-1", "worker-2"}
        assert run.seen["indexed"][-1] == "success"
        assert "deferred" in run.seen["indexed"]


def test_a_killed_worker_leaves_its_shards_to_the_other(cluster: Cluster) -> None:
    cluster.set_pool("batch_api", 4)
    with Sandbox(latency=0.5) as sandbox:
        run = start(cluster, "killed", sandbox)
        wait_until(lambda: len(written(sandbox)) >= CALLS // 3 and any(on_worker_2(run)))
        victims = on_worker_2(run)
        cluster.kill_worker("worker-2")

        assert run.wait() == "success", cluster.logs()[-8000:]
        assert sandbox.members("vip") == EXPECTED
        # Those that it was at are begun again, and send what they had not kept as delivered.
        again = {ti["map_index"]: ti for ti in pushes(run) if ti["map_index"] in victims}
        assert {host(ti) for ti in again.values()} == {"worker-1"}
        assert all(ti["try_number"] > 1 for ti in again.values())
        assert CALLS <= len(written(sandbox)) <= CALLS + len(victims) * CALLS // SHARDS


def pushes(run: Run) -> list[dict[str, Any]]:
    return [ti for ti in run.tasks() if ti["task_id"] == "push"]


def on_worker_2(run: Run) -> list[int]:
    """Which shards run on the worker that is to be killed."""
    return [ti["map_index"] for ti in pushes(run) if ti["state"] == "running" and host(ti) == "worker-2"]


def host(ti: dict[str, Any]) -> str:
    name: str = ti["hostname"]
    return name


def written(sandbox: Sandbox) -> list[Call]:
    return [call for call in sandbox.calls if call.method == "PATCH" and call.status == 201]


def most_within(seconds: float, calls: list[Call]) -> int:
    times = sorted(call.at for call in calls)
    return max(bisect_left(times, start + seconds) - number for number, start in enumerate(times))
