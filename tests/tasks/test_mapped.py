"""Mapped tasks that may undo what another of them does are refused, each by itself and before the first call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, task, task_group

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.operators.custom_audience import (
    CustomAudienceMirrorOperator,
    CustomAudienceReplaceOperator,
    CustomAudienceUpdateOperator,
)
from airflow_provider_batch.tasks.mapped import check_mapped
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator

MAY_UNDO = "may add an id that another removes"
ONLY_IDS = "would remove the ids of the others"


def checked(make: Callable[[], Any], first: dict[str, Any], **default_args: Any) -> None:
    """Check the first of the mapped tasks that *make* puts into a DAG; *first* is what only that one gets."""
    start = pendulum.datetime(2026, 1, 1, tz="UTC")
    with DAG("mapped", start_date=start, schedule=None, default_args=default_args) as dag:
        make()
    definition: Any = dag.get_task("push" if dag.has_task("push") else "shard.push")
    operator = definition.unmap(first) if hasattr(definition, "unmap") else definition
    context: Any = {"ti": SimpleNamespace(map_index=0), "dag": dag, "task": operator}
    check_mapped(operator, context)


def update(**fixed: Any) -> Any:
    return CustomAudienceUpdateOperator.partial(task_id="push", **{"audience_name": "vip", **fixed})


def sql(mode: str | None, **fixed: Any) -> Any:
    mode_given = {} if mode is None else {"mode": mode}
    if mode == "actions":
        fixed["action_column"] = "action"
    if mode == "mirror":
        fixed["snapshot_path"] = "/snapshots"
    return SqlToCustomAudienceOperator.partial(
        task_id="push", conn_id="warehouse", sql="SELECT 1", **{"audience_name": "vip", **mode_given, **fixed}
    )


SHARDS: list[dict[str, Any]] = [{"shard": 0}, {"shard": 1}]


@pytest.mark.parametrize("mode", ["add", "remove"])
def test_shards_that_only_add_or_only_remove_are_pushed(mode: str) -> None:
    checked(lambda: sql(mode).expand(parameters=SHARDS), {"parameters": SHARDS[0]})


@pytest.mark.parametrize("argument", ["add_ids", "remove_ids"])
def test_ids_in_shards_are_pushed(argument: str) -> None:
    checked(lambda: update().expand(**{argument: [["a"], ["b"]]}), {argument: ["a"]})


def test_changes_in_shards_take_a_promise() -> None:
    with pytest.raises(InvalidArgumentError, match=MAY_UNDO) as refused:
        checked(lambda: sql("actions").expand(parameters=SHARDS), {"parameters": SHARDS[0]})

    assert "mapped_by='id'" in str(refused.value)
    checked(lambda: sql("actions", mapped_by="id").expand(parameters=SHARDS), {"parameters": SHARDS[0]})


def test_a_mode_that_differs_takes_a_promise() -> None:
    with pytest.raises(InvalidArgumentError, match=MAY_UNDO):
        checked(lambda: sql(None).expand(mode=["add", "remove"]), {"mode": "add"})


@pytest.mark.parametrize("mode", ["replace", "mirror"])
@pytest.mark.parametrize("mapped_by", [None, "id"])
def test_shards_that_would_be_the_only_ids_are_refused(mode: str, mapped_by: str | None) -> None:
    with pytest.raises(InvalidArgumentError, match=ONLY_IDS):
        checked(lambda: sql(mode, mapped_by=mapped_by).expand(parameters=SHARDS), {"parameters": SHARDS[0]})


@pytest.mark.parametrize("operator", [CustomAudienceReplaceOperator, CustomAudienceMirrorOperator])
def test_ids_that_would_be_the_only_ones_are_refused(operator: Any) -> None:
    path = {"snapshot_path": "/snapshots"} if operator is CustomAudienceMirrorOperator else {}

    def make() -> Any:
        return operator.partial(task_id="push", audience_name="vip", **path).expand(ids=[["a"], ["b"]])

    with pytest.raises(InvalidArgumentError, match=ONLY_IDS):
        checked(make, {"ids": ["a"]})


@pytest.mark.parametrize("argument", ["audience_name", "batch_conn_id"])
@pytest.mark.parametrize("mode", ["actions", "replace", "mirror"])
def test_an_audience_or_a_connection_for_each_task_is_no_shard(mode: str, argument: str) -> None:
    fixed = {"audience_name": "vip", "batch_conn_id": "batch_default"}
    del fixed[argument]

    def make() -> Any:
        partial = sql(mode, **fixed) if argument == "batch_conn_id" else sql_without_audience(mode)
        return partial.expand(**{argument: ["one", "two"]})

    checked(make, {argument: "one"})


def sql_without_audience(mode: str) -> Any:
    partial = sql(mode)
    del partial.kwargs["audience_name"]
    return partial


def test_a_connection_and_shards_of_it_are_refused() -> None:
    """Every connection with every shard: two tasks for each audience."""
    with pytest.raises(InvalidArgumentError, match=ONLY_IDS):
        checked(
            lambda: sql("replace").expand(batch_conn_id=["ios", "web"], parameters=SHARDS),
            {"batch_conn_id": "ios", "parameters": SHARDS[0]},
        )


def test_a_connection_that_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=ONLY_IDS):
        checked(lambda: sql("replace").expand(batch_conn_id=["ios", "ios"]), {"batch_conn_id": "ios"})


def test_sets_of_arguments_are_told_apart_by_their_audience() -> None:
    apart = [{"batch_conn_id": "ios", "sql": "SELECT 1"}, {"batch_conn_id": "web", "sql": "SELECT 2"}]
    together = [{"batch_conn_id": "ios", "sql": "SELECT 1"}, {"batch_conn_id": "ios", "sql": "SELECT 2"}]

    def make(sets: list[dict[str, str]]) -> Any:
        return SqlToCustomAudienceOperator.partial(
            task_id="push", conn_id="warehouse", audience_name="vip", mode="replace"
        ).expand_kwargs(sets)

    checked(lambda: make(apart), apart[0])
    with pytest.raises(InvalidArgumentError, match=ONLY_IDS):
        checked(lambda: make(together), together[0])


def test_adds_in_one_set_of_arguments_and_removes_in_another_take_a_promise() -> None:
    sets: list[dict[str, Any]] = [{"add_ids": ["a"]}, {"remove_ids": ["a"]}]

    with pytest.raises(InvalidArgumentError, match=MAY_UNDO):
        checked(lambda: update().expand_kwargs(sets), sets[0])
    checked(lambda: update(mapped_by="id").expand_kwargs(sets), sets[0])


def test_arguments_of_an_upstream_task_may_be_anything_that_is_not_fixed() -> None:
    @task
    def upstream() -> list[dict[str, Any]]:
        return []

    with pytest.raises(InvalidArgumentError, match=r"set that in partial\(\): the mode, or remove_ids=None"):
        checked(lambda: update().expand_kwargs(upstream()), {"add_ids": ["a"]})
    checked(lambda: update(remove_ids=None).expand_kwargs(upstream()), {"add_ids": ["a"]})
    checked(lambda: sql("add").expand_kwargs(upstream()), {"parameters": SHARDS[0]})


def test_the_default_mode_holds_for_the_arguments_of_an_upstream_task_unless_they_have_another() -> None:
    """The audience and the query of each country, from an upstream task."""

    @task
    def countries() -> list[dict[str, Any]]:
        return []

    def make() -> Any:
        return SqlToCustomAudienceOperator.partial(task_id="push", conn_id="warehouse", sql="SELECT 1").expand_kwargs(
            countries()
        )

    given = {"audience_name": "vip_fr", "parameters": {"country": "FR"}}
    checked(make, given)
    with pytest.raises(InvalidArgumentError, match="or a connection of its own, pass mapped_by='audience'"):
        checked(make, {**given, "mode": "remove"})
    with pytest.raises(InvalidArgumentError, match=ONLY_IDS):
        checked(make, {**given, "mode": "replace"})
    checked(make, {**given, "mode": "replace", "mapped_by": "audience"})


class Sync(CustomAudienceUpdateOperator):
    """What a DAG's file does not show: both kinds of ids come from the class."""

    def __init__(self, *, shard: int, **kwargs: Any) -> None:
        super().__init__(add_ids=[f"id-{shard}"], remove_ids=[f"id-{1 - shard}"], **kwargs)


