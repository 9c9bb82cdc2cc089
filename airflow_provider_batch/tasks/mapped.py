"""
Checks of mapped tasks that push to one audience.

Airflow runs mapped tasks in any order, also at once, and no page of Batch promises that calls are applied in the order
of their arrival. So no mapped task may undo what another one does. None of them sees the ids of the others, so the
check is made on the arguments in the DAG file: tasks that all only add, or all only remove, cannot undo each other's
work, nor can tasks that each have an audience of their own. In any other case the author must promise it
(``mapped_by``). To check the ids themselves, they would all have to be in one place, which is what mapping avoids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.tasks.batch import is_mapped

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: What mapped tasks do to their ids: all the same, either adding or removing; both; or each task makes its ids the only
#: ones.
Use = Literal["one action", "actions", "the only ids"]

#: The arguments that select the audience.
_TARGET: Final = ("audience_name", "batch_conn_id")


@dataclass(frozen=True)
class Expansion:
    """The arguments of mapped tasks, as far as the DAG file has them."""

    #: The arguments that differ between the tasks; None if an upstream task decides that.
    names: frozenset[str] | None
    #: The arguments that are the same in all tasks.
    fixed: Mapping[str, Any]
    #: Whether each task has an audience of its own.
    has_own_targets: bool = False

    @classmethod
    def of(cls, context: Context) -> Expansion:
        """Return the arguments from the running DAG."""
        task: Any = context["dag"].get_task(context["task"].task_id)
        if not hasattr(task, "expand_input"):  # an ordinary task in a mapped group
            return cls(frozenset(), vars(task))
        value = task.expand_input.value
        if isinstance(value, Mapping):
            own = bool(value) and set(value) <= set(_TARGET) and all(map(_are_distinct, value.values()))
            return cls(frozenset(value), task.partial_kwargs, own)
        if isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value):
            targets = [tuple(each.get(name) for name in _TARGET) for each in value]
            return cls(frozenset().union(*value), task.partial_kwargs, _are_distinct(targets))
        return cls(None, task.partial_kwargs)

    def varies(self, name: str) -> bool:
        """Return whether the argument may differ between the tasks."""
        return name not in self.fixed if self.names is None else name in self.names

    def has(self, name: str) -> bool:
        """Return whether any of the tasks may have the argument."""
        return self.varies(name) or self.fixed.get(name) is not None

    def shares(self, name: str) -> bool:
        """Return whether the argument is a str or path that is the same in all tasks; a template may differ."""
        value = self.fixed.get(name)
        is_path = isinstance(value, str) or hasattr(value, "open")
        return is_path and not self.varies(name) and "{" not in str(value)


def check_mapped(operator: Any, context: Context) -> None:
    """
    Check that no mapped task of *operator* can undo what another one does, or overwrite its file of rejected rows.

    :raises InvalidArgumentError: if one can.
    """
    if not is_mapped(context):
        return
    expansion = Expansion.of(context)
    check_own_rejects(expansion)
    if operator.mapped_by == "audience":
        return
    use: Use = operator.mapped_use(expansion)
    if use == "one action" or expansion.has_own_targets or (use == "actions" and operator.mapped_by == "id"):
        return
    if use == "actions":
        raise InvalidArgumentError(
            "mapped_by: one of these mapped tasks may add an id that another removes, and Batch promises no order "
            "between their calls. If all of them only add, or only remove, set that in partial(): the mode, or "
            "remove_ids=None. If each has an audience or a connection of its own, pass mapped_by='audience'; if all "
            "rows of an id are in one of them, mapped_by='id'. Otherwise map tasks that only remove, wait for their "
            "tokens, and then map others that only add."
        )
    raise InvalidArgumentError(
        "mapped_by: each of these mapped tasks would remove the ids of the others. Push them from one task, or from "
        "mapped tasks with mode='add'. If each task has an audience or a connection of its own, pass "
        "mapped_by='audience'."
    )


def check_own_rejects(expansion: Expansion) -> None:
    """
    Check that no mapped task overwrites another one's file of rejected rows.

    :raises InvalidArgumentError: if one does.
    """
    if expansion.shares("rejects_path"):
        raise InvalidArgumentError(
            "rejects_path: each of these mapped tasks would overwrite the rows of the others. Give each task a file of "
            "its own, with {{ ti.map_index }} in its name."
        )


def check_mapped_profiles(operator: Any, context: Context) -> None:
    """
    Check that no mapped task of *operator* takes the profiles of another one for gone.

    :raises InvalidArgumentError: if one does.
    """
    if not is_mapped(context):
        return
    expansion = Expansion.of(context)
    check_own_rejects(expansion)
    shared = [name for name in ("snapshot_path", "snapshot_schema") if expansion.shares(name)]
    if operator.mode == "changed" and shared:
        raise InvalidArgumentError(
            f"{shared[0]}: each of these mapped tasks would take the profiles of the others for gone. Send them from "
            f"one task, or from mapped tasks with mode='update', or give each a {shared[0]} of its own."
        )


def were_skipped(task_id: str, field: str, context: Context) -> bool:
    """
    Return whether all tasks whose results the *field* of this task holds were skipped, or there was nothing to map.

    Then they have pushed nothing. Airflow has no result of theirs, as of tasks that have failed.
    """
    from airflow.providers.common.compat.sdk import XComArg

    dag = context.get("dag")
    given = getattr(dag.get_task(task_id), field, None) if dag else None
    before = {operator.task_id for operator, _ in XComArg.iter_xcom_references(given)}
    if not before:
        return False
    ti: Any = context["ti"]
    if hasattr(ti, "get_task_states"):
        found = ti.get_task_states(dag_id=ti.dag_id, task_ids=sorted(before), run_ids=[ti.run_id])
        states = list(found.get(ti.run_id, {}).values())
    else:
        run: Any = context["dag_run"]  # of Airflow 2
        states = [each.state for each in run.get_task_instances() if each.task_id in before]
    return set(states) == {"skipped"}


def _are_distinct(values: Any) -> bool:
    """Return whether no two are equal; unknown values, of an upstream task, count as distinct."""
    return not isinstance(values, list | tuple) or all(value not in values[:at] for at, value in enumerate(values))
