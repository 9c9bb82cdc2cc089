"""No page promises that Batch indexes calls in their order: whatever it is, what was removed is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.clock import Clock
from tests.faults.conftest import Connect, Push
from tests.sandbox.client import DOCUMENTED

AGAIN = Fault(503, headers={"Retry-After": "0"}, after_write=True)

ids = st.lists(st.sampled_from("abcdefgh"), max_size=12)


@dataclass(frozen=True)
class Shuffling:
    """A sandbox that indexes in any order, a hook to push with, and a clock to let it get done."""

    sandbox: Sandbox
    clock: Clock
    hook: BatchHook

    def settle(self) -> frozenset[str]:
        self.clock.now += 60
        return self.sandbox.members("vip")


@pytest.fixture
def shuffling(connect: Connect) -> Iterator[Shuffling]:
    clock = Clock(DOCUMENTED)
    with Sandbox(indexing_delay=60, indexing_order="random", seed=7, clock=clock) as sandbox:
        yield Shuffling(sandbox, clock, connect(sandbox, max_concurrency=4))


@given(before=ids, adds=ids, removes=ids, chunk_size=st.integers(1, 5), as_iterator=st.booleans(), again=st.booleans())
@settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_removed_id_is_gone_whatever_the_order(
    shuffling: Shuffling,
    before: list[str],
    adds: list[str],
    removes: list[str],
    chunk_size: int,
    as_iterator: bool,
    again: bool,
) -> None:
    hook = shuffling.hook
    # The examples share one audience: each begins with what its "before" leaves of it.
    hook.update_custom_audience("vip", remove_ids=list("abcdefgh"))
    shuffling.settle()
    hook.update_custom_audience("vip", add_ids=before)
    assert shuffling.settle() == set(before)
    if again and {*adds, *removes}:
        # Written, but not said so: the same call is written twice, and indexed twice, at any time.
        shuffling.sandbox.faults(AGAIN)
    hook.update_custom_audience(
        "vip",
        add_ids=iter(adds) if as_iterator else adds,
        remove_ids=iter(removes) if as_iterator else removes,
        chunk_size=chunk_size,
    )
    assert shuffling.settle() == ({*before, *adds} - {*removes})


def test_adds_and_removes_of_many_chunks_meet_in_any_order(shuffling: Shuffling) -> None:
    adds = [f"customer-{number}" for number in range(2_000)]
    push = Push(before=(), adds=adds, removes=[*adds[::3], "nobody"], chunk_size=50)
    shuffling.sandbox.faults(*[AGAIN] * 5)
    result = push.run(shuffling.hook, adds=iter(adds))
    push.assert_done(shuffling.settle(), result)


def test_a_loop_that_adds_and_then_removes_would_not_hold(shuffling: Shuffling) -> None:
    """The sandbox really shuffles: two pushes, one after the other and not waited for, may end either way."""
    adds = [f"customer-{number}" for number in range(20)]
    for id_ in adds:
        shuffling.hook.update_custom_audience("vip", add_ids=[id_])
        shuffling.hook.update_custom_audience("vip", remove_ids=[id_])
    assert 0 < len(shuffling.settle()) < len(adds)
