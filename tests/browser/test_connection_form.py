"""The connection form as it is seen, filled in, kept and tested."""

from __future__ import annotations

import json
from typing import Any

import local_airflow
import pytest
from airflow_pages import AirflowPages, text_of

from airflow_provider_batch import get_provider_info
from airflow_provider_batch.sandbox import Sandbox
from tests.dags.api import VERSION, ask

pytestmark = pytest.mark.browser

#: Whether the form has a field for the port.
HAS_PORT = "port" not in get_provider_info()["connection-types"][0]["ui-field-behaviour"]["hidden-fields"]

#: What is entered under each label, and where Airflow keeps it. Labels and names are written out here: who has learned
#: them, or filled them in by a script, is surprised when one is another tomorrow.
ENTERED = {
    "Description": ("The live app", "description"),
    "Base URL": ("https://batch.example/api", "host"),
    "Batch API key or project key": ("project_of_mine", "login"),
    "REST API key": ("a-secret-to-keep", "password"),
    **({"Port": ("8443", "port")} if HAS_PORT else {}),
    "Platform": ("cep", "extra.platform"),
    "API version": ("2.8", "extra.api_version"),
    "Timeout": ("12.5", "extra.timeout"),
    "Attempts": ("7", "extra.max_attempts"),
    "Concurrent calls": ("2", "extra.max_concurrency"),
    "Requests per second": ("1.5", "extra.requests_per_second"),
    "Dashboard": ("https://dashboard.example/", "extra.dashboard_url"),
}
VALUES = {label: value for label, (value, _) in ENTERED.items()}


def declared() -> dict[str, tuple[str, str]]:
    """Placeholder and description of each field that the provider declares, by its label."""
    form = get_provider_info()["connection-types"][0]
    behaviour = form["ui-field-behaviour"]
    assert {"schema", "extra"} <= set(behaviour["hidden-fields"])
    shown = {name: label for name, label in behaviour["relabeling"].items() if name not in behaviour["hidden-fields"]}
    standard = {label: (behaviour["placeholders"][name], "") for name, label in shown.items()}
    own = {field["label"]: ("", field["description"]) for field in form["conn-fields"].values()}
    return {"Description": ("", ""), **standard, **own}


def kept(pages: AirflowPages, conn_id: str) -> dict[str, Any]:
    """What Airflow keeps of a connection, all that is in its extra under `extra.<name>`."""
    connection: dict[str, Any] = ask(f"{pages.url}/api/{VERSION}/connections/{conn_id}")
    extra = json.loads(connection.pop("extra") or "{}")
    return connection | {f"extra.{name}": value for name, value in extra.items()}


def shown(pages: AirflowPages) -> dict[str, str]:
    return {field.label: field.value for field in pages.fields()}


def usable(sandbox: Sandbox) -> dict[str, str]:
    """What to enter for the sandbox. Without a port, Airflow 3.3 refuses to test any connection."""
    connection = json.loads(sandbox.connection_json())
    return {
        "Base URL": connection["host"],
        **({"Port": str(sandbox.port)} if HAS_PORT else {}),
        "Batch API key or project key": connection["login"],
        "REST API key": connection["password"],
    }


def test_the_form_has_our_fields_and_no_others(pages: AirflowPages) -> None:
    pages.new_connection("looked_at")
    fields = pages.fields()
    assert {field.label: (field.placeholder, field.description) for field in fields} == declared()
    assert len(fields) == len(ENTERED)
    assert {field.label for field in fields} == ENTERED.keys()
    assert "null" not in [field.value for field in fields]


def test_what_was_entered_is_kept_and_can_be_edited(pages: AirflowPages) -> None:
    pages.new_connection("kept")
    pages.fill(VALUES)
    pages.save()
    known = kept(pages, "kept")
    assert {name: str(known[name]) for _, name in ENTERED.values() if name != "password"} == {
        name: value for value, name in ENTERED.values() if name != "password"
    }

    pages.edit_connection("kept")
    expected = VALUES | {"REST API key": "" if local_airflow.AIRFLOW_2 else "***"}
    assert known_values(shown(pages)) == expected
    assert VALUES["REST API key"] not in pages.page.content()

    pages.fill({"Timeout": "30"})
    pages.save()
    assert {name: str(value) for name, value in kept(pages, "kept").items()} == {
        name: "30" if name == "extra.timeout" else str(value) for name, value in known.items()
    }


def known_values(values: dict[str, str]) -> dict[str, str]:
    """The *values* that are shown, with the word before the colon where Airflow 3 shows more than is kept."""
    return values | {"Platform": values["Platform"].partition(":")[0]}


def test_the_button_says_what_is_right(pages: AirflowPages, sandbox: Sandbox) -> None:
    pages.new_connection("right")
    pages.fill(usable(sandbox) | {"Platform": "mep", "Timeout": "12.5", "Attempts": "7"})
    said = pages.test()
    assert "Batch accepted both keys" in said
    assert "sandbox-" not in text_of(pages.page)


def test_the_button_says_that_a_key_is_wrong(pages: AirflowPages, sandbox: Sandbox) -> None:
    pages.new_connection("wrong")
    pages.fill(usable(sandbox) | {"REST API key": "no-such-key"})
    said = pages.test()
    assert "401" in said
    assert "Check the connection's password" in said
    assert "no-such-key" not in text_of(pages.page)


def test_the_button_says_that_nobody_answers(pages: AirflowPages, sandbox: Sandbox) -> None:
    port = str(local_airflow.free_port())
    pages.new_connection("nobody")
    given = {"Base URL": f"http://127.0.0.1:{port}"} | ({"Port": port} if HAS_PORT else {})
    pages.fill(usable(sandbox) | given)
    said = pages.test()
    assert "no answer" in said
    assert "refused" in said


@pytest.mark.skipif(not local_airflow.AIRFLOW_2, reason="Airflow 3's form has no button of its own")
def test_the_button_is_alive_where_a_connection_is_edited(pages: AirflowPages, sandbox: Sandbox) -> None:
    pages.new_connection("edited")
    pages.fill(usable(sandbox))
    pages.save()
    pages.edit_connection("edited")
    assert "REST API key" in pages.test()  # Airflow 2 does not send the one it keeps
    pages.fill({"REST API key": usable(sandbox)["REST API key"]})
    assert "Batch accepted both keys" in pages.test()
