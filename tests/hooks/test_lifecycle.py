"""Creating, listing and deleting audiences with the hook, in every version of the API."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_batch.exceptions import (
    AudienceExistsError,
    AudienceMissingError,
    BatchAuthenticationError,
    BatchConnectionError,
    BatchError,
    BatchProtocolError,
    BatchRequestError,
    BatchServerError,
    EmptySetError,
    InvalidArgumentError,
    InvalidMemberError,
)
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.protocol.audiences.audience import IndexingState
from airflow_provider_batch.protocol.audiences.members import Member
from airflow_provider_batch.sandbox import Fault
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.sql import SqlSource
from tests.stages import OpenStage, Stage, on
from tests.transport.servers import Asked, RawServer, answer

SOON = {"Retry-After": "0"}
MANY = [f"a{number:03}" for number in range(250)]


def create(stage: Stage, name: str = "new", **arguments: Any) -> Any:
    return BatchHook().create_custom_audience(name, **{"audience_type": stage.audience_type, **arguments})


def delete(stage: Stage, name: str = "vip", **arguments: Any) -> Any:
    return BatchHook().delete_custom_audience(name, audience_type=stage.audience_type, **arguments)


def listed(stage: Stage) -> list[str]:
    return [a.name for a in BatchHook().list_custom_audiences(audience_type=stage.audience_type)]


# Creating.


def test_an_audience_is_looked_for_and_then_created(stage: Stage) -> None:
    created = create(stage, description='Zoë\'s "best"')
    assert stage.verbs == ["list", "create"]
    assert (created.name, created.type, created.created) == ("new", stage.audience_type, True)
    assert created.existing is None
    assert (created.indexing_token is not None) is stage.version.is_cep
    facts = stage.sandbox.audience("new", stage.version.key)
    assert (facts.type, facts.description, facts.nb_ids) == (stage.audience_type, 'Zoë\'s "best"', 0)


def test_an_audience_that_exists_is_a_failure_where_that_is_asked_for(stage: Stage) -> None:
    with pytest.raises(
        AudienceExistsError, match=r"vip: an audience of that name exists already\. Pass if_exists='skip'"
    ):
        create(stage, "vip", if_exists="fail")
    assert stage.verbs == ["list"]


def test_an_audience_that_exists_is_left_as_it_is_by_default(stage: Stage) -> None:
    created = create(stage, "vip", description="another")
    assert (created.created, created.indexing_token, created.existing.name) == (False, None, "vip")
    assert stage.verbs == ["list"]
    assert stage.sandbox.audience("vip", stage.version.key).description == ""


@on("1.0")
def test_an_audience_of_another_known_type_is_not_the_one_that_was_meant(stage: Stage) -> None:
    with pytest.raises(InvalidArgumentError, match="vip exists with the type custom_ids, not advertising_ids"):
        create(stage, "vip", audience_type="advertising_ids", if_exists="skip")


def test_a_type_in_a_spelling_that_no_page_shows_is_no_reason_to_fail(stage: Stage) -> None:
    there = [{"name": "vip", "type": "CUSTOM_IDS"}]
    stage.sandbox.faults(Fault(200, body={"audiences": there, "custom_audiences": there}))
    assert create(stage, "vip", if_exists="skip").created is False


def between_list_and_write(stage: Stage, verb: str) -> None:
    """Let somebody else come first: the list is read, then they write, then our own write is refused."""
    empty: dict[str, Any] = {"audiences": [], "has_more": False} if stage.version.is_cep else {"custom_audiences": []}
    item = {"name": "vip", "type": stage.audience_type}
    there = {name: [item] if isinstance(value, list) else value for name, value in empty.items()}
    stage.sandbox.faults(Fault(200, body=empty if verb == "create" else there))


def test_an_audience_that_somebody_else_creates_meanwhile_exists(stage: Stage) -> None:
    between_list_and_write(stage, "create")
    assert create(stage, "vip", if_exists="skip").created is False
    assert stage.verbs == ["list", "create", "list"]
    between_list_and_write(stage, "create")
    with pytest.raises(AudienceExistsError):
        create(stage, "vip", if_exists="fail")


@pytest.mark.parametrize("status", [400, 404, 409])
def test_a_refused_creation_is_the_error_where_the_audience_is_not_there(status: int, stage: Stage) -> None:
    stage.sandbox.faults(None, Fault(status))
    with pytest.raises(BatchError, match=f"answered {status}"):
        create(stage, if_exists="skip")
    assert stage.verbs == ["list", "create", "list"]


def test_wrong_keys_are_no_reason_to_look_again(stage: Stage) -> None:
    stage.sandbox.faults(None, Fault(401))
    with pytest.raises(BatchAuthenticationError):
        create(stage)
    assert stage.verbs == ["list", "create"]


#: More of them, without a wait for each, are conversations in tests/protocol/test_flow_verbs.py.
UNCLEAR = {
    "500": Fault(500, headers=SOON),
    "500 after": Fault(500, headers=SOON, after_write=True),
    "503": Fault(503, headers=SOON),
    "reset after": Fault(reset=True, after_write=True),
}


@pytest.mark.parametrize("fault", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_after_an_unclear_answer_an_audience_is_created_once(fault: Fault, stage: Stage) -> None:
    stage.sandbox.faults(None, fault)
    assert create(stage).created
    assert stage.exists("new")
    assert stage.verbs == ["list", "create", "list", *([] if fault.writes else ["create"])]


@pytest.mark.parametrize("fault", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_after_an_unclear_answer_an_audience_is_deleted_once(fault: Fault, stage: Stage) -> None:
    stage.sandbox.faults(None, fault)
    assert delete(stage).deleted
    assert not stage.exists("vip")
    assert stage.verbs == ["list", "delete", "list", *([] if fault.writes else ["delete"])]


def test_a_page_of_a_proxy_is_not_taken_for_a_creation(stage: Stage) -> None:
    stage.connect(max_attempts=1)
    stage.sandbox.faults(None, Fault(200, body="<html>sign in</html>"))
    with pytest.raises(BatchProtocolError):
        create(stage)
    assert not stage.exists("new")


def test_a_service_that_stays_down_is_the_error(stage: Stage) -> None:
    down = Fault(500, headers=SOON)
    stage.sandbox.faults(None, down, None, down, None, down)
    with pytest.raises(BatchServerError):
        create(stage)
    assert stage.verbs == ["list", *["create", "list"] * 3]


def test_a_connection_that_stays_broken_is_the_error(stage: Stage) -> None:
    stage.connect(max_attempts=1)
    stage.sandbox.faults(Fault(reset=True))
    with pytest.raises(BatchConnectionError):
        create(stage)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"name": "n" * 256}, "audience_name: .* is not a valid audience name"),
        ({"name": "a b"}, "audience_name: 'a b' is not a valid audience name"),
        ({"audience_type": "emails"}, "audience_type: 'emails' is unknown"),
        ({"audience_type": None}, "audience_type: None is unknown"),
        ({"description": 7}, "description: a value of type int is not text"),
        ({"if_exists": "replace"}, "if_exists: 'replace' is not 'skip' or 'fail'"),
    ],
)
def test_a_creation_against_the_rules_is_refused_before_any_call(
    arguments: dict[str, Any], reason: str, stage: Stage
) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        create(stage, **arguments)
    assert stage.verbs == []


# Deleting.


def test_an_audience_is_looked_for_and_then_deleted(stage: Stage) -> None:
    deleted = delete(stage)
    assert stage.verbs == ["list", "delete"]
    assert (deleted.name, deleted.deleted) == ("vip", True)
    assert (deleted.indexing_token is not None) is stage.version.is_cep
    assert not stage.exists("vip")


def test_an_audience_that_is_missing_is_a_failure_by_default(stage: Stage) -> None:
    with pytest.raises(AudienceMissingError, match=r"nobody: no audience of that name exists\. Pass if_missing='skip'"):
        delete(stage, "nobody")
    assert stage.verbs == ["list"]


def test_an_audience_that_is_missing_may_be_left_alone(stage: Stage) -> None:
    assert delete(stage, "nobody", if_missing="skip").deleted is False
    assert stage.verbs == ["list"]


def test_an_audience_that_somebody_else_deletes_meanwhile_is_missing(stage: Stage) -> None:
    delete(stage)
    between_list_and_write(stage, "delete")
    assert delete(stage, if_missing="skip").deleted is False
    assert stage.verbs == ["list", "delete", "list", "delete", "list"]
    between_list_and_write(stage, "delete")
    with pytest.raises(AudienceMissingError):
        delete(stage)


def test_a_refused_deletion_is_the_error_where_the_audience_is_there(stage: Stage) -> None:
    stage.sandbox.faults(None, Fault(400))
    with pytest.raises(BatchRequestError):
        delete(stage, if_missing="skip")
    assert stage.exists("vip")


@pytest.mark.parametrize(("name", "arguments"), [("n" * 256, {}), ("vip", {"if_missing": "ignore"})])
def test_a_deletion_against_the_rules_is_refused_before_any_call(
    name: str, arguments: dict[str, Any], stage: Stage
) -> None:
    with pytest.raises(InvalidArgumentError):
        delete(stage, name, **arguments)
    assert stage.verbs == []


# Listing.


def test_two_hundred_and_fifty_audiences_are_three_pages(open_stage: OpenStage) -> None:
    stage = open_stage(names=MANY)
    assert listed(stage) == MANY[::-1]
    assert stage.verbs == ["list"] * 3


def test_a_list_is_read_while_it_is_asked_for(open_stage: OpenStage) -> None:
    stage = open_stage(names=MANY)
    audiences = BatchHook().list_custom_audiences(audience_type=stage.audience_type)
    assert stage.verbs == []
    assert next(audiences).name == "a249"
    assert stage.verbs == ["list"]


def test_no_audiences_are_an_empty_list(open_stage: OpenStage) -> None:
    assert listed(open_stage(names=())) == []


def test_a_list_tells_of_each_audience(stage: Stage) -> None:
    hook = stage.connect()
    hook.update_custom_audience("vip", add_ids=["a", "b"], audience_type=stage.audience_type)
    (audience,) = hook.list_custom_audiences(audience_type=stage.audience_type)
    assert (audience.name, audience.type, audience.nb_ids) == ("vip", stage.audience_type, 2)
    assert audience.indexing_state is (IndexingState.APPLIED if stage.version.is_cep else None)
    assert audience.created is not None
    assert audience.created.utcoffset() is not None
    assert json.dumps(audience.to_dict())


def test_a_list_of_the_older_platform_shows_the_types_of_one_version(open_stage: OpenStage) -> None:
    stage = open_stage(audiences=("vip", "phones:install_ids", "ads:advertising_ids"))
    assert listed(stage) == {"1.0": ["ads", "vip"], "1.1": ["phones"], "2.11": ["vip"]}[stage.version.name]


# Creating what is missing before a push.


def test_what_is_missing_is_created_before_the_push(stage: Stage) -> None:
    hook = stage.connect()
    for _ in range(2):
        hook.update_custom_audience("new", add_ids=["a"], audience_type=stage.audience_type, create_if_missing=True)
    created = ["list", "create", *(["view"] if stage.version.is_cep else []), "update"]
    assert stage.verbs == [*created, "list", "update"]
    assert set(stage.sandbox.members("new", stage.version.key)) == {"a"}


@on("2.11")
@pytest.mark.parametrize("status", [400, 404])
def test_a_creation_whose_token_cannot_be_asked_for_is_no_reason_to_fail(status: int, stage: Stage) -> None:
    hook = stage.connect()
    stage.sandbox.faults(None, None, Fault(status))
    hook.update_custom_audience("new", add_ids=["a"], create_if_missing=True)
    assert stage.verbs == ["list", "create", "view", "update"]
    assert set(stage.sandbox.members("new", stage.version.key)) == {"a"}


def test_nothing_is_created_for_ids_that_are_none_or_a_dry_run(stage: Stage) -> None:
    hook = stage.connect()
    with pytest.raises(InvalidArgumentError):
        hook.update_custom_audience("new", add_ids=[None], audience_type=stage.audience_type, create_if_missing=True)
    hook.update_custom_audience(
        "new", add_ids=["a"], audience_type=stage.audience_type, create_if_missing=True, dry_run=True
    )
    assert stage.verbs == []


def queried(first: object) -> SqlSource:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE members (id)")
    connection.executemany("INSERT INTO members VALUES (?)", [(first,), ("b",), ("c",)])
    hook: Any = SimpleNamespace(get_conn=lambda: connection)
    return SqlSource(hook, "SELECT id FROM members", None, Columns())


@pytest.mark.parametrize("make", [lambda first: iter([first, "b", "c"]), queried], ids=["generator", "query"])
@pytest.mark.parametrize("verb", ["add", "remove", "replace", "mirror"])
@pytest.mark.parametrize("trim_ids", [False, True])
def test_nothing_is_created_before_the_first_ids_are_checked(
    make: Callable[[object], Any], verb: str, trim_ids: bool, stage: Stage, tmp_path: Path
) -> None:
    hook = stage.connect()

    def push(given: Any) -> None:
        how: Any = {
            "audience_type": stage.audience_type,
            "create_if_missing": True,
            "chunk_size": 2,
            "trim_ids": trim_ids,
            "poke_interval": 0.01,
        }
        if verb == "mirror":
            hook.mirror_custom_audience("new", given, snapshot_path=tmp_path, **how)
        elif verb == "replace":
            hook.replace_custom_audience("new", given, **how)
        else:
            del how["poke_interval"]
            hook.update_custom_audience("new", **{f"{verb}_ids": given}, **how)

    with pytest.raises(InvalidMemberError, match=r"_?ids\[0\].*: the id is missing \(None\)"):
        push(make(None))
    assert stage.verbs == []
    push(make(" a"))
    assert set(stage.verbs) >= {"list", "create"}
    expected = set() if verb == "remove" else {"a" if trim_ids else " a", "b", "c"}
    assert set(stage.sandbox.members("new", stage.version.key)) == expected


def test_nothing_is_created_for_a_replace_by_an_empty_generator(stage: Stage) -> None:
    with pytest.raises(EmptySetError):
        stage.connect().replace_custom_audience(
            "new", iter(()), audience_type=stage.audience_type, create_if_missing=True
        )
    assert stage.verbs == []


def test_two_pushes_that_both_miss_the_audience_both_arrive(stage: Stage) -> None:
    between_list_and_write(stage, "create")
    hook = stage.connect()
    hook.update_custom_audience("vip", add_ids=["a"], audience_type=stage.audience_type, create_if_missing=True)
    assert stage.members == {"a"}


# Testing the connection.


def test_a_connection_is_tested_by_one_audience(stage: Stage) -> None:
    assert stage.connect().test_connection() == (True, "Batch accepted both keys")
    assert stage.verbs == ["list"]


def test_a_connection_with_another_platform_says_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = json.loads(stage.sandbox.connection_json(stage.version.key))
    connection["extra"] = {} if stage.version.is_cep else {"platform": "cep"}
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", json.dumps(connection))
    tested, message = BatchHook().test_connection()
    assert not tested
    assert "platform" in message


@on("2.11")
def test_a_connection_with_an_unknown_version_says_so(stage: Stage) -> None:
    tested, message = stage.connect(api_version="2.1").test_connection()
    assert not tested
    assert "404" in message


# Members with more than an id.


def test_attributes_and_tags_arrive_where_they_are_taken(stage: Stage) -> None:
    hook = stage.connect()
    member = Member("a", {"plan": "gold", "visits": 3, "none": None}, ["new"] if stage.version.name == "1.1" else None)
    if stage.version.name == "1.0":
        with pytest.raises(InvalidArgumentError, match=r"add_ids\[1\]: API 1\.0 takes no attributes"):
            hook.update_custom_audience("vip", add_ids=["b", member])
        assert stage.verbs == []
        return
    hook.update_custom_audience("vip", add_ids=["b", member], audience_type=stage.audience_type)
    tags = ["new"] if stage.version.name == "1.1" else []
    assert stage.attributes == {
        "a": {"attributes": {"plan": "gold", "visits": 3}, "tags": tags},
        "b": {"attributes": {}, "tags": []},
    }
    hook.replace_custom_audience("vip", [member], audience_type=stage.audience_type)
    assert stage.attributes == {"a": {"attributes": {"plan": "gold", "visits": 3}, "tags": tags}}


@on("2.11")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"add_ids": [Member("a", {f"a{n}": n for n in range(16)})]}, "16 attributes are more than the 15"),
        ({"add_ids": [Member("a", {"vip": True})]}, "attribute 'vip': a value of type bool cannot be sent"),
        ({"add_ids": [Member("a", tags=["new"])]}, "takes no tags"),
        (
            {"remove_ids": [Member("a", {"plan": "gold"})]},
            r"remove_ids\[0\]: an id to remove cannot have attributes or tags",
        ),
    ],
)
def test_members_against_the_rules_are_refused_before_any_call(
    arguments: dict[str, Any], reason: str, stage: Stage
) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        stage.connect().update_custom_audience("vip", **arguments)
    assert stage.verbs == []


def test_a_description_is_not_repeated_by_a_refusal_that_quotes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def quoting(asked: Asked) -> bytes:
        if asked.method == "GET":
            return answer(200, {"custom_audiences": []})
        return answer(400, {"code": 31, "message": asked.headers["x-authorization"]})

    with RawServer(quoting) as server:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", server.connection_json())
        with pytest.raises(BatchRequestError) as caught:
            BatchHook().create_custom_audience("new")
    assert "c0ffee" not in str(caught.value)
