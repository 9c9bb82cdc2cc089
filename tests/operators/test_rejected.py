"""What an operator does with values that were skipped or refused: told in the summary, and never too many of them."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_batch.exceptions import TooManyRejectedError
from airflow_provider_batch.operators.custom_audience import CustomAudienceUpdateOperator
from airflow_provider_batch.sandbox import Fault, Sandbox


def update(**arguments: Any) -> CustomAudienceUpdateOperator:
    return CustomAudienceUpdateOperator(task_id="update", audience_name="vip", **arguments)


def test_refused_ids_are_in_the_summary_and_the_rest_is_sent(batch_sandbox: Sandbox, context: Any) -> None:
    # The whole is refused, then its first half, which is one id; the second half is not.
    batch_sandbox.faults(Fault(400), None, Fault(400))  # between them, a look at the list of audiences
    update(add_ids=["a", "b"], on_rejected_chunk="bisect").execute(context)
    summary = context["ti"].pushed["summary"]
    assert (summary["added"], summary["rejected"]) == (1, 1)
    assert summary["rejections"][0].startswith("add_ids[0]: PATCH /1.0/{api_key}/custom-audience/vip: answered 400")
    assert batch_sandbox.members("vip") == {"b"}


def test_too_many_skipped_values_fail_the_task_for_good_but_not_silently(batch_sandbox: Sandbox, context: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"2 of 3 values were rejected, more than max_rejected=1") as caught:
        update(add_ids=["a", None, ""], on_invalid_id="skip", max_rejected=1).execute(context)
    assert isinstance(caught.value.__cause__, TooManyRejectedError)
    assert context["ti"].pushed["summary"]["rejected"] == 2
    assert batch_sandbox.members("vip") == {"a"}


def test_a_tolerated_number_does_not(batch_sandbox: Sandbox, context: Any) -> None:
    assert len(update(add_ids=["a", None], on_invalid_id="skip", max_rejected=0.5).execute(context)) == 1
