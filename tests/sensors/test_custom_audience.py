"""The sensor against a local Batch, called the way a worker calls it."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_batch.exceptions import (
    BatchAuthenticationError,
    BatchConfigurationError,
    BatchNotFoundError,
    IndexingError,
    InvalidArgumentError,
    PushStoppedError,
)
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator
from airflow_provider_batch.protocol import limits
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor
from airflow_provider_batch.triggers.custom_audience import CustomAudienceIndexingTrigger, IndexingEvent
from tests.clock import eventually
from tests.worker import Store, clear, next_try

PENDING = Fault(200, body={"name": "vip", "indexing_state": "IN_PROGRESS"})
ODD = "f" * 32


def sensor(indexing_tokens: Any, **arguments: Any) -> CustomAudienceIndexingSensor:
    given = {"task_id": "indexed", "audience_name": "vip", "poke_interval": 0.001, **arguments}
    return CustomAudienceIndexingSensor(indexing_tokens=indexing_tokens, **given)


@pytest.fixture
def tokens(batch_sandbox: Sandbox) -> list[str]:
    """The tokens of three writes that are applied."""
    given = [f"id-{number}" for number in range(3)]
    return BatchHook().update_custom_audience("vip", add_ids=given, chunk_size=1).indexing_tokens


@pytest.fixture
def asked(batch_sandbox: Sandbox, tokens: list[str]) -> Iterator[Any]:
    """How many questions the sandbox got since the push."""
    before = len(batch_sandbox.calls)
    return lambda: len(batch_sandbox.calls) - before  # type: ignore[return-value]


@pytest.mark.parametrize(
    "shape",
    [
        lambda tokens: tokens,
        tuple,
        lambda tokens: [tokens[:1], tokens[1:]],
        lambda tokens: [tokens[:1], [], [tokens[1:]]],
        lambda tokens: [*tokens, *tokens],
        str,
        json.dumps,
        lambda tokens: f" {json.dumps([tokens[:2], tokens[2:]])}\n",
    ],
    ids=["list", "tuple", "mapped", "nested", "repeated", "text", "JSON", "mapped JSON"],
)
def test_tokens_come_in_many_shapes(shape: Any, tokens: list[str], asked: Any) -> None:
    view = sensor(shape(tokens)).execute({})
    assert (view["name"], view["nb_ids"], view["indexing_state"]) == ("vip", 3, "APPLIED")
    assert asked() == 3
    json.dumps(view)


def test_one_token_may_come_alone(tokens: list[str], asked: Any) -> None:
    assert sensor(tokens[1]).execute({})["indexing_state"] == "APPLIED"
    assert asked() == 1


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("nothing", [[], (), [[], []], "[]"])
def test_no_tokens_are_done_without_a_call(nothing: Any, deferrable: bool, batch_sandbox: Sandbox) -> None:
    assert sensor(nothing, deferrable=deferrable).execute({}) is None
    assert batch_sandbox.calls == []


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("missing", [None, "None", "", " ", [None], ["None"], [[None]], 5, {"a": 1}, b"token", "[oops"])
def test_what_is_no_token_fails_at_once(missing: Any, deferrable: bool, batch_sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException) as caught:
        sensor(missing, deferrable=deferrable).execute({})
    assert isinstance(caught.value.__cause__, InvalidArgumentError)
    assert batch_sandbox.calls == []


def test_each_poke_asks_on_from_the_first_token_that_is_not_confirmed(
    batch_sandbox: Sandbox, tokens: list[str], asked: Any
) -> None:
    waiting = sensor(tokens)
    batch_sandbox.faults(None, PENDING, PENDING, None, PENDING)
    assert not waiting.poke({})
    assert asked() == 2  # the first is confirmed, the second is not
    assert not waiting.poke({})
    assert asked() == 3  # only the second was asked for
    assert not waiting.poke({})
    assert asked() == 5  # the second is confirmed, the third is not
    done = waiting.poke({})
    assert done.is_done
    assert done.xcom_value is not None
    assert done.xcom_value["indexing_state"] == "APPLIED"
    assert asked() == 6


@pytest.mark.parametrize(
    "passing",
    [Fault(429), Fault(500), Fault(502, body="<html/>"), Fault(503), Fault(reset=True), Fault(200, body="<html/>")],
)
def test_what_may_pass_does_not_fail_a_poke(
    passing: Fault, batch_sandbox: Sandbox, tokens: list[str], asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RATE_LIMIT_WAIT", 0.01)
    batch_sandbox.faults(passing, passing)
    assert sensor(tokens).execute({})["indexing_state"] == "APPLIED"
    assert asked() == 5


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(("fault", "cause"), [(Fault(401), BatchAuthenticationError), (Fault(404), BatchNotFoundError)])
def test_what_will_not_pass_fails_at_once(
    fault: Fault, cause: type[Exception], deferrable: bool, batch_sandbox: Sandbox, tokens: list[str], asked: Any
) -> None:
    batch_sandbox.faults(fault)
    with pytest.raises(AirflowFailException) as caught:
        sensor(tokens, deferrable=deferrable).execute({})
    assert type(caught.value.__cause__) is cause
    assert asked() == 1


def test_a_connection_that_cannot_be_used_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", '{"conn_type": "batch"}')
    with pytest.raises(AirflowFailException) as caught:
        sensor([ODD]).execute({})
    assert isinstance(caught.value.__cause__, BatchConfigurationError)


def test_replaced_is_done_with_a_warning(
    batch_sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_sandbox.faults(Fault(200, body={"name": "vip", "indexing_state": "REPLACED"}))
    assert sensor([ODD]).execute({})["indexing_state"] == "REPLACED"
    # Airflow 3 prints what it logs outside a worker.
    assert "a later replace of the audience took over from 1 of" in caplog.text + capsys.readouterr().out


@pytest.mark.parametrize("state", ["SHINY", "applied", "FAILED", "", "IN_PROCESS"])
def test_any_other_state_is_not_done(state: str, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(Fault(200, body={"name": "vip", "indexing_state": state}))
    assert not sensor([ODD]).poke({})


@pytest.mark.parametrize("count", [1, 5, 6])
def test_a_timeout_names_the_tokens_that_are_missing(count: int, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(*[PENDING] * 50)
    missing = [f"{number:032x}" for number in range(count)]
    with pytest.raises(AirflowSensorTimeout) as caught:
        sensor(missing, timeout=0.01).execute({})
    message = str(caught.value)
    assert f"vip: {count} indexing token" in message
    assert all(token in message for token in missing[:5])
    assert ("…" in message) is (count > 5)


def test_a_soft_failing_sensor_is_skipped_at_its_timeout(batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(*[PENDING] * 50)
    with pytest.raises(AirflowSkipException):
        sensor([ODD], timeout=0.01, soft_fail=True).execute({})


# Deferring


def test_it_does_not_defer_what_is_applied_already(tokens: list[str], asked: Any) -> None:
    assert sensor(tokens, deferrable=True).execute({})["indexing_state"] == "APPLIED"
    assert asked() == 3


@pytest.mark.parametrize("passing", [PENDING, Fault(503), Fault(reset=True)])
def test_it_defers_what_is_not_confirmed_yet(passing: Fault, batch_sandbox: Sandbox, tokens: list[str]) -> None:
    batch_sandbox.faults(None, passing)
    before = time.time()
    with pytest.raises(TaskDeferred) as caught:
        sensor(tokens, deferrable=True, poke_interval=7, timeout=60).execute({})
    trigger = caught.value.trigger
    assert isinstance(trigger, CustomAudienceIndexingTrigger)
    assert trigger.indexing_tokens == tokens[1:]
    assert (trigger.batch_conn_id, trigger.audience_name, trigger.poke_interval) == ("batch_default", "vip", 7)
    assert before + 60 <= trigger.end_time <= time.time() + 60
    assert caught.value.method_name == "execute_complete"
    assert caught.value.timeout == timedelta(seconds=180)


def test_it_returns_the_view_that_the_trigger_saw() -> None:
    event = IndexingEvent("finished", "vip", (ODD,), audience={"name": "vip"})
    assert sensor([ODD]).execute_complete({}, event.to_payload()) == {"name": "vip"}


def test_it_warns_of_what_the_trigger_saw_replaced(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    event = IndexingEvent("finished", "vip", (ODD,), warning="a later replace took over")
    sensor([ODD]).execute_complete({}, event.to_payload())
    assert "vip: a later replace took over" in caplog.text + capsys.readouterr().out


def test_a_timeout_of_the_trigger_is_a_timeout_of_the_sensor() -> None:
    event = IndexingEvent("timeout", "vip", (ODD,), pending=(ODD,), message=f"not confirmed: {ODD}")
    with pytest.raises(AirflowSensorTimeout, match=ODD):
        sensor([ODD]).execute_complete({}, event.to_payload())


def test_an_error_of_the_trigger_fails_at_once_if_no_retry_can_mend_it() -> None:
    event = IndexingEvent("error", "vip", (ODD,), message="answered 401")
    with pytest.raises(AirflowFailException, match="answered 401"):
        sensor([ODD]).execute_complete({}, event.to_payload())
    event = IndexingEvent("error", "vip", (ODD,), message="answered 503", retryable=True)
    with pytest.raises(IndexingError, match="answered 503"):
        sensor([ODD]).execute_complete({}, event.to_payload())


@pytest.mark.parametrize(
    "event",
    [
        IndexingEvent("timeout", "vip", (ODD,), pending=(ODD,), message="not confirmed"),
        IndexingEvent("error", "vip", (ODD,), message="answered 401"),
    ],
    ids=["timeout", "error"],
)
def test_a_soft_failing_sensor_is_skipped_by_what_the_trigger_saw(event: IndexingEvent) -> None:
    with pytest.raises(AirflowSkipException):
        sensor([ODD], soft_fail=True).resume_execution("execute_complete", {"event": event.to_payload()}, {})


@pytest.mark.parametrize("gentle", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_soft_failing_sensor_is_skipped_by_a_refusal(deferrable: bool, gentle: str, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(Fault(401))
    with pytest.raises(AirflowSkipException):
        sensor([ODD], deferrable=deferrable, **{gentle: True}).execute({})


@pytest.mark.parametrize("deferrable", [False, True])
def test_any_other_sensor_fails_by_a_refusal(deferrable: bool, batch_sandbox: Sandbox) -> None:
    batch_sandbox.faults(Fault(401))
    with pytest.raises(AirflowFailException, match="answered 401"):
        sensor([ODD], deferrable=deferrable).execute({})


# Constructing


def test_templates_are_rendered() -> None:
    waiting = sensor(["{{ params.token }}"], audience_name="{{ params.name }}", batch_conn_id="batch_{{ params.name }}")
    waiting.render_template_fields({"params": {"token": ODD, "name": "gold"}})
    assert (waiting.indexing_tokens, waiting.audience_name, waiting.batch_conn_id) == ([ODD], "gold", "batch_gold")


def test_constructing_looks_nothing_up_and_checks_no_template() -> None:
    waiting = sensor("{{ token }}", audience_name="{{ not a name }}", batch_conn_id="no_such_connection")
    assert waiting.template_fields == ("audience_name", "indexing_tokens", "audience_type", "batch_conn_id")
    assert not waiting.deferrable


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises((TypeError, AirflowException)):
        sensor([ODD], tokens=[ODD])


def test_it_can_be_mapped_and_wired() -> None:
    with DAG("sensors", schedule=None) as dag:
        CustomAudienceIndexingSensor.partial(task_id="mapped", audience_name="vip").expand(indexing_tokens=[[ODD]])
        first = sensor([ODD], task_id="first")
        second = sensor(first.output, task_id="second")
    assert sorted(dag.task_dict) == ["first", "mapped", "second"]
    assert second.upstream_task_ids == {"first"}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_does_the_same(copied: Any, tokens: list[str]) -> None:
    assert copied(sensor(tokens)).execute({})["indexing_state"] == "APPLIED"


@pytest.mark.parametrize("arguments", [{}, {"silent_fail": True}, {"never_fail": True}, {"soft_fail": True}], ids=repr)
def test_a_kill_ends_the_pause_between_two_pokes(
    arguments: dict[str, bool], batch_sandbox: Sandbox, tokens: list[str], asked: Any
) -> None:
    batch_sandbox.faults(PENDING)
    waiting = sensor(tokens, poke_interval=3600, **arguments)

    def kill() -> None:
        eventually(lambda: asked() == 1)
        waiting.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(PushStoppedError):
        waiting.execute({})
    killer.join()
    assert asked() == 1


@pytest.mark.parametrize("arguments", [{}, {"silent_fail": True}, {"never_fail": True}, {"soft_fail": True}], ids=repr)
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_killed_sensor_asks_no_more(
    deferrable: bool, arguments: dict[str, bool], tokens: list[str], asked: Any
) -> None:
    waiting = sensor(tokens, deferrable=deferrable, **arguments)
    waiting.on_kill()
    with pytest.raises(PushStoppedError):
        waiting.execute({})
    assert asked() == 0


def test_a_kill_before_anything_runs_does_no_harm() -> None:
    sensor([ODD], batch_conn_id="no_such_connection").on_kill()


# What the tasks before it have not pushed.


def waiting_for(*states: str, known_to_ti: bool) -> Any:
    """A sensor for the tokens of tasks in these states, none of which has left any; and its context."""
    with DAG("skipped", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        push = CustomAudienceUpdateOperator.partial(task_id="push", audience_name="vip").expand(add_ids=[["a"], ["b"]])
        waiting = sensor(push.output, trigger_rule="none_failed")
    sensor_in_task: Any = copy.copy(waiting)
    sensor_in_task.indexing_tokens = None
    ti: Any = SimpleNamespace(dag_id="skipped", run_id="run", try_number=1, max_tries=0)
    instances = [SimpleNamespace(task_id="push", state=state) for state in states]
    if known_to_ti:
        by_task = {f"push_{number}": state for number, state in enumerate(states)}
        asked = {"dag_id": "skipped", "task_ids": ["push"], "run_ids": ["run"]}
        ti.get_task_states = lambda **given: {"run": by_task} if given == asked else {}
    run = SimpleNamespace(get_task_instances=lambda: [*instances, SimpleNamespace(task_id="other", state="failed")])
    return sensor_in_task, {"dag": dag, "ti": ti, "dag_run": run}


@pytest.mark.parametrize("known_to_ti", [True, False], ids=["Airflow 3", "Airflow 2"])
@pytest.mark.parametrize("states", [("skipped",), ("skipped", "skipped")], ids=["nothing to map", "nothing to send"])
def test_tasks_that_were_skipped_have_pushed_nothing_to_wait_for(
    states: tuple[str, ...], known_to_ti: bool, batch_sandbox: Sandbox
) -> None:
    waiting, context = waiting_for(*states, known_to_ti=known_to_ti)
    assert waiting.execute(context) is None
    assert batch_sandbox.calls == []


@pytest.mark.parametrize("known_to_ti", [True, False], ids=["Airflow 3", "Airflow 2"])
@pytest.mark.parametrize("states", [("skipped", "failed"), ("success",), ("skipped", "success"), ()])
def test_the_missing_tokens_of_others_do_not_pass_for_done(
    states: tuple[str, ...], known_to_ti: bool, batch_sandbox: Sandbox
) -> None:
    waiting, context = waiting_for(*states, known_to_ti=known_to_ti)
    with pytest.raises(AirflowFailException, match="a missing XCom is not an indexing token"):
        waiting.execute(context)


# What a rescheduled sensor remembers.


@pytest.fixture
def pokes(context: Any, store: Store) -> Any:
    return {**context, "task_state_store": store}


def poke(tokens: list[str], pokes: Any) -> bool:
    """One process of a rescheduled sensor; return whether it was the last."""
    return bool(sensor(tokens, mode="reschedule").poke(pokes))


def test_a_rescheduled_sensor_asks_on_where_it_was(
    batch_sandbox: Sandbox, tokens: list[str], asked: Any, pokes: Any
) -> None:
    batch_sandbox.faults(None, PENDING, PENDING, PENDING)
    assert not poke(tokens, pokes)
    assert asked() == 2
    assert not poke(tokens, pokes)
    assert asked() == 3
    assert not poke(tokens, next_try(pokes))
    assert asked() == 4
    assert poke(tokens, pokes)
    assert asked() == 6


@pytest.mark.parametrize("cleared", [True, False])
def test_a_cleared_sensor_asks_from_the_start(
    cleared: bool, batch_sandbox: Sandbox, tokens: list[str], asked: Any, pokes: Any
) -> None:
    batch_sandbox.faults(None, PENDING)
    assert not poke(tokens, pokes)
    assert poke(tokens, clear(pokes) if cleared else next_try(next_try(pokes)))
    assert asked() == 2 + 3


def test_other_tokens_are_asked_from_the_start(
    batch_sandbox: Sandbox, tokens: list[str], asked: Any, pokes: Any
) -> None:
    batch_sandbox.faults(None, PENDING)
    assert not poke(tokens, pokes)
    assert poke(tokens[::-1], pokes)
    assert asked() == 2 + 3


@pytest.mark.parametrize(
    "garbage",
    ["text", 7, [], {}, *({"confirmed": value} for value in (..., None, "1", -1, 3, 10**400, 1.0, [1])), {"of": None}],
    ids=repr,
)
def test_a_memory_of_garbage_costs_repetitions(
    garbage: Any, batch_sandbox: Sandbox, tokens: list[str], asked: Any, pokes: Any
) -> None:
    batch_sandbox.faults(None, PENDING)
    assert not poke(tokens, pokes)
    kept = pokes["task_state_store"].get("indexing")
    changed = {**kept, **garbage} if isinstance(garbage, dict) and garbage else garbage
    if isinstance(changed, dict):
        changed = {name: value for name, value in changed.items() if value is not ...}
    pokes["task_state_store"].set("indexing", changed)
    assert poke(tokens, pokes)
    assert asked() == 2 + 3


@pytest.mark.parametrize("method", ["get", "set"])
def test_a_memory_that_fails_costs_repetitions(
    method: str, batch_sandbox: Sandbox, tokens: list[str], asked: Any, pokes: Any
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("API_SERVER_ERROR")

    setattr(pokes["task_state_store"], method, fail)
    batch_sandbox.faults(None, PENDING)
    assert not poke(tokens, pokes)
    assert poke(tokens, pokes)
    assert asked() == 2 + 3


# What it logs last.


@pytest.mark.parametrize("deferrable", [False, True])
def test_it_says_what_was_confirmed_and_how_many_ids_there_are(
    deferrable: bool, tokens: list[str], told: Callable[[], str]
) -> None:
    sensor(tokens, deferrable=deferrable).execute({})
    assert told().rstrip().splitlines()[-1].count("vip: 3 writes confirmed; the audience has 3 ids") == 1
    event = IndexingEvent("finished", "vip", (ODD,), audience={"nb_ids": 1})
    sensor(tokens).execute_complete({}, event.to_payload())
    assert "vip: 1 write confirmed; the audience has 1 id" in told()
