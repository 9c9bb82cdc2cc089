"""Tries of one task that share Airflow's state store: what was accepted is not sent again, and only that is skipped."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_batch.exceptions import BatchServerError, IndexingTimeoutError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.triggers.custom_audience import IndexingEvent
from tests.worker import Store, clear, next_try

IDS = [f"id-{number}" for number in range(10)]
DOWN = Fault(503, headers={"Retry-After": "0"})


@pytest.fixture(autouse=True)
def _two_attempts(batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = batch_sandbox.connection_json().replace("}", ', "extra": {"max_attempts": 2}}')
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", connection)


@pytest.fixture
def tries(context: Any, store: Store) -> Any:
    return {**context, "task_state_store": store}


def update(**arguments: Any) -> CustomAudienceUpdateOperator:
    given = {"add_ids": IDS, "chunk_size": 2, "max_concurrency": 1, **arguments}
    operator = CustomAudienceUpdateOperator(task_id="update", audience_name="vip", **given | {"add_ids": None})
    operator.add_ids = given["add_ids"]  # a DAG file may not have a generator
    return operator


def fail_at_the_third_chunk(batch_sandbox: Sandbox, tries: Any, **arguments: Any) -> None:
    batch_sandbox.faults(None, None, DOWN, DOWN)
    with pytest.raises(BatchServerError, match="accepted 2 chunks"):
        update(**arguments).execute(tries)


def writes(batch_sandbox: Sandbox) -> int:
    return len([call for call in batch_sandbox.calls if call.method == "PATCH" and call.status == 201])


def test_a_retry_sends_what_is_left(batch_sandbox: Sandbox, tries: Any) -> None:
    fail_at_the_third_chunk(batch_sandbox, tries)
    tokens = update().execute(next_try(tries))
    assert writes(batch_sandbox) == len(tokens) == len(set(tokens)) == 5
    assert batch_sandbox.members("vip") == set(IDS)
    assert tries["ti"].pushed["summary"]["added"] == 10


def test_a_task_that_is_cleared_after_its_success_sends_everything_again(
    batch_sandbox: Sandbox, tries: Any, store: Store
) -> None:
    update().execute(tries)
    assert store.values == {}
    update().execute(clear(tries))
    assert writes(batch_sandbox) == 10


def test_a_task_that_is_cleared_after_a_failure_sends_everything_again(batch_sandbox: Sandbox, tries: Any) -> None:
    fail_at_the_third_chunk(batch_sandbox, tries)
    hook = BatchHook()
    hook.update_custom_audience("vip", remove_ids=IDS)
    update().execute(clear(tries))
    assert batch_sandbox.members("vip") == set(IDS)
    assert tries["ti"].pushed["summary"]["calls"] == 5


def test_a_task_that_is_cleared_while_it_runs_sends_everything_again(batch_sandbox: Sandbox, tries: Any) -> None:
    """Airflow 3.3 leaves the max_tries of a running task alone, and raises the run's clear_number."""
    tries["dag_run"] = SimpleNamespace(clear_number=0)
    fail_at_the_third_chunk(batch_sandbox, tries)
    tries["dag_run"].clear_number += 1
    update().execute(next_try(tries))
    assert writes(batch_sandbox) == 2 + 5


def test_after_a_try_that_noted_nothing_everything_is_sent_again(batch_sandbox: Sandbox, tries: Any) -> None:
    fail_at_the_third_chunk(batch_sandbox, tries)
    next_try(tries)  # it was killed at once
    update().execute(next_try(tries))
    assert writes(batch_sandbox) == 2 + 5


def test_each_try_goes_on_where_the_one_before_ended(batch_sandbox: Sandbox, tries: Any) -> None:
    fail_at_the_third_chunk(batch_sandbox, tries)
    batch_sandbox.faults(DOWN, DOWN)
    with pytest.raises(BatchServerError, match="accepted 2 chunks"):
        update().execute(next_try(tries))
    batch_sandbox.faults(None, DOWN, DOWN)
    with pytest.raises(BatchServerError, match="accepted 3 chunks"):
        update().execute(next_try(tries))
    update().execute(next_try(tries))
    assert writes(batch_sandbox) == 5


