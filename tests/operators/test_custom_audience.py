"""The operator against a local Batch, called the way a worker calls it."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    TaskDeferred,
    task,
)

from airflow_provider_batch.exceptions import (
    BatchAuthenticationError,
    BatchConfigurationError,
    BatchConnectionError,
    BatchError,
    BatchNotFoundError,
    BatchRateLimitError,
    BatchRequestError,
    BatchServerError,
    IndexingError,
    IndexingTimeoutError,
    InvalidArgumentError,
    InvalidMemberError,
    PushStoppedError,
)
from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.triggers.custom_audience import CustomAudienceIndexingTrigger, IndexingEvent
from tests.worker import TaskInstance

SOON = {"Retry-After": "0"}
TOKENS = ["a" * 32, "b" * 32]


def update(**arguments: Any) -> CustomAudienceUpdateOperator:
    return CustomAudienceUpdateOperator(**{"task_id": "update", "audience_name": "vip", **arguments})


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that never gets done with indexing."""
    with Sandbox(indexing_delay=3600) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        yield sandbox


def lazy_result_type() -> type[Sequence[Any]]:
    try:
        from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

        return LazyXComSequence
    except ImportError:  # Airflow 2
        from airflow.models.xcom import LazyXComSelectSequence

        return LazyXComSelectSequence


def lazy(items: Iterable[Any]) -> Any:
    """What a mapped task's output is inside a worker, without a database behind it."""
    values = list(items)

    class Lazy(lazy_result_type()):  # type: ignore[misc]  # of another class in each Airflow
        __slots__ = ()

        def __init__(self) -> None:
            pass

        def __iter__(self) -> Iterator[Any]:
            return iter(values)

        def __len__(self) -> int:
            return len(values)

        def __bool__(self) -> bool:
            return bool(values)

        def __getitem__(self, key: Any) -> Any:
            return values[key]

    return Lazy()


# Pushing


def test_it_pushes_and_returns_the_tokens(batch_sandbox: Sandbox, context: Any, ti: TaskInstance) -> None:
    tokens = update(add_ids=["a", "b", "c"], remove_ids=["c", "d"], chunk_size=2).execute(context)
    assert batch_sandbox.members("vip") == {"a", "b"}
    assert len(tokens) == len(set(tokens)) == 2
    assert all(isinstance(token, str) for token in tokens)
    json.dumps(tokens)


def test_it_pushes_a_summary_without_ids_and_tokens(batch_sandbox: Sandbox, context: Any, ti: TaskInstance) -> None:
    given = ["id-1", "id-2", "id-1", "", "id-3"]
    update(add_ids=given, remove_ids=["id-3"], on_invalid_id="skip").execute(context)
    summary = ti.pushed.pop("summary")
    assert ti.pushed == {}
    assert summary.pop("seconds") >= 0
    assert summary == {
        "audience": "vip",
        "type": "custom_ids",
        "added": 2,
        "removed": 1,
        "duplicates": 2,
        "rejected": 1,
        "rejections": ["add_ids[3]: the id is empty. Drop the row."],
        "calls": 1,
    }
    assert "id-" not in json.dumps(summary)


def test_it_needs_no_task_instance(batch_sandbox: Sandbox) -> None:
    assert len(update(add_ids=["a"]).execute({})) == 1


@pytest.mark.parametrize("nothing", [None, [], (), "[]"])
def test_nothing_to_send_succeeds_without_a_call(nothing: Any, batch_sandbox: Sandbox, context: Any) -> None:
    assert update(add_ids=nothing, wait_for_indexing=True, deferrable=True).execute(context) == []
    assert batch_sandbox.calls == []


def test_nothing_to_send_may_skip_the_task(batch_sandbox: Sandbox, context: Any, ti: TaskInstance) -> None:
    with pytest.raises(AirflowSkipException, match="vip: nothing to send"):
        update(add_ids=[], skip_on_empty=True).execute(context)
    assert ti.pushed["summary"]["calls"] == 0


def test_something_to_send_is_not_skipped(batch_sandbox: Sandbox, context: Any) -> None:
    assert len(update(add_ids=["a"], skip_on_empty=True).execute(context)) == 1


@pytest.mark.parametrize(
    "items",
    [
        [["a", "b"], ["c"], []],
        [("a", "b"), {"c"}],
        ["a", "b", "c"],
        [["a"], "b", ["c"]],
        [[("a",), ("b",)], [("c",)]],
    ],
)
def test_the_results_of_mapped_tasks_are_concatenated(items: list[Any], batch_sandbox: Sandbox, context: Any) -> None:
    tokens = update(add_ids=lazy(items)).execute(context)
    assert len(tokens) == 1
    assert batch_sandbox.members("vip") == {"a", "b", "c"}


