"""Replacing all members of an audience: one replace, alone and first, and the rest added once it is applied."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_batch.exceptions import (
    BatchError,
    BatchRequestError,
    EmptySetError,
    GuardError,
    IndexingTimeoutError,
    InvalidArgumentError,
    InvalidMemberError,
    PushStoppedError,
)
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.protocol.audiences.members import Member
from airflow_provider_batch.protocol.audiences.results import PushResult
from airflow_provider_batch.protocol.writes import Receipt
from airflow_provider_batch.push.parcels import Delivered
from airflow_provider_batch.sandbox import Fault
from tests.stages import OpenStage, Stage
from tests.transport.servers import Asked, RawServer, answer

DOWN = Fault(503, headers={"Retry-After": "0"})
OLD = ["old-1", "old-2"]


def ids(count: int) -> list[str]:
    return [f"customer-{number}" for number in range(count)]


def replace(stage: Stage, given: Any, **arguments: Any) -> PushResult:
    options = {"audience_type": stage.audience_type, "poke_interval": 0.1, **arguments}
    return BatchHook().replace_custom_audience("vip", given, **options)


def fill(stage: Stage, given: list[str] = OLD) -> None:
    """Put members into the audience without leaving a trace among the calls."""
    BatchHook().update_custom_audience("vip", add_ids=given, audience_type=stage.audience_type)


class Notes:
    """A journal in memory."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.fingerprint = ""

    def read(self) -> Delivered | None:
        return Delivered(self.fingerprint, tuple(self.tokens)) if self.tokens else None

    def note(self, receipt: Receipt) -> None:
        if receipt.number == 1:
            self.tokens.clear()
        self.tokens += receipt.indexing_tokens
        self.fingerprint = receipt.fingerprint

    def close(self) -> None:
        pass

    def clear(self) -> None:
        self.tokens.clear()


# What is sent.


def test_the_given_ids_are_the_only_members_afterwards(stage: Stage) -> None:
    fill(stage)
    result = replace(stage, ["new", "old-2", "new", 7])
    assert stage.members == {"new", "old-2", "7"}
    assert stage.verbs == ["update", "replace"]
    assert (result.added, result.removed, result.duplicates, result.calls) == (3, 0, 1, 1)
    assert result.audience_name == "vip"


@pytest.mark.parametrize("make", [list, iter])
def test_twenty_five_thousand_ids_are_a_replace_and_then_two_updates(make: Callable[..., Any], stage: Stage) -> None:
    fill(stage)
    given = ids(25_000)
    result = replace(stage, make(given))
    assert stage.members == set(given)
    assert stage.verbs == ["update", "replace", "view", "update", "update"]
    first, _, *rest = stage.sandbox.calls[1:]
    assert (first.adds, sorted(call.adds for call in rest)) == (10_000, [5_000, 10_000])
    assert (result.added, result.calls, len(set(result.indexing_tokens))) == (25_000, 3, 3)


def test_the_first_token_is_that_of_the_replace_which_was_waited_for(stage: Stage) -> None:
    result = replace(stage, ids(3), chunk_size=1)
    hook = BatchHook()
    states = [
        hook.get_custom_audience("vip", token, audience_type=stage.audience_type).indexing_state
        for token in result.indexing_tokens
    ]
    assert states == ["APPLIED"] * 3
    assert stage.verbs[:2] == ["replace", "view"]


def test_nothing_is_added_before_the_replace_is_applied(open_stage: OpenStage) -> None:
    stage = open_stage(indexing_delay=0.3)
    replace(stage, ids(6), chunk_size=2)
    first, *rest = stage.sandbox.calls
    adds = [call for call in rest if call.adds]
    assert all(call.at >= first.at + 0.3 for call in adds)
    assert {call.under_way for call in [first, *rest] if not call.adds} == {1}


def test_adds_that_are_applied_in_any_order_are_all_there(open_stage: OpenStage) -> None:
    stage = open_stage(indexing_delay=0.2, indexing_order="random", seed=7, replaced_states=True)
    fill(stage)
    given = ids(20)
    result = replace(stage, given, chunk_size=3)
    BatchHook().wait_for_indexing(
        "vip", result.indexing_tokens, audience_type=stage.audience_type, poke_interval=0.1, timeout=20
    )
    assert stage.members >= set(given)