@pytest.mark.parametrize("methods", [("get",), ("set",), ("delete",), ("get", "set", "delete")], ids=repr)
def test_a_store_that_fails_costs_no_push(methods: tuple[str, ...], batch_sandbox: Sandbox, tries: Any) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("API_SERVER_ERROR")

    for method in methods:
        setattr(tries["task_state_store"], method, fail)
    fail_at_the_third_chunk(batch_sandbox, tries)
    batch_sandbox.faults(Fault(401))
    with pytest.raises(AirflowFailException, match="401"):  # Batch's error, not the store's
        update().execute(next_try(tries))
    update().execute(next_try(tries))
    assert batch_sandbox.members("vip") == set(IDS)


@pytest.mark.parametrize(
    "changed",
    [
        {"add_ids": ["another", *IDS[1:]]},
        {"add_ids": IDS[:3]},
        {"add_ids": [], "remove_ids": IDS},
        {"audience_type": "advertising_ids"},
        {"chunk_size": 3},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_changed_input_is_never_skipped(changed: dict[str, Any], batch_sandbox: Sandbox, tries: Any) -> None:
    fail_at_the_third_chunk(batch_sandbox, tries)
    before = len(batch_sandbox.calls)
    batch_sandbox.faults(Fault(400))
    with pytest.raises(AirflowFailException, match="accepted 0 chunks"):
        update(**changed).execute(next_try(tries))
    assert [call.method for call in batch_sandbox.calls[before:]] == ["PATCH", "GET"]  # with a look at the list


def test_what_another_try_may_have_undone_is_sent_again(batch_sandbox: Sandbox, tries: Any) -> None:
    """Of a try with other ids in between, whose answer was lost, the journal has never heard."""
    fail_at_the_third_chunk(batch_sandbox, tries)
    batch_sandbox.faults(Fault(503, after_write=True), DOWN)
    with pytest.raises(BatchServerError):
        update(add_ids=[], remove_ids=IDS[:2]).execute(next_try(tries))
    assert "id-0" not in batch_sandbox.members("vip")
    update().execute(next_try(tries))
    assert batch_sandbox.members("vip") == set(IDS)


def test_another_app_is_never_taken_for_the_first(
    batch_sandbox: Sandbox, tries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at_the_third_chunk(batch_sandbox, tries)
    with Sandbox() as other:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", other.connection_json())
        update().execute(next_try(tries))
        assert other.members("vip") == set(IDS)


def test_after_a_refusal_everything_is_sent_again(batch_sandbox: Sandbox, tries: Any, store: Store) -> None:
    batch_sandbox.faults(None, None, Fault(404))
    with pytest.raises(AirflowFailException):
        update().execute(tries)
    assert store.values == {}


def test_a_generator_is_sent_again_from_its_start(batch_sandbox: Sandbox, tries: Any) -> None:
    fail_at_the_third_chunk(batch_sandbox, tries, add_ids=iter(IDS))
    update(add_ids=iter(IDS)).execute(next_try(tries))
    assert writes(batch_sandbox) == 2 + 5


def test_a_retry_of_the_wait_waits_and_does_not_push(
    batch_sandbox: Sandbox, tries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(indexing_delay=3600) as slow:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", slow.connection_json())
        waiting = {"wait_for_indexing": True, "poke_interval": 0.1, "indexing_timeout": 0.1}
        for _ in range(3):
            with pytest.raises(IndexingTimeoutError):
                update(**waiting).execute(next_try(tries))
        assert writes(slow) == 5
        with pytest.raises(IndexingTimeoutError):
            update(**waiting).execute(clear(tries))
        assert writes(slow) == 10


def test_a_deferred_wait_that_ends_well_forgets_the_push(
    batch_sandbox: Sandbox, tries: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(indexing_delay=3600) as slow:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", slow.connection_json())
        operator = update(wait_for_indexing=True, deferrable=True)
        with pytest.raises(TaskDeferred):
            operator.execute(tries)
    assert store.values != {}
    operator.execute_complete(tries, IndexingEvent("finished", "vip", ("t",)).to_payload())
    assert store.values == {}


def test_neither_ids_nor_keys_are_kept(batch_sandbox: Sandbox, tries: Any, store: Store) -> None:
    fail_at_the_third_chunk(batch_sandbox, tries)
    kept = "".join(store.values.values())
    assert kept
    assert not any(private in kept for private in ("id-", "sandbox-app-key", "sandbox-rest-key"))
