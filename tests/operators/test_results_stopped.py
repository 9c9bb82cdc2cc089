"""A task that is killed ends at once: while it waits for an export, downloads it, or reads statistics."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import PushStoppedError
from airflow_provider_batch.operators.exports import ProfilesExportOperator
from airflow_provider_batch.operators.statistics import CampaignStatsOperator
from airflow_provider_batch.sandbox import Sandbox
from tests.clock import eventually
from tests.transport.servers import Asked, RawServer, Trickle, answer


def stop_once(operator: Any, context: Any, happened: Callable[[], object]) -> float:
    """Run *operator*, kill it once that has *happened*, and return how many seconds it took to end."""
    ended: list[float] = []

    def kill() -> None:
        eventually(happened, within=20)
        operator.on_kill()
        ended.append(time.monotonic())

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(PushStoppedError):
        operator.execute(context)
    killer.join()
    return time.monotonic() - ended[0]


def test_a_wait_ends(context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(export_delay=3600) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", sandbox.connection_json("project_sandbox"))
        operator = ProfilesExportOperator(task_id="export", path=str(tmp_path), batch_conn_id="batch_cep")
        assert stop_once(operator, context, lambda: len(sandbox.calls) >= 2) < 2


def test_a_download_ends(context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(asked: Asked) -> Any:
        path = asked.target.partition("?")[0]
        if path == "/storage":
            return Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n[", b" " * 70_000)
        if path.endswith("/export"):
            return answer(202, {"id": "export_1"})
        if path.endswith("/download"):
            return answer(307, b"", Location="/storage")
        return answer(200, {"id": "export_1", "status": "SUCCESS", "files": [{"id": "file_1", "part": 1}]})

    with RawServer(serve) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", server.connection_json(platform="cep"))
        operator = ProfilesExportOperator(task_id="export", path=str(tmp_path), batch_conn_id="batch_cep")
        assert stop_once(operator, context, lambda: any(asked.target == "/storage" for asked in server.asked)) < 2
    assert list(tmp_path.iterdir()) == []


def test_a_reading_of_statistics_ends(
    batch_sandbox: Sandbox, context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_sandbox.add_campaigns(100)  # at one call a second
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", json.dumps(json.loads(batch_sandbox.connection_json())))
    operator = CampaignStatsOperator(task_id="stats", path=str(tmp_path))
    assert stop_once(operator, context, lambda: len(batch_sandbox.calls) >= 2) < 2
    assert list(tmp_path.iterdir()) == []
