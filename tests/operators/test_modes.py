"""What all operators share that push what a source gives, by the smallest of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, ObjectStoragePath
from airflow.utils.types import DagRunType

from airflow_provider_batch.exceptions import BatchRequestError, InvalidArgumentError, MirrorConflictError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.operators.modes import SourcePushOperator
from airflow_provider_batch.protocol.audiences.members import Change
from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.clock import eventually
from tests.worker import TaskInstance


class ListPushOperator(SourcePushOperator):
    """Pushes what it was given."""

    def __init__(self, *, values: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.values = values
        self.closed = False

    @contextmanager
    def source(self, context: Any) -> Iterator[Any]:
        try:
            yield self.values
        finally:
            self.closed = True


def push(values: Any, **arguments: Any) -> ListPushOperator:
    return ListPushOperator(task_id="push", audience_name="vip", values=values, **arguments)


@pytest.mark.parametrize(
    ("mode", "values", "members"),
    [
        ("add", ["a"], {"a", "x", "y"}),
        ("remove", ["x"], {"y"}),
        ("actions", [Change("add", "a"), Change("remove", "x")], {"a", "y"}),
        ("replace", ["a"], {"a"}),
        ("mirror", ["a"], {"a", "x", "y"}),
    ],
)
def test_each_mode(
    mode: Any, values: Any, members: set[str], batch_sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    push(["x", "y"]).execute(context)
    operator = push(values, mode=mode, snapshot_path=tmp_path if mode == "mirror" else None)
    assert len(operator.execute(context)) == 1
    assert batch_sandbox.members("vip") == members
    assert operator.closed


@pytest.mark.parametrize("mode", ["replace", "mirror"])
def test_a_backfill_does_not_undo_todays_audience(mode: Any, tmp_path: Path) -> None:
    operator = push(["x"], mode=mode, snapshot_path=tmp_path if mode == "mirror" else None)
    backfill, today = (SimpleNamespace(run_type=DagRunType(each)) for each in ("backfill", "scheduled"))
    with pytest.raises(AirflowSkipException, match=r"^vip: in a backfill, mode='.*trigger a new DAG run.$"):
        operator.pre_execute({"dag_run": backfill})
    operator.pre_execute({"dag_run": today})


@pytest.mark.parametrize("mode", ["add", "remove", "actions"])
def test_a_backfill_can_send_what_was_missed(mode: Any) -> None:
    push(["x"], mode=mode).pre_execute({"dag_run": SimpleNamespace(run_type=DagRunType.BACKFILL_JOB)})


def test_only_a_mirror_waits_by_default(tmp_path: Path) -> None:
    assert push([], mode="mirror", snapshot_path=tmp_path).wait_for_indexing
    assert not push([], mode="mirror", snapshot_path=tmp_path, wait_for_indexing=False).wait_for_indexing
    assert not push([], mode="replace").wait_for_indexing


@pytest.mark.parametrize("mode", ["add", "actions", "replace", "mirror"])
def test_the_audience_may_be_created_first(mode: Any, batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    values = [Change("add", "a")] if mode == "actions" else ["a"]
    operator = push(
        values,
        mode=mode,
        snapshot_path=tmp_path if mode == "mirror" else None,
        create_if_missing=True,
    )
    operator.audience_name = "new"
    operator.execute(context)
    assert batch_sandbox.members("new") == {"a"}


def test_the_source_is_left_when_the_push_fails(batch_sandbox: Sandbox, context: Any) -> None:
    batch_sandbox.faults(Fault(400))
    operator = push(["a"])
    with pytest.raises(AirflowFailException) as caught:
        operator.execute(context)
    assert isinstance(caught.value.__cause__, BatchRequestError)
    assert operator.closed


@pytest.mark.parametrize(
    ("switch", "replaced"), [(True, True), ("True", True), ("{{ params.all }}", True), (False, False), ("", False)]
)
def test_a_template_may_ask_for_a_full_refresh(
    switch: Any, replaced: bool, batch_sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    given = {**context, "params": {"all": True}}
    push(["x"]).execute(context)
    operator = push(["a"], mode="mirror", snapshot_path=str(tmp_path), full_refresh=switch, poke_interval=0.1)
    operator.render_template_fields(given)  # type: ignore[arg-type]  # as much of a context as it needs
    operator.execute(context)
    assert batch_sandbox.members("vip") == ({"a"} if replaced else {"a", "x"})


@pytest.mark.parametrize("switch", ["perhaps", "None"])
def test_a_template_that_is_no_switch_fails_without_retries(
    switch: str, batch_sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    operator = push(["a"], mode="mirror", snapshot_path=str(tmp_path), full_refresh="{{ params.all }}")
    given: Any = {**context, "params": {"all": switch}}
    operator.render_template_fields(given)
    with pytest.raises(AirflowFailException, match=r"full_refresh: .* is neither True nor False") as caught:
        operator.execute(context)
    assert isinstance(caught.value.__cause__, InvalidArgumentError)
    assert batch_sandbox.calls == []


@pytest.mark.parametrize("mode", ["replace", "mirror"])
def test_guards_may_be_templates(mode: Any, batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    given: dict[str, Any] = {"mode": mode, "snapshot_path": str(tmp_path) if mode == "mirror" else None}
    names = ("allow_empty", "max_shrink", "max_changes") if mode == "mirror" else ("allow_empty", "max_shrink")
    guards = {name: f"{{{{ params.{name} }}}}" for name in names}

    def run(ids: list[str], **params: Any) -> None:
        operator = push(ids, poke_interval=0.1, **given, **guards)
        rendering: Any = {**context, "params": {"allow_empty": False, "max_changes": None, **params}}
        operator.render_template_fields(rendering)
        operator.execute(context)

    run(["a", "b"], max_shrink=0.2)
    for ids, limit, error in ((["a"], 0.2, "max_shrink=0.2"), ([], 1.0, "allow_empty"), (["a"], "half", "max_shrink")):
        with pytest.raises(AirflowFailException, match=error):
            run(ids, max_shrink=limit)
    run(["a"], max_shrink=1)
    assert batch_sandbox.members("vip") == {"a"}
    run([], max_shrink=1, allow_empty=True)
    assert batch_sandbox.members("vip") == set()


def test_a_mirror_is_claimed_in_the_name_of_the_task_instance(
    batch_sandbox: Sandbox, context: Any, ti: TaskInstance, tmp_path: Path
) -> None:
    batch_sandbox.faults(Fault(stall=3))
    ti.map_index = 3
    errors: list[MirrorConflictError] = []

    def meet() -> None:
        eventually(lambda: any(tmp_path.rglob("claim.json")), within=20)
        try:
            BatchHook().mirror_custom_audience("vip", ["a"], snapshot_path=tmp_path)
        except MirrorConflictError as error:
            errors.append(error)

    another = threading.Thread(target=meet)
    another.start()
    push(["a"], mode="mirror", snapshot_path=tmp_path, poke_interval=0.1).execute(context)
    another.join()
    assert "dag/run/task[3] is at work on this mirror" in str(errors)


@pytest.mark.parametrize("place", [str, Path, lambda path: ObjectStoragePath(f"file://{path}")])
def test_rejects_go_to_any_place(place: Any, batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    push(["a", None], on_invalid_id="skip", rejects_path=place(path)).execute(context)
    assert json.loads(path.read_text())["where"] == "add_ids[1]"


def test_of_a_value_that_is_skipped_and_one_that_is_refused_each_is_written(
    batch_sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    """The first of the values, and the first of those that are sent: what stands at a position is not the same."""
    path = tmp_path / "rejects.jsonl"
    batch_sandbox.faults(Fault(400), None, Fault(400))  # both; a look at the list; the first alone
    arguments: dict[str, Any] = {"mode": "mirror", "first_run": "replace", "poke_interval": 0.1}
    choices: dict[str, Any] = {"on_invalid_id": "skip", "on_rejected_chunk": "bisect", "rejects_path": path}
    push([None, "a", "b"], snapshot_path=tmp_path / "kept", **arguments, **choices).execute(context)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["where"], row["value"]) for row in rows] == [("ids[0]", None), ("add_ids[0]", "a")]
    assert batch_sandbox.members("vip") == {"b"}


def test_without_rejects_there_is_no_file(batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text("of yesterday")
    push(["a"], on_invalid_id="skip", rejects_path=path).execute(context)
    assert path.read_text() == "of yesterday"
