"""The events of audiences: when they come, and what they say."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, Asset, TaskDeferred

from airflow_provider_batch.assets.custom_audience import custom_audience_asset
from airflow_provider_batch.assets.profiles import profiles_asset
from airflow_provider_batch.exceptions import IndexingTimeoutError, InvalidArgumentError
from airflow_provider_batch.operators.custom_audience import (
    CustomAudienceCreateOperator,
    CustomAudienceReplaceOperator,
    CustomAudienceUpdateOperator,
)
from airflow_provider_batch.operators.profiles import ProfilesUpdateOperator
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor
from airflow_provider_batch.triggers.custom_audience import IndexingEvent
from tests.worker import TaskInstance

VIP = custom_audience_asset("vip")
ELSEWHERE = Asset(uri="file:///somewhere")

PENDING = Fault(200, body={"name": "vip", "indexing_state": "IN_PROGRESS"})
COUNTS = {
    "audience": "vip",
    "type": "custom_ids",
    "added": 2,
    "removed": 1,
    "duplicates": 1,
    "rejected": 0,
    "calls": 2,
}
INDEXED = {"nb_ids": 2, "indexing_state": "APPLIED"}


def update(**arguments: Any) -> CustomAudienceUpdateOperator:
    given = {"task_id": "update", "audience_name": "vip", "wait_for_indexing": True, "outlets": [VIP], **arguments}
    return CustomAudienceUpdateOperator(**given)


def sensor(**arguments: Any) -> CustomAudienceIndexingSensor:
    given = {"task_id": "indexed", "audience_name": "vip", "poke_interval": 0.01, "outlets": [VIP], **arguments}
    return CustomAudienceIndexingSensor(**given)


def start(operator: Any, context: Any) -> None:
    context["ti"].task = operator  # by which Airflow 2 renders the outlets
    operator.pre_execute(context)


@pytest.fixture
def events(context: Any) -> Any:
    """Airflow's own, in the context."""
    try:
        from airflow.sdk.execution_time.context import OutletEventAccessors
    except ImportError:
        from airflow.utils.context import OutletEventAccessors

    context["outlet_events"] = OutletEventAccessors()
    return context["outlet_events"]


# What the event says


def test_a_push_that_waits_tells_its_counts_and_how_many_ids_there_are(
    batch_sandbox: Sandbox, context: Any, events: Any
) -> None:
    update(add_ids=["id-1", "id-2", "id-1"], remove_ids=["id-3"], chunk_size=2).execute(context)
    assert events[VIP].extra == {**COUNTS, **INDEXED}
    assert "id-" not in json.dumps(events[VIP].extra)


def test_so_does_one_that_would_defer_and_need_not(batch_sandbox: Sandbox, context: Any, events: Any) -> None:
    update(add_ids=["id-1", "id-2"], deferrable=True).execute(context)
    assert (events[VIP].extra["added"], events[VIP].extra["nb_ids"]) == (2, 2)


def test_so_does_one_that_was_deferred(batch_sandbox: Sandbox, context: Any, events: Any) -> None:
    given = {"add_ids": ["id-1", "id-2", "id-1"], "remove_ids": ["id-3"], "chunk_size": 2, "deferrable": True}
    batch_sandbox.faults(None, None, PENDING)
    with pytest.raises(TaskDeferred) as deferred:
        update(**given).execute(context)
    assert len(events) == 0

    trigger: Any = deferred.value.trigger
    assert trigger.counts.items() >= COUNTS.items()
    fired = IndexingEvent("finished", "vip", ("t",), audience={"name": "vip", **INDEXED}, counts=trigger.counts)
    # Another process goes on, with another object of the same task.
    update(**given).execute_complete(context, json.loads(json.dumps(fired.to_payload())))
    assert events[VIP].extra == {**COUNTS, **INDEXED}


