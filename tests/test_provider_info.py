"""The provider's metadata, checked by Airflow's own schema and commands."""

from __future__ import annotations

import json
import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

import airflow_provider_batch
from airflow_provider_batch import get_provider_info
from tests.interpreter import python_m

DISTRIBUTION = "airflow-provider-batch"


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    return get_provider_info()


def test_it_matches_the_schema_of_the_installed_airflow(declared: dict[str, Any]) -> None:
    spec = find_spec("airflow")
    assert spec is not None
    assert spec.origin is not None
    schema = json.loads(Path(spec.origin).with_name("provider_info.schema.json").read_text("utf-8"))
    jsonschema.validate(declared, schema)


def test_the_form_is_valid_json_schema(declared: dict[str, Any]) -> None:
    for name, field in declared["connection-types"][0]["conn-fields"].items():
        assert field.keys() == {"label", "description", "schema"}, name
        jsonschema.Draft7Validator.check_schema(field["schema"])
        jsonschema.validate(None, field["schema"])  # left empty


def test_name_and_version_are_those_of_the_distribution(declared: dict[str, Any]) -> None:
    assert declared["package-name"] == distribution(DISTRIBUTION).metadata["Name"] == DISTRIBUTION
    assert declared["versions"] == [airflow_provider_batch.__version__] == [version(DISTRIBUTION)]


def test_the_entry_point_loads_it() -> None:
    (entry,) = [
        entry
        for entry in entry_points(group="apache_airflow_provider")
        if entry.dist and entry.dist.name == DISTRIBUTION
    ]
    assert entry.load() is get_provider_info


def test_every_module_exists(declared: dict[str, Any]) -> None:
    named = [
        module
        for part in ("hooks", "operators", "sensors", "triggers")
        for entry in declared[part]
        for module in entry["python-modules"]
    ]
    for module in named:
        assert import_module(module).__doc__
    assert {"airflow_provider_batch.hooks.batch", "airflow_provider_batch.operators.custom_audience"} <= set(named)
    module, _, name = declared["connection-types"][0]["hook-class-name"].rpartition(".")
    assert getattr(import_module(module), name).conn_type == "batch"


def test_the_classes_of_assets_and_links_exist(declared: dict[str, Any]) -> None:
    (audiences,) = declared["asset-uris"]
    assert declared["dataset-uris"] == [audiences]
    assert audiences["schemes"] == ["batch"]
    paths = [path for part, path in audiences.items() if part != "schemes"]
    for path in (*paths, *declared["extra-links"]):
        module, _, name = path.rpartition(".")
        assert callable(getattr(import_module(module), name))


def test_every_module_belongs_to_the_integration(declared: dict[str, Any]) -> None:
    names = {integration["integration-name"] for integration in declared["integrations"]}
    used = {
        entry["integration-name"] for part in ("hooks", "operators", "sensors", "triggers") for entry in declared[part]
    }
    assert used == names == {"Batch"}


@pytest.mark.parametrize(
    ("installed", "is_shown"), [("3.3.0", True), ("3.3.2", True), ("3.2.2", False), ("3.4.0b2", False), (None, False)]
)
def test_the_form_has_a_port_only_where_airflow_tests_nothing_without_one(
    installed: str | None, is_shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version_of(package: str) -> str:
        assert package == "apache-airflow-core"
        if installed is None:
            raise PackageNotFoundError
        return installed

    monkeypatch.setattr("importlib.metadata.version", version_of)
    hidden = get_provider_info()["connection-types"][0]["ui-field-behaviour"]["hidden-fields"]
    assert ("port" not in hidden) is is_shown
    assert {"schema", "extra"} <= set(hidden)


def test_it_is_json_and_a_new_dict_each_time(declared: dict[str, Any]) -> None:
    assert json.loads(json.dumps(declared)) == declared == get_provider_info()
    assert get_provider_info() is not get_provider_info()


def test_airflow_lists_the_provider_without_warnings() -> None:
    commands = {
        "get": ["get", DISTRIBUTION, "--output", "json"],
        "hooks": ["hooks", "--output", "json"],
        "widgets": ["widgets", "--output", "json"],
        "behaviours": ["behaviours", "--output", "json"],
        "links": ["links", "--output", "json"],
    }
    shown, complaints = {}, []
    for name, arguments in commands.items():
        done = python_m("airflow", "providers", *arguments, COLUMNS="400")
        assert done.returncode == 0, done.stderr
        shown[name] = done.stdout
        complaints += [
            line
            for line in (done.stdout + done.stderr).splitlines()
            if re.search(r"(?i)warn|error", line) and "atch" in line and not line.startswith("[{")  # the requested JSON
        ]
    assert DISTRIBUTION in shown["get"]
    assert airflow_provider_batch.__version__ in shown["get"]
    assert "airflow_provider_batch.hooks.batch.BatchHook" in shown["hooks"]
    if shows_the_form():
        for field in get_provider_info()["connection-types"][0]["conn-fields"]:
            assert f"extra__batch__{field}" in shown["widgets"]
        assert '"batch"' in shown["behaviours"]
    assert "airflow_provider_batch.links.batch.BatchDashboardLink" in shown["links"]
    assert complaints == []


def shows_the_form() -> bool:
    """Airflow before 3.2 does not read the declared form; it needs Flask-AppBuilder, and imports the hook."""
    reads_declarations = tuple(map(int, version("apache-airflow").split(".")[:2])) >= (3, 2)
    return reads_declarations or find_spec("flask_appbuilder") is not None
