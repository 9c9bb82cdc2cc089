"""``@task.custom_audience``: called as a worker calls it, and on real Airflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, TaskDeferred, task

from airflow_provider_batch.decorators.custom_audience import CustomAudienceDecoratedOperator, custom_audience_task
from airflow_provider_batch.exceptions import (
    BatchServerError,
    InvalidArgumentError,
    InvalidMemberError,
    PushStoppedError,
)
from airflow_provider_batch.operators.rendered_ids import RenderedIds
from airflow_provider_batch.protocol.audiences.members import Change, Member
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.triggers.custom_audience import IndexingEvent
from tests.dags.running import rendered, run, stored, xcoms
from tests.worker import TaskInstance

PROJECT = "project_sandbox"
_NAMES = (f"decorated_{number}" for number in count())


def dag() -> DAG:
    return DAG(next(_NAMES), start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None)


def decorated(function: Callable[..., Any], *op_args: Any, **arguments: Any) -> CustomAudienceDecoratedOperator:
    """The operator that *function* becomes when it is called with *op_args* in a DAG."""
    with dag() as its_dag:
        custom_audience_task(audience_name="vip", task_id="push", **arguments)(function)(*op_args)
    (operator,) = its_dag.tasks
    assert isinstance(operator, CustomAudienceDecoratedOperator)
    return operator


# What a function may give


@pytest.mark.parametrize(
    "values",
    [["a", "b"], ("a", "b"), {"a", "b"}, [("a",), ("b",)], [Member("a"), {"id": "b"}], '["a", "b"]'],
    ids=["list", "tuple", "set", "rows", "members", "text"],
)
def test_it_pushes_what_a_function_returns(values: Any, batch_sandbox: Sandbox, context: Any, ti: TaskInstance) -> None:
    tokens = decorated(lambda: values).execute(context)
    assert len(tokens) == 1
    assert batch_sandbox.members("vip") == {"a", "b"}
    assert ti.pushed["summary"]["added"] == 2


@pytest.mark.parametrize("mode", ["add", "remove", "actions", "replace", "mirror"])
def test_a_forgotten_return_is_not_taken_for_no_ids(
    mode: Any, batch_sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    kept = {"snapshot_path": tmp_path} if mode == "mirror" else {}
    with pytest.raises(
        AirflowFailException, match=r"the function returned None\. Return or yield the ids; return \[\]"
    ):
        decorated(lambda: None, mode=mode, skip_on_empty=True, **kept).execute(context)
    assert batch_sandbox.calls == []


@pytest.mark.parametrize("nothing", [[], ()])
def test_nothing_is_nothing_to_send(nothing: Any, batch_sandbox: Sandbox, context: Any) -> None:
    assert decorated(lambda: nothing).execute(context) == []
    assert batch_sandbox.calls == []


def test_it_pushes_what_a_function_yields(batch_sandbox: Sandbox, context: Any) -> None:
    def ids(most: int) -> Iterator[str]:
        for number in range(most):
            yield f"id-{number}"

    assert len(decorated(ids, 25, chunk_size=10).execute(context)) == 3
    assert len(batch_sandbox.members("vip")) == 25


def test_members_with_attributes(batch_sandbox: Sandbox, context: Any) -> None:
    def members() -> Iterator[Any]:
        yield Member("a", {"plan": "gold"})
        yield {"id": "b", "attributes": {"plan": "free"}}

    decorated(members, batch_conn_id="batch_cep").execute(context)
    assert batch_sandbox.attributes("vip", PROJECT)["b"] == {"attributes": {"plan": "free"}, "tags": []}


def test_changes(batch_sandbox: Sandbox, context: Any, ti: TaskInstance) -> None:
    def changes() -> Iterator[Change]:
        yield from (Change("add", "a"), Change("add", "b"), Change("remove", "a"))

    decorated(changes, mode="actions").execute(context)
    assert batch_sandbox.members("vip") == {"b"}
    assert (ti.pushed["summary"]["added"], ti.pushed["summary"]["removed"]) == (1, 1)


def test_actions_of_what_has_none(batch_sandbox: Sandbox, context: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"changes\[0\]: the value has no action"):
        decorated(lambda: ["a"], mode="actions").execute(context)
    assert batch_sandbox.calls == []


@pytest.mark.parametrize("mode", ["replace", "mirror"])
def test_the_other_modes(mode: str, batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    kept = {"snapshot_path": str(tmp_path), "poke_interval": 0.1} if mode == "mirror" else {}
    for ids in (["a", "b"], ["b", "c"]):
        decorated(lambda ids=ids: iter(ids), mode=mode, **kept).execute(context)
        assert batch_sandbox.members("vip") == set(ids)
    with pytest.raises(AirflowFailException, match="allow_empty=True"):
        decorated(lambda: (), mode=mode, **kept).execute(context)


# How it ends


class Watched:
    """A generator that tells whether it is closed."""

    def __init__(self, *values: Any) -> None:
        self.closed = False
        self._values = values

    def __call__(self) -> Iterator[Any]:
        try:
            for value in self._values:
                if isinstance(value, Exception):
                    raise value
                yield value
        finally:
            self.closed = True


def test_a_generator_is_closed_when_all_is_well(batch_sandbox: Sandbox, context: Any) -> None:
    ids = Watched("a")
    decorated(lambda: ids()).execute(context)
    assert ids.closed


@pytest.mark.parametrize("mode", ["add", "replace", "mirror", "actions"])
def test_a_generator_is_closed_when_a_value_is_none(
    mode: str, batch_sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    ids = Watched("a", None, "b")
    kept = {"snapshot_path": str(tmp_path)} if mode == "mirror" else {}
    with pytest.raises(AirflowFailException) as caught:
        decorated(lambda: ids(), mode=mode, chunk_size=1, **kept).execute(context)
    assert isinstance(caught.value.__cause__, InvalidMemberError)
    assert ids.closed


def test_a_generator_is_closed_when_batch_is_down(
    batch_sandbox: Sandbox, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = batch_sandbox.connection_json().replace("}", ', "extra": {"max_attempts": 1}}')
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", connection)
    batch_sandbox.faults(*[Fault(503)] * 8)
    ids = Watched(*map(str, range(100)))
    with pytest.raises(BatchServerError):
        decorated(lambda: ids(), chunk_size=1, max_concurrency=1).execute(context)
    assert ids.closed


def test_a_generator_is_closed_when_the_task_is_killed(batch_sandbox: Sandbox, context: Any) -> None:
    operator: Any = None

    def killed() -> Iterator[str]:
        yield "a"
        operator.on_kill()
        yield "b"

    generators = []

    def ids() -> Iterator[str]:
        generators.append(killed())
        return generators[0]

    operator = decorated(ids, chunk_size=1, max_concurrency=1)
    with pytest.raises(Exception, match="stopped"):
        operator.execute(context)
    assert next(generators[0], None) is None


@pytest.mark.parametrize("mode", ["add", "replace", "mirror", "actions"])
@pytest.mark.parametrize("before", [(), ("a",), ("a", "b", "c")])
def test_an_exception_in_the_function_keeps_its_type(
    before: tuple[str, ...], mode: str, batch_sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    values = [Change("add", id_) if mode == "actions" else id_ for id_ in before]
    ids = Watched(*values, ZeroDivisionError("their own words"))
    kept = {"snapshot_path": str(tmp_path)} if mode == "mirror" else {}
    with pytest.raises(ZeroDivisionError, match="their own words"):
        decorated(lambda: ids(), mode=mode, chunk_size=2, **kept).execute(context)
    assert ids.closed
    if mode == "mirror":  # nothing is sent before all is read
        assert batch_sandbox.calls == []


def test_a_function_that_fails_before_it_gives_anything(batch_sandbox: Sandbox, context: Any) -> None:
    def broken() -> list[str]:
        raise KeyError("x")

    with pytest.raises(KeyError):
        decorated(broken).execute(context)


def test_it_waits_in_the_triggerer(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = Watched("a", "b")
    with Sandbox(indexing_delay=3600) as slow:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", slow.connection_json())
        operator = decorated(lambda: ids(), wait_for_indexing=True, deferrable=True)
        with pytest.raises(TaskDeferred) as deferred:
            operator.execute(context)
    assert deferred.value.method_name == "execute_complete"
    assert ids.closed
    assert operator.execute_complete(context, IndexingEvent("finished", "vip", ("t",)).to_payload()) == ["t"]


def test_a_dry_run(batch_sandbox: Sandbox, context: Any, ti: TaskInstance) -> None:
    ids = Watched("a", "b", "a")
    assert decorated(lambda: ids(), dry_run=True).execute(context) == []
    assert ti.pushed["summary"]["calls"] == 1
    assert ids.closed
    assert batch_sandbox.calls == []


# Arguments


def test_the_context_and_arguments_by_name(batch_sandbox: Sandbox, context: Any) -> None:
    def ids(first: str, *, second: str, ds: str | None = None, **context: Any) -> list[str | None]:
        return [first, second, ds, context["params"]["segment"]]

    with dag() as its_dag:
        custom_audience_task(audience_name="vip")(ids)("a", second="b")
    operator: Any = its_dag.tasks[0]
    operator.execute({**context, "ds": "2026-01-01"})
    assert batch_sandbox.members("vip") == {"a", "b", "2026-01-01", "vip"}


@pytest.mark.parametrize(
    "given",
    [
        "{{ ids }}",
        "{{ ids | join(',') }}",
        "{{ ids | join('\\n') }}",
        "['id-1', 'id-2']",
        "id-1@x.org",
        "id-1," * 100,
        b"id-1",
        ("id-1",),
    ],
    ids=repr,
)
def test_texts_that_may_be_ids_are_not_shown(given: Any, batch_sandbox: Sandbox, context: Any) -> None:
    got: list[Any] = []

    def ids(first: Any, second: Any, named: Any) -> list[str]:
        got.extend([first, second, named])
        return []

    with dag() as its_dag:
        custom_audience_task(audience_name="vip")(ids)(given, "gold", named=given)
    operator: Any = its_dag.tasks[0]
    operator.render_template_fields({**context, "ids": ["id-1", "id-2"]})
    shown = str([getattr(operator, field) for field in operator.template_fields])
    assert "id-1" not in shown
    assert "gold" in shown
    operator.execute(context)
    assert "id-1" in str(got[0])
    assert got == [got[0], "gold", got[0]]


@pytest.mark.parametrize("mode", ["add", "remove", "replace", "mirror", "dry run"])
def test_a_task_that_is_killed_while_its_source_is_read_sends_nothing(
    mode: Any, batch_sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    operator: Any = None
    read: list[int] = []

    class Ids:
        def __iter__(self) -> Iterator[str]:
            for number in range(100):
                read.append(number)
                if number == 10:
                    operator.on_kill()
                yield f"id-{number}"

    arguments: dict[str, Any] = {"dry_run": True} if mode == "dry run" else {"mode": mode}
    arguments |= {"snapshot_path": tmp_path} if mode == "mirror" else {}
    operator = decorated(lambda: Ids(), chunk_size=5, **arguments)
    with pytest.raises(PushStoppedError):
        operator.execute(context)
    assert read[-1] < 15
    assert batch_sandbox.calls == []
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_task_that_is_killed_before_its_function_returns_sends_nothing(batch_sandbox: Sandbox, context: Any) -> None:
    operator: Any = None

    def ids() -> list[str]:
        operator.on_kill()
        return ["a"]

    operator = decorated(ids)
    with pytest.raises(PushStoppedError):
        operator.execute(context)
    assert batch_sandbox.calls == []


def test_rendered_arguments_are_counts_and_reach_the_function(batch_sandbox: Sandbox, context: Any) -> None:
    got: list[Any] = []

    def ids(*args: Any, **kwargs: Any) -> list[str]:
        got.extend([args, {name: kwargs[name] for name in ("listed", "named", "most")}])
        return []

    with dag() as its_dag:
        custom_audience_task(audience_name="{{ params.segment }}")(ids)(
            ["id-1", "id-2"], "{{ params.segment }}", listed=("id-3",), named={"a": "id-4"}, most=7
        )
    operator: Any = its_dag.tasks[0]
    operator.render_template_fields(context)
    shown = {field: repr(getattr(operator, field)) for field in operator.template_fields}
    assert "id-" not in str(shown)
    assert shown["op_args"] == "(2 ids, 'vip')"
    assert shown["op_kwargs"] == "{'listed': 1 id, 'named': ids in a dict of 1, 'most': 7}"
    assert operator.audience_name == "vip"
    operator.execute(context)
    assert got == [(["id-1", "id-2"], "vip"), {"listed": ("id-3",), "named": {"a": "id-4"}, "most": 7}]
    assert isinstance(operator.op_args[0], RenderedIds)  # what a listener sees after the run


def nobody() -> list[str]:
    return []


def test_arguments_that_can_be_read_only_once_fail_the_dag_file() -> None:
    with pytest.raises(InvalidArgumentError, match="op_args: a generator can be read only once"):
        decorated(lambda ids: ids, (each for each in "ab"))
    with dag(), pytest.raises(InvalidArgumentError, match="ids: a map can be read only once"):
        custom_audience_task(audience_name="vip", task_id="push")(lambda ids: ids)(ids=map(str, [1]))


def test_what_does_not_fit_fails_the_dag_file() -> None:
    with pytest.raises(ValueError, match="mode: 'upsert' is not one of"):
        decorated(nobody, mode="upsert")
    with pytest.raises(ValueError, match="snapshot_path"):
        decorated(nobody, mode="mirror")


# On real Airflow


@pytest.fixture
def real(batch_sandbox: Sandbox, airflow_db: None) -> Sandbox:
    return batch_sandbox


def test_it_is_a_decorator_of_airflow_and_its_values_are_never_stored(real: Sandbox, told: Callable[[], str]) -> None:
    with dag() as its_dag:

        @task
        def upstream() -> list[str]:
            return ["given-1", "given-2"]

        @task.custom_audience(audience_name="vip", chunk_size=2)
        def winners(given: list[str], most: int, ds: Any = None, ti: Any = None) -> Iterator[str]:
            assert isinstance(given, list)
            assert ds
            assert ti.task_id == "winners"
            yield from given
            for number in range(most):
                yield f"secret-{number}"

        winners(upstream(), most=3)  # type: ignore[arg-type]  # what it is given is what upstream returns

    dag_run = run(its_dag)
    assert real.members("vip") == {"given-1", "given-2", "secret-0", "secret-1", "secret-2"}
    pushed = xcoms(dag_run, "winners")
    assert len(pushed["return_value"]) == 3
    assert pushed["summary"]["added"] == 5
    assert "secret" not in stored(dag_run, "winners")
    assert "2 ids" in rendered(dag_run, "winners")
    assert "given" not in rendered(dag_run, "winners")
    logged = told()
    assert "5 added" in logged
    assert "secret-" not in logged


def test_mapped_templated_deferred_and_under_any_annotation(
    monkeypatch: pytest.MonkeyPatch, airflow_db: None, tmp_path: Path
) -> None:
    with Sandbox(["vip", "mirrored", "other"], indexing_delay=1.0) as slow:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", slow.connection_json())
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", slow.connection_json(PROJECT))

        with dag() as its_dag:

            @task
            def shards() -> list[list[str]]:
                return [["a"], ["b", "c"]]

            @task.custom_audience(audience_name="{{ 'vip' }}", wait_for_indexing=True, poke_interval=0.2)
            def members(prefix: str, shard: list[str]) -> dict[str, str]:
                return [f"{prefix}-{id_}" for id_ in shard]  # type: ignore[return-value]  # only the annotation counts here

            @task.custom_audience(
                audience_name="mirrored",
                mode="mirror",
                snapshot_path=str(tmp_path),
                deferrable=True,
                on_drift="fail",
                poke_interval=0.2,
            )
            def mirrored(most: int) -> dict[str, str]:
                return [f"id-{number}" for number in range(most)]  # type: ignore[return-value]

            members.partial(prefix="{{ 'x' }}").expand(shard=shards())
            mirrored.override(task_id="mep")(1)
            mirrored.override(task_id="cep", batch_conn_id="batch_cep")(2)
        dag_run = run(its_dag)

        assert slow.members("vip") == {"x-a", "x-b", "x-c"}
        assert len(slow.members("mirrored")) == 1
        assert len(slow.members("mirrored", PROJECT)) == 2
    # An annotation that is a dict does not make Airflow take the tokens apart.
    for task_id in ("members", "mep", "cep"):
        assert len(xcoms(dag_run, task_id)["return_value"]) == 1
    assert "x-a" not in stored(dag_run, "members", "mep", "cep")
    # Whoever came back from the triggerer has noted that the writes are indexed.
    assert {path.parent.parent.name for path in tmp_path.rglob("*.confirmed")} == {"batch_default", "batch_cep"}
