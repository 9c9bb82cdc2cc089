"""The operators of all verbs, called the way a worker calls them, in every version of the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, TaskDeferred
from pendulum import datetime

from airflow_provider_batch.exceptions import (
    AudienceExistsError,
    AudienceMissingError,
    BatchConfigurationError,
    BatchError,
    BatchServerError,
    EmptySetError,
    GuardError,
    IndexingTimeoutError,
    InvalidArgumentError,
)
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.operators.custom_audience import (
    CustomAudienceCreateOperator,
    CustomAudienceDeleteOperator,
    CustomAudienceListOperator,
    CustomAudienceReplaceOperator,
    CustomAudienceUpdateOperator,
)
from airflow_provider_batch.sandbox import Fault
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor
from airflow_provider_batch.triggers.custom_audience import CustomAudienceIndexingTrigger, IndexingEvent
from tests.stages import OpenStage, Stage, on
from tests.worker import Store, TaskInstance, next_try

DOWN = Fault(503, headers={"Retry-After": "0"})
IDS = [f"customer-{number}" for number in range(10)]


def create(stage: Stage, **arguments: Any) -> CustomAudienceCreateOperator:
    given = {"task_id": "create", "audience_name": "new", "audience_type": stage.audience_type, **arguments}
    return CustomAudienceCreateOperator(**given)


def replace(stage: Stage, **arguments: Any) -> CustomAudienceReplaceOperator:
    given = {"ids": IDS, "audience_type": stage.audience_type, "poke_interval": 0.1, **arguments}
    operator = CustomAudienceReplaceOperator(**{"task_id": "replace", "audience_name": "vip", **given, "ids": None})
    operator.ids = given["ids"]  # a DAG file may not have a generator
    return operator


def delete(stage: Stage, **arguments: Any) -> CustomAudienceDeleteOperator:
    given = {"task_id": "delete", "audience_name": "vip", "audience_type": stage.audience_type, **arguments}
    return CustomAudienceDeleteOperator(**given)


def hopeless(call: Callable[[], object]) -> BaseException | None:
    with pytest.raises(AirflowFailException) as caught:
        call()
    return caught.value.__cause__


# Creating, listing and deleting.


def test_the_life_of_an_audience(stage: Stage, context: Any) -> None:
    tokens = create(stage, description="Winners").execute(context)
    assert len(tokens) == stage.version.is_cep
    created = CustomAudienceIndexingSensor(
        task_id="created", audience_name="new", indexing_tokens=tokens, audience_type=stage.audience_type
    )
    assert (created.execute(context) is not None) is stage.version.is_cep
    replace(stage, audience_name="new").execute(context)
    listed = CustomAudienceListOperator(task_id="list", audience_type=stage.audience_type).execute(context)
    assert [(each["name"], each["type"], each["nb_ids"]) for each in listed] == [
        ("new", stage.audience_type, 10),
        ("vip", stage.audience_type, 0),
    ]
    assert listed[0]["description"] == "Winners"
    assert json.loads(json.dumps(listed)) == listed
    delete(stage, audience_name="new").execute(context)
    assert not stage.exists("new")


def test_an_audience_that_exists_is_left_as_it_is_by_default(stage: Stage, context: Any) -> None:
    assert create(stage, audience_name="vip").execute(context) == []
    assert stage.verbs == ["list"]


def test_an_audience_that_exists_may_be_a_failure(stage: Stage, context: Any) -> None:
    operator = create(stage, audience_name="vip", if_exists="fail")
    assert isinstance(hopeless(lambda: operator.execute(context)), AudienceExistsError)


def test_an_audience_that_is_missing_is_a_failure_by_default(stage: Stage, context: Any) -> None:
    operator = delete(stage, audience_name="nobody")
    assert isinstance(hopeless(lambda: operator.execute(context)), AudienceMissingError)


def test_an_audience_that_is_missing_may_be_left_alone(stage: Stage, context: Any) -> None:
    delete(stage, audience_name="nobody", if_missing="skip").execute(context)
    assert stage.verbs == ["list"]


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (create, {"audience_name": "n" * 256}),
        (create, {"audience_type": "emails"}),
        (delete, {"audience_name": "a b"}),
        (replace, {"audience_name": "n" * 256}),
        (replace, {"ids": [True]}),
    ],
)
def test_what_is_against_the_rules_fails_at_once_and_before_any_call(
    make: Callable[..., Any], arguments: dict[str, Any], stage: Stage, context: Any
) -> None:
    operator = make(stage, **arguments)
    assert isinstance(hopeless(lambda: operator.execute(context)), InvalidArgumentError)
    assert stage.verbs == []


@pytest.mark.parametrize("make", [create, delete])
def test_a_service_that_stays_down_is_left_to_the_retries(make: Callable[..., Any], stage: Stage, context: Any) -> None:
    stage.sandbox.faults(DOWN, DOWN, DOWN)
    with pytest.raises(BatchServerError):
        make(stage).execute(context)


@pytest.mark.parametrize("make", [create, delete, replace])
def test_wrong_keys_fail_at_once(make: Callable[..., Any], stage: Stage, context: Any) -> None:
    stage.sandbox.faults(Fault(401))
    assert hopeless(lambda: make(stage).execute(context)) is not None
    assert len(stage.verbs) == 1


@on("2.11")
@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        ({"extra": {"platform": "both"}}, "'platform' must be mep .* or cep"),
        ({"extra": {"platform": "mep", "api_version": "2.11"}}, "'api_version' is for the platform cep"),
        ({"extra": {"api_version": "2.11"}}, "'api_version' is for the platform cep"),
        ({"extra": {"platform": "cep", "api_version": "1.0"}}, "'api_version' must be a version"),
        ({"extra": {"platform": "cep", "api_version": 2.1}}, "'api_version' must be a version"),
        ({"extra": {"platform": "cep"}, "login": ""}, r"the connection has no project key \(login\)"),
        ({"extra": {"platform": "cep"}, "password": ""}, r"no REST API key \(password\)"),
        ({"extra": {}}, "looks like a project's key, but its platform is mep"),
        ({"extra": {"plattform": "cep"}}, r"unknown field 'plattform'\. Did you mean 'platform'"),
    ],
)
@pytest.mark.parametrize("make", [create, delete, replace])
def test_a_connection_that_cannot_be_used_fails_at_once(
    make: Callable[..., Any],
    connection: dict[str, Any],
    reason: str,
    stage: Stage,
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = json.loads(stage.sandbox.connection_json(stage.version.key)) | connection
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", json.dumps(whole))
    with pytest.raises(AirflowFailException, match=reason) as caught:
        make(stage).execute(context)
    assert isinstance(caught.value.__cause__, BatchConfigurationError)
    assert "sandbox-rest-key" not in str(caught.value)
    assert stage.verbs == []


@on("2.11")
@pytest.mark.parametrize("make", [create, delete, replace])
@pytest.mark.parametrize("audience_type", ["install_ids", "advertising_ids"])
def test_types_of_the_older_platform_are_none_of_the_newer(
    make: Callable[..., Any], audience_type: str, stage: Stage, context: Any
) -> None:
    operator = make(stage, audience_type=audience_type)
    with pytest.raises(AirflowFailException, match=f"audience_type: '{audience_type}' is unknown to API 2.11"):
        operator.execute(context)
    assert stage.verbs == []


# Replacing.


def test_it_replaces_and_returns_the_tokens(stage: Stage, context: Any, ti: TaskInstance) -> None:
    BatchHook().update_custom_audience("vip", add_ids=["old"], audience_type=stage.audience_type)
    tokens = replace(stage, chunk_size=4).execute(context)
    assert stage.members == set(IDS)
    assert len(tokens) == len(set(tokens)) == 3
    summary = ti.pushed["summary"]
    assert (summary["added"], summary["calls"], summary["type"]) == (10, 3, stage.audience_type)
    assert not any(text in json.dumps(summary) for text in ("customer", *tokens))


@pytest.mark.parametrize("nothing", [[], None, "[]"])
def test_an_empty_xcom_never_wipes_an_audience(nothing: Any, stage: Stage, context: Any) -> None:
    BatchHook().update_custom_audience("vip", add_ids=["old"], audience_type=stage.audience_type)
    assert isinstance(hopeless(lambda: replace(stage, ids=nothing).execute(context)), EmptySetError)
    with pytest.raises(AirflowSkipException):
        replace(stage, ids=nothing, skip_on_empty=True).execute(context)
    assert stage.members == {"old"}
    assert len(replace(stage, ids=nothing, allow_empty=True).execute(context)) == 1
    assert stage.members == set()


def test_a_replace_that_drops_too_many_fails_at_once(stage: Stage, context: Any) -> None:
    replace(stage).execute(context)
    cause = hopeless(lambda: replace(stage, ids=IDS[:2], max_shrink=0.2).execute(context))
    assert isinstance(cause, GuardError)
    assert "ids in the audience: 10, in the new set: 2." in str(cause)


def test_a_dry_run_sends_nothing(stage: Stage, context: Any, ti: TaskInstance) -> None:
    assert replace(stage, dry_run=True, wait_for_indexing=True).execute(context) == []
    assert ti.pushed["summary"]["dry_run"] is True
    assert (ti.pushed["summary"]["added"], ti.pushed["summary"]["calls"]) == (10, 1)
    assert stage.verbs == []


def test_airflow_stores_how_many_ids_there_are(stage: Stage, context: Any) -> None:
    operator = replace(stage, ids=[*IDS, {"id": "a", "attributes": {"plan": "{{ params.segment }}"}}])
    operator.render_template_fields(context)
    assert str(operator.ids) == "11 ids"
    assert operator.given("ids")[-1] == {"id": "a", "attributes": {"plan": "vip"}}


def test_ids_in_a_template_are_read(stage: Stage, context: Any) -> None:
    operator = replace(stage, audience_name="{{ params.segment }}", ids='["a", "{{ params.segment }}"]')
    operator.render_template_fields(context)
    operator.execute(context)
    assert stage.members == {"a", "vip"}


def test_the_others_are_templated_too(stage: Stage, context: Any) -> None:
    made = create(stage, audience_name="{{ params.segment }}", description="for {{ params.segment }}")
    gone = delete(stage, audience_name="{{ params.segment }}")
    for operator in (made, gone):
        operator.render_template_fields(context)
        assert operator.audience_name == "vip"
    assert made.description == "for vip"


@pytest.mark.parametrize("number", [0, 2, 3])
@pytest.mark.parametrize("remembers", [False, True], ids=["Airflow 2", "Airflow 3.3"])
def test_a_retry_ends_in_the_right_set(number: int, remembers: bool, stage: Stage, context: Any, store: Store) -> None:
    BatchHook().update_custom_audience("vip", add_ids=["old"], audience_type=stage.audience_type)
    stage.connect(max_attempts=1)
    tries: Any = {**context, "task_state_store": store} if remembers else context
    stage.sandbox.faults(*[None] * number, DOWN)
    operator = {"chunk_size": 3, "max_concurrency": 1}
    with pytest.raises(BatchServerError):
        replace(stage, **operator).execute(tries)
    before = stage.asked("replace")
    tokens = replace(stage, **operator).execute(next_try(tries))
    assert stage.members == set(IDS)
    assert len(tokens) == 4
    assert stage.asked("replace") - before == (0 if remembers and number else 1)
    assert store.values == {}


def test_a_wait_for_the_replace_that_is_too_long_is_left_to_the_retries(
    open_stage: OpenStage, context: Any, store: Store
) -> None:
    stage = open_stage(indexing_delay=3600)
    tries: Any = {**context, "task_state_store": store}
    for _ in range(2):
        with pytest.raises(IndexingTimeoutError):
            replace(stage, chunk_size=5, indexing_timeout=0.05).execute(next_try(tries))
    assert (stage.asked("replace"), stage.asked("update")) == (1, 0)
    assert not any(private in "".join(store.values.values()) for private in ("customer", stage.version.key))


def test_a_generator_is_replaced_from_its_start_in_a_retry(stage: Stage, context: Any, store: Store) -> None:
    stage.connect(max_attempts=1)
    tries: Any = {**context, "task_state_store": store}
    stage.sandbox.faults(None, None, DOWN)
    with pytest.raises(BatchServerError):
        replace(stage, ids=iter(IDS), chunk_size=3, max_concurrency=1).execute(tries)
    replace(stage, ids=iter(IDS), chunk_size=3).execute(next_try(tries))
    assert stage.members == set(IDS)
    assert stage.asked("replace") == 2


# Waiting for what was replaced.


def test_it_waits_and_is_silent_about_its_own_replace(
    open_stage: OpenStage, context: Any, logged: Callable[[], str]
) -> None:
    stage = open_stage(replaced_states=True)
    replace(stage, chunk_size=4, wait_for_indexing=True).execute(context)
    assert stage.asked("view") == 1 + 3
    assert "took over" not in logged()


def test_it_warns_of_a_replace_of_somebody_else(open_stage: OpenStage, context: Any, logged: Callable[[], str]) -> None:
    stage = open_stage()
    replaced = Fault(200, body={"name": "vip", "indexing_state": "REPLACED"})
    stage.sandbox.faults(None, replaced)
    CustomAudienceUpdateOperator(
        task_id="update", audience_name="vip", add_ids=IDS, audience_type=stage.audience_type, wait_for_indexing=True
    ).execute(context)
    assert "a later replace of the audience took over from 1 of the writes" in logged()
    # Of one replace alone nobody can tell: whether its own token may show the state, no page says.
    stage.sandbox.faults(None, replaced)
    replace(stage, wait_for_indexing=True).execute(context)
    assert "took over" not in logged()


def test_a_deferred_wait_knows_the_own_replace(open_stage: OpenStage, context: Any) -> None:
    now = [1_000_000.0]
    stage = open_stage(indexing_delay=60, clock=lambda: now[0])
    operator = replace(stage, wait_for_indexing=True, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    trigger = deferred.value.trigger
    assert isinstance(trigger, CustomAudienceIndexingTrigger)
    assert (trigger.own_replace, trigger.audience_type) == (trigger.indexing_tokens[0], stage.audience_type)
    event = IndexingEvent("finished", "vip", tuple(trigger.indexing_tokens), audience={"name": "vip"})
    assert operator.execute_complete(context, event.to_payload()) == trigger.indexing_tokens


# Where they stand in a DAG.


def test_the_outputs_are_the_wiring() -> None:
    with DAG("verbs", start_date=datetime(2026, 1, 1), schedule=None):
        made = CustomAudienceCreateOperator(task_id="create", audience_name="vip")
        filled = CustomAudienceReplaceOperator(task_id="replace", audience_name="vip", ids=made.output)
        CustomAudienceIndexingSensor(task_id="indexed", audience_name="vip", indexing_tokens=filled.output)
        CustomAudienceDeleteOperator.partial(task_id="delete").expand(audience_name=["a", "b"])
        CustomAudienceReplaceOperator.partial(task_id="replace_all").expand_kwargs(
            [{"audience_name": "a", "ids": ["x"]}, {"audience_name": "b", "ids": ["y"]}]
        )
    assert made.downstream_task_ids == {"replace"}
    assert filled.downstream_task_ids == {"indexed"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: CustomAudienceCreateOperator(task_id="t", audience_name="{{ x }}", batch_conn_id="missing"),
        lambda: CustomAudienceDeleteOperator(task_id="t", audience_name="{{ x }}", batch_conn_id="missing"),
        lambda: CustomAudienceListOperator(task_id="t", batch_conn_id="missing"),
        lambda: CustomAudienceReplaceOperator(task_id="t", audience_name="{{ x }}", ids=None, batch_conn_id="missing"),
    ],
)
def test_constructing_looks_nothing_up_and_killing_does_no_harm(make: Callable[[], Any]) -> None:
    operator = make()
    operator.on_kill()
    with pytest.raises(Exception, match="missing"):
        operator.execute({})


def test_an_error_names_the_route_and_no_key(stage: Stage, context: Any) -> None:
    stage.sandbox.faults(Fault(400))
    with pytest.raises(AirflowFailException) as caught:
        replace(stage).execute(context)
    assert isinstance(caught.value.__cause__, BatchError)
    assert {"1.0": "PUT /1.0/{api_key}", "1.1": "PUT /1.1/{api_key}", "2.11": "POST /2.11/audiences/replace"}[
        stage.version.name
    ] in str(caught.value)
    assert stage.version.key not in str(caught.value)
