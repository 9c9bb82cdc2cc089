"""What Airflow stores and shows of a task's ids: how many there are."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator, XComArg

from airflow_provider_batch.exceptions import counted


class RenderedIds:
    """
    Ids after rendering. Airflow stores rendered fields by their text, and this one's is a count.

    Ids are personal data, and a million of them would take a while to store.
    """

    def __init__(self, value: Any, noun: str = "id") -> None:
        self.value = value
        self._noun = noun

    def __str__(self) -> str:
        if isinstance(self.value, str):
            return f"a text of {counted(len(self.value), 'character')}"
        if isinstance(self.value, list | tuple | set | frozenset):
            return counted(len(self.value), self._noun)
        size = f" of {len(self.value):,}" if isinstance(self.value, Sized) else ""
        kind = type(self.value).__name__
        return f"{self._noun}s in a {kind}{size}" if isinstance(self.value, Iterable) else f"a value of type {kind}"

    __repr__ = __str__


class RendersIdsAsCounts(BaseOperator):
    """An operator whose ``id_fields`` are hidden in the rendered fields; :meth:`given` reads them."""

    id_fields: tuple[str, ...] = ()
    id_noun = "id"

    def given(self, field: str) -> Any:
        """Return the ids of *field*, rendered or not."""
        value = getattr(self, field)
        return value.value if isinstance(value, RenderedIds) else value

    # Airflow calls this very method on the operator itself, mapped or not, "in order to call the operator method
    # when we override it"; its calls for nested objects do not concern us.
    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], *args: Any, **kwargs: Any
    ) -> None:
        unrendered = {field: self.given(field) for field in self.id_fields}
        if parent is self:
            template_fields = [field for field in template_fields if not self._is_literal(field)]
        super()._do_render_template_fields(parent, template_fields, *args, **kwargs)
        if parent is self:
            for field, given in unrendered.items():
                if given is not None:
                    setattr(self, field, RenderedIds(_rendered(given, self.given(field)), self.id_noun))

    def _is_literal(self, field: str) -> bool:
        """Return whether *field* holds ids without a template: rendering them costs 0.2 ms each, for nothing."""
        value = self.given(field) if field in self.id_fields else None
        return isinstance(value, list | tuple) and all(
            "{" not in item if isinstance(item, str) else isinstance(item, int) for item in value
        )


def _rendered(given: Any, value: Any) -> Any:
    """Return ids as the hook takes them, where the rendered *value* alone does not show what was *given*."""
    if value is None and not _is_mapped(given):
        return "None"  # as other templates are rendered whose XCom is missing
    if isinstance(given, list | tuple) and any(isinstance(item, XComArg) for item in given):
        from airflow_provider_batch.hooks.xcoms import values_of

        parts = zip(given, value, strict=True)
        return values_of(part if isinstance(item, XComArg) else [part] for item, part in parts)
    return value


def _is_mapped(given: Any) -> bool:
    """Return whether these are the results of mapped tasks: Airflow 2 has None for those of no task."""
    operator = getattr(given, "operator", None)
    return hasattr(operator, "expand_input") or any(operator.iter_mapped_task_groups() if operator else ())
