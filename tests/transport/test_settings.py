"""What a connection's extra may say, without Airflow; tests/hooks/test_connection.py reads real connections."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_batch import __version__
from airflow_provider_batch.exceptions import BatchConfigurationError, BatchConnectionError, InvalidArgumentError
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


@pytest.mark.parametrize(
    ("name", "most", "said"),
    [("timeout", 86_400, "86,400"), ("requests_per_second", 1_000_000, "1,000,000")],
)
def test_a_number_may_have_a_fraction_in_its_range(name: str, most: int, said: str) -> None:
    for given, number in ((0.001, 0.001), ("2.5", 2.5), (1, 1), (0.5, 0.5), (most, most), (str(most), most)):
        assert getattr(read(**{name: given}), name) == number
    for wrong in (0, 0.0009, -1, most + 0.5, "x", True, [1], "nan", 10**400):
        with pytest.raises(BatchConfigurationError) as caught:
            read(**{name: wrong})
        assert str(caught.value) == f"the connection's extra field '{name}' must be a number from 0.001 to {said}"


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
        ({"host": " localhost/ ", "schema": "http", "port": 8000}, "http://localhost:8000"),
        ({"host": "::1", "schema": "http"}, "http://[::1]"),
        ({"host": "::1", "schema": "http", "port": 8000}, "http://[::1]:8000"),
        ({"host": "[::1]", "schema": "http", "port": 8000}, "http://[::1]:8000"),
        ({"host": "api.example.com:8443/X", "port": 8443}, "https://api.example.com:8443/X"),
        ({"host": "api.example.com/X/Y", "port": 8443}, "https://api.example.com:8443/X/Y"),
        ({"host": "https://a.example/http://b", "port": 8443}, "https://a.example:8443/http://b"),
        ({"host": "https://api.example.com", "schema": "http", "port": 443}, "https://api.example.com"),
        ({"host": "http://localhost", "port": 80}, "http://localhost"),
        ({"host": "http://localhost", "port": 443}, "http://localhost:443"),
        ({"schema": "http", "port": 443}, "https://api.batch.com"),
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
        *(
            (
                {"dashboard_url": wrong},
                "the connection's extra field 'dashboard_url' must be an address such as https://dashboard.batch.com",
            )
            for wrong in ("https://[::1", "https://a.b:port", "https://a b.c", "https://a.b/\u2028", "https://", 5)
        ),
        (
            {"dashboard_url": "https://a.b/?key=rest-key"},
            "the connection's extra field 'dashboard_url' is shown, but contains a key. Remove the key.",
        ),
        (
            {"timeout": 5, "my-secret": 5},
            "the connection's extra has an unknown field (number 2). Use platform, api_version, timeout, max_attempts, "
            "max_concurrency, requests_per_second, dashboard_url.",
        ),
        ({"tmeout": 5}, "the connection's extra has an unknown field 'tmeout'. Did you mean 'timeout'?"),
        (
            {"time": 5},
            "the connection's extra has an unknown field (number 1). Use platform, api_version, timeout, max_attempts, "
            "max_concurrency, requests_per_second, dashboard_url.",
        ),
        (["timeout"], 'the connection\'s extra must be a JSON object such as {"timeout": 30}'),
    ],
)
def test_an_extra_that_is_wrong_is_refused_in_words(extra: object, message: str) -> None:
    with pytest.raises(BatchConfigurationError) as caught:
        connected(extra=extra)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", " (line 1, column 2)"),
        ('{"timeout": 30,\n', " (line 2, column 1)"),
        ("x", " (line 1, column 1)"),
        ("1" * 5_000, ""),  # more digits than Python reads
    ],
    ids=["object", "second line", "word", "number"],
)
def test_an_extra_that_airflow_could_not_parse_is_not_taken_for_an_empty_one(text: str, place: str) -> None:
    with pytest.raises(BatchConfigurationError) as caught:
        settings.read_settings(cast(Any, SimpleNamespace(extra=text)), {})
    assert str(caught.value) == (
        f'the connection\'s extra is not valid JSON{place}. Correct it: {{"timeout": 30}}, for example, is valid.'
    )
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("field", "name"), [("login", f"{MEP.login} (login)"), ("password", "REST API key (password)")]
)
def test_a_connection_without_a_key_is_refused(field: str, name: str) -> None:
    with pytest.raises(BatchConfigurationError) as caught:
        connected(**{field: None})
    assert str(caught.value) == f"the connection has no {name}. Copy it from Settings > General in Batch's dashboard."


@pytest.mark.parametrize("address", ["https://dashboard.example/batch", "http://127.0.0.1:8000"])
def test_a_dashboard_may_be_elsewhere(address: str) -> None:
    assert connected(extra={"dashboard_url": address}).dashboard_url == address


def test_an_extra_that_says_nothing_leaves_all_as_it_is() -> None:
    given = connected(extra={"timeout": None, "dashboard_url": "", "extra__batch__max_attempts": "7"})
    keys = given.credentials
    assert given == Settings(keys, 60.0, 7, 4, None, "https://dashboard.batch.com")
    assert (keys.base_url, keys.api_key, keys.rest_api_key) == ("https://api.batch.com", "app-key", "rest-key")


def test_a_caller_says_which_versions_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        assert name == "apache-airflow"
        raise PackageNotFoundError(name)

    settings._user_agent.cache_clear()
    monkeypatch.setattr(settings, "version", lambda name: f"{name}'s")
    ours = f"airflow-provider-batch/{__version__}"
    assert connected().credentials.user_agent == f"{ours} apache-airflow/apache-airflow's"
    monkeypatch.setattr(settings, "version", missing)
    assert connected().credentials.user_agent == f"{ours} apache-airflow/apache-airflow's"  # which is read once
    settings._user_agent.cache_clear()
    assert connected().credentials.user_agent == ours
    settings._user_agent.cache_clear()


def test_calls_are_attempted_and_paced_as_the_connection_says() -> None:
    given = connected(login="paced-app", extra={"max_attempts": 3, "requests_per_second": 0.5})
    again = given.backoff
    assert [again(attempt, BatchConnectionError("no answer"), 0.0) is None for attempt in (1, 2, 3)] == [
        False,
        False,
        True,
    ]
    pace = given.pace
    assert pace is connected(login="paced-app", password="another").pace
    assert pace is not connected(login="another-app").pace
    assert [next(pace.turn()), next(pace.turn())] == pytest.approx([0.0, 2.08], abs=0.1)


def test_a_platform_has_types_and_a_version_for_each() -> None:
    mep, cep = connected(), connected(login="project_x", extra={"platform": "cep"})
    assert mep.known_types == {"advertising_ids", "custom_ids", "install_ids"}
    assert cep.known_types == {"custom_ids"}
    assert [mep.dialect(kind).version for kind in ("custom_ids", "install_ids")] == ["1.0", "1.1"]
    assert cep.dialect("custom_ids").version == "2.11"
    with pytest.raises(InvalidArgumentError):
        cep.dialect("install_ids")


def test_profiles_need_a_project() -> None:
    with pytest.raises(BatchConfigurationError) as caught:
        connected().profile_route("update")
    assert str(caught.value) == (
        "profiles are on the Customer Engagement Platform only, and the connection is to the Mobile Engagement "
        'Platform. Use a connection to a project, with {"platform": "cep"} in its extra.'
    )


def test_a_poll_ends_at_its_deadline_alone() -> None:
    clock = Clock(1000.0)
    read = connected(extra={"max_attempts": 1})
    polling = read.polling(Patience(poke_interval=8.0, timeout=60.0), clock)
    assert (polling.deadline, polling.now) == (1060.0, clock)
    assert read.polling(Patience(timeout=60.0), clock, started=900.0).deadline == 960.0
    patient = [polling.delay(10**6, BatchConnectionError("no answer"), 1e9) for _ in range(50)]
    assert all(wait is not None and 0.0 <= wait <= 8.0 for wait in patient)
    assert {6.4 <= polling.spacing(9) <= 8.0 for _ in range(20)} == {True}


@pytest.mark.parametrize("name", ["update", "mass-update"])
def test_a_route_for_profiles_is_found_by_its_name(name: str) -> None:
    assert connected({"platform": "cep"}).profile_route(name).name == name
