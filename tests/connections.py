"""Connections through the environment, as Airflow reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Sandbox

Connect = Callable[..., BatchHook]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Put a connection into the environment, a URI or the fields of JSON, and return its hook."""

    def connected(uri: str | None = None, **fields: Any) -> BatchHook:
        whole = {"conn_type": "batch", "login": "app-key-1", "password": "rest-key-1", **fields}
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_TEST", json.dumps(whole) if uri is None else uri)
        return BatchHook("batch_test")

    return connected


def connect_once(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make *sandbox* the default connection, over which each call is attempted once."""
    connection = {**json.loads(sandbox.connection_json()), "extra": {"max_attempts": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", json.dumps(connection))
