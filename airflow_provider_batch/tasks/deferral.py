"""The wait for indexing in the triggerer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn


def defer_until_indexed(
    operator: Any,
    indexing_tokens: Sequence[str],
    *,
    start_time: float,
    timeout: float,
    confirmed: int = 0,
    own_replace: str | None = None,
    counts: Mapping[str, Any] | None = None,
) -> NoReturn:
    """
    Wait in the triggerer and continue with the operator's ``execute_complete``.

    :param operator: has the connection, the audience's name and type, and the poke interval.
    :param start_time: when the wait began, in seconds since the epoch.
    :param timeout: seconds after which it ends.
    :param confirmed: how many of the tokens, from the first, are known to be confirmed.
    :param counts: what was pushed, for the trigger's event: attributes of the operator do not survive a deferral.
    """
    from airflow_provider_batch.triggers.custom_audience import DEFERRAL_GRACE, CustomAudienceIndexingTrigger

    trigger = CustomAudienceIndexingTrigger(
        batch_conn_id=operator.batch_conn_id,
        audience_name=operator.audience_name,
        audience_type=operator.audience_type,
        indexing_tokens=indexing_tokens,
        confirmed=confirmed,
        own_replace=own_replace,
        poke_interval=operator.poke_interval,
        start_time=start_time,
        end_time=start_time + timeout,
        counts=counts,
    )
    operator.defer(trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=timeout) + DEFERRAL_GRACE)
    raise AssertionError("defer does not return")
