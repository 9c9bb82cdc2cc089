"""What a connection's extra may say, without Airflow; tests/hooks/test_connection.py reads real connections."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_batch.exceptions import BatchConfigurationError, BatchConnectionError
from airflow_provider_batch.protocol.dialect import MEP
from airflow_provider_batch.protocol.retry import Patience
from airflow_provider_batch.transport import settings
from airflow_provider_batch.transport.credentials import Credentials
from airflow_provider_batch.transport.settings import Settings
from tests.afresh import afresh
from tests.clock import Clock


@pytest.fixture
def waits_between_attempts() -> None:
    """Are as the connection has them."""


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


def connected(extra: object = (), **fields: object) -> Settings:
    given: dict[str, object] = {
        "host": None,
        "port": None,
        "schema": None,
        "login": "app-key",
        "password": "rest-key",
        "extra": None,
    }
    return settings.read_settings(cast(Any, SimpleNamespace(**given | fields)), extra or {})


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"port": 8443}, "https://api.batch.com:8443"),
        ({"host": "api.example.com/X"}, "https://api.example.com/X"),
        ({"host": "api.example.com", "schema": "https"}, "https://api.example.com"),
        ({"host": "localhost", "schema": "http"}, "http://localhost"),
    ],
)
def test_an_address_is_made_of_host_port_and_schema(fields: dict[str, object], base_url: str) -> None:
    assert connected(**fields).credentials.base_url == base_url


def test_a_platform_has_the_version_that_is_named_or_the_newest() -> None:
    assert connected(extra={"platform": "mep"}).credentials.platform is MEP
    for extra, version in (({}, "2.11"), ({"api_version": "2.5"}, "2.5")):
        platform = connected(login="project_x", extra={"platform": "cep", **extra}).credentials.platform
        assert (platform.name, platform.dialects[0].version) == ("cep", version)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            {"api_version": "2.5"},
            "the connection's extra field 'api_version' is for the platform cep only. Remove it: on mep the audience's "
            "type selects the version, 1.1 for install_ids and 1.0 for the others.",
        ),
        *(
            (
                {"platform": "cep", "api_version": wrong},
                "the connection's extra field 'api_version' must be a version of the audience API in quotes, such as "
                '"2.11"',
            )
            for wrong in (2.1, "2", "latest", "1.0.0")
        ),
        *(
            (
                {"platform": wrong},
                "the connection's extra field 'platform' must be mep (Mobile Engagement Platform) or cep (Customer "
                "Engagement Platform)",
            )
            for wrong in ("MEP", "both", 1)
        ),
        ({"timeout": 0}, "the connection's extra field 'timeout' must be a number from 0.001 to 86,400"),
        (
            {"dashboard_url": "ftp://a.b"},
            "the connection's extra field 'dashboard_url' must be an address such as https://dashboard.batch.com",
        ),
        (
            {"dashboard_url": "https://a@b.c"},
            "the connection's extra field 'dashboard_url' is shown, but contains credentials. Remove them.",
        ),
        (
            {"dashboard_url": "https://a.b/app%2Dkey"},
            "the connection's extra field 'dashboard_url' is shown, but contains a key. Remove the key.",
        ),
        ({"tmeout": 5}, "the connection's extra has an unknown field 'tmeout'. Did you mean 'timeout'?"),
        (["timeout"], 'the connection\'s extra must be a JSON object such as {"timeout": 30}'),
    ],
)
def test_an_extra_that_is_wrong_is_refused_in_words(extra: object, message: str) -> None:
    with pytest.raises(BatchConfigurationError) as caught:
        connected(extra=extra)
    assert str(caught.value) == message


def test_a_poll_ends_at_its_deadline_alone() -> None:
    clock = Clock(1000.0)
    read = connected(extra={"max_attempts": 1})
    polling = read.polling(Patience(poke_interval=8.0, timeout=60.0), clock)
    assert (polling.deadline, polling.now) == (1060.0, clock)
    assert read.polling(Patience(timeout=60.0), clock, started=900.0).deadline == 960.0
    patient = polling.delay(10**6, BatchConnectionError("no answer"), 1e9)
    assert patient is not None
    assert 0.0 <= patient <= 8.0
    assert {6.4 <= polling.spacing(9) <= 8.0 for _ in range(20)} == {True}


@pytest.mark.parametrize("name", ["update", "mass-update"])
def test_a_route_for_profiles_is_found_by_its_name(name: str) -> None:
    assert connected({"platform": "cep"}).profile_route(name).name == name
