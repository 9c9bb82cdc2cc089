"""The retry policy: its decisions, and one real retry."""

from __future__ import annotations

import json
import pickle
import re
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import pytest

from airflow_provider_batch import exceptions
from airflow_provider_batch.exceptions import (
    BatchConnectionError,
    BatchError,
    BatchRateLimitError,
    BatchRequestError,
    BatchServerError,
    IndexingTimeoutError,
    InvalidMemberError,
    PushStoppedError,
)
from airflow_provider_batch.retries import batch_retry_policy

try:
    from airflow.providers.common.compat.sdk import RetryAction, RetryDecision
except ImportError:
    KNOWN = False
else:
    KNOWN = True

needs_policies = pytest.mark.skipif(not KNOWN, reason="Airflow before 3.3 has no retry policies")


def decision_for(error: BaseException) -> Any:
    return batch_retry_policy().evaluate(error, try_number=1, max_tries=3)


@pytest.mark.skipif(KNOWN, reason="Airflow 3.3 and later has them")
def test_before_airflow_3_3_the_error_names_the_versions() -> None:
    message = (
        rf"needs Airflow 3\.3 or later, but this is {re.escape(version('apache-airflow'))}. Leave retry_policy off"
    )
    with pytest.raises(RuntimeError, match=message):
        batch_retry_policy()


@needs_policies
@pytest.mark.parametrize("error", [BatchRequestError("no", status=400, retry_after=5.0), InvalidMemberError("no id")])
def test_a_permanent_error_fails_at_once(error: BatchError) -> None:
    decision = decision_for(error)
    assert decision.action is RetryAction.FAIL
    assert decision.reason == f"{type(error).__name__}: a permanent error, which no retry can fix"


@needs_policies
def test_every_error_is_decided_by_whether_it_is_retryable() -> None:
    for error in vars(exceptions).values():
        if isinstance(error, type) and issubclass(error, BatchError):
            expected = RetryAction.DEFAULT if error.retryable else RetryAction.FAIL
            assert decision_for(error("no")).action is expected, error


@needs_policies
@pytest.mark.parametrize("error", [BatchRateLimitError, BatchServerError])
@pytest.mark.parametrize(("retry_after", "waits"), [(0.0, 0), (90.0, 90), (1e9, 86_400), (float("inf"), 86_400)])
def test_retry_after_is_obeyed_up_to_a_day(error: Any, retry_after: float, waits: int) -> None:
    decision = decision_for(error("later", status=503, retry_after=retry_after))
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay == timedelta(seconds=waits)


@needs_policies
@pytest.mark.parametrize(
    "error",
    [
        BatchRateLimitError("later", status=429),
        BatchConnectionError("no answer"),
        PushStoppedError("stopped"),
        IndexingTimeoutError("not yet"),
        ValueError("somebody else's"),
        KeyboardInterrupt(),
    ],
)
def test_all_other_errors_are_left_to_the_task(error: BaseException) -> None:
    assert decision_for(error) == RetryDecision.default()


@needs_policies
def test_an_error_of_batch_also_counts_as_a_cause() -> None:
    wrapped = RuntimeError("mine")
    wrapped.__cause__ = BatchRateLimitError("later", status=429, retry_after=7.0)
    assert decision_for(wrapped).retry_delay == timedelta(seconds=7)
    wrapped.__cause__.__cause__ = wrapped  # a circle of causes ends
    assert decision_for(wrapped).retry_delay == timedelta(seconds=7)


@needs_policies
def test_it_can_be_stored_and_copied() -> None:
    policy = batch_retry_policy()
    stored = json.loads(json.dumps(policy.serialize()))
    assert type(policy).deserialize(stored) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert str(policy) == "batch_retry_policy()"
    assert policy
