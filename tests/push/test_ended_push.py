from __future__ import annotations

import threading

import pytest

from airflow_provider_batch.exceptions import MirrorConflictError
from airflow_provider_batch.protocol.audiences.chunk import Chunks
from airflow_provider_batch.protocol.audiences.members import REMOVE_IDS
from airflow_provider_batch.protocol.writes import Receipt
from airflow_provider_batch.push.push import Push
from airflow_provider_batch.sandbox import Sandbox
from tests.connections import Connect


def test_when_its_caller_fails_a_push_has_ended_before_the_error_is_told(connect: Connect) -> None:
    """A mirror that another run has taken over must not go on sending behind its back."""

    def taken_over(receipt: Receipt) -> None:
        raise MirrorConflictError("taken over")

    with Sandbox(["vip"], latency=0.05) as sandbox:
        hook = connect(sandbox.connection_json())
        writes = hook._writes("vip", "custom_ids", chunk_size=1)
        chunks = Chunks(writes.intake()(map(str, range(100)), "add_ids"), writes.intake()((), REMOVE_IDS), size=1)
        with hook._line() as line, pytest.raises(MirrorConflictError) as caught:
            Push(line, writes, "vip", max_concurrency=4).run(chunks, on_receipt=taken_over)
        assert caught.tb is not None  # it holds the frames of the push
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch-push")]
        assert len(sandbox.calls) <= 8