def test_a_deferral_of_the_version_before_has_no_counts(context: Any, events: Any) -> None:
    payload = IndexingEvent("finished", "vip", ("t",), audience={"name": "vip", **INDEXED}).to_payload()
    del payload["counts"]
    update(add_ids=["a"]).execute_complete(context, payload)
    assert events[VIP].extra == INDEXED


def test_the_sensor_tells_how_many_ids_there_are(batch_sandbox: Sandbox, context: Any, events: Any) -> None:
    tokens = update(outlets=[], wait_for_indexing=False, add_ids=["id-1", "id-2"]).execute(context)
    told = {"audience": "vip", "type": "custom_ids", **INDEXED}

    sensor(indexing_tokens=tokens).execute(context)
    assert events[VIP].extra == told

    events[VIP].extra.clear()
    sensor(indexing_tokens=tokens, deferrable=True).execute(context)
    assert events[VIP].extra == told

    events[VIP].extra.clear()
    fired = IndexingEvent("finished", "vip", tuple(tokens), audience={"name": "vip", **INDEXED})
    sensor(indexing_tokens=tokens, deferrable=True).execute_complete(context, fired.to_payload())
    assert events[VIP].extra == told


def test_what_else_is_known_of_an_event_stays(batch_sandbox: Sandbox, context: Any, events: Any) -> None:
    events[VIP].extra["source"] = "warehouse"
    update(add_ids=["a"]).execute(context)
    assert events[VIP].extra["source"] == "warehouse"


def test_other_outlets_are_none_of_our_concern(batch_sandbox: Sandbox, context: Any, events: Any) -> None:
    update(add_ids=["a"], outlets=[ELSEWHERE]).execute(context)
    update(add_ids=["a"], outlets=[ELSEWHERE], wait_for_indexing=False).execute(context)
    assert len(events) == 0


def test_nothing_to_send_leaves_the_audience_as_indexed_as_it_was(
    batch_sandbox: Sandbox, context: Any, events: Any
) -> None:
    update(outlets=[], add_ids=["a", "b"]).execute(context)
    for task in (update(add_ids=[]), update(add_ids=[], deferrable=True), sensor(indexing_tokens=[])):
        task.execute(context)
        assert (events[VIP].extra["nb_ids"], events[VIP].extra["indexing_state"]) == (2, "APPLIED")
        events[VIP].extra.clear()
    with pytest.raises(AirflowSkipException):
        update(add_ids=[], skip_on_empty=True).execute(context)


@pytest.mark.parametrize(
    "waiting", [update(add_ids=[], poke_interval=0.01), sensor(indexing_tokens=[])], ids=["operator", "sensor"]
)
def test_nothing_to_send_waits_for_what_somebody_else_has_sent(
    waiting: Any, batch_sandbox: Sandbox, context: Any, events: Any
) -> None:
    """As an earlier try of the same task does, whose source had some ids yet."""
    update(outlets=[], wait_for_indexing=False, add_ids=["a", "b"]).execute(context)
    batch_sandbox.faults(PENDING, PENDING)
    asked = len(batch_sandbox.calls)
    waiting.execute(context)
    assert len(batch_sandbox.calls) - asked == 3
    assert (events[VIP].extra["nb_ids"], events[VIP].extra["indexing_state"]) == (2, "APPLIED")


@pytest.mark.parametrize(
    ("waiting", "returned"),
    [
        (update(add_ids=[], deferrable=True, poke_interval=0.01), []),
        (sensor(indexing_tokens=[], deferrable=True), {"name": "vip", **INDEXED}),
    ],
    ids=["operator", "sensor"],
)
def test_so_does_the_triggerer(waiting: Any, returned: Any, batch_sandbox: Sandbox, context: Any, events: Any) -> None:
    update(outlets=[], wait_for_indexing=False, add_ids=["a", "b"]).execute(context)
    batch_sandbox.faults(PENDING, PENDING)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute(context)
    assert len(events) == 0

    trigger: Any = deferred.value.trigger
    fired = asyncio.run(anext(trigger.run()))
    finished = waiting.execute_complete(context, json.loads(json.dumps(fired.payload)))
    assert (events[VIP].extra["nb_ids"], events[VIP].extra["indexing_state"]) == (2, "APPLIED")
    assert returned == finished or returned.items() <= finished.items()


