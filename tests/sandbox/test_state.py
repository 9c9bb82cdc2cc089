from __future__ import annotations

import threading

import pytest

from airflow_provider_batch.sandbox.audience import NO_TRAITS, Change, Traits
from airflow_provider_batch.sandbox.errors import Rejected
from airflow_provider_batch.sandbox.state import State
from tests.clock import Clock


def a_state(clock: Clock, delay: float = 0.0) -> State:
    return State(["app"], ["vip"], indexing_delay=delay, clock=clock)


def write(state: State, add: list[str] | None = None, remove: list[str] | None = None, replaces: bool = False) -> str:
    return state.write("app", "vip", Change(dict.fromkeys(add or [], NO_TRAITS), remove or [], replaces))


def test_an_id_both_added_and_removed_ends_up_removed(clock: Clock) -> None:
    state = a_state(clock)
    write(state, add=["a", "b"], remove=["a"])
    assert state.members("app", "vip") == {"b"}


def test_membership_is_a_set(clock: Clock) -> None:
    state = a_state(clock)
    write(state, add=["a", "a"])
    write(state, add=["a"], remove=["never there"])
    assert state.view("app", "vip").nb_ids == 1


def test_a_write_is_applied_after_the_delay(clock: Clock) -> None:
    state = a_state(clock, delay=30)
    token = write(state, add=["a"])
    clock.now += 29
    assert state.view("app", "vip", token).indexing_state == "IN_PROGRESS"
    assert state.members("app", "vip") == frozenset()
    clock.now += 1
    assert state.view("app", "vip", token).indexing_state == "APPLIED"
    assert state.members("app", "vip") == {"a"}


def test_a_token_shows_its_own_write_and_no_token_the_latest(clock: Clock) -> None:
    state = a_state(clock, delay=30)
    first = write(state, add=["a"])
    clock.now += 20
    write(state, add=["b"])
    clock.now += 15
    assert state.view("app", "vip", first).indexing_state == "APPLIED"
    assert state.view("app", "vip").indexing_state == "IN_PROGRESS"
    assert state.view("app", "vip").nb_ids == 1


def test_a_replace_drops_earlier_members_and_leaves_earlier_tokens_alone(clock: Clock) -> None:
    state = a_state(clock, delay=30)
    first = write(state, add=["a"])
    second = write(state, add=["b"], replaces=True)
    assert state.view("app", "vip", first).indexing_state == "IN_PROGRESS"
    clock.now += 30
    assert {state.view("app", "vip", token).indexing_state for token in (first, second)} == {"APPLIED"}
    assert state.members("app", "vip") == {"b"}


def test_writes_are_applied_in_order_even_if_the_clock_is_set_back(clock: Clock) -> None:
    state = a_state(clock, delay=30)
    write(state, add=["a"])
    clock.now -= 20
    write(state, remove=["a"])
    clock.now += 49
    assert state.view("app", "vip").indexing_state == "IN_PROGRESS"
    clock.now += 1
    assert state.members("app", "vip") == frozenset()


def test_writes_in_random_order_are_applied_one_by_one_and_all_in_the_end(clock: Clock) -> None:
    state = State(["app"], ["vip"], indexing_delay=60, clock=clock, indexing_order="random", seed=1)
    tokens = [write(state, add=[str(number)]) for number in range(20)]
    clock.now += 30
    applied = [state.view("app", "vip", token).indexing_state == "APPLIED" for token in tokens]
    assert state.members("app", "vip") == {str(number) for number, done in enumerate(applied) if done}
    assert applied != sorted(applied, reverse=True)  # some write is applied before an earlier one
    clock.now += 30
    assert len(state.members("app", "vip")) == 20


def test_in_random_order_an_add_can_be_applied_after_a_later_remove(clock: Clock) -> None:
    ends = set()
    for seed in range(20):
        state = State(["app"], ["vip"], indexing_delay=60, clock=clock, indexing_order="random", seed=seed)
        write(state, add=["a"])
        write(state, remove=["a"])
        clock.now += 60
        ends.add(state.members("app", "vip"))
    assert ends == {frozenset(), frozenset(["a"])}


