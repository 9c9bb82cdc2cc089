"""``@task.batch_profiles``: the profiles of a function go to Batch, and never into an XCom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, Unpack

from airflow.providers.common.compat.sdk import DecoratedOperator, TaskDecorator, task_decorator_factory

from airflow_provider_batch.decorators.function import FunctionValues
from airflow_provider_batch.operators.profile_parameters import ProfileParameters
from airflow_provider_batch.operators.profiles import ProfilesPushOperator
from airflow_provider_batch.tasks import parameters


class ProfilesDecoratedOperator(FunctionValues, ProfilesPushOperator, takes=ProfileParameters):
    """
    Set the attributes of the profiles that a function returns or yields.

    Of its arguments, the rendered fields show numbers and short words, and of the others how much they hold.
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *ProfilesPushOperator.template_fields)
    custom_operator_name = "@task.batch_profiles"


def batch_profiles_task(
    python_callable: Callable[..., Any] | None = None, **kwargs: Unpack[ProfileParameters]
) -> TaskDecorator:
    """
    Turn a function into a task that sets the attributes of the profiles that it returns or yields.

    Also available as ``@task.batch_profiles``. The profiles never become an XCom; the task returns the summary.

    :param python_callable: the function.
    :param kwargs: the parameters of :class:`ProfilesDecoratedOperator`.
    """
    parameters.check(ProfilesPushOperator, signature(batch_profiles_task).parameters, kwargs)
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=ProfilesDecoratedOperator, **kwargs
    )


parameters.show(batch_profiles_task, parameters.signature_of(batch_profiles_task, ProfileParameters))