def test_what_is_not_indexed_in_time_emits_nothing(batch_sandbox: Sandbox, context: Any, events: Any) -> None:
    batch_sandbox.faults(*[PENDING] * 9)
    with pytest.raises(
        IndexingTimeoutError, match=r"vip: not confirmed after 0 s: the last write; last state IN_PROGR"
    ):
        update(add_ids=[], indexing_timeout=0.1).execute(context)
    assert len(events) == 0


def test_a_dry_run_emits_nothing(batch_sandbox: Sandbox, context: Any, events: Any) -> None:
    running = update(add_ids=["a"], dry_run=True, outlets=[ELSEWHERE, VIP])
    running.execute(context)
    assert running.outlets == [ELSEWHERE]
    assert batch_sandbox.members("vip") == set()


# When there is none


@pytest.mark.parametrize("operator", [CustomAudienceUpdateOperator, CustomAudienceReplaceOperator])
def test_an_operator_that_does_not_wait_is_refused_as_the_dag_file_is_read(operator: Any) -> None:
    ids = {"ids": ["a"]} if operator is CustomAudienceReplaceOperator else {"add_ids": ["a"]}
    with pytest.raises(InvalidArgumentError, match=r"batch://batch_default/vip .* Pass wait_for_indexing=True"):
        operator(task_id="push", audience_name="vip", outlets=[ELSEWHERE, VIP], **ids)


def test_a_reference_to_the_asset_is_refused_as_the_asset_is() -> None:
    if not hasattr(Asset, "ref"):
        pytest.skip("Airflow 2 has no references")
    for reference in (Asset.ref(uri=VIP.uri), Asset.ref(name=VIP.name)):
        with pytest.raises(InvalidArgumentError, match="batch://batch_default/vip"):
            update(outlets=[reference], wait_for_indexing=False)


def test_an_outlet_that_is_given_later_is_refused_as_the_task_starts(batch_sandbox: Sandbox, context: Any) -> None:
    late = update(outlets=[], wait_for_indexing=False, add_ids=["a"])
    late.outlets = [VIP]
    never = CustomAudienceCreateOperator(task_id="create", audience_name="vip", outlets=[VIP])
    for operator in (late, never):
        with pytest.raises(AirflowFailException, match="does not wait"):
            start(operator, context)
    assert batch_sandbox.calls == []


@pytest.mark.parametrize("other", [custom_audience_asset("newsletter"), custom_audience_asset("vip", "batch_ios")])
@pytest.mark.parametrize("kind", [update, sensor])
def test_an_outlet_of_another_audience_is_refused_as_the_task_starts(
    kind: Any, other: Any, batch_sandbox: Sandbox, context: Any
) -> None:
    arguments = {"add_ids": ["a"]} if kind is update else {"indexing_tokens": ["t"]}
    with pytest.raises(AirflowFailException, match=rf"the event of {other.uri} .* batch://batch_default/vip only"):
        start(kind(outlets=[ELSEWHERE, VIP, other], **arguments), context)
    assert batch_sandbox.calls == []


def test_a_template_in_an_outlet_is_a_name_that_two_dags_agree_on(batch_sandbox: Sandbox, context: Any) -> None:
    start(update(add_ids=["a"], outlets=[custom_audience_asset("{{ var.value.audience }}")]), context)


