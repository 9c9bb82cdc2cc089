"""``@task.custom_audience``: the values of a function go to an audience, and never into an XCom."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    TaskDecorator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_batch.operators.modes import SourcePushOperator
from airflow_provider_batch.operators.parameters import SourceParameters
from airflow_provider_batch.operators.rendered_ids import RenderedIds
from airflow_provider_batch.tasks import parameters

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class CustomAudienceDecoratedOperator(DecoratedOperator, SourcePushOperator, takes=SourceParameters):
    """
    Push what a function returns or yields: ids, members, or, with ``mode="actions"``, changes.

    Lists among its arguments, such as an upstream task's ids, are shown as counts in the rendered fields.
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *SourcePushOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {**DecoratedOperator.template_fields_renderers}
    custom_operator_name = "@task.custom_audience"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Unpack[SourceParameters],
    ) -> None:
        # The tokens are one value, however the function is annotated.
        kwargs["multiple_outputs"] = False
        for name, value in (*(("op_args", each) for each in op_args or ()), *(op_kwargs or {}).items()):
            parameters.check_not_one_pass(name, value)
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs)

    def execute(self, context: Context) -> list[str]:
        """Push the function's values; DecoratedOperator's own execute would return them."""
        return SourcePushOperator.execute(self, context)

    @contextmanager
    def source(self, context: Context) -> Iterator[Any]:
        """Call the function; a generator is closed in the end."""
        op_args = tuple(map(_value, self.op_args))
        op_kwargs = {name: _value(value) for name, value in self.op_kwargs.items()}
        context_merge(context, op_kwargs)
        values = self.python_callable(*op_args, **determine_kwargs(self.python_callable, op_args, context))
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


def custom_audience_task(
    python_callable: Callable[..., Any] | None = None, **kwargs: Unpack[SourceParameters]
) -> TaskDecorator:
    """
    Turn a function into a task that pushes what it returns or yields.

    Also available as ``@task.custom_audience``. The function's values never become an XCom; the task returns the
    indexing tokens.

    :param python_callable: the function.
    :param kwargs: the parameters of :class:`CustomAudienceDecoratedOperator`.
    """
    parameters.check(SourcePushOperator, signature(custom_audience_task).parameters, kwargs)
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=CustomAudienceDecoratedOperator, **kwargs
    )


custom_audience_task.__signature__ = parameters.signature_of(  # type: ignore[attr-defined]  # as for the operators
    custom_audience_task, SourceParameters
)


def _shown(value: Any) -> Any:
    return RenderedIds(value) if isinstance(value, Collection) and not isinstance(value, str | bytes) else value


def _value(value: Any) -> Any:
    return value.value if isinstance(value, RenderedIds) else value
