"""A pytest fixture; in a ``conftest.py``: ``pytest_plugins = ["airflow_provider_batch.sandbox.fixture"]``."""

from collections.abc import Iterator

import pytest

from airflow_provider_batch.sandbox import Sandbox


@pytest.fixture
def batch_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A running sandbox with the audience ``vip``, an app (``batch_default``) and a project (``batch_cep``)."""
    with Sandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", sandbox.connection_json("project_sandbox"))
        yield sandbox