def test_one_call_is_not_waited_for(open_stage: OpenStage) -> None:
    stage = open_stage(indexing_delay=3600)
    replace(stage, ids(3))
    assert stage.verbs == ["replace"]


def test_a_replace_that_is_not_applied_in_time_leaves_the_rest_unsent(open_stage: OpenStage) -> None:
    stage = open_stage(indexing_delay=3600)
    with pytest.raises(IndexingTimeoutError, match="not confirmed after 0 s") as caught:
        replace(stage, ids(3), chunk_size=1, indexing_timeout=0.05)
    assert stage.asked("update") == 0
    assert caught.value.accepted_chunks == 1


def test_a_repeated_id_goes_once_whatever_is_known_of_it(stage: Stage) -> None:
    if stage.version.name == "1.0":
        given: list[object] = ["a", "a", "b"]
    else:
        given = [Member("a", {"n": 1}), Member("a", {"n": 2}), "b", "a"]
    replace(stage, given, chunk_size=1)
    assert stage.members == {"a", "b"}
    if stage.version.name != "1.0":
        assert stage.attributes["a"]["attributes"] == {"n": 1}


def test_attributes_go_with_every_chunk(stage: Stage) -> None:
    if stage.version.name == "1.0":
        with pytest.raises(InvalidMemberError, match=r"ids\[0\]: API 1\.0 takes no attributes"):
            replace(stage, [Member("a", {"n": 1})])
        return
    replace(stage, [Member(str(number), {"n": number}) for number in range(5)], chunk_size=2)
    assert {id_: known["attributes"] for id_, known in stage.attributes.items()} == {
        str(number): {"n": number} for number in range(5)
    }


# Nothing.


@pytest.mark.parametrize("nothing", [[], None, (), "[]", iter(()), [None, ""]])
@pytest.mark.parametrize("dry_run", [False, True])
def test_replacing_by_nothing_is_refused(nothing: Any, dry_run: bool, stage: Stage) -> None:
    with pytest.raises(EmptySetError, match=r"vip: the set of ids is empty, .* pass allow_empty=True"):
        replace(stage, nothing, on_invalid_id="skip", dry_run=dry_run)
    assert stage.verbs == []


@pytest.mark.parametrize("nothing", [[], None, iter(())])
def test_replacing_by_nothing_may_be_meant(nothing: Any, stage: Stage) -> None:
    fill(stage)
    result = replace(stage, nothing, allow_empty=True)
    assert stage.members == set()
    assert (result.added, result.calls) == (0, 1)
    assert stage.verbs == ["update", "replace"]


# Too little.


def test_a_replace_that_would_drop_too_many_says_both_figures(stage: Stage) -> None:
    fill(stage, ids(10))
    with pytest.raises(GuardError) as caught:
        replace(stage, ids(4), max_shrink=0.5)
    with pytest.raises(GuardError, match=r"6 \(60\.0%\), more than max_shrink=5"):
        replace(stage, ids(4), max_shrink=5)
    assert str(caught.value) == (
        "vip: ids in the audience: 10, in the new set: 4. It shrinks by 6 (60.0%), more than max_shrink=0.5. "
        "Nothing was sent. If the numbers are as intended, run once with a higher limit."
    )
    assert stage.members == set(ids(10))
    assert stage.verbs == ["update", "view", "view"]


@pytest.mark.parametrize(("given", "max_shrink"), [(5, 0.5), (10, 0), (20, 0), (1, 1.0), (9, 0.1), (9, 1), (4, 6)])
def test_a_replace_within_the_limit_is_sent(given: int, max_shrink: float, stage: Stage) -> None:
    fill(stage, ids(10))
    replace(stage, ids(given), max_shrink=max_shrink)
    assert stage.members == set(ids(given))


class Twice:
    """What can be read twice, and is no collection."""

    def __init__(self, *values: object) -> None:
        self.values = values

    def __iter__(self) -> Iterator[object]:
        yield from self.values


