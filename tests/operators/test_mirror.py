"""CustomAudienceMirrorOperator, and the wait of a mirror, called the way a worker calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_batch.exceptions import DriftError, GuardError, IndexingTimeoutError
from airflow_provider_batch.operators.custom_audience import CustomAudienceMirrorOperator
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.triggers.custom_audience import IndexingEvent
from tests.clock import Clock
from tests.worker import Store, TaskInstance, next_try


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that indexes a write ten seconds after it, by the test's clock."""
    with Sandbox(indexing_delay=10, clock=clock) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        yield sandbox


def mirror(ids: Any, path: Path, **arguments: Any) -> CustomAudienceMirrorOperator:
    given = {"poke_interval": 0.1, "indexing_timeout": 0.1, **arguments}
    return CustomAudienceMirrorOperator(
        task_id="mirror", audience_name="vip", ids=ids, snapshot_path=str(path), **given
    )


def writes(sandbox: Sandbox) -> int:
    return len([call for call in sandbox.calls if call.method == "PATCH"])


def confirmed(path: Path) -> bool:
    return any(path.rglob("*.confirmed"))


def test_it_sends_what_has_changed(batch_sandbox: Sandbox, context: Any, ti: TaskInstance, tmp_path: Path) -> None:
    assert len(mirror(["a", "b", "a"], tmp_path).execute(context)) == 1
    assert confirmed(tmp_path)
    mirror({"b", "c", "d"}, tmp_path).execute(context)
    assert batch_sandbox.members("vip") == {"b", "c", "d"}
    summary = ti.pushed["summary"]
    del summary["seconds"]
    assert summary == {
        "audience": "vip",
        "type": "custom_ids",
        "added": 2,
        "removed": 1,
        "duplicates": 0,
        "rejected": 0,
        "rejections": [],
        "calls": 1,
        "unchanged": 1,
        "members": 3,
        "replaced": False,
    }


