"""``@task.custom_audience``: the values of a function go to an audience, and never into an XCom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, Unpack

from airflow.providers.common.compat.sdk import DecoratedOperator, TaskDecorator, task_decorator_factory

from airflow_provider_batch.decorators.function import FunctionValues
from airflow_provider_batch.operators.modes import SourcePushOperator
from airflow_provider_batch.operators.parameters import SourceParameters
from airflow_provider_batch.tasks import parameters


class CustomAudienceDecoratedOperator(FunctionValues, SourcePushOperator, takes=SourceParameters):
    """
    Push what a function returns or yields: ids, members, or, with ``mode="actions"``, changes.

    Of its arguments, the rendered fields show numbers and short words, and of the others how much they hold.
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *SourcePushOperator.template_fields)
    custom_operator_name = "@task.custom_audience"


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


parameters.show(custom_audience_task, parameters.signature_of(custom_audience_task, SourceParameters))