@pytest.mark.parametrize("make", [list, iter, lambda given: Twice(*given), lambda given: json.dumps(given)])
@pytest.mark.parametrize("on_invalid_id", ["fail", "skip"])
def test_the_limit_holds_for_every_kind_of_ids(make: Callable[..., Any], on_invalid_id: Any, stage: Stage) -> None:
    fill(stage, ids(10))
    options: dict[str, Any] = {"max_shrink": 0.5, "on_invalid_id": on_invalid_id, "chunk_size": 2}
    with pytest.raises(GuardError, match=r"audience: 10, in the new set: 4\. It shrinks by 6 "):
        replace(stage, make([*ids(4), *ids(4)]), **options)
    result = replace(stage, make([*ids(6), *ids(6)]), **options)
    assert (result.added, result.duplicates, result.rejected) == (6, 6, 0)
    assert stage.members == set(ids(6))


def test_skipped_values_do_not_count_as_members(stage: Stage) -> None:
    fill(stage, ids(4))
    with pytest.raises(GuardError, match=r"audience: 4, in the new set: 1\. It shrinks by 3 "):
        replace(stage, iter(["a", None, "", None]), max_shrink=0.5, on_invalid_id="skip")


def test_an_empty_replace_is_told_as_such_and_not_as_a_shrink(stage: Stage) -> None:
    fill(stage)
    with pytest.raises(EmptySetError):
        replace(stage, iter(()), max_shrink=0.5)
    with pytest.raises(GuardError, match="in the audience: "):
        replace(stage, [], max_shrink=0.5, allow_empty=True)
    assert stage.members == set(OLD)


def test_an_empty_audience_cannot_shrink(stage: Stage) -> None:
    replace(stage, ids(1), max_shrink=0)
    assert stage.members == set(ids(1))


def test_without_a_figure_there_is_nothing_to_compare_with(stage: Stage) -> None:
    stage.sandbox.faults(Fault(200, body={"name": "vip", "indexing_state": "APPLIED"}))
    with pytest.raises(GuardError, match="max_shrink needs the number of ids, which Batch does not report"):
        replace(stage, ids(1), max_shrink=0.5)
    assert stage.asked("replace") == 0


@pytest.mark.parametrize("max_shrink", [-0.1, 1.1, -1, True, "0.5", float("nan")])
def test_a_limit_is_a_share_or_a_count(max_shrink: Any, stage: Stage) -> None:
    with pytest.raises(InvalidArgumentError, match="max_shrink"):
        replace(stage, ids(1), max_shrink=max_shrink)
    assert stage.verbs == []


# Interrupted.


def interruptions() -> list[Any]:
    """Each call of a replace in four chunks, one at a time, that fails for good: before or after the write."""
    calls = ["replace", "view", "update", "update", "update"]
    faults = {"before": DOWN, "after": Fault(503, headers={"Retry-After": "0"}, after_write=True)}
    return [
        pytest.param(number, fault, id=f"{number} {verb} {when}")
        for number, verb in enumerate(calls)
        for when, fault in faults.items()
        if verb != "view"
    ]


@pytest.mark.parametrize("journal", [None, Notes], ids=["forgetful", "journal"])
@pytest.mark.parametrize(("number", "fault"), interruptions())
def test_a_replace_that_is_interrupted_ends_in_the_right_set_after_a_retry(
    number: int, fault: Fault, journal: type[Notes] | None, stage: Stage
) -> None:
    fill(stage)
    stage.connect(max_attempts=1)
    notes = journal() if journal else None
    given, before = ids(25), len(stage.verbs)
    stage.sandbox.faults(*[None] * number, fault)
    options: dict[str, Any] = {"chunk_size": 7, "max_concurrency": 1, "journal": notes}
    with pytest.raises(BatchError):
        replace(stage, given, **options)
    first_try = len(stage.verbs)
    result = replace(stage, given, **options)
    assert stage.members == set(given)
    assert (result.added, result.calls, len(set(result.indexing_tokens))) == (25, 4, 4)
    accepted = [verb for verb in stage.verbs[before : first_try - 1] if verb != "view"]
    again = [verb for verb in stage.verbs[first_try:] if verb != "view"]
    whole = ["replace", "update", "update", "update"]
    assert again == (whole[len(accepted) :] if notes else whole)


