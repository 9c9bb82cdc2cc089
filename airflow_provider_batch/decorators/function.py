"""What a function returns or yields, which a decorated task pushes: it never becomes an XCom."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow.providers.common.compat.sdk import DecoratedOperator, context_merge, determine_kwargs

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.operators.rendered_ids import RenderedIds
from airflow_provider_batch.tasks import parameters

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: A text that holds no list of ids: without blanks and separators, such as a date, a name or a path.
_WORD: Final = re.compile(r"[\w.:+/-]{0,64}")


class FunctionValues(DecoratedOperator):
    """
    The part of a decorated operator that calls its function.

    Of its arguments, the rendered fields show numbers and short words. The others are shown as counts: they may be an
    upstream task's ids, or a list of ids that a template made a text.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {**DecoratedOperator.template_fields_renderers}
    id_noun: str

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        for name, value in (*(("op_args", each) for each in op_args or ()), *(op_kwargs or {}).items()):
            parameters.check_not_one_pass(name, value)
        # What the task returns is one value, however the function is annotated.
        kwargs["multiple_outputs"] = False
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs)

    def execute(self, context: Context) -> Any:
        """Push the function's values; DecoratedOperator's own execute would return them."""
        return super(DecoratedOperator, self).execute(context)

    @contextmanager
    def source(self, context: Context) -> Iterator[Any]:
        """
        Call the function; a generator is closed in the end.

        :raises InvalidArgumentError: if it returns None, as a function without ``return`` does.
        """
        op_args = tuple(map(_value, self.op_args))
        op_kwargs = {name: _value(value) for name, value in self.op_kwargs.items()}
        context_merge(context, op_kwargs)
        values = self.python_callable(*op_args, **determine_kwargs(self.python_callable, op_args, context))
        if values is None:
            raise InvalidArgumentError(
                f"the function returned None. Return or yield the {self.id_noun}s; return [] for none."
            )
        try:
            yield values
        finally:
            if hasattr(values, "close"):
                values.close()

    def _do_render_template_fields(self, parent: Any, template_fields: Any, *args: Any, **kwargs: Any) -> None:
        super()._do_render_template_fields(parent, template_fields, *args, **kwargs)
        if parent is self:
            self.op_args = tuple(map(_shown, self.op_args))
            self.op_kwargs = {name: _shown(value) for name, value in self.op_kwargs.items()}


def _shown(value: Any) -> Any:
    is_word = isinstance(value, str) and _WORD.fullmatch(value)
    return value if value is None or isinstance(value, int | float) or is_word else RenderedIds(value)


def _value(value: Any) -> Any:
    return value.value if isinstance(value, RenderedIds) else value