def test_mapped_tasks_are_refused_as_the_first_would_speak_for_all(context: Any, ti: TaskInstance) -> None:
    ti.map_index = 0
    for operator in (update(add_ids=["a"]), sensor(indexing_tokens=["t"])):
        with pytest.raises(AirflowFailException, match="the first of these mapped tasks"):
            start(operator, context)
    with DAG("mapped", schedule=None) as dag:
        other = update(add_ids=["a"], outlets=[ELSEWHERE])
    start(other, context | {"dag": dag, "task": other})


def test_a_mapped_operator_may_be_declared_with_other_outlets() -> None:
    with DAG("mapped", schedule=None):
        CustomAudienceUpdateOperator.partial(task_id="update", audience_name="vip", outlets=[ELSEWHERE]).expand(
            add_ids=[["a"], ["b"]]
        )


def test_a_task_that_may_have_its_outlets_starts(batch_sandbox: Sandbox, context: Any, ti: TaskInstance) -> None:
    start(update(add_ids=["a"]), context)
    start(sensor(indexing_tokens=["t"]), context)
    assert set(ti.pushed) == {"batch_dashboard"}


# Attributes of profiles


ATTRIBUTES = profiles_asset("batch_cep")


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, batch_sandbox: Sandbox) -> Sandbox:
    """A sandbox whose project is behind the connection ``batch_cep``."""
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", batch_sandbox.connection_json("project_sandbox"))
    return batch_sandbox


def profiles(**arguments: Any) -> ProfilesUpdateOperator:
    rows = [{"custom_id": "a", "plan": "gold"}, {"custom_id": "b", "plan": "free"}, {"custom_id": "a", "plan": "x"}]
    given = {"task_id": "push", "batch_conn_id": "batch_cep", "profiles": rows, "outlets": [ATTRIBUTES], **arguments}
    return ProfilesUpdateOperator(**given)


def test_the_event_of_attributes_has_the_counts(project: Sandbox, context: Any, events: Any) -> None:
    operator = profiles()
    start(operator, context)
    operator.execute(context)
    assert events[ATTRIBUTES].extra == {
        "route": "update",
        "accepted": 2,
        "duplicates": 1,
        "rejected": 0,
        "calls": 1,
    }


def test_a_dry_run_of_profiles_has_no_event(project: Sandbox, context: Any, events: Any) -> None:
    operator = profiles(dry_run=True, outlets=[ELSEWHERE, ATTRIBUTES])
    start(operator, context)
    operator.execute(context)
    assert operator.outlets == [ELSEWHERE]


@pytest.mark.parametrize("outlet", [VIP, custom_audience_asset("vip", "batch_cep"), profiles_asset()], ids=str)
def test_a_task_that_writes_profiles_has_no_other_outlets_at_batch(outlet: Asset) -> None:
    expected = (
        f"outlets: this task writes batch://batch_cep/profiles/attributes, and not {outlet.uri}. "
        "Pass profiles_asset('batch_cep'), or give the outlet to the task that writes it."
    )
    with pytest.raises(InvalidArgumentError) as caught:
        profiles(outlets=[outlet])
    assert str(caught.value) == expected


def test_a_connection_that_is_rendered_later_is_compared_then(project: Sandbox, context: Any) -> None:
    operator = profiles(batch_conn_id="{{ params.conn }}", outlets=[profiles_asset()])
    operator.batch_conn_id = "batch_cep"
    with pytest.raises(AirflowFailException) as caught:
        start(operator, context)
    assert "not batch://batch_default/profiles/attributes" in str(caught.value)


def test_mapped_tasks_do_not_share_the_outlet(project: Sandbox, context: Any) -> None:
    operator = profiles()
    context["ti"].map_index = 0
    with pytest.raises(AirflowFailException) as caught:
        start(operator, context)
    assert "would come with the first of these mapped tasks. Give the outlet to a task after them." in str(caught.value)


def test_a_push_of_ids_does_not_have_the_attributes(batch_sandbox: Sandbox, context: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"the event of batch://batch_cep/profiles/attributes promises"):
        start(update(add_ids=["a"], outlets=[ATTRIBUTES]), context)