@pytest.mark.parametrize("journal", [None, Notes], ids=["forgetful", "journal"])
def test_a_wait_that_is_interrupted_goes_on_in_a_retry(journal: type[Notes] | None, open_stage: OpenStage) -> None:
    now = [1_000_000.0]
    stage = open_stage(indexing_delay=3600, clock=lambda: now[0])
    notes = journal() if journal else None
    options: dict[str, Any] = {"chunk_size": 10, "journal": notes, "indexing_timeout": 0.05}
    with pytest.raises(IndexingTimeoutError):
        replace(stage, ids(25), **options)
    assert stage.asked("update") == 0
    now[0] += 3600
    if notes is None:  # it begins with the replace again, which has to be applied, too
        with pytest.raises(IndexingTimeoutError):
            replace(stage, ids(25), **options)
        assert stage.asked("replace") == 2
        return
    replace(stage, ids(25), **options)
    assert (stage.asked("replace"), stage.asked("update")) == (1, 2)
    now[0] += 3600
    assert stage.members == set(ids(25))


def test_a_wait_for_the_replace_is_stopped_from_outside(open_stage: OpenStage) -> None:
    stage = open_stage(indexing_delay=3600)
    hook, notes = BatchHook(), Notes()

    def stop() -> None:
        while "view" not in stage.verbs:
            pass
        hook.stop()

    killer = threading.Thread(target=stop)
    killer.start()
    with pytest.raises(PushStoppedError) as caught:
        hook.replace_custom_audience(
            "vip", ids(4), chunk_size=2, audience_type=stage.audience_type, poke_interval=60, journal=notes
        )
    killer.join()
    assert (caught.value.accepted_chunks, len(notes.tokens)) == (1, 1)
    assert stage.asked("update") == 0


def test_a_journal_of_other_ids_begins_with_the_replace(stage: Stage) -> None:
    stage.connect(max_attempts=1)
    notes = Notes()
    stage.sandbox.faults(None, None, None, DOWN)
    options: dict[str, Any] = {"chunk_size": 7, "max_concurrency": 1, "journal": notes}
    with pytest.raises(BatchError):
        replace(stage, ids(25), **options)
    replace(stage, ["another", *ids(25)], **options)
    assert stage.members == {"another", *ids(25)}
    assert stage.asked("replace") == 2


def test_a_journal_of_ids_that_only_begin_alike_begins_with_the_replace(stage: Stage) -> None:
    """The second call of the first try was done, though nobody knows: its ids must not stay behind the replace."""
    stage.connect(max_attempts=1)
    notes = Notes()
    stage.sandbox.faults(None, None, Fault(503, after_write=True))
    options: dict[str, Any] = {"chunk_size": 7, "max_concurrency": 1, "journal": notes}
    with pytest.raises(BatchError):
        replace(stage, ids(14), **options)
    assert len(notes.tokens) == 1
    replace(stage, [*ids(7), "another"], **options)
    assert stage.members == {"another", *ids(7)}


def test_a_journal_of_an_update_is_none_of_a_replace(stage: Stage) -> None:
    hook, notes = stage.connect(), Notes()
    hook.update_custom_audience("vip", add_ids=ids(9), audience_type=stage.audience_type, chunk_size=3, journal=notes)
    fill(stage)
    replace(stage, ids(9), chunk_size=3, journal=notes)
    assert stage.members == set(ids(9))


def test_a_replace_that_is_replaced_while_it_is_waited_for_is_told(stage: Stage, logged: Callable[[], str]) -> None:
    stage.sandbox.faults(None, Fault(200, body={"name": "vip", "indexing_state": "REPLACED"}))
    replace(stage, ids(4), chunk_size=2)
    assert "vip: Batch reports that a later replace took over" in logged()


def test_trouble_that_passes_does_not_fail_a_replace(stage: Stage) -> None:
    stage.sandbox.faults(DOWN, None, DOWN, DOWN, Fault(429, headers={"Retry-After": "0"}))
    replace(stage, ids(25), chunk_size=10, max_concurrency=1)
    assert stage.members == set(ids(25))
    assert stage.verbs[:2] == ["replace", "replace"]


# Refused.


