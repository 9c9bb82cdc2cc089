"""The sensor asks each version of the API in its own way, and understands what each of them says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_batch.exceptions import BatchAPIError, InvalidArgumentError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Fault
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor
from airflow_provider_batch.triggers.custom_audience import CustomAudienceIndexingTrigger
from tests.stages import OpenStage, Stage, on

FAST = {"poke_interval": 0.001, "timeout": 5}


def push(stage: Stage, count: int = 3) -> list[str]:
    ids = [f"id-{number}" for number in range(count)]
    hook = BatchHook()
    return hook.update_custom_audience(
        "vip", add_ids=ids, chunk_size=1, audience_type=stage.audience_type
    ).indexing_tokens


def sensor(stage: Stage, indexing_tokens: Any, **arguments: Any) -> CustomAudienceIndexingSensor:
    given = {"task_id": "indexed", "audience_name": "vip", "audience_type": stage.audience_type, **FAST, **arguments}
    return CustomAudienceIndexingSensor(indexing_tokens=indexing_tokens, **given)


@pytest.mark.parametrize("deferrable", [False, True])
def test_what_is_applied_is_done_and_the_view_is_returned(deferrable: bool, stage: Stage) -> None:
    tokens = push(stage)
    view = sensor(stage, tokens, deferrable=deferrable).execute({})
    assert (view["name"], view["type"], view["nb_ids"]) == ("vip", stage.audience_type, 3)
    assert view["indexing_state"] == "APPLIED"
    assert stage.asked("view") == 3


@pytest.mark.parametrize("word", ["IN_PROGRESS", "IN_PROCESS", "PONDERING"])
def test_what_is_under_way_is_asked_for_again(word: str, stage: Stage) -> None:
    tokens = push(stage, 1)
    stage.sandbox.faults(Fault(200, body={"name": "vip", "indexing_state": word}))
    sensor(stage, tokens).execute({})
    assert stage.asked("view") == 2


def test_what_is_never_applied_is_a_timeout(open_stage: OpenStage) -> None:
    stage = open_stage(indexing_delay=3600)
    with pytest.raises(AirflowSensorTimeout, match="Not confirmed in vip: 1 indexing token"):
        sensor(stage, push(stage, 1), timeout=0.01).execute({})


def test_what_was_replaced_is_done_with_a_warning(open_stage: OpenStage, logged: Callable[[], str]) -> None:
    stage = open_stage(replaced_states=True)
    tokens = push(stage, 2)
    BatchHook().replace_custom_audience("vip", ["a"], audience_type=stage.audience_type)
    view = sensor(stage, tokens).execute({})
    assert view["indexing_state"] == "REPLACED"
    assert "a later replace of the audience took over from 2 of the writes" in logged()


def test_a_deferred_wait_asks_in_the_same_version(open_stage: OpenStage) -> None:
    stage = open_stage(indexing_delay=3600)
    with pytest.raises(TaskDeferred) as deferred:
        sensor(stage, push(stage, 1), deferrable=True).execute({})
    trigger = deferred.value.trigger
    assert isinstance(trigger, CustomAudienceIndexingTrigger)
    assert (trigger.audience_type, trigger.own_replace) == (stage.audience_type, None)


def test_a_token_of_nobody_fails_at_once(stage: Stage) -> None:
    with pytest.raises(AirflowFailException) as caught:
        sensor(stage, ["f" * 32]).execute({})
    assert isinstance(caught.value.__cause__, BatchAPIError)


@on("1.0", "2.11")
def test_a_type_that_the_platform_does_not_know_fails_before_any_call(stage: Stage) -> None:
    with pytest.raises(AirflowFailException) as caught:
        sensor(stage, ["f" * 32], audience_type="emails").execute({})
    assert isinstance(caught.value.__cause__, InvalidArgumentError)
    assert stage.verbs == []
