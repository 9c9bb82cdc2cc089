"""The trigger asks each version of the API in its own way, and tells what each of them says."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Fault
from airflow_provider_batch.triggers.custom_audience import CustomAudienceIndexingTrigger, IndexingEvent
from tests.stages import OpenStage, Stage


def push(stage: Stage) -> list[str]:
    hook = BatchHook()
    pushed = hook.update_custom_audience("vip", add_ids=["a", "b"], chunk_size=1, audience_type=stage.audience_type)
    return pushed.indexing_tokens


def event_of(stage: Stage, indexing_tokens: list[str], seconds: float = 30, **arguments: Any) -> IndexingEvent:
    now = time.time()
    waiting = CustomAudienceIndexingTrigger(
        batch_conn_id="batch_default",
        audience_name="vip",
        indexing_tokens=indexing_tokens,
        poke_interval=0.001,
        start_time=now,
        end_time=now + seconds,
        **{"audience_type": stage.audience_type, **arguments},
    )

    async def events() -> list[Any]:
        return [event.payload async for event in waiting.run()]

    (payload,) = asyncio.run(events())
    return IndexingEvent.from_payload(payload)


def test_it_is_finished_when_all_is_applied(stage: Stage) -> None:
    tokens = push(stage)
    stage.sandbox.faults(Fault(200, body={"name": "vip", "indexing_state": "IN_PROCESS"}))
    event = event_of(stage, tokens)
    assert (event.status, event.warning, event.indexing_tokens) == ("finished", "", tuple(tokens))
    assert event.audience is not None
    assert (event.audience["type"], event.audience["nb_ids"]) == (stage.audience_type, 2)
    assert stage.asked("view") == 3


def test_what_was_replaced_is_finished_with_a_warning_but_for_the_own_replace(open_stage: OpenStage) -> None:
    stage = open_stage(replaced_states=True)
    tokens = push(stage)
    BatchHook().replace_custom_audience("vip", ["c"], audience_type=stage.audience_type)
    event = event_of(stage, tokens)
    assert (event.status, "took over from 2 of the writes" in event.warning) == ("finished", True)
    assert event_of(stage, tokens[:1], own_replace=tokens[0]).warning == ""


def test_the_deadline_is_a_timeout(open_stage: OpenStage) -> None:
    stage = open_stage(indexing_delay=3600)
    tokens = push(stage)
    event = event_of(stage, tokens, seconds=0.01)
    assert (event.status, event.pending) == ("timeout", tuple(tokens))


@pytest.mark.parametrize(("status", "retryable"), [(401, False), (404, False)])
def test_a_refusal_is_an_error(status: int, retryable: bool, stage: Stage) -> None:
    stage.sandbox.faults(Fault(status))
    event = event_of(stage, ["f" * 32])
    assert (event.status, event.retryable) == ("error", retryable)
    assert f"answered {status}" in event.message
    assert stage.version.key not in event.message


def test_a_type_that_the_platform_does_not_know_is_an_error_before_any_call(stage: Stage) -> None:
    event = event_of(stage, ["f" * 32], audience_type="emails")
    assert (event.status, event.retryable) == ("error", False)
    assert stage.verbs == []