def test_ids_that_the_arguments_of_the_mapped_task_do_not_show_count_too() -> None:
    with pytest.raises(InvalidArgumentError, match=MAY_UNDO):
        checked(lambda: update().expand(add_ids=[["a"], ["b"]]), {"add_ids": ["a"]}, remove_ids=["a"])
    with pytest.raises(InvalidArgumentError, match=MAY_UNDO):
        checked(lambda: Sync.partial(task_id="push", audience_name="vip").expand(shard=[0, 1]), {"shard": 0})


@pytest.mark.parametrize("mapped_by", [None, "audience"])
def test_a_file_for_the_rejected_rows_of_all_is_refused(mapped_by: str | None, tmp_path: Path) -> None:
    """The last shard to be done would leave its own rows alone in it."""

    skip = {"on_invalid_id": "skip"}

    def make(rejects_path: Any) -> Any:
        return sql("add", rejects_path=rejects_path, mapped_by=mapped_by, **skip).expand(parameters=SHARDS)

    for shared in ("/rejects.jsonl", tmp_path / "rejects.jsonl"):
        with pytest.raises(InvalidArgumentError, match=r"rejects_path: .*\{\{ ti.map_index \}\} in its name"):
            checked(lambda shared=shared: make(shared), {"parameters": SHARDS[0]})  # type: ignore[misc]
    checked(lambda: make("/rejects-{{ ti.map_index }}.jsonl"), {"parameters": SHARDS[0]})
    checked(lambda: sql("add", **skip).expand(rejects_path=["/a.jsonl", "/b.jsonl"]), {"rejects_path": "/a.jsonl"})


