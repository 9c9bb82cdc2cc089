"""What the hook tells the collector of lineage; with OpenLineage's own reader in tests/dags/test_lineage.py."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_batch.hooks import lineage
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Sandbox


def test_without_a_reader_the_collector_is_not_even_made(batch_sandbox: Sandbox) -> None:
    """Making it would import every provider's assets."""
    program = (
        "import sys; from airflow_provider_batch.hooks.batch import BatchHook;"
        "BatchHook().update_custom_audience('vip', add_ids=['a']);"
        "print(*sorted(name for name in sys.modules if name.endswith('lineage.hook') or '.assets' in name))"
    )
    run = subprocess.run([sys.executable, "-c", program], env=os.environ, capture_output=True, text=True, check=True)
    assert "compat.lineage" not in run.stdout
    assert "airflow_provider_batch.assets" not in run.stdout
    assert batch_sandbox.members("vip") == {"a"}


def test_a_reader_that_breaks_does_not_break_the_push(
    batch_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken() -> Any:
        raise RuntimeError("a plugin of somebody")

    monkeypatch.setattr(lineage, "_is_read", broken)
    with caplog.at_level(logging.WARNING):
        assert BatchHook().update_custom_audience("vip", add_ids=["a"]).added == 1
    assert "lineage could not be reported: RuntimeError" in caplog.text + capsys.readouterr().out
