"""The versions of the API as the pages give them: routes, limits, and what a member may have."""

from __future__ import annotations

import pytest

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol import dialect, limits
from airflow_provider_batch.protocol.dialect import Dialect, Platform
from tests.afresh import afresh

VERBS = ("create", "update", "replace", "view", "list", "delete")


@pytest.fixture
def mep() -> Platform:
    platform: Platform = afresh(dialect).MEP
    return platform


def routes(version: Dialect) -> dict[str, str]:
    endpoints = {verb: getattr(version, verb) for verb in VERBS}
    return {verb: f"{endpoint.method} {endpoint.path}" for verb, endpoint in endpoints.items()}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_routes_of_the_mobile_engagement_platform(version: str, mep: Platform) -> None:
    known = {one.version: one for one in mep.dialects}
    audience = f"/{version}/{{api_key}}/custom-audience/{{audience_name}}"
    assert routes(known[version]) == {
        "create": f"POST {audience}",
        "update": f"PATCH {audience}",
        "replace": f"PUT {audience}",
        "view": f"GET {audience}",
        "list": f"GET /{version}/{{api_key}}/custom-audience",
        "delete": f"DELETE {audience}",
    }


def test_what_the_mobile_engagement_platform_takes(mep: Platform) -> None:
    old, new = mep.dialects
    assert (old.version, old.audience_types, old.typed_writes) == ("1.0", ("custom_ids", "advertising_ids"), True)
    assert (new.version, new.audience_types, new.typed_writes) == ("1.1", ("install_ids",), False)
    for one in (old, new):
        assert (one.description, one.audiences, one.cursor) == ("description", "custom_audiences", False)
        assert (one.max_ids_per_call, one.members.version) == (limits.MAX_IDS_PER_CALL, one.version)
        assert (one.members.zone, one.members.most_attributes) == ("", limits.NO_LIMIT)
    assert (old.members.max_id_length, old.members.kinds, old.members.tags) == (
        limits.MAX_ID_LENGTH,
        frozenset(),
        False,
    )
    assert (new.members.max_id_length, new.members.tags) == (limits.NO_LIMIT, True)
    assert new.members.kinds == {"text", "number", "date", "url"}


@pytest.mark.parametrize("version", [None, "2.5"])
def test_the_customer_engagement_platform(version: str | None) -> None:
    platform = dialect.cep() if version is None else dialect.cep(version)
    number = version or "2.11"
    (known,) = platform.dialects
    assert known.version == known.members.version == number
    assert routes(known) == {
        "create": f"POST /{number}/audiences/create",
        "update": f"POST /{number}/audiences/update",
        "replace": f"POST /{number}/audiences/replace",
        "view": f"GET /{number}/audiences/view",
        "list": f"GET /{number}/audiences/list",
        "delete": f"POST /{number}/audiences/remove",
    }
    assert (known.audience_types, known.typed_writes) == (("custom_ids",), False)
    assert (known.description, known.audiences, known.cursor) == ("display_name", "audiences", True)
    members = known.members
    assert (members.max_id_length, members.most_attributes) == (limits.NO_LIMIT, limits.MAX_ATTRIBUTES)
    assert (members.zone, members.tags) == ("Z", False)
    assert members.kinds == {"text", "number", "date", "url", "array"}
    assert (platform.name, platform.login) == ("cep", "project key")
    assert platform.identity == (("Authorization", "Bearer {rest_api_key}"), ("X-Batch-Project", "{api_key}"))


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        (
            dialect.MEP,
            "audience_type: 'ids' is unknown to API 1.0 and 1.1 (platform mep). "
            "Use custom_ids or advertising_ids or install_ids.",
        ),
        (dialect.cep(), "audience_type: 'ids' is unknown to API 2.11 (platform cep). Use custom_ids."),
    ],
    ids=["mep", "cep"],
)
def test_an_unknown_type_of_audience_is_refused(platform: Platform, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        platform.dialect("ids")
    assert str(caught.value) == message
