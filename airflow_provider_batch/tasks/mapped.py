"""
Several mapped tasks of one operator that push to one audience.

Airflow runs them in any order, also at once, none sees what the others push, and no page of Batch promises that calls
count in the order of their arrival. So what one of them does must not be undone by another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_provider_batch.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: What all mapped tasks together do to their ids: the same to all of them, adding and removing, or making those of each
#: task the only ones.
Use = Literal["one action", "actions", "the only ids"]

#: The arguments that say which audience it is.
_TARGET: Final = ("audience_name", "batch_conn_id")


@dataclass(frozen=True)
class Expansion:
    """What a DAG's file says of the arguments of mapped tasks; *names* is None where that is known only upstream."""

    #: The arguments that differ between the tasks.
    names: frozenset[str] | None
    #: Those that do not.
    fixed: Mapping[str, Any]
    #: Whether each task has an audience of its own.
    has_own_targets: bool = False

    @classmethod
    def of(cls, context: Context) -> Expansion:
        """Read it from the DAG that runs."""
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
        """Return whether the argument may be given to any of the tasks."""
        return self.varies(name) or self.fixed.get(name) is not None

    def shares(self, name: str) -> bool:
        """Return whether the argument is text, or a path, that is the same in all of the tasks: without a template."""
        value = self.fixed.get(name)
        is_path = isinstance(value, str) or hasattr(value, "open")
        return is_path and not self.varies(name) and "{" not in str(value)


def check_mapped(operator: Any, context: Context) -> None:
    """
    Return if no other of the mapped tasks of *operator* can undo what this one does, or write over its rejected rows.

    :raises InvalidArgumentError: if one can.
    """
    expansion = Expansion.of(context)
    if expansion.shares("rejects_path"):
        raise InvalidArgumentError(
            "rejects_path: each of these mapped tasks would write its rows in place of the others'; give each a file "
            "of its own, with {{ ti.map_index }} in its name"
        )
    if operator.mapped_by == "audience":
        return
    use: Use = operator.mapped_use(expansion)
    if use == "one action" or expansion.has_own_targets or (use == "actions" and operator.mapped_by == "id"):
        return
    if use == "actions":
        raise InvalidArgumentError(
            "mapped_by: one of these mapped tasks may add an id that another removes, and Batch promises no order "
            "between their calls; if all of them only add, or only remove, say so in partial(): the mode, or "
            "remove_ids=None; if all rows of an id are in one of them, pass mapped_by='id'; if not, map tasks that "
            "only remove, and after a wait for their tokens others that only add"
        )
    raise InvalidArgumentError(
        "mapped_by: each of these mapped tasks would make its ids the only ones, and remove those of the others; do "
        "that in one task, or push them from mapped tasks with mode='add'; if each has an audience or a connection of "
        "its own, pass mapped_by='audience'"
    )


def _are_distinct(values: Any) -> bool:
    """Return whether no two are equal; those of an upstream task are not known, and taken to be."""
    return not isinstance(values, list | tuple) or all(value not in values[:at] for at, value in enumerate(values))
