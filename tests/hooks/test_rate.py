"""A project that may ask only so often: paced by the connection, or taught by 429s."""

from __future__ import annotations

import time

import pytest

from airflow_provider_batch.protocol import limits
from airflow_provider_batch.transport.pace import Turn
from tests.stages import OpenStage, on

IDS = [f"customer-{number}" for number in range(22)]


@on("2.11")
def test_a_connection_that_knows_the_rate_is_never_refused(open_stage: OpenStage) -> None:
    stage = open_stage(requests_per_second=20)
    hook = stage.connect(requests_per_second=20)
    result = hook.replace_custom_audience("vip", IDS, chunk_size=1)
    hook.wait_for_indexing("vip", result.indexing_tokens[-1:])
    assert {call.status for call in stage.sandbox.calls} == {200, 202}
    assert stage.members == set(IDS)


@on("2.11")
def test_a_connection_that_does_not_is_refused_and_arrives_all_the_same(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RATE_LIMIT_WAIT", 0.6)
    few = IDS[:5]  # seven calls: more than the busiest machine keeps to two a second
    stage = open_stage(requests_per_second=2)
    stage.connect(max_attempts=20).replace_custom_audience("vip", few, chunk_size=1)
    assert 429 in {call.status for call in stage.sandbox.calls}
    assert stage.members == set(few)


@on("2.11")
def test_one_request_a_second_is_kept(open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, settle = [], Turn.sent

    def noting(turn: Turn, **how: bool) -> None:
        sent.append(time.monotonic())  # not when the server takes it in, which may be later for one than for the next
        settle(turn, **how)

    monkeypatch.setattr(Turn, "sent", noting)
    stage = open_stage()
    hook = stage.connect(requests_per_second=1)
    hook.update_custom_audience("vip", add_ids=IDS, create_if_missing=True)
    assert [call.status for call in stage.sandbox.calls] == [200, 202]
    assert sent[1] - sent[0] >= 1.0
