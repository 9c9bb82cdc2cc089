"""From a connection, as Airflow reads it, to settings."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_batch import __version__, get_provider_info
from airflow_provider_batch.exceptions import BatchConfigurationError, BatchConnectionError, BatchRequestError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.protocol.retry import Patience
from airflow_provider_batch.transport.settings import _SETTINGS, Settings
from tests.connections import Connect


@pytest.fixture
def waits_between_attempts() -> None:
    """Are as the connection has them."""


def settings(hook: BatchHook) -> Settings:
    return hook._settings


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("timeout", 5, 5.0),
        ("timeout", 0.5, 0.5),
        ("timeout", "2.5", 2.5),
        ("timeout", " 5 ", 5.0),
        ("max_attempts", 1, 1),
        ("max_attempts", 100, 100),
        ("max_attempts", "3", 3),
        ("max_attempts", 3.0, 3),
        ("max_concurrency", 64, 64),
        ("max_concurrency", "8", 8),
        ("requests_per_second", 0.2, 0.2),
        ("requests_per_second", "10", 10.0),
    ],
)
def test_an_extra_may_be_a_number_or_its_text(name: str, value: object, read: float, connect: Connect) -> None:
    got = getattr(settings(connect(extra={name: value})), name)
    assert got == read
    assert type(got) is type(read)


@pytest.mark.parametrize("name", ["timeout", "requests_per_second"])
@pytest.mark.parametrize(
    "value",
    [0, -1, "0", "soon", "nan", "inf", "1e999", 1e300, 1e-300, "1e7", 0.0009, 10**400, True, [5], {"a": 1}],
)
def test_an_extra_that_is_no_usable_number_is_refused(name: str, value: object, connect: Connect) -> None:
    most = {"timeout": "86,400", "requests_per_second": "1,000,000"}[name]
    with pytest.raises(BatchConfigurationError, match=f"'{name}' must be a number from 0.001 to {most}$"):
        settings(connect(extra={name: value}))


@pytest.mark.parametrize(
    ("name", "values"), [("timeout", (0.001, 86_400)), ("requests_per_second", (0.001, 1_000_000))]
)
def test_an_extra_may_be_at_its_bounds(name: str, values: tuple[float, float], connect: Connect) -> None:
    bounds = tuple(getattr(settings(connect(extra={name: value})), name) for value in values)
    schema = get_provider_info()["connection-types"][0]["conn-fields"][name]["schema"]
    assert bounds == values == (schema["minimum"], schema["maximum"])


@pytest.mark.parametrize(("name", "most"), [("max_attempts", 100), ("max_concurrency", 64)])
@pytest.mark.parametrize("value", [0, -1, 101, 1.5, "2.5", "many", True, [], {}])
def test_an_extra_that_is_no_count_is_refused(name: str, most: int, value: object, connect: Connect) -> None:
    if value in ([], {}):
        value = [value]
    with pytest.raises(BatchConfigurationError, match=f"'{name}' must be an integer from 1 to {most}"):
        settings(connect(extra={name: value}))


@pytest.mark.parametrize(
    "address",
    ["https://dashboard.example.com", "http://batch.intern:8080/apps/7", "https://[::1]/a?b=c#d", "https://a.b/@me"],
)
def test_the_dashboard_may_be_elsewhere(address: str, connect: Connect) -> None:
    hook = connect(extra={"dashboard_url": address})
    assert hook.dashboard_url == address
    form = get_provider_info()["connection-types"][0]["conn-fields"]["dashboard_url"]
    assert re.match(form["schema"]["pattern"], address)


@pytest.mark.parametrize(
    "address",
    [
        "dashboard.example.com",
        "ftp://a.b",
        "https://",
        "https:///a",
        "javascript:alert(1)",
        "https://a b",
        "https://a:b",
        5,
    ],
)
def test_what_is_no_address_of_a_dashboard_is_refused(address: object, connect: Connect) -> None:
    with pytest.raises(BatchConfigurationError, match="'dashboard_url' must be an address such as https://"):
        settings(connect(extra={"dashboard_url": address}))


def test_an_address_that_is_shown_has_no_secrets(connect: Connect) -> None:
    with pytest.raises(BatchConfigurationError, match="'dashboard_url' is shown, but contains credentials") as caught:
        settings(connect(extra={"dashboard_url": "https://user:secret@dashboard.example.com"}))
    assert "secret" not in str(caught.value)
    for key in ("app-key-1", "rest-key-1", "rest%2Dkey%2D1"):
        with pytest.raises(BatchConfigurationError, match="'dashboard_url' is shown, but contains a key") as caught:
            settings(connect(extra={"dashboard_url": f"https://dashboard.example.com/apps/{key}"}))
        assert key not in str(caught.value)


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_extra_is_the_default(empty: object, connect: Connect) -> None:
    read = settings(connect(extra=dict.fromkeys(_SETTINGS, empty)))
    assert (read.timeout, read.max_attempts, read.max_concurrency, read.requests_per_second) == (60.0, 5, 4, None)
    assert read.dashboard_url == "https://dashboard.batch.com"


def test_the_names_of_early_forms_are_read_too(connect: Connect) -> None:
    assert settings(connect(extra={"extra__batch__timeout": "7"})).timeout == 7


@pytest.mark.parametrize(
    ("unknown", "hint"),
    [
        ("time_out", "Did you mean 'timeout'?"),
        ("max_atempts", "Did you mean 'max_attempts'?"),
        ("request_per_second", "Did you mean 'requests_per_second'?"),
        ("verify", "Use platform, api_version, timeout, max_attempts, max_concurrency, requests_per_second"),
    ],
)
def test_an_unknown_extra_is_refused_with_a_hint(unknown: str, hint: str, connect: Connect) -> None:
    with pytest.raises(BatchConfigurationError) as caught:
        settings(connect(extra={unknown: "s3cret-value"}))
    assert hint in str(caught.value)
    assert "s3cret-value" not in str(caught.value)


def test_an_unknown_extra_that_may_be_a_key_is_not_repeated(connect: Connect) -> None:
    with pytest.raises(BatchConfigurationError) as caught:
        settings(connect(extra={"timeout": 5, "5f93d1c0ffee77-rest-key": 1}))
    assert str(caught.value) == (
        "the connection's extra has an unknown field (number 2). Use platform, api_version, timeout, max_attempts, "
        "max_concurrency, requests_per_second, dashboard_url."
    )


_NO_JSON = ["timeout=5", '{"platform": "cep"', "{'platform': 'cep'}", '{"platform": "cep",}', "s3cret", '"s3cret', "["]


@pytest.mark.parametrize("extra", _NO_JSON)
def test_an_extra_that_is_no_json_is_refused(extra: str, connect: Connect) -> None:
    # Airflow 3.0 and 3.1 say by themselves that there is no such connection.
    with pytest.raises((BatchConfigurationError, AirflowNotFoundException)) as caught:
        settings(connect(extra=extra))
    if isinstance(caught.value, BatchConfigurationError):
        assert re.fullmatch(
            r"the connection's extra is not valid JSON \(line 1, column \d+\)\. Correct it: "
            r'\{"timeout": 30\}, for example, is valid\.',
            str(caught.value),
        )
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("extra", ["", "{}", " { } ", None])
def test_an_extra_without_fields_is_none(extra: str | None, connect: Connect) -> None:
    assert settings(connect(extra=extra)).timeout == 60.0


def test_an_extra_that_is_no_object_is_refused_in_words(connect: Connect) -> None:
    # Airflow 3.0 and 3.1 say by themselves that there is no such connection.
    with pytest.raises((BatchConfigurationError, AirflowNotFoundException)):
        settings(connect(extra='["timeout"]'))


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({}, "https://api.batch.com"),
        ({"host": ""}, "https://api.batch.com"),
        ({"host": "api.batch.com"}, "https://api.batch.com"),
        ({"host": " https://api.batch.com/ "}, "https://api.batch.com"),
        ({"host": "proxy.example", "port": 8443}, "https://proxy.example:8443"),
        ({"host": "proxy.example:8443"}, "https://proxy.example:8443"),
        ({"host": "https://proxy.example/batch/"}, "https://proxy.example/batch"),
        ({"port": 443}, "https://api.batch.com"),
        ({"host": "https://api.batch.com", "port": 443}, "https://api.batch.com"),
        ({"host": "https://proxy.example/batch/", "port": 8443}, "https://proxy.example:8443/batch"),
        ({"host": "https://proxy.example:8443", "port": 8443}, "https://proxy.example:8443"),
        ({"host": "http://127.0.0.1:8000"}, "http://127.0.0.1:8000"),
        ({"host": "localhost", "port": 8000, "schema": "http"}, "http://localhost:8000"),
        ({"host": "localhost", "port": 8000, "schema": "https"}, "https://localhost:8000"),
        ({"host": "localhost", "port": 8000, "schema": "whatever"}, "https://localhost:8000"),
        ({"host": "::1", "port": 8000, "schema": "http"}, "http://[::1]:8000"),
        ({"host": "[::1]", "port": 8000}, "https://[::1]:8000"),
        ({"host": "http://[::1]:8000"}, "http://[::1]:8000"),
    ],
)
def test_a_host_may_be_written_in_many_ways(fields: Mapping[str, Any], base_url: str, connect: Connect) -> None:
    assert settings(connect(**fields)).credentials.base_url == base_url


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "http://api.batch.com"},
        {"host": "api.batch.com", "schema": "http"},
        {"host": "https://user:pass@api.batch.com"},
        {"host": "api.batch.com/?a=b"},
        {"host": "not a host"},
        {"host": "https://proxy.example:8443", "port": 9443},
        {"login": None},
        {"login": ""},
        {"password": None},
        {"password": "two words"},
    ],
)
def test_a_connection_that_cannot_be_used_is_refused_on_first_use(fields: Mapping[str, Any], connect: Connect) -> None:
    hook = connect(**fields)
    with pytest.raises(BatchConfigurationError):
        hook.get_conn()
    with pytest.raises(BatchConfigurationError):
        hook.update_custom_audience("vip", add_ids=["a"])


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        ("batch://the-key:the-secret@localhost:8080/?timeout=5", "https://localhost:8080"),
        ("batch://the-key:the-secret@localhost:8080/http?timeout=5", "http://localhost:8080"),
        ("batch://http://the-key:the-secret@localhost:8080/?timeout=5", "http://localhost:8080"),
        ("batch://the-key:the-secret@http%3A%2F%2F127.0.0.1%3A8080/?timeout=5", "http://127.0.0.1:8080"),
        ("batch://the-key:the-secret@/?timeout=5", "https://api.batch.com"),
        ("batch://the-key:the-secret@/?__extra__=%7B%22timeout%22%3A+5%7D", "https://api.batch.com"),
    ],
)
def test_a_connection_may_be_a_uri(uri: str, base_url: str, connect: Connect) -> None:
    read = settings(connect(uri))
    assert (read.credentials.base_url, read.timeout) == (base_url, 5.0)
    assert (read.credentials.api_key, read.credentials.rest_api_key) == ("the-key", "the-secret")


def test_keys_in_a_uri_may_be_percent_encoded(connect: Connect) -> None:
    credentials = settings(connect("batch://a%2Fb%40c:r%2Bs%3A@/")).credentials
    assert (credentials.api_key, credentials.rest_api_key) == ("a/b@c", "r+s:")


def test_the_user_agent_names_the_provider_and_airflow(connect: Connect) -> None:
    from airflow import __version__ as airflow_version

    agent = settings(connect()).credentials.user_agent
    assert agent == f"airflow-provider-batch/{__version__} apache-airflow/{airflow_version}"


def test_settings_do_not_print_the_keys(connect: Connect) -> None:
    assert "key-1" not in repr(settings(connect()))


def test_a_missing_connection_is_airflows_own_error() -> None:
    with pytest.raises(AirflowNotFoundException):
        BatchHook("no_such_connection").get_conn()


def test_constructing_a_hook_looks_nothing_up() -> None:
    assert BatchHook("no_such_connection").batch_conn_id == "no_such_connection"
    assert BatchHook().batch_conn_id == "batch_default"


def test_the_number_of_tries_of_the_connection_is_that_of_a_call(connect: Connect) -> None:
    backoff = settings(connect(extra={"max_attempts": 2})).backoff
    error = BatchConnectionError("no answer")
    first = backoff(1, error, 0.0)
    assert first is not None
    assert 0 <= first <= 1
    assert backoff(2, error, 0.0) is None
    assert backoff(1, BatchRequestError("no"), 0.0) is None


def test_a_poll_is_patient_but_not_slower_than_its_interval(connect: Connect) -> None:
    backoff = settings(connect(extra={"max_attempts": 1})).polling(Patience(10.0), time.monotonic).delay
    waits = [backoff(attempt, BatchConnectionError("no answer"), 0.0) for attempt in range(1, 2000, 7)]
    assert all(wait is not None and 0 <= wait <= 10 for wait in waits)


def test_the_form_of_airflow_2_is_the_declared_one() -> None:
    pytest.importorskip("flask_appbuilder")
    wtforms = pytest.importorskip("wtforms")
    declared = get_provider_info()["connection-types"][0]
    widgets = BatchHook.get_connection_form_widgets()
    form = type("Form", (wtforms.Form,), widgets)()
    assert widgets.keys() == declared["conn-fields"].keys()
    for name, field in declared["conn-fields"].items():
        assert (form[name].label.text, form[name].description) == (field["label"], field["description"])
        assert isinstance(form[name], wtforms.IntegerField) is ("integer" in field["schema"]["type"])
    filled_in = type("Form", (wtforms.Form,), widgets)(timeout=None)
    assert filled_in.validate()


def test_the_behaviour_of_airflow_2s_form_is_the_declared_one() -> None:
    declared = get_provider_info()["connection-types"][0]["ui-field-behaviour"]
    assert BatchHook.get_ui_field_behaviour() == {
        "hidden_fields": declared["hidden-fields"],
        "relabeling": declared["relabeling"],
        "placeholders": declared["placeholders"],
    }


def test_the_fields_of_the_form_are_the_settings_that_are_read() -> None:
    declared = get_provider_info()["connection-types"][0]["conn-fields"]
    assert declared.keys() == _SETTINGS.keys()
    assert declared.keys() == Settings.__dataclass_fields__.keys() - {"credentials"} | {"platform", "api_version"}


def test_the_declaration_and_the_hook_agree_on_names() -> None:
    declared = get_provider_info()["connection-types"][0]
    assert declared["connection-type"] == BatchHook.conn_type == "batch"
    assert declared["hook-name"] == BatchHook.hook_name
    assert declared["hook-class-name"] == f"{BatchHook.__module__}.{BatchHook.__qualname__}"
    assert BatchHook.conn_name_attr == "batch_conn_id"
    assert BatchHook.default_conn_name == "batch_default"
