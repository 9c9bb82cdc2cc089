"""For a `conftest.py`: `pytest_plugins = ["airflow_provider_batch.sandbox.fixture"]`."""

from collections.abc import Iterator

import pytest

from . import Sandbox


@pytest.fixture
def batch_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A running sandbox with the audience `vip`, known to Airflow as the connection `batch_default`."""
    with Sandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        yield sandbox