class Choosy:
    """Rejects every call with an id that begins with "bad"; the others change its members."""

    def __init__(self) -> None:
        self.members: set[str] = {"old"}
        self.verbs: list[str] = []

    def __call__(self, asked: Asked) -> bytes:
        if asked.method == "GET":
            return answer(200, {"name": "vip", "indexing_state": "APPLIED"})
        self.verbs.append(asked.method)
        elements = json.loads(asked.body)["ids"]
        if any(element["id"].startswith("bad") for element in elements):
            return answer(400, {"code": 31, "message": f"{elements[0]['id']} is malformed"})
        if asked.method == "PUT":
            self.members.clear()
        self.members |= {element["id"] for element in elements}
        return answer(201, {"indexing_token": f"t{len(self.verbs)}"})


@pytest.fixture
def choosy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Choosy]:
    choosy = Choosy()
    with RawServer(choosy) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", server.connection_json())
        yield choosy


@pytest.mark.parametrize("bad_at", [{0}, {1}, {3}, {0, 1, 5}, {9}, set(range(4)) - {2}])
def test_refused_ids_are_left_out_of_a_replace_and_named(bad_at: set[int], choosy: Choosy) -> None:
    given = [f"bad-{number}" if number in bad_at else f"id-{number}" for number in range(10)]
    result = BatchHook().replace_custom_audience("vip", given, chunk_size=4, on_rejected_chunk="bisect")
    assert choosy.members == {id_ for id_ in given if id_.startswith("id")}
    assert {rejection.position for rejection in result.rejections} == bad_at
    assert (result.added, result.rejected) == (10 - len(bad_at), len(bad_at))
    assert choosy.verbs.count("PUT") == (2 if bad_at & {0, 1, 2, 3} else 1)


def test_a_replace_of_which_everything_is_refused_keeps_the_members(choosy: Choosy) -> None:
    with pytest.raises(BatchRequestError):
        BatchHook().replace_custom_audience("vip", ["bad-1", "bad-2"], on_rejected_chunk="bisect")
    assert choosy.members == {"old"}


def test_a_replace_by_nothing_that_is_refused_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(answer(400, {"code": 30, "message": "ids is empty"})) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", server.connection_json())
        with pytest.raises(BatchRequestError, match="MISSING_PARAMETER"):
            BatchHook().replace_custom_audience("vip", [], allow_empty=True, on_rejected_chunk="bisect")
    assert [asked.method for asked in server.asked].count("PUT") == 1


# Only asked.


def test_a_dry_run_counts_and_sends_nothing(stage: Stage) -> None:
    result = replace(stage, [*ids(25), "customer-1", None], chunk_size=10, on_invalid_id="skip", dry_run=True)
    assert (result.added, result.duplicates, result.rejected, result.calls) == (25, 1, 1, 3)
    assert result.summary()["dry_run"] is True
    assert stage.verbs == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"audience_type": "emails"}, "audience_type"),
        ({"chunk_size": 10_001}, "chunk_size"),
        ({"on_rejected_chunk": "ignore"}, "on_rejected_chunk"),
        ({"on_invalid_id": "ignore"}, "on_invalid_id"),
        ({"max_concurrency": 0}, "max_concurrency"),
    ],
)
def test_a_replace_against_the_rules_is_refused_before_any_call(
    arguments: dict[str, Any], reason: str, stage: Stage
) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        replace(stage, ids(1), **arguments)
    assert stage.verbs == []


def test_a_write_that_a_replace_took_over_is_told_of_but_not_the_own_one(
    open_stage: OpenStage, logged: Callable[[], str]
) -> None:
    stage = open_stage(replaced_states=True)
    hook = BatchHook()
    earlier = hook.update_custom_audience("vip", add_ids=["a"], audience_type=stage.audience_type).indexing_tokens
    own = replace(stage, ids(1)).indexing_tokens
    replace(stage, ids(2))
    hook.wait_for_indexing("vip", earlier, audience_type=stage.audience_type)
    assert "a later replace of the audience took over from 1 of the writes" in logged()
    hook.wait_for_indexing("vip", own, audience_type=stage.audience_type, own_replace=own[0])
    assert "took over" not in logged()
