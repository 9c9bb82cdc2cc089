"""What an export is asked for."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.exports.export import ExportQuery

BODIES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"export_type": "ATTRIBUTES", "identifiers": ["custom_id"]}),
    (
        {"attributes": ("$language", "plan"), "identifiers": None, "segment": "VIP"},
        {"export_type": "ATTRIBUTES", "attributes": ["$language", "plan"], "filter": {"segment": "VIP"}},
    ),
    ({"identifiers": ["installation_ids"]}, {"export_type": "ATTRIBUTES", "identifiers": ["installation_ids"]}),
    (
        {"export_type": "events", "events": ["email_sent"], "channels": ["email"], "since": "a", "until": "now"},
        {"export_type": "EVENTS", "events": ["email_sent"], "channels": ["email"], "from": "a", "to": "now"},
    ),
    (
        {"export_type": "events", "since": "2026-11-24", "until": date(2026, 11, 25)},
        {"export_type": "EVENTS", "from": "2026-11-24T00:00:00Z", "to": "2026-11-25T00:00:00Z"},
    ),
    (
        {
            "export_type": "events",
            "since": datetime(2026, 11, 24, 1, tzinfo=timezone(timedelta(hours=2))),
            "until": datetime(2026, 11, 25),  # noqa: DTZ001
        },
        {"export_type": "EVENTS", "from": "2026-11-24T01:00:00+02:00", "to": "2026-11-25T00:00:00Z"},
    ),
    (  # {{ data_interval_start }}, and a moment without a zone
        {"export_type": "events", "since": "2026-11-24 01:00:00+00:00", "until": "2026-11-25T01:00:00"},
        {"export_type": "EVENTS", "from": "2026-11-24T01:00:00Z", "to": "2026-11-25T01:00:00Z"},
    ),
    (  # what is no moment is left to Batch
        {"export_type": "events", "since": "2026-11-24T01:00:00Z", "until": "2026-11-25 at noon"},
        {"export_type": "EVENTS", "from": "2026-11-24T01:00:00Z", "to": "2026-11-25 at noon"},
    ),
    (
        {"export_type": "reachability", "identifiers": ["installation_ids"], "since": "a"},
        {"export_type": "REACHABILITY", "identifiers": ["installation_ids"], "from": "a"},
    ),
]


@pytest.mark.parametrize(("given", "body"), BODIES)
def test_only_what_is_given_is_sent(given: dict[str, Any], body: dict[str, Any]) -> None:
    assert ExportQuery(**given).body() == body


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"export_type": "profiles"}, "export_type: 'profiles' is not one of"),
        ({"identifiers": ()}, r"^attributes: an export needs attributes, identifiers or both\. Pass one of them\.$"),
        ({"attributes": "plan"}, "attributes: a single str is not a list"),
        ({"attributes": ["plan", ""]}, "attributes: an entry is empty"),
        ({"since": "2026-01-01"}, "since: it has no effect with export_type='attributes'"),
        ({"events": ["email_sent"]}, "events: it has no effect"),
        ({"export_type": "events", "attributes": ["plan"]}, "attributes: it has no effect with export_type='events'"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        ExportQuery(**given)


@pytest.mark.parametrize("name", ["since", "until"])
def test_a_moment_is_not_a_number(name: str) -> None:
    moments: dict[str, Any] = {name: 20261124}
    with pytest.raises(InvalidArgumentError) as caught:
        ExportQuery("events", **moments).body()
    assert str(caught.value) == f"{name}: a value of type int is not a moment. Pass a str."


def test_a_digest_is_that_of_the_request() -> None:
    assert ExportQuery(attributes=["a"]).digest == ExportQuery(attributes=("a",)).digest
    assert ExportQuery(attributes=["a"]).digest != ExportQuery(attributes=["b"]).digest
