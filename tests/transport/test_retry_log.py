from __future__ import annotations

import logging

import pytest

from airflow_provider_batch.exceptions import BatchRateLimitError
from airflow_provider_batch.protocol.wire import Sleep
from airflow_provider_batch.transport.retry_log import RetryLog


def test_retries_are_told_every_few_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    log = RetryLog(lambda: now)
    again = Sleep(2.5, retries=BatchRateLimitError("PATCH /path: answered 429"))
    with caplog.at_level(logging.WARNING):
        log.record(again)
        log.record(again)
        now = 104.9
        log.record(again)
        now = 105.0
        log.record(again)
    assert caplog.messages == [
        "retry 1 in 2.5 s: PATCH /path: answered 429",
        "retry 4 in 2.5 s: PATCH /path: answered 429",
    ]


def test_waits_that_are_none_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        RetryLog().record(Sleep(1))
    assert caplog.messages == []