class _ConcatResult(list[Any]):
    """As Airflow's, which has the results of several tasks, one after the other, and its items in a row."""

    def __init__(self, *values: Any) -> None:
        super().__init__(chain(*values))
        self.values = values


class _MapResult(list[Any]):
    """As Airflow's, which has a result and a function's values for its items."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


@pytest.mark.parametrize(
    "given",
    [
        _ConcatResult(lazy([["a", "b"], ["c"]]), ["d"]),
        _ConcatResult(["a", "b"], ["c", ("d",)]),
        _MapResult(lazy([["a", "b"], ["c", "d"]])),
        _MapResult(["a", "b", "c", "d"]),
        _MapResult(_ConcatResult(lazy([["a", "b"]]), ["c", "d"])),
        _ConcatResult(_MapResult(lazy([["a", "b"]])), _ConcatResult(["c"], lazy(["d"]))),
    ],
)
def test_what_airflow_makes_of_mapped_results_is_one_list(given: Any, batch_sandbox: Sandbox, context: Any) -> None:
    update(add_ids=given).execute(context)
    assert batch_sandbox.members("vip") == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    "given",
    [
        [["a", "b"], ["c", "d"]],
        _ConcatResult([["a", "Paris"]], [["b", "Rome"]]),
        _MapResult([["a", "Paris"]]),
        lazy([[["a", "Paris"]]]),
        "[['a', 'b'], ['c']]",
    ],
)
def test_lists_in_a_plain_list_are_not_ids(given: Any, batch_sandbox: Sandbox, context: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"add_ids\[0\]: a list of 2 values .* \| sum\(start=\[\]\)"):
        update(add_ids=given).execute(context)
    assert batch_sandbox.calls == []


def test_a_list_of_rows_of_one_column_stays_one(batch_sandbox: Sandbox, context: Any) -> None:
    update(add_ids=[["a"], ["b"]]).execute(context)
    assert batch_sandbox.members("vip") == {"a", "b"}


def test_mapped_tasks_without_results_are_nothing_to_send(batch_sandbox: Sandbox, context: Any) -> None:
    assert update(add_ids=lazy([[], []]), remove_ids=lazy([])).execute(context) == []


def test_a_position_in_mapped_results_counts_over_all_of_them(batch_sandbox: Sandbox, context: Any) -> None:
    with pytest.raises(AirflowFailException) as caught:
        update(add_ids=lazy([["a", "b"], ["c", None]])).execute(context)
    assert isinstance(caught.value.__cause__, InvalidMemberError)
    assert caught.value.__cause__.position == 3


# Which failures are worth a retry


@pytest.mark.parametrize(
    "arguments",
    [
        {"add_ids": ["a", None]},
        {"add_ids": "some text"},
        {"add_ids": "None"},
        {"add_ids": ["a"], "audience_name": "no such name!"},
        {"add_ids": ["a"], "audience_name": ""},
        {"add_ids": ["a"], "audience_name": "None"},
        {"add_ids": ["a"], "audience_type": "emails"},
    ],
)
def test_what_no_retry_can_mend_fails_at_once_with_its_cause(
    arguments: dict[str, Any], batch_sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(AirflowFailException) as caught:
        update(**arguments).execute(context)
    assert isinstance(caught.value.__cause__, InvalidArgumentError)
    assert str(caught.value) == str(caught.value.__cause__)
    assert batch_sandbox.calls == []


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, BatchRequestError),
        (401, BatchAuthenticationError),
        (403, BatchAuthenticationError),
        (404, BatchNotFoundError),
    ],
)
def test_a_refusal_fails_at_once(status: int, cause: type[BatchError], batch_sandbox: Sandbox, context: Any) -> None:
    batch_sandbox.faults(Fault(status))
    with pytest.raises(AirflowFailException) as caught:
        update(add_ids=["a"]).execute(context)
    assert type(caught.value.__cause__) is cause


def test_a_connection_that_cannot_be_used_fails_at_once(monkeypatch: pytest.MonkeyPatch, context: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", '{"conn_type": "batch", "login": "an-app-key"}')
    with pytest.raises(AirflowFailException) as caught:
        update(add_ids=["a"]).execute(context)
    assert isinstance(caught.value.__cause__, BatchConfigurationError)


@pytest.mark.parametrize(("status", "error"), [(429, BatchRateLimitError), (503, BatchServerError)])
def test_what_may_pass_is_left_to_the_retries(
    status: int, error: type[BatchError], batch_sandbox: Sandbox, context: Any, ti: TaskInstance
) -> None:
    batch_sandbox.faults(*[Fault(status, headers=SOON)] * 5)
    with pytest.raises(error):
        update(add_ids=["a"]).execute(context)
    assert len(batch_sandbox.calls) == 5
    assert ti.pushed == {}


def test_no_answer_is_left_to_the_retries(monkeypatch: pytest.MonkeyPatch, context: Any) -> None:
    fields = {"conn_type": "batch", "login": "an-app-key", "password": "a-rest-key", "host": "http://127.0.0.1:9"}
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", json.dumps({**fields, "extra": {"max_attempts": 1}}))
    with pytest.raises(BatchConnectionError):
        update(add_ids=["a"]).execute(context)


def test_a_retry_sends_everything_again(batch_sandbox: Sandbox, context: Any) -> None:
    operator = update(add_ids=[f"id-{number}" for number in range(6)], chunk_size=2, max_concurrency=1)
    batch_sandbox.faults(None, *[Fault(503, headers=SOON)] * 5)
    with pytest.raises(BatchServerError):
        operator.execute(context)
    assert len(operator.execute(context)) == 3
    assert len(batch_sandbox.members("vip")) == 6


# Waiting


def test_it_waits_until_the_writes_are_applied(batch_sandbox: Sandbox, context: Any) -> None:
    batch_sandbox.faults(None, Fault(200, body={"name": "vip", "indexing_state": "IN_PROGRESS"}))
    tokens = update(add_ids=["a"], wait_for_indexing=True, poke_interval=0.001).execute(context)
    assert len(tokens) == 1
    assert [call.method for call in batch_sandbox.calls] == ["PATCH", "GET", "GET"]


def test_a_wait_that_takes_too_long_is_left_to_the_retries(slow: Sandbox, context: Any, ti: TaskInstance) -> None:
    with pytest.raises(IndexingTimeoutError):
        update(add_ids=["a"], wait_for_indexing=True, poke_interval=0.01, indexing_timeout=0.02).execute(context)
    assert ti.pushed["summary"]["added"] == 1


def test_without_a_wait_there_is_no_question(slow: Sandbox, context: Any) -> None:
    update(add_ids=["a"], default_args={"deferrable": True}).execute(context)
    assert [call.method for call in slow.calls] == ["PATCH"]


def test_it_does_not_defer_what_is_applied_already(batch_sandbox: Sandbox, context: Any) -> None:
    operator = update(add_ids=["a", "b"], chunk_size=1, wait_for_indexing=True, deferrable=True)
    assert len(operator.execute(context)) == 2
    assert [call.method for call in batch_sandbox.calls] == ["PATCH", "PATCH", "GET", "GET"]


def test_it_defers_what_is_not(batch_sandbox: Sandbox, context: Any, ti: TaskInstance) -> None:
    batch_sandbox.faults(None, None, None, None, Fault(200, body={"name": "vip", "indexing_state": "IN_PROGRESS"}))
    before = time.time()
    operator = update(
        add_ids=["a", "b", "c"],
        chunk_size=1,
        max_concurrency=1,
        wait_for_indexing=True,
        deferrable=True,
        poke_interval=3,
        indexing_timeout=60,
    )
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context)
    assert caught.value.method_name == "execute_complete"
    assert caught.value.timeout == timedelta(seconds=180)
    trigger = caught.value.trigger
    assert isinstance(trigger, CustomAudienceIndexingTrigger)
    assert (trigger.batch_conn_id, trigger.audience_name, trigger.poke_interval) == ("batch_default", "vip", 3)
    assert (len(trigger.indexing_tokens), trigger.confirmed) == (3, 1)
    assert before + 60 <= trigger.end_time <= time.time() + 60
    assert ti.pushed["summary"]["calls"] == 3


def test_it_returns_the_tokens_when_the_trigger_is_done(context: Any) -> None:
    event = IndexingEvent("finished", "vip", tuple(TOKENS), audience={"name": "vip"})
    assert update().execute_complete(context, event.to_payload()) == TOKENS


def test_it_warns_of_what_was_replaced(
    context: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    event = IndexingEvent("finished", "vip", tuple(TOKENS), warning="a later replace took over")
    update().execute_complete(context, event.to_payload())
    # Airflow 3 prints what it logs outside a worker.
    assert "vip: a later replace took over" in caplog.text + capsys.readouterr().out


def test_a_timeout_of_the_trigger_is_left_to_the_retries(context: Any) -> None:
    event = IndexingEvent("timeout", "vip", tuple(TOKENS), pending=tuple(TOKENS[1:]), message="not confirmed")
    with pytest.raises(IndexingTimeoutError, match="not confirmed") as caught:
        update().execute_complete(context, event.to_payload())
    assert caught.value.indexing_tokens == (TOKENS[1],)


def test_an_error_of_the_trigger_fails_at_once_if_no_retry_can_mend_it(context: Any) -> None:
    event = IndexingEvent("error", "vip", tuple(TOKENS), message="answered 401")
    with pytest.raises(AirflowFailException, match="answered 401"):
        update().execute_complete(context, event.to_payload())
    passing = IndexingEvent("error", "vip", tuple(TOKENS), message="answered 503", retryable=True)
    with pytest.raises(IndexingError, match="answered 503"):
        update().execute_complete(context, passing.to_payload())


# Rendering


def test_templates_are_rendered(context: Any) -> None:
    operator = update(
        audience_name="{{ params.segment }}",
        audience_type="{{ 'custom' }}_ids",
        batch_conn_id="batch_{{ params.segment }}",
        add_ids=["{{ params.segment }}-1", "plain"],
        remove_ids="{{ ['x', 'y'] }}",
    )
    operator.render_template_fields(context)
    assert (operator.audience_name, operator.audience_type, operator.batch_conn_id) == (
        "vip",
        "custom_ids",
        "batch_vip",
    )
    assert list(operator.given("add_ids")) == ["vip-1", "plain"]
    assert operator.given("remove_ids") == "['x', 'y']"


def test_what_was_rendered_is_pushed(batch_sandbox: Sandbox, context: Any) -> None:
    operator = update(audience_name="{{ params.segment }}", add_ids="{{ ['x', 'y', 'z'] }}", remove_ids=["{{ 'z' }}"])
    operator.render_template_fields(context)
    operator.execute(context)
    assert batch_sandbox.members("vip") == {"x", "y"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ([f"customer-{number}" for number in range(25_000)], "25,000 ids"),
        (("customer-1",), "1 id"),
        ({"customer-1", "customer-2"}, "2 ids"),
        ("['customer-1', 'customer-2']", "a text of 28 characters"),
        (lazy([["customer-1"], ["customer-2"]]), "ids in a Lazy of 2"),
    ],
)
def test_airflow_stores_how_many_ids_there_are(given: Any, shown: str, context: Any) -> None:
    operator = update(add_ids=given)
    operator.render_template_fields(context)
    assert stored(operator.add_ids, "add_ids") == shown
    assert "customer" not in f"{operator.add_ids} {operator.add_ids!r}"


def test_a_generator_is_shown_without_being_read(batch_sandbox: Sandbox, context: Any) -> None:
    operator = update()
    operator.add_ids = (f"customer-{number}" for number in range(3))
    operator.render_template_fields(context)
    assert stored(operator.add_ids, "add_ids") == "ids in a generator"
    operator.execute(context)
    assert len(batch_sandbox.members("vip")) == 3


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ((each for each in "ab"), "generator"),
        (map(str, [1]), "map"),
        (iter(["a"]), "list_iterator"),
        (["a", iter(["b"])], "list_iterator"),
        ((["a"], (each for each in "b")), "generator"),
    ],
)
@pytest.mark.parametrize("field", ["add_ids", "remove_ids"])
def test_what_can_be_read_only_once_is_refused_in_a_dag_file(given: Any, kind: str, field: str) -> None:
    """Airflow would store its address: a new version of the DAG each time its file is parsed."""
    expected = rf"{field}: a {kind} can be read only once.* Pass a list or an upstream task's output"
    with pytest.raises(InvalidArgumentError, match=expected):
        update(**{field: given})
    with pytest.raises(InvalidArgumentError, match=expected):
        CustomAudienceUpdateOperator.partial(task_id="update", audience_name="vip", **{field: given})


def test_the_results_of_several_tasks_are_one_list(
    monkeypatch: pytest.MonkeyPatch, batch_sandbox: Sandbox, context: Any
) -> None:
    with DAG("several", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):

        @task
        def ids(name: str) -> list[str]:
            return [name]

        sources: Any = [ids(name) for name in "abcd"]
        operator = update(add_ids=["x", *sources])
    results = [["a1", "a2"], lazy([["b1"], ["b2"]]), "c1", [("d1",)]]
    by_task = {source.operator.task_id: result for source, result in zip(sources, results, strict=True)}
    monkeypatch.setattr(type(sources[0]), "resolve", lambda self, *_, **__: by_task[self.operator.task_id])
    operator.render_template_fields(context)
    operator.execute(context)
    assert batch_sandbox.members("vip") == {"x", "a1", "a2", "b1", "b2", "c1", "d1"}


@pytest.mark.parametrize("mapped", [False, True])
def test_a_missing_xcom_fails_unless_there_was_nothing_to_map(
    mapped: bool, monkeypatch: pytest.MonkeyPatch, batch_sandbox: Sandbox, context: Any
) -> None:
    with DAG("missing", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):

        @task
        def ids(name: str) -> None: ...

        source: Any = ids.expand(name=["a"]) if mapped else ids("a")
        operator = update(add_ids=source)
    monkeypatch.setattr(type(source), "resolve", lambda self, *_, **__: None)
    operator.render_template_fields(context)
    if mapped:
        assert operator.execute(context) == []
        return
    with pytest.raises(AirflowFailException, match="add_ids: the XCom that it was rendered from is missing"):
        operator.execute(context)


def test_no_ids_stay_none(context: Any) -> None:
    operator = update()
    operator.render_template_fields(context)
    assert (operator.add_ids, operator.remove_ids) == (None, None)


def test_rendering_twice_is_rendering_once(batch_sandbox: Sandbox, context: Any) -> None:
    operator = update(add_ids=["a"])
    operator.render_template_fields(context)
    operator.render_template_fields(context)
    assert operator.given("add_ids") == ["a"]
    operator.execute(context)
    assert batch_sandbox.members("vip") == {"a"}


# Constructing: a DAG file is parsed all day, and what is templated is not known yet


def test_constructing_looks_nothing_up_and_checks_no_template() -> None:
    operator = update(
        audience_name="{{ not a name }}",
        add_ids="{{ ti.xcom_pull('ids') }}",
        remove_ids=5,
        audience_type="{{ type }}",
        batch_conn_id="no_such_connection",
    )
    assert operator.audience_name == "{{ not a name }}"
    assert operator.template_fields == ("audience_name", "add_ids", "remove_ids", "audience_type", "batch_conn_id")


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises((TypeError, AirflowException)):
        update(add_id=["a"])


def test_the_defaults_are_the_documented_ones() -> None:
    operator = update()
    assert (operator.audience_type, operator.batch_conn_id, operator.chunk_size) == (
        "custom_ids",
        "batch_default",
        10_000,
    )
    assert (operator.max_concurrency, operator.on_invalid_id, operator.skip_on_empty) == (None, "fail", False)
    assert (operator.wait_for_indexing, operator.deferrable) == (False, False)
    assert (operator.poke_interval, operator.indexing_timeout) == (10, 3600)


def test_it_can_be_mapped_over_audiences_and_ids() -> None:
    with DAG("mapped", schedule=None) as dag:
        CustomAudienceUpdateOperator.partial(task_id="one", add_ids=["a"]).expand(audience_name=["vip", "gold"])
        CustomAudienceUpdateOperator.partial(task_id="two", audience_name="vip").expand(add_ids=[["a"], ["b"]])
    assert sorted(dag.task_dict) == ["one", "two"]


def test_its_output_is_an_argument_of_others() -> None:
    with DAG("wired", schedule=None):
        first = update(task_id="first", add_ids=["a"])
        second = update(task_id="second", add_ids=first.output)
    assert second.upstream_task_ids == {"first"}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("rendered", [False, True])
def test_a_copy_does_the_same(copied: Any, rendered: bool, batch_sandbox: Sandbox, context: Any) -> None:
    operator = update(add_ids=["a", "b"])
    if rendered:
        operator.render_template_fields(context)
    twin = copied(operator)
    assert twin.task_id == "update"
    twin.execute(context)
    assert batch_sandbox.members("vip") == {"a", "b"}


# Killing


def test_a_kill_stops_the_push(batch_sandbox: Sandbox, context: Any) -> None:
    def killing() -> Iterator[str]:
        yield "a"
        operator.on_kill()
        yield "b"

    operator = update(chunk_size=1, max_concurrency=1)
    operator.add_ids = killing()
    with pytest.raises(PushStoppedError):  # not for good: a worker that shuts down kills its tasks, too
        operator.execute(context)
    assert len(batch_sandbox.calls) <= 1


def test_a_kill_before_anything_runs_does_no_harm() -> None:
    update(batch_conn_id="no_such_connection").on_kill()


def stored(value: Any, field: str) -> Any:
    """What this version of Airflow makes of a rendered field."""
    try:
        from airflow.sdk.execution_time.task_runner import _serialize_template_field as serialize
    except ImportError:
        from airflow.serialization.helpers import serialize_template_field as serialize
    return serialize(value, field)