def test_its_rendered_ids_are_a_count(batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    operator = mirror(["id-1", "{{ params.segment }}"], tmp_path / "{{ params.segment }}")
    operator.render_template_fields(context)
    assert str(operator.ids) == "2 ids"
    operator.execute(context)
    assert batch_sandbox.members("vip") == {"id-1", "vip"}
    assert (tmp_path / "vip" / "batch_default" / "vip" / "00000001.head.json").exists()


@pytest.mark.parametrize("empty", [None, [], "[]"])
def test_no_ids_are_refused(empty: Any, batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="allow_empty=True") as caught:
        mirror(empty, tmp_path).execute(context)
    assert isinstance(caught.value.__cause__, GuardError)
    assert batch_sandbox.calls == []
    with pytest.raises(AirflowFailException, match="allow_empty=True"):
        mirror(empty, tmp_path, skip_on_empty=True).execute(context)
    assert mirror(empty, tmp_path, allow_empty=True).execute(context) == []


# The wait


@pytest.mark.parametrize("with_store", [True, False])
def test_a_retry_after_a_wait_that_failed_goes_on_waiting_and_pushes_nothing(
    with_store: bool, slow: Sandbox, clock: Clock, context: Any, store: Store, tmp_path: Path
) -> None:
    tries: Any = {**context, "task_state_store": store} if with_store else context
    for _ in range(2):
        with pytest.raises(IndexingTimeoutError):
            mirror(["a", "b"], tmp_path, chunk_size=1).execute(next_try(tries))
        assert not confirmed(tmp_path)
    assert writes(slow) == 2
    clock.now += 10
    assert len(mirror(["a", "b"], tmp_path).execute(next_try(tries))) == 2
    assert writes(slow) == 2
    assert confirmed(tmp_path)
    assert store.values == {}


def test_without_a_wait_the_next_run_does_it(slow: Sandbox, clock: Clock, context: Any, tmp_path: Path) -> None:
    mirror(["a"], tmp_path, wait_for_indexing=False).execute(context)
    with pytest.raises(IndexingTimeoutError):
        mirror(["b"], tmp_path, wait_for_indexing=False).execute(context)
    assert writes(slow) == 1
    clock.now += 10
    mirror(["b"], tmp_path, wait_for_indexing=False).execute(context)
    assert writes(slow) == 2
    assert not confirmed(tmp_path)


def deferred(operator: CustomAudienceMirrorOperator, context: Any) -> Any:
    """The trigger that it defers to."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context)
    return caught.value.trigger


def test_a_deferred_wait_knows_the_own_replace(slow: Sandbox, context: Any, tmp_path: Path) -> None:
    trigger = deferred(mirror(["a", "b"], tmp_path, first_run="replace", deferrable=True), context)
    assert (len(trigger.indexing_tokens), trigger.own_replace) == (1, trigger.indexing_tokens[0])


def test_it_is_silent_about_its_own_replace(
    batch_sandbox: Sandbox, context: Any, tmp_path: Path, told: Callable[[], str]
) -> None:
    batch_sandbox.faults(None, Fault(200, body={"name": "vip", "indexing_state": "REPLACED"}))
    mirror(["a"], tmp_path, first_run="replace").execute(context)
    assert "took over" not in told()


def finished(trigger: Any, nb_ids: int | None) -> dict[str, Any]:
    """What the trigger fires in the end."""
    view = {"name": "vip", "nb_ids": nb_ids, "indexing_state": "APPLIED"}
    return IndexingEvent("finished", "vip", tuple(trigger.indexing_tokens), view).to_payload()


def test_a_deferred_wait_confirms(slow: Sandbox, context: Any, tmp_path: Path) -> None:
    trigger = deferred(mirror(["a", "b"], tmp_path, deferrable=True), context)
    assert not confirmed(tmp_path)
    calls = len(slow.calls)
    # In another process: nothing is left of the operator that deferred.
    returned = mirror(["a", "b"], tmp_path, on_drift="fail").execute_complete(context, finished(trigger, 2))
    assert returned == trigger.indexing_tokens
    assert confirmed(tmp_path)
    assert len(slow.calls) == calls  # the trigger has seen how many ids there are


def test_a_deferred_wait_checks_the_drift(slow: Sandbox, context: Any, tmp_path: Path, told: Callable[[], str]) -> None:
    trigger = deferred(mirror(["a", "b"], tmp_path, deferrable=True), context)
    for on_drift in ("ignore", "warn"):
        mirror(["a", "b"], tmp_path, on_drift=on_drift).execute_complete(context, finished(trigger, 5))
        assert ("Batch counts 5 ids, 3 more than the snapshot" in told()) is (on_drift == "warn")
    with pytest.raises(AirflowFailException) as caught:
        mirror(["a", "b"], tmp_path, on_drift="fail").execute_complete(context, finished(trigger, 5))
    assert isinstance(caught.value.__cause__, DriftError)


def test_a_deferred_wait_that_comes_back_late_confirms_no_other_run(
    slow: Sandbox, clock: Clock, context: Any, tmp_path: Path
) -> None:
    trigger = deferred(mirror(["a"], tmp_path, deferrable=True), context)
    clock.now += 10
    deferred(mirror(["b"], tmp_path, deferrable=True), context)
    mirror(["a"], tmp_path, on_drift="fail").execute_complete(context, finished(trigger, 1))
    assert not confirmed(tmp_path)


def test_a_deferred_wait_that_fails_leaves_the_writes_unconfirmed(
    slow: Sandbox, clock: Clock, context: Any, tmp_path: Path
) -> None:
    trigger = deferred(mirror(["a"], tmp_path, deferrable=True), context)
    tokens = tuple(trigger.indexing_tokens)
    event = IndexingEvent("timeout", "vip", tokens, pending=tokens, message="not confirmed").to_payload()
    with pytest.raises(IndexingTimeoutError):
        mirror(["a"], tmp_path).execute_complete(context, event)
    assert not confirmed(tmp_path)
    # The retry defers again, and pushes nothing.
    assert deferred(mirror(["a"], tmp_path, deferrable=True), context).indexing_tokens == list(tokens)
    assert writes(slow) == 1


def test_drift_is_checked_where_nothing_had_to_be_sent(batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    mirror(["a"], tmp_path, on_drift="fail").execute(context)
    mirror(["a"], tmp_path, on_drift="fail").execute(context)
    mirror(["a"], tmp_path / "elsewhere").hook.update_custom_audience("vip", add_ids=["x"])
    with pytest.raises(AirflowFailException, match="Batch counts 2 ids, 1 more than the snapshot"):
        mirror(["a"], tmp_path, on_drift="fail").execute(context)
