"""
What one try of a task instance leaves to the next one: in the state store of Airflow 3.3 and later.

What is kept true: only Airflow's own next try of the same task instance uses what a try left. The store outlives more
than that: a person who clears the task may have cleared tasks before it too, which do anything to the audience in
between. Airflow raises ``max_tries`` of each task instance that is cleared
(``airflow.models.taskinstance.clear_task_instances``), but not that of one that is running; and, with either, the
``clear_number`` of the DAG run, except for a request with ``reset_dag_runs=False``. So a note has all three numbers,
and how long each task before this one took, to the microsecond: one that has run again took another time.

The store is a convenience: what it cannot do costs a repetition, never a push. None of the methods raises.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

#: In a note: the number of the try that wrote it, and what changes when the task is cleared.
_TRY: Final = "try"
_CLEARED: Final = "cleared"


class Memory:
    """
    The state store of one task instance, for one of its tries.

    :param store: Airflow's ``task_state_store``.
    :param try_number: the number of the try.
    :param numbers: some that change when somebody clears the task.
    :param before: returns a text that changes when a task before this one runs again.
    """

    def __init__(self, store: Any, try_number: int, numbers: list[int | None], before: Callable[[], str] = str) -> None:
        self._store = store
        self._try_number = try_number
        self._numbers = numbers
        self._before = before
        self._has_failed = False

    @classmethod
    def of(cls, context: Context) -> Memory | None:
        """Return the memory of the task instance in *context*; None before Airflow 3.3."""
        store, ti = context.get("task_state_store"), context.get("ti")
        if store is None or ti is None:
            return None
        numbers = [ti.max_tries, getattr(context.get("dag_run"), "clear_number", None)]
        return cls(store, ti.try_number, numbers, partial(_tasks_before, context.get("task"), ti))

    def recall(self, key: str, *, same_try: bool = False) -> dict[str, Any]:
        """
        Return the note under *key* that the try before this one kept, or an empty one.

        :param same_try: whether it may also be of this very try, as with a sensor that was rescheduled.
        """
        note = self.get(key)
        if not isinstance(note, dict):
            return {}
        tries = (self._try_number - 1, self._try_number) if same_try else (self._try_number - 1,)
        return note if note.get(_TRY) in tries and note.get(_CLEARED) == self._cleared else {}

    def keep(self, key: str, note: dict[str, Any]) -> bool:
        """Keep *note* for the next try, and return whether that succeeded."""
        return self.set(key, {**note, _TRY: self._try_number, _CLEARED: self._cleared})

    def get(self, key: str) -> Any:
        """Return the value of *key*; None if there is none, or if it cannot be read."""
        try:
            return self._store.get(key)
        except Exception as error:  # noqa: BLE001 - whatever an API or a backend raises
            self._failed(error)
            return None

    def set(self, key: str, value: Any) -> bool:
        """Store *value*, and return whether that succeeded."""
        try:
            self._store.set(key, value)
        except Exception as error:  # noqa: BLE001
            self._failed(error)
            return False
        return True

    def delete(self, key: str) -> None:
        """Delete *key*; what stays is not taken for the note of a later try."""
        try:
            self._store.delete(key)
        except Exception as error:  # noqa: BLE001
            self._failed(error)

    @cached_property
    def _cleared(self) -> list[int | str | None]:
        try:
            return [*self._numbers, *filter(None, [self._before()])]
        except Exception as error:  # noqa: BLE001
            self._failed(error)
            return [secrets.token_hex(8)]  # which no other try has

    def _failed(self, error: Exception) -> None:
        if not self._has_failed:
            log.warning("Airflow's state store does not work, so a retry may repeat calls: %s", type(error).__name__)
        self._has_failed = True


def _tasks_before(task: Any, ti: Any) -> str:
    """Return a digest of what ran before this task, in its DAG run."""
    before = set() if task is None else task.get_flat_relative_ids(upstream=True)
    if not before:
        return ""
    ended = [each for each in ti.get_task_breadcrumbs(ti.dag_id, ti.run_id) if each["task_id"] in before]
    took = sorted((each["task_id"], each["map_index"], str(each["duration"])) for each in ended)
    return hashlib.sha256(json.dumps(took).encode()).hexdigest()


def may_go_on(context: Context, error: BaseException) -> bool:
    """Whether another try may follow that goes on with what this one has kept."""
    ti: Any = context.get("ti")
    has_tries = Memory.of(context) is not None and ti.try_number <= (ti.max_tries or 0)
    return has_tries and getattr(error, "retryable", True)
