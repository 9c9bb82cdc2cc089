"""The steps of a run in tables, one by one: what each makes of the head's state."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_batch.exceptions import MirrorConflictError
from airflow_provider_batch.mirror.claim import LIFETIME
from airflow_provider_batch.mirror.tables import head as steps
from airflow_provider_batch.mirror.tables.head import Change, Claim, Head, State
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.mirror.tries import Pending, Unfinished

NOW = 1_790_000_000.0
MINE, THEIRS = Claim("run", "n1", NOW, NOW), Claim("other", "n2", NOW, NOW)
PENDING = Pending(owner="run", series="s", nonce="n1", replaces=False, count=3)


def a_try(table: str, *tokens: str, has_ended: bool = False) -> Unfinished:
    return Unfinished(f"00000007-{table}", PENDING, tokens, has_ended)


#: A mirror in its seventh generation, with a run of ours at work.
STATE = State(
    target=Target("vip", "custom_ids", "digest"),
    generation=7,
    members=5,
    written_at=NOW - 60,
    base="b1",
    base_count=4,
    base_generation=6,
    based_at=NOW - 90,
    net="e1",
    net_count=1,
    columns=(("plan", "TEXT"),),
    shape="shape",
    attributes=("plan",),
    indexing_tokens=("t1",),
    tries=(a_try("d1", "t2", has_ended=True), a_try("d2")),
    echoes=("00000007-d2",),
    claim=MINE,
    trash=(("x1", NOW - 30, False),),
    unlogged=(Change(NOW - 60, "run", "d0", "i0", "r0", True),),
)


def test_a_state_is_the_same_after_it_was_stored() -> None:
    assert State.from_json(STATE.to_json()) == STATE
    assert State.from_json(State().to_json()) == State.from_json("") == State()
    assert " " not in STATE.to_json()  # it may be long


def test_a_state_of_an_earlier_version_is_read_unless_it_lacks_flags() -> None:
    found = json.loads(STATE.to_json())
    for one in found["tries"]:
        assert (one["pending"].pop("names"), one["pending"].pop("known")) == ([], [])
    assert State.from_json(json.dumps({**found, "names": []})) == STATE
    with pytest.raises(ValueError, match=r"^of profiles without flags$"):
        State.from_json(json.dumps({**found, "names": ["plan"]}))
    pending = replace(PENDING, names=("plan",), known=("00000006-d0",))
    state = State(tries=(Unfinished("00000007-d1", pending, ("t",), True),))
    assert State.from_json(state.to_json()) == state


def test_a_state_names_every_table_that_it_needs() -> None:
    assert STATE.named == {"b1", "e1", "d1", "d2", "d0", "i0", "r0"}
    assert State().named == set()
    assert steps.table_of(a_try("d1")) == "d1"
    assert steps.name_of(7, "d1") == "00000007-d1"


def test_a_head_is_confirmed_up_to_a_generation() -> None:
    assert Head(1, "n", 7, STATE).is_confirmed
    assert not Head(1, "n", 6, STATE).is_confirmed


def test_a_claim_is_taken_if_nobody_alive_has_it() -> None:
    free = replace(STATE, claim=None)
    taken = steps.claimed(free, MINE, ["d3", "e3"])
    assert taken == replace(STATE, trash=(("x1", NOW - 30, False), ("d3", NOW, False), ("e3", NOW, False)))
    own = replace(STATE, claim=replace(MINE, nonce="n0"))
    assert steps.claimed(own, MINE, []).claim == MINE
    with pytest.raises(MirrorConflictError) as caught:
        steps.claimed(replace(STATE, claim=replace(THEIRS, since=NOW + 0.5)), MINE, [])
    assert str(caught.value) == (
        "other is at work on this mirror; its claim dates from 2026-09-21 14:13:20+00:00. If that run was killed, "
        "another one can take over 30 minutes after the last renewal."
    )


@pytest.mark.parametrize(("renewed", "expired"), [(NOW - LIFETIME, False), (NOW - LIFETIME - 1, True)])
def test_a_claim_expires_half_an_hour_after_its_renewal(renewed: float, expired: bool) -> None:
    state = replace(STATE, claim=replace(THEIRS, since=0.0, renewed=renewed))
    if expired:
        assert steps.claimed(state, MINE, []).claim == MINE
        return
    with pytest.raises(MirrorConflictError):
        steps.claimed(state, MINE, [])


def test_a_run_renews_its_claim_whenever_it_notes_something() -> None:
    assert steps.extended(STATE, MINE, ["e3"], NOW + 60) == replace(
        STATE, claim=replace(MINE, renewed=NOW + 60), trash=(*STATE.trash, ("e3", NOW + 60, False))
    )


def test_a_run_begins_with_its_own_try_in_place_of_those_that_have_ended() -> None:
    begun = steps.begun(STATE, STATE, MINE, PENDING, "d3")
    assert begun == replace(STATE, tries=(a_try("d2"), a_try("d3")))
    named = steps.begun(STATE, STATE, MINE, PENDING, "d3", ("plan", "city"))
    assert named == replace(begun, attributes=("plan", "city"))


@pytest.mark.parametrize("change", [{"generation": 6}, {"tries": (a_try("d2"),)}])
def test_a_run_does_not_begin_if_another_one_came_in_between(change: dict[str, Any]) -> None:
    with pytest.raises(MirrorConflictError, match="another run changed this mirror after this run had compared"):
        steps.begun(STATE, replace(STATE, **change), MINE, PENDING, "d3")


def test_the_state_of_a_mirror_of_profiles_without_flags_cannot_be_used() -> None:
    assert State.from_json(json.dumps({**json.loads(STATE.to_json()), "names": []})) == STATE
    with pytest.raises(ValueError, match="of profiles without flags"):
        State.from_json(json.dumps({**json.loads(STATE.to_json()), "names": ["plan"]}))


@pytest.mark.parametrize("has_ended", [False, True])
def test_tokens_are_noted_of_the_own_try_alone(has_ended: bool) -> None:
    noted = steps.noted(STATE, "00000007-d2", ["t3", "t4"], has_ended=has_ended)
    assert noted == replace(STATE, tries=(STATE.tries[0], a_try("d2", "t3", "t4", has_ended=has_ended)))


def test_a_commit_makes_the_new_snapshot_count() -> None:
    state = steps.begun(STATE, STATE, MINE, PENDING, "d3")
    new = replace(STATE, base="b3", members=9, unlogged=())
    committed = steps.committed(state, STATE, MINE, "00000007-d3", new, None)
    # The echo has counted once more, and is over.
    assert committed == replace(new, generation=8, tries=(), echoes=(), claim=None)
    new = replace(new, unlogged=STATE.unlogged)
    unlogged = steps.committed(state, STATE, MINE, "00000007-d3", new, None)
    assert unlogged == replace(committed, claim=MINE, unlogged=new.unlogged)


def test_a_commit_that_is_made_again_is_the_same() -> None:
    """An overtaken run may note something before the head is read back."""
    state = steps.begun(STATE, STATE, MINE, PENDING, "d3")
    rejected = a_try("r3", has_ended=True)
    commit: dict[str, Any] = {"planned": STATE, "claim": MINE, "own": "00000007-d3", "new": STATE, "rejected": rejected}
    committed = steps.committed(state, **commit)
    assert steps.committed(committed, **commit) == committed
    assert committed.tries == (rejected,)


def test_what_has_not_ended_counts_for_one_more_generation() -> None:
    found = replace(STATE, echoes=())
    state = steps.begun(found, found, MINE, PENDING, "d3")
    late = replace(state, tries=(*state.tries, a_try("d4")), attributes=("plan", "city"), trash=())
    rejected = a_try("r3", has_ended=True)
    committed = steps.committed(late, found, MINE, "00000007-d3", replace(found, members=9), rejected)
    assert committed.tries == (a_try("d2"), a_try("d4"), rejected)
    assert committed.echoes == ("00000007-d2",)
    assert (committed.attributes, committed.trash, committed.generation) == (("plan", "city"), (), 8)


def test_a_new_base_is_the_same_snapshot() -> None:
    assert steps.rebased(STATE, MINE, "b3", 5, NOW) == replace(
        STATE, base="b3", base_count=5, base_generation=7, based_at=NOW, net=None, net_count=0
    )


def test_a_claim_is_given_back() -> None:
    assert steps.released(STATE, MINE) == replace(STATE, claim=None)


@pytest.mark.parametrize("claim", [None, THEIRS])
def test_without_the_claim_no_step_is_made(claim: Claim | None) -> None:
    state = replace(STATE, claim=claim)
    message = r"^other is at work on this mirror"
    if claim is None:
        message = r"^another run changed this mirror after this run had compared its ids with it\. Retry\.$"
    made: list[Callable[[], State]] = [
        lambda: steps.extended(state, MINE, [], NOW),
        lambda: steps.begun(state, STATE, MINE, PENDING, "d3"),
        lambda: steps.committed(state, STATE, MINE, "00000007-d2", STATE, None),
        lambda: steps.rebased(state, MINE, "b3", 5, NOW),
        lambda: steps.released(state, MINE),
        lambda: steps.logged(state, MINE, []),
    ]
    for step in made:
        with pytest.raises(MirrorConflictError, match=message):
            step()


def test_whoever_was_overtaken_leaves_what_it_may_have_sent() -> None:
    state = replace(STATE, claim=THEIRS)
    assert steps.overtaken(state, PENDING, ["t5"], "d9", NOW) == replace(
        state, tries=(*STATE.tries, a_try("d9", "t5", has_ended=True)), trash=(*STATE.trash, ("d9", NOW, False))
    )


def test_what_is_in_the_log_is_forgotten() -> None:
    later = Change(NOW, "run", "d1")
    state = replace(STATE, unlogged=(*STATE.unlogged, later))
    assert steps.logged(state, MINE, STATE.unlogged) == replace(STATE, unlogged=(later,))
    assert steps.released(state, MINE, STATE.unlogged) == replace(STATE, unlogged=(later,), claim=None)


def test_a_table_is_dropped_once_and_again_when_nobody_can_make_it_any_more() -> None:
    state = replace(
        STATE,
        trash=(
            ("b1", NOW - 9_000, False),  # it is needed
            ("x1", NOW - 30, False),
            ("x2", NOW - 600, True),
            ("x3", NOW - 601, True),
        ),
    )
    assert steps.outdated(state, NOW) == ["x1", "x3"]
    assert steps.cleaned(state, ["x1", "x3"], NOW).trash == (
        ("b1", NOW - 9_000, False),
        ("x1", NOW - 30, True),
        ("x2", NOW - 600, True),
    )
    assert steps.cleaned(state, ["x2", "x3"], NOW).trash == (*state.trash[:2], ("x2", NOW - 600, True))