@pytest.mark.parametrize(("remove", "refused"), [(False, False), (True, True)])
def test_tasks_in_a_mapped_group_are_mapped(remove: bool, refused: bool) -> None:
    """What another task of the group is given is not known: one that adds and removes may only remove here."""

    def make() -> None:
        @task_group
        def shard(ids: Any) -> None:
            CustomAudienceUpdateOperator(
                task_id="push", audience_name="vip", add_ids=ids, remove_ids=ids if remove else None
            )

        shard.expand(ids=[["a"], ["b"]])

    if refused:
        with pytest.raises(InvalidArgumentError, match=MAY_UNDO):
            checked(make, {})
    else:
        checked(make, {})


def test_a_function_in_shards_is_checked_too() -> None:
    """The decorator's mapped arguments are the function's."""

    def make() -> None:
        @task.custom_audience(task_id="push", audience_name="vip", mode="replace")
        def shard(number: int) -> list[str]:
            return [f"customer-{number}"]

        shard.expand(number=[1, 2])

    with pytest.raises(InvalidArgumentError, match=ONLY_IDS):
        checked(make, {"op_kwargs": {"number": 1}})


def test_the_task_fails_for_good_before_anything_is_called() -> None:
    operator = CustomAudienceReplaceOperator(task_id="push", audience_name="vip", ids=["a"])
    with DAG("mapped", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None) as dag:
        CustomAudienceReplaceOperator.partial(task_id="push", audience_name="vip").expand(ids=[["a"], ["b"]])
    ti = SimpleNamespace(map_index=1, xcom_push=lambda **value: None)
    context: Any = {"ti": ti, "dag": dag, "task": operator}

    with pytest.raises(AirflowFailException, match=ONLY_IDS):
        operator.pre_execute(context)
