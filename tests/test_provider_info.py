"""What the provider tells Airflow, checked by Airflow's own means."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import distribution, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

import airflow_provider_batch
from airflow_provider_batch import get_provider_info

DISTRIBUTION = "airflow-provider-batch"


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    return get_provider_info()


def test_it_is_valid_to_the_installed_airflow(declared: dict[str, Any]) -> None:
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


def test_its_names_are_the_distributions(declared: dict[str, Any]) -> None:
    assert declared["package-name"] == distribution(DISTRIBUTION).metadata["Name"] == DISTRIBUTION
    assert declared["versions"] == [airflow_provider_batch.__version__] == [version(DISTRIBUTION)]


def test_the_entry_point_leads_to_it() -> None:
    (entry,) = [
        entry
        for entry in entry_points(group="apache_airflow_provider")
        if entry.dist and entry.dist.name == DISTRIBUTION
    ]
    assert entry.load() is get_provider_info


def test_every_module_it_names_is_there(declared: dict[str, Any]) -> None:
    named = [
        module
        for part in ("hooks", "operators", "sensors", "triggers")
        for entry in declared[part]
        for module in entry["python-modules"]
    ]
    for module in named:
        assert import_module(module).__doc__
    assert len(named) == 4
    module, _, name = declared["connection-types"][0]["hook-class-name"].rpartition(".")
    assert getattr(import_module(module), name).conn_type == "batch"


def test_assets_and_links_are_there(declared: dict[str, Any]) -> None:
    (audiences,) = declared["asset-uris"]
    assert declared["dataset-uris"] == [audiences]
    assert audiences["schemes"] == ["batch"]
    paths = [path for part, path in audiences.items() if part != "schemes"]
    for path in (*paths, *declared["extra-links"]):
        module, _, name = path.rpartition(".")
        assert callable(getattr(import_module(module), name))


def test_its_parts_belong_to_a_named_integration(declared: dict[str, Any]) -> None:
    names = {integration["integration-name"] for integration in declared["integrations"]}
    used = {
        entry["integration-name"] for part in ("hooks", "operators", "sensors", "triggers") for entry in declared[part]
    }
    assert used == names == {"Batch"}


def test_it_can_be_stored_as_json_and_is_made_anew_each_time(declared: dict[str, Any]) -> None:
    assert json.loads(json.dumps(declared)) == declared == get_provider_info()
    assert get_provider_info() is not get_provider_info()


def test_airflow_shows_the_provider_and_complains_of_nothing() -> None:
    asked = {
        "get": ["get", DISTRIBUTION, "--output", "json"],
        "hooks": ["hooks", "--output", "json"],
        "widgets": ["widgets", "--output", "json"],
        "behaviours": ["behaviours", "--output", "json"],
        "links": ["links", "--output", "json"],
    }
    environment = {**os.environ, "COLUMNS": "400"}
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", "airflow", "providers", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, arguments in asked.items()
    }
    shown, complaints = {}, []
    for name, process in running.items():
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        shown[name] = out
        complaints += [
            line
            for line in (out + err).splitlines()
            if re.search(r"(?i)warn|error", line) and "atch" in line and not line.startswith("[{")  # what was asked for
        ]
    assert DISTRIBUTION in shown["get"]
    assert airflow_provider_batch.__version__ in shown["get"]
    assert "airflow_provider_batch.hooks.batch.BatchHook" in shown["hooks"]
    if knows_the_form():
        for field in get_provider_info()["connection-types"][0]["conn-fields"]:
            assert f"extra__batch__{field}" in shown["widgets"]
        assert '"batch"' in shown["behaviours"]
    assert "airflow_provider_batch.links.batch.BatchDashboardLink" in shown["links"]
    assert complaints == []


def knows_the_form() -> bool:
    """Airflow 3.0 and 3.1 read no declaration yet; like Airflow 2 they need Flask-AppBuilder to ask the hook."""
    reads_declarations = tuple(map(int, version("apache-airflow").split(".")[:2])) >= (3, 2)
    return reads_declarations or find_spec("flask_appbuilder") is not None
