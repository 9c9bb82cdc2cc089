"""A large push on a bad day: one call in five goes wrong, in any of ten ways."""

from __future__ import annotations

from importlib.metadata import version
from itertools import chain

from airflow_provider_batch.sandbox import Sandbox
from tests.faults.conftest import Connect

#: A million on the newest Airflow; what differs on another one shows with fewer.
ADDS = 300_000 if version("apache-airflow").startswith("2.") else 1_000_000
GONE, NEVER_THERE = 6_000, 2_000


def test_every_id_of_a_large_push_arrives_on_a_bad_day(connect: Connect) -> None:
    def before() -> list[str]:
        return [f"old-{number}" for number in range(2 * GONE)]

    # Half of what was there, some of what the same push adds in other chunks, and some that nobody knows.
    removes = [
        *before()[:GONE],
        *(f"customer-{number}" for number in range(GONE)),
        *(f"nobody-{number}" for number in range(NEVER_THERE)),
    ]
    expected = set(chain(before(), (f"customer-{number}" for number in range(ADDS)))) - set(removes)
    with Sandbox(fault_rate=0.2, seed=20) as sandbox:
        hook = connect(sandbox, max_attempts=10, max_concurrency=8)
        hook.update_custom_audience("vip", add_ids=before())
        result = hook.update_custom_audience(
            "vip", add_ids=(f"customer-{number}" for number in range(ADDS)), remove_ids=removes
        )
        assert sandbox.members("vip") == expected
        assert sum(call.fault for call in sandbox.calls) > 5
    assert (result.added, result.removed) == (ADDS - GONE, 2 * GONE + NEVER_THERE)
    assert result.calls == len(set(result.indexing_tokens)) == -(-(result.added + result.removed) // 10_000)
