from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest

from airflow_provider_batch.protocol.audiences.chunk import Chunks
from airflow_provider_batch.protocol.audiences.members import REMOVE_IDS
from airflow_provider_batch.push.push import Push
from airflow_provider_batch.sandbox import Sandbox
from tests.connections import Connect


def test_when_its_caller_fails_a_push_has_ended_before_the_error_is_told(connect: Connect) -> None:
    """Airflow's timeout is raised wherever the task stands: nothing must be sent behind its back."""

    def interrupted(record: logging.LogRecord) -> bool:
        raise TimeoutError

    with Sandbox(["vip"], latency=0.05) as sandbox:
        hook = connect(sandbox.connection_json())
        writes = hook._writes("vip", "custom_ids", chunk_size=1)
        chunks = Chunks(writes.intake()(map(str, range(100)), "add_ids"), writes.intake()((), REMOVE_IDS), size=1)
        log = logging.getLogger("interrupted")
        log.setLevel(logging.INFO)
        log.addFilter(interrupted)
        with hook._line() as line, pytest.raises(TimeoutError) as caught:
            Push(replace(line, log=log), writes, "vip", max_concurrency=4).run(chunks)
        assert caught.tb is not None  # it holds the frames of the push
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch-push")]
        assert len(sandbox.calls) <= 8
