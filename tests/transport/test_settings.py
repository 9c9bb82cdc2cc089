"""What a connection's extra may say, without Airflow; tests/hooks/test_connection.py reads real connections."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_batch.exceptions import BatchConfigurationError
from airflow_provider_batch.transport import settings
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.settings import Settings
from tests.afresh import afresh


def read(**extra: object) -> Any:
    connection = SimpleNamespace(host=None, port=None, schema=None, login="app-key", password="rest-key")
    return afresh(settings).read_settings(connection, extra)


@pytest.mark.parametrize(("name", "most"), [("max_attempts", 100), ("max_concurrency", 64)])
def test_a_number_is_an_integer_in_its_range(name: str, most: int) -> None:
    for given, number in ((1, 1), ("2", 2), (3.0, 3), (most, most)):
        assert getattr(read(**{name: given}), name) == number
    for wrong in (0, -1, most + 1, 1.5, "x", True, [1]):
        with pytest.raises(BatchConfigurationError) as caught:
            read(**{name: wrong})
        assert str(caught.value) == f"the connection's extra field '{name}' must be an integer from 1 to {most}"


def test_a_wait_is_drawn_between_nothing_and_the_most() -> None:
    jitter = Settings(Credentials("https://api.batch.com", "app-key", "rest-key")).backoff.jitter
    draws = [jitter(0.5) for _ in range(200)]
    assert min(draws) < 0.1
    assert 0.4 < max(draws) <= 0.5
