from __future__ import annotations

import os

from airflow_provider_batch.sandbox import Sandbox
from tests.sandbox.client import PROJECT, VIP, changes, send

pytest_plugins = ["airflow_provider_batch.sandbox.fixture"]


def test_the_fixture_is_airflows_default_connection(batch_sandbox: Sandbox) -> None:
    assert os.environ["AIRFLOW_CONN_BATCH_DEFAULT"] == batch_sandbox.connection_json()
    assert os.environ["AIRFLOW_CONN_BATCH_CEP"] == batch_sandbox.connection_json(PROJECT)
    assert send(batch_sandbox, "PATCH", VIP, changes(add=["a"])).status == 201
    assert batch_sandbox.members("vip") == {"a"}


def test_the_next_test_gets_a_new_sandbox(batch_sandbox: Sandbox) -> None:
    assert batch_sandbox.members("vip") == frozenset()
    assert batch_sandbox.calls == []
