"""The URI of an audience, as Airflow accepts it."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_batch.assets.custom_audience import (
    ATTRIBUTES,
    convert_asset_to_openlineage,
    custom_audience_asset,
    sanitize_uri,
)

AIRFLOW_2 = Asset.__name__ == "Dataset"


def test_uri_and_name_consist_of_the_connection_and_the_audience() -> None:
    assert custom_audience_asset("vip").uri == "batch://batch_default/vip"
    asset = custom_audience_asset("Vip_2-b", "batch.ios-EU")
    assert asset.uri == "batch://batch.ios-EU/Vip_2-b"
    if not AIRFLOW_2:
        assert asset.name == asset.uri


def test_the_same_audience_is_the_same_asset() -> None:
    assert custom_audience_asset("vip") == custom_audience_asset("vip", "batch_default")
    assert custom_audience_asset("vip") != custom_audience_asset("vip", "batch_ios")


def test_the_attributes_of_all_profiles_are_an_asset_that_no_audience_can_be() -> None:
    assert custom_audience_asset(ATTRIBUTES, "batch_cep").uri == "batch://batch_cep/profiles/attributes"


def test_an_extra_is_stored() -> None:
    assert custom_audience_asset("vip", extra={"owner": "crm"}).extra == {"owner": "crm"}


@pytest.mark.parametrize("name", ["", "v ip", "vip/2", "é", "v" * 256, "vip\n", "..", "vip?a=b", "vip#a"])
def test_an_invalid_audience_name_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match=r"needs a valid audience name\. Use 1 to 255 letters"):
        custom_audience_asset(name)


def test_a_value_that_is_not_a_str_is_rejected_by_its_type() -> None:
    values: list[Any] = [None, 5, ["vip"]]
    for value in values:
        with pytest.raises(
            ValueError, match=f"audience_name: a value of type {type(value).__name__} is not a valid name"
        ):
            custom_audience_asset(value)
        with pytest.raises(ValueError, match="batch_conn_id: a value of type"):
            custom_audience_asset("vip", value)


@pytest.mark.parametrize("conn_id", ["", "batch default", "é", "a/b"])
def test_an_invalid_connection_id_is_rejected(conn_id: str) -> None:
    with pytest.raises(ValueError, match=r"needs a valid connection id\. Use letters"):
        custom_audience_asset("vip", conn_id)


@pytest.mark.parametrize("conn_id", ["secret@batch", "user:secret@batch", "batch:secret", "secret@{{ conn }}"])
def test_credentials_are_rejected_and_not_repeated(conn_id: str) -> None:
    with pytest.raises(ValueError, match="must not contain credentials") as caught:
        custom_audience_asset("vip", conn_id)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("audience_name", "conn_id"),
    [("{{ var.value.audience }}", "batch_default"), ("vip", "{{ params.app }}"), ("{% if a %}vip{% endif %}", "batch")],
)
def test_a_template_does_not_fail_the_dag_file(audience_name: str, conn_id: str) -> None:
    assert custom_audience_asset(audience_name, conn_id).uri == f"batch://{conn_id}/{audience_name}"


# The functions that Airflow calls for any asset with the scheme


def test_a_valid_uri_is_returned_unchanged() -> None:
    uri = urlsplit("batch://batch_default/vip")
    assert sanitize_uri(uri) == uri


@pytest.mark.parametrize(
    "address",
    [
        "batch://batch_default",
        "batch://batch_default/",
        "batch:///vip",
        "batch://batch_default/vip/2",
        "batch://batch_default/v%20ip",
        "batch://key@batch_default/vip",
        "batch://batch_default:80/vip",
        "batch://batch_default/vip?token=1",
        "batch://batch_default/vip#1",
    ],
)
def test_an_invalid_uri_is_rejected(address: str) -> None:
    with pytest.raises(ValueError, match="an audience's URI"):
        sanitize_uri(urlsplit(address))


def test_a_uri_with_a_template_is_returned_unchanged() -> None:
    uri = urlsplit("batch://{{ params.app }}/{{ params.a if params.a else '?' }}")
    assert sanitize_uri(uri) == uri


def test_airflow_checks_every_asset_with_the_scheme() -> None:
    assert Asset(uri="batch://batch_default/vip/").uri == "batch://batch_default/vip"
    if AIRFLOW_2:
        with pytest.warns(UserWarning, match="an audience's URI"):
            Asset(uri="batch://batch_default/vip/2")
        return
    with pytest.raises(ValueError, match="an audience's URI"):
        Asset(uri="batch://batch_default/vip/2")
    if version("apache-airflow").startswith("3.0."):
        with pytest.warns(UserWarning, match="dropped"):
            assert Asset(uri="batch://secret@batch_default/vip").uri == "batch://batch_default/vip"
        return
    with pytest.raises(ValueError, match="credentials"):
        Asset(uri="batch://secret@batch_default/vip")


def test_the_openlineage_namespace_is_the_connection() -> None:
    dataset: Any = convert_asset_to_openlineage(custom_audience_asset("vip", "batch_ios"), None)
    assert (dataset.namespace, dataset.name) == ("batch://batch_ios", "vip")


def test_airflow_finds_factory_and_converter() -> None:
    if AIRFLOW_2:
        from airflow.providers_manager import ProvidersManager

        factories, converters = (
            ProvidersManager().dataset_factories,
            ProvidersManager().dataset_to_openlineage_converters,
        )
    else:
        try:
            from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime as Known
        except ImportError:  # before 3.2
            from airflow.providers_manager import ProvidersManager as Known  # type: ignore[assignment]

        factories, converters = Known().asset_factories, Known().asset_to_openlineage_converters
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert factories["batch"](audience_name="vip", batch_conn_id="b", extra=None).uri == "batch://b/vip"
    assert converters["batch"] is convert_asset_to_openlineage


def test_importing_it_loads_next_to_nothing() -> None:
    program = (
        "import sys; from airflow.providers.common.compat.sdk import Asset; before = set(sys.modules);"
        "import airflow_provider_batch.assets.custom_audience; print('added', *sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", program], env=os.environ, capture_output=True, text=True, check=True)
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("added ")]
    assert {name.removeprefix("airflow_provider_batch") for name in line.split()[1:]} <= {
        "",
        ".assets",
        ".assets.custom_audience",
        ".protocol",
        ".protocol.limits",
    }
