"""Tries that failed, froze or were killed, as real processes too: what they leave to the next run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import BatchServerError, IndexingTimeoutError, MirrorConflictError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.claim import LOOK_INTERVAL, Claim
from airflow_provider_batch.mirror.folder import folder_at
from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.clock import Clock, eventually
from tests.connections import connect_once

from .folders import Killed
from .test_plan import blocks, mirror_at, plain

BASE = [f"base-{number}" for number in range(20)]
NEW = [f"new-{number}" for number in range(10)]


def mirror(path: Any, ids: list[str], **arguments: Any) -> Any:
    given = {"poke_interval": 0.1, "indexing_timeout": 0.1, "max_concurrency": 1, "owner": "today", **arguments}
    return BatchHook().mirror_custom_audience("vip", ids, snapshot_path=path, **given)


def writes(sandbox: Sandbox) -> int:
    return sum(call.method == "PATCH" for call in sandbox.calls)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def late(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that applies a write ten seconds after it has accepted it, by the test's clock."""
    with Sandbox(["vip"], indexing_delay=10, clock=clock, keep_bodies=True) as sandbox:
        connect_once(sandbox, monkeypatch)
        yield sandbox


def fail_after_the_first_chunk(late: Sandbox, clock: Clock, path: Path) -> None:
    mirror(path, BASE)
    clock.now += 10
    late.faults(None, None, Fault(503))  # the first answers the wait for the writes of the run before
    with pytest.raises(BatchServerError):
        mirror(path, BASE + NEW, chunk_size=5)
    assert writes(late) == 3


def test_what_a_failed_run_has_sent_is_applied_before_the_next_one_sends(
    late: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    fail_after_the_first_chunk(late, clock, tmp_path)
    with pytest.raises(IndexingTimeoutError):
        mirror(tmp_path, BASE, owner="tomorrow")
    assert writes(late) == 3
    clock.now += 10
    assert len(late.members("vip")) == 25
    mirror(tmp_path, BASE, owner="tomorrow")
    clock.now += 20
    assert late.members("vip") == set(BASE)
    assert writes(late) == 4  # the failed run had ended, so nothing of it is sent once more
    mirror(tmp_path, BASE, owner="the day after")
    assert writes(late) == 4


def test_a_token_of_a_failed_run_that_batch_does_not_know_any_more_does_not_block(
    late: Sandbox, clock: Clock, tmp_path: Path, told: Callable[[], str]
) -> None:
    fail_after_the_first_chunk(late, clock, tmp_path)
    late.faults(None, Fault(404))  # the token of the run before, and that of the failed one
    mirror(tmp_path, BASE)
    assert "does not report the state of the last run's writes" in told()
    assert writes(late) == 4


def test_the_token_of_a_later_chunk_is_kept_though_the_first_one_failed(
    late: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    late.faults(Fault(503, stall=0.5))
    with pytest.raises(BatchServerError):
        mirror(tmp_path, NEW, chunk_size=5, max_concurrency=2)
    assert [call.status for call in late.calls if call.method == "PATCH"].count(201) == 1
    with pytest.raises(IndexingTimeoutError):
        mirror(tmp_path, [], allow_empty=True)
    clock.now += 10
    mirror(tmp_path, [], allow_empty=True)
    clock.now += 20
    assert late.members("vip") == set()


def test_a_killed_try_leaves_the_tokens_that_it_had_noted(tmp_path: Path) -> None:
    clock = Clock()

    def is_killed() -> None:
        with mirror_at(tmp_path, clock).plan(blocks(plain("ab"))) as plan, plan.begin("today") as transaction:
            transaction.accepted("token-1")
            clock.now += 10
            transaction.look()
            raise Killed

    with pytest.raises(Killed):
        is_killed()
    with mirror_at(tmp_path, clock).plan(blocks(plain("c"))) as plan:
        assert plan.tokens_to_await == ("token-1",)
        assert list(plan.removes) == ["a", "b"]


def test_a_lost_claim_stops_a_run_before_its_next_call(late: Sandbox, tmp_path: Path) -> None:
    """While its first call is on its way, another try takes over."""
    folder = tmp_path / "batch_default" / "vip"

    def take_over() -> None:
        eventually(lambda: any(folder.glob("*.pending.gz")), within=20)
        Claim(folder_at(folder), "today", time.time)

    late.faults(Fault(stall=LOOK_INTERVAL + 0.5))
    other = threading.Thread(target=take_over)
    other.start()
    with pytest.raises(MirrorConflictError):
        mirror(tmp_path, NEW, chunk_size=1)
    other.join()
    assert writes(late) <= 1


def run_in_child(path: Path, ids: list[str]) -> None:
    try:
        mirror(path, ids, chunk_size=1, indexing_timeout=20)
    except MirrorConflictError:
        os._exit(3)
    except BaseException:  # noqa: BLE001
        os._exit(4)
    os._exit(0)


@pytest.mark.parametrize("calls", [1, 4, 9])
def test_of_two_processes_the_one_that_was_frozen_stops_and_one_more_run_makes_it_right(
    calls: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    with Sandbox(["vip"], latency=0.02) as sandbox:
        connect_once(sandbox, monkeypatch)
        mirror(tmp_path, BASE)
        before = writes(sandbox)
        zombie = context.Process(target=run_in_child, args=(tmp_path, BASE + NEW))
        zombie.start()
        assert zombie.pid is not None
        try:
            eventually(lambda: writes(sandbox) >= before + calls, within=60)
            os.kill(zombie.pid, signal.SIGSTOP)
            frozen = time.time()
            # The source has changed; the same owner takes over at once.
            next_try = context.Process(target=run_in_child, args=(tmp_path, BASE[5:]))
            next_try.start()
            next_try.join(60)
            assert next_try.exitcode == 0
            eventually(lambda: time.time() > frozen + LOOK_INTERVAL)
            committed = writes(sandbox)
        finally:
            os.kill(zombie.pid, signal.SIGCONT)
        zombie.join(60)
        assert zombie.exitcode == 3
        assert writes(sandbox) <= committed + 1  # the call that it was about to make
        mirror(tmp_path, BASE[5:], owner="tomorrow", indexing_timeout=20)
        assert sandbox.members("vip") == set(BASE[5:])
