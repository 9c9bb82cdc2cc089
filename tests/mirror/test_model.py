"""Both stores against thousands of random schedules; and mutants of the protocol, which these schedules catch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_batch.mirror import snapshot
from airflow_provider_batch.mirror.tables import head as steps
from tests.mirror.model import Files, Rules, Tables, holds

#: Of each store.
SCHEDULES = 5_000
#: Which a mutant survives at most.
FEW = 5_000


@pytest.mark.parametrize("store", [Tables, Files])
def test_after_any_schedule_two_runs_make_the_audience_right(store: type[Tables] | type[Files]) -> None:
    assert [seed for seed in range(SCHEDULES) if not holds(store, seed, Rules())] == []


MUTANTS = {
    "no wait for tokens": Rules(waits=False),
    "the head is overwritten": Rules(compares=False),
    "what is uncertain is forgotten": Rules(remembers=False),
    # (In a folder the claim alone suffices, on a store that creates files exclusively.)
    "noted after the calls": Rules(notes_first=False),
    "the tokens of a failed try are lost": Rules(keeps_tokens=False),
}


def is_caught(store: type[Tables] | type[Files], rules: Rules) -> bool:
    for seed in range(FEW):
        try:
            if not holds(store, seed, rules):
                return True
        except KeyError:  # a table that a head names is gone
            return True
    return False


@pytest.mark.parametrize(
    ("store", "mutant"),
    [
        (store, name)
        for store in (Tables, Files)
        for name in MUTANTS
        if (store, name) != (Files, "the head is overwritten")
    ],
)
def test_a_mutant_of_the_protocol_is_caught(store: type[Tables] | type[Files], mutant: str) -> None:
    assert is_caught(store, MUTANTS[mutant])


def test_tables_that_a_head_names_must_stay() -> None:
    assert is_caught(Tables, Rules(cleans_unnamed_only=False))


def test_tables_of_a_run_at_work_must_stay() -> None:
    assert is_caught(Tables, Rules(spares_others=False))


def test_the_log_is_written_under_the_claim_and_repaired() -> None:
    assert is_caught(Tables, Rules(logs_under_claim=False))
    assert is_caught(Tables, Rules(repairs_log=False))


@pytest.mark.parametrize("store", [Tables, Files])
def test_without_echo_and_looks_a_zombie_does_harm(
    store: type[Tables] | type[Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutation is in the product: a commit settles every try that it has covered."""
    committed, settle = steps.committed, snapshot.State.settle

    def without_echo(state, planned, *others):  # type: ignore[no-untyped-def]
        ended = tuple(replace(one, has_ended=True) for one in planned.tries)
        return committed(state, replace(planned, tries=ended), *others)

    def settled(self, own, folder):  # type: ignore[no-untyped-def]
        done, echoes = settle(self, own, folder)
        return tuple(sorted({*done, *echoes})), ()

    monkeypatch.setattr(steps, "committed", without_echo)
    monkeypatch.setattr(snapshot.State, "settle", settled)
    assert is_caught(store, Rules(looks=False))