def test_an_audience_without_writes_is_applied_and_dated(clock: Clock) -> None:
    state = a_state(clock)
    clock.now += 60
    facts = state.view("app", "vip")
    assert (facts.indexing_state, facts.created, facts.updated) == (
        "APPLIED",
        "2018-06-29T13:12:09",
        "2018-06-29T13:12:09",
    )
    write(state, add=["a"])
    assert state.view("app", "vip").updated == "2018-06-29T13:13:09"


def test_apps_share_nothing(clock: Clock) -> None:
    state = State(["ios", "android"], ["vip"], indexing_delay=0, clock=clock)
    token = state.write("ios", "vip", Change({"a": NO_TRAITS}))
    assert state.members("android", "vip") == frozenset()
    with pytest.raises(Rejected, match="MALFORMED_PARAMETER"):
        state.view("android", "vip", token)


def test_in_random_order_replaced_writes_are_never_applied(clock: Clock) -> None:
    for seed in range(20):
        state = State(
            ["app"], ["vip"], projects=["project"], indexing_delay=60, clock=clock, indexing_order="random", seed=seed
        )
        tokens = [state.write("project", "vip", Change({str(number): NO_TRAITS})) for number in range(5)]
        replace = state.write("project", "vip", Change({"new": NO_TRAITS}, replaces=True))
        while state.view("project", "vip", replace).indexing_state == "IN_PROGRESS":
            clock.now += 1
        assert {state.view("project", "vip", token).indexing_state for token in tokens} == {"REPLACED"}
        assert state.members("project", "vip") == {"new"}
        clock.now += 60
        assert state.members("project", "vip") == {"new"}


def test_an_earlier_replace_applied_late_changes_nothing(clock: Clock) -> None:
    for seed in range(20):
        state = State([], ["vip"], projects=["p"], indexing_delay=60, clock=clock, indexing_order="random", seed=seed)
        state.write("p", "vip", Change({"first": NO_TRAITS}, replaces=True))
        state.write("p", "vip", Change({"second": NO_TRAITS}, replaces=True))
        clock.now += 60
        assert state.members("p", "vip") == {"second"}
        assert state.view("p", "vip").indexing_state == "APPLIED"


def test_every_key_has_the_audiences_of_its_types(clock: Clock) -> None:
    names = ["vip", "ads:advertising_ids", "phones:install_ids"]
    state = State(["app"], names, projects=["project"], indexing_delay=0, clock=clock)
    assert [(facts.name, facts.type) for _, facts in state.listed("app")] == [
        ("phones", "install_ids"),
        ("ads", "advertising_ids"),
        ("vip", "custom_ids"),
    ]
    assert [facts.name for _, facts in state.listed("project")] == ["vip"]


def test_a_later_add_brings_its_own_attributes(clock: Clock) -> None:
    state = a_state(clock)
    for attributes in ({"age": 1, "name": "a"}, {"age": 2}):
        state.write("app", "vip", Change({"a": Traits(attributes, ())}))
    assert state.traits("app", "vip")["a"].attributes == {"age": 2}
    write(state, add=["a"])
    assert state.traits("app", "vip")["a"] == NO_TRAITS


def test_a_deleted_name_is_free_again_and_its_members_are_gone(clock: Clock) -> None:
    state = a_state(clock)
    write(state, add=["a"])
    state.delete("app", "vip")
    with pytest.raises(Rejected, match="ROUTE_NOT_FOUND"):
        state.members("app", "vip")
    state.create("app", "vip", "advertising_ids", "")
    assert state.members("app", "vip") == frozenset()


def test_threads_lose_no_writes(clock: Clock) -> None:
    state = a_state(clock)

    def push(worker: int) -> None:
        for number in range(200):
            write(state, add=[f"{worker}-{number}"])
            state.view("app", "vip")

    workers = [threading.Thread(target=push, args=(worker,)) for worker in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(state.members("app", "vip")) == 1600


def test_applied_writes_are_not_kept_pending(clock: Clock) -> None:
    state = a_state(clock)
    for number in range(500):
        write(state, add=[str(number)])
    state.view("app", "vip")
    assert not state._audiences["app"]["vip"].pending
