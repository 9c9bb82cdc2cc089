"""Profiles written by the hook to the sandbox, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_batch.exceptions import (
    BatchConfigurationError,
    BatchRequestError,
    InvalidArgumentError,
    InvalidMemberError,
    PushStoppedError,
    TooManyRejectedError,
)
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.protocol.profiles.table import Profile
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.protocol.writes import Receipt
from airflow_provider_batch.push.parcels import Delivered
from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.connections import Connect

PROJECT = "project_sandbox"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(profile_limits=False, keep_bodies=True) as sandbox:
        yield sandbox


@pytest.fixture
def hook(sandbox: Sandbox, connect: Connect) -> BatchHook:
    fields = json.loads(sandbox.connection_json(PROJECT))
    fields["extra"] |= {"max_attempts": 3}
    return connect(**fields)


def rows(count: int, **attributes: object) -> list[dict[str, object]]:
    return [{"custom_id": f"customer-{number}", **attributes} for number in range(count)]


def routes(sandbox: Sandbox) -> list[tuple[str, int]]:
    """The route of each call, and how many profiles it had."""
    return [(call.route.rpartition("/")[2], call.adds) for call in sandbox.calls]


class Notes:
    """A journal that outlives its try."""

    def __init__(self) -> None:
        self.noted: list[Receipt] = []

    def read(self) -> Delivered | None:
        if not self.noted:
            return None
        return Delivered(
            self.noted[-1].fingerprint, tuple(token for one in self.noted for token in one.indexing_tokens)
        )

    def note(self, receipt: Receipt) -> None:
        self.noted.append(receipt)

    def close(self) -> None: ...

    def clear(self) -> None:
        self.noted.clear()


def test_attributes_arrive_and_unknown_profiles_are_created(hook: BatchHook, sandbox: Sandbox) -> None:
    result = hook.update_profiles([{"custom_id": "a", "plan": "gold"}, Profile("b", {"score": 7})])
    assert sandbox.profiles() == {"a": {"plan": "gold"}, "b": {"score": 7}}
    summary = result.summary()
    assert summary.pop("seconds") >= 0
    assert summary == {
        "route": "update",
        "accepted": 2,
        "duplicates": 0,
        "rejected": 0,
        "rejections": [],
        "calls": 1,
    }


@pytest.mark.parametrize(
    ("count", "how", "calls"),
    [
        (0, {}, []),
        (201, {}, [("update", 200), ("update", 1)]),
        (1_000, {}, [("update", 200)] * 5),
        (1_001, {}, [("mass-update", 1_001)]),
        (1_001, {"chunk_size": 600}, [("mass-update", 600), ("mass-update", 401)]),
        (300, {"chunk_size": 600}, [("update", 200), ("update", 100)]),
        (3, {"route": "mass-update"}, [("mass-update", 3)]),
        (10_001, {"max_concurrency": 1}, [("mass-update", 10_000), ("mass-update", 1)]),
    ],
)
def test_the_route_and_the_calls_follow_from_the_number_of_profiles(
    count: int, how: dict[str, Any], calls: list[tuple[str, int]], hook: BatchHook, sandbox: Sandbox
) -> None:
    result = hook.update_profiles(rows(count), **how)
    assert sorted(routes(sandbox)) == sorted(calls)
    assert (result.accepted, result.calls) == (count, len(calls))
    assert len(sandbox.profiles()) == count


def test_a_profile_that_is_given_twice_goes_once_and_its_last_row_counts(hook: BatchHook, sandbox: Sandbox) -> None:
    given = [*rows(300, plan="old", old=True), *rows(2, plan="new")]
    result = hook.update_profiles(row for row in given)
    assert sorted(routes(sandbox)) == [("update", 100), ("update", 200)]
    assert sandbox.profiles()["customer-1"] == {"plan": "new"}
    assert (result.accepted, result.duplicates, result.given) == (300, 2, 302)


def test_a_missing_value_is_kept_or_cleared(hook: BatchHook, sandbox: Sandbox) -> None:
    hook.update_profiles([{"custom_id": "a", "plan": "gold", "score": 1}])
    hook.update_profiles([{"custom_id": "a", "plan": None, "score": float("nan")}])
    assert sandbox.profiles()["a"] == {"plan": "gold", "score": 1}
    hook.update_profiles([{"custom_id": "a", "plan": None}], nulls="clear")
    assert sandbox.profiles()["a"] == {"score": 1}


def test_items_of_an_array_are_added_and_removed_and_sending_it_again_changes_nothing(
    hook: BatchHook, sandbox: Sandbox
) -> None:
    for _ in range(2):
        hook.update_profiles([{"custom_id": "a", "tags": {"$add": ["x", "y"]}}])
        assert sandbox.profiles()["a"] == {"tags": ["x", "y"]}
    for _ in range(2):
        hook.update_profiles([{"custom_id": "a", "tags": {"$remove": ["x"]}}])
        assert sandbox.profiles()["a"] == {"tags": ["y"]}


def test_other_names_for_the_id_and_the_attributes(hook: BatchHook, sandbox: Sandbox) -> None:
    hook.update_profiles(
        [{"user": 7, "Plan": "gold", "internal": "x"}], id_column="user", attribute_columns={"Plan": "plan"}
    )
    assert sandbox.profiles() == {"7": {"plan": "gold"}}


def test_a_connection_to_an_app_is_refused_in_words_before_anything_is_read(sandbox: Sandbox, connect: Connect) -> None:
    def unread() -> Iterator[object]:
        raise AssertionError("it was read")
        yield

    with pytest.raises(BatchConfigurationError, match="Customer Engagement Platform only"):
        connect(**json.loads(sandbox.connection_json())).update_profiles(unread())
    assert sandbox.calls == []


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"route": "bulk"}, "route: 'bulk' is not one of auto, update, mass-update"),
        ({"chunk_size": 0}, "chunk_size: 0 is not an integer from 1 to 10,000"),
        ({"chunk_size": 201, "route": "update"}, "chunk_size: 201 is not an integer from 1 to 200"),
        ({"nulls": "drop"}, "nulls: 'drop' is not 'keep' or 'clear'"),
        ({"on_invalid_id": "drop"}, "on_invalid_id: 'drop' is not"),
        ({"max_concurrency": 65}, "max_concurrency: 65 is not"),
        ({"attribute_columns": {"x": "X"}}, "attribute_columns: attribute 'X'"),
    ],
)
def test_arguments_are_checked_before_any_call(
    how: dict[str, Any], reason: str, hook: BatchHook, sandbox: Sandbox
) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        hook.update_profiles(rows(1), **how)
    assert sandbox.calls == []


def test_an_invalid_row_at_the_end_of_a_stream_ends_the_push_before_its_first_call(
    hook: BatchHook, sandbox: Sandbox
) -> None:
    with pytest.raises(InvalidMemberError, match=r"profiles\[1500\]: attribute 'Plan'"):
        hook.update_profiles(row for row in [*rows(1_500), {"custom_id": "a", "Plan": 1}])
    assert sandbox.calls == []


def test_what_batch_refuses_in_part_is_told_by_place_and_attribute(
    hook: BatchHook, sandbox: Sandbox, told: Callable[[], str]
) -> None:
    rejected: list[tuple[Rejection, Any]] = []
    given = [
        *rows(203, plan="gold"),
        {"custom_id": "jane@example.com", "plan": "secret" * 60, "score": 1},
        {"custom_id": ""},
    ]
    result = hook.update_profiles(given, on_invalid_id="skip", on_rejection=lambda *each: rejected.append(each))
    assert [(one.where, one.reason) for one, _ in rejected] == [
        ("profiles[204]", "the id is empty. Drop the row."),
        ("profiles[203]", "attribute 'plan': INVALID_ATTRIBUTE: a text has 1 to 300 characters"),
    ]
    assert rejected[1][1] == {"custom_id": "jane@example.com", "attributes": {"plan": "secret" * 60, "score": 1}}
    assert sandbox.profiles()["jane@example.com"] == {"score": 1}
    assert (result.accepted, result.rejected, result.given) == (203, 2, 205)
    with pytest.raises(TooManyRejectedError, match=r"2 of 205 values were rejected.*max_rejected=1"):
        result.check_rejected(1)
    text = told() + json.dumps(result.summary()) + repr(result)
    assert "profiles[203]" in text
    assert not [private for private in ("jane", "secret", "customer-") if private in text]


def test_a_dry_run_checks_and_counts_and_sends_nothing(hook: BatchHook, sandbox: Sandbox) -> None:
    result = hook.update_profiles([*rows(300), *rows(1)], dry_run=True)
    assert sandbox.calls == []
    assert (result.accepted, result.duplicates, result.calls, result.route) == (300, 1, 2, "update")
    assert result.summary()["dry_run"] is True


def test_a_later_try_sends_only_what_is_left(hook: BatchHook, sandbox: Sandbox, told: Callable[[], str]) -> None:
    notes = Notes()
    sandbox.faults(None, Fault(400))
    with pytest.raises(BatchRequestError):
        hook.update_profiles((row for row in rows(500)), max_concurrency=1, journal=notes)
    assert len(notes.noted) == 1
    result = hook.update_profiles((row for row in rows(500)), max_concurrency=1, journal=notes)
    assert (result.accepted, result.calls, result.earlier_calls) == (500, 3, 1)
    assert [adds for _, adds in routes(sandbox)] == [200, 200, 200, 100]
    assert len(sandbox.profiles()) == 500
    assert "skipped 1 chunk that an earlier try sent" in told()


def test_a_later_try_with_other_rows_sends_everything(hook: BatchHook, sandbox: Sandbox) -> None:
    notes = Notes()
    sandbox.faults(None, Fault(400))
    with pytest.raises(BatchRequestError):
        hook.update_profiles(rows(300, plan="old"), max_concurrency=1, journal=notes)
    result = hook.update_profiles(rows(300, plan="new"), max_concurrency=1, journal=notes)
    assert (result.accepted, result.earlier_calls) == (300, 0)
    assert {each["plan"] for each in sandbox.profiles().values()} == {"new"}


def test_a_chunk_that_batch_refuses_in_part_is_sent_and_reported_again_by_a_later_try(
    hook: BatchHook, sandbox: Sandbox
) -> None:
    given = [{"custom_id": "a", "plan": ""}, *rows(300)]
    notes = Notes()
    sandbox.faults(None, Fault(400))
    with pytest.raises(BatchRequestError):
        hook.update_profiles(given, max_concurrency=1, journal=notes)
    result = hook.update_profiles(given, max_concurrency=1, journal=notes)
    assert (result.rejected, result.earlier_calls) == (1, 0)


@pytest.mark.parametrize(
    "fault", [Fault(500), Fault(reset=True), Fault(reset=True, after_write=True), Fault(202, body="<html>")]
)
def test_a_transient_fault_costs_a_repetition(fault: Fault, hook: BatchHook, sandbox: Sandbox) -> None:
    sandbox.faults(fault)
    assert hook.update_profiles(rows(3, plan="gold")).accepted == 3
    assert len(sandbox.calls) == 2
    assert len(sandbox.profiles()) == 3


def test_a_stopped_hook_reads_and_sends_nothing(hook: BatchHook, sandbox: Sandbox) -> None:
    hook.stop()
    with pytest.raises(PushStoppedError):
        hook.update_profiles(rows(3))
    assert sandbox.calls == []


def test_the_limits_of_a_project_are_kept_without_a_refusal(connect: Connect) -> None:
    with Sandbox() as sandbox:
        hook = connect(**json.loads(sandbox.connection_json(PROJECT)))
        hook.update_profiles(rows(1_400), route="update")
        hook.update_profiles(rows(12_000), chunk_size=4_000)
        assert {call.status for call in sandbox.calls} == {202}
        assert len(sandbox.profiles()) == 12_000
