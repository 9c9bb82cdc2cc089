"""
Outlets that are audiences of Batch, or the attributes of a project's profiles.

The event of an audience promises that it is indexed; that of attributes, that Batch has accepted them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.tasks.batch import is_mapped

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_ADDRESS: Final = "batch://"


def audience_outlets(operator: Any) -> list[Any]:
    """Return the outlets of *operator* that are audiences, by URI or, in a reference, by name."""
    return [outlet for outlet in operator.outlets or () if _address(outlet)]


def check_outlets(operator: Any, *, waits: bool) -> None:
    """
    Check that the events of *operator* come once the audience is indexed.

    :param waits: whether the task ends only then.
    :raises InvalidArgumentError: if one would come before.
    """
    outlets = audience_outlets(operator)
    if outlets and not waits:
        raise InvalidArgumentError(
            f"outlets: the event of {_address(outlets[0])} promises that the audience is indexed, but this task does "
            "not wait for that. Pass wait_for_indexing=True if the operator has it, or else give the outlet to a "
            "CustomAudienceIndexingSensor after it."
        )


def check_own_audience(operator: Any) -> None:
    """
    Check that the outlets of *operator* have no other audience than the task's own, over its connection.

    :raises InvalidArgumentError: if they have one, for which the task does not wait.
    """
    if not audience_outlets(operator):
        return
    own, others = _addresses(operator, operator.audience_name)
    if others:
        raise InvalidArgumentError(
            f"outlets: the event of {others[0]} promises that this audience is indexed, but the task waits for {own} "
            f"only. Pass custom_audience_asset({operator.audience_name!r}, {operator.batch_conn_id!r})."
        )


def check_profile_outlets(operator: Any) -> None:
    """
    Check that the outlets of *operator* are the attributes that it writes.

    :raises InvalidArgumentError: if one is something else.
    """
    own, others = _addresses(operator, operator.dataset)
    if others:
        raise InvalidArgumentError(
            f"outlets: this task writes {own}, and not {others[0]}. Pass "
            f"profiles_asset({operator.batch_conn_id!r}), or give the outlet to the task that writes it."
        )


def check_not_shared(operator: Any, context: Context, remedy: str) -> None:
    """
    Check that the task is not one of several mapped ones that share an outlet.

    :param remedy: a sentence that ends the error.
    :raises InvalidArgumentError: if it is: the event would come with the first of them.
    """
    outlets = audience_outlets(operator)
    if outlets and is_mapped(context):
        raise InvalidArgumentError(
            f"outlets: the event of {_address(outlets[0])} would come with the first of these mapped tasks. {remedy}"
        )


def awaited(operator: Any, indexing_tokens: Sequence[str]) -> list[str]:
    """
    Return what must be indexed before the task may end: its own writes.

    If there are none, the event of an outlet still promises that the audience is indexed, and others may have just
    written to it, such as an earlier try of the task. Then the task waits for the last write.
    """
    from airflow_provider_batch.protocol.audiences.tokens import LAST_WRITE

    return list(indexing_tokens) or ([LAST_WRITE] if audience_outlets(operator) else [])


def emit_outlet_events(
    operator: Any, context: Context, counts: Mapping[str, Any], audience: Mapping[str, Any] | None
) -> None:
    """
    Add *counts* and the audience's size and state to the events that Airflow emits when the task succeeds.

    :param audience: its view; None if the task did not wait, which one with such an outlet always does.
    """
    events: Any = context.get("outlet_events")
    if events is None or audience is None:
        return
    for outlet in audience_outlets(operator):
        events[outlet].extra.update({**counts, **{name: audience[name] for name in ("nb_ids", "indexing_state")}})


def emit_profile_events(operator: Any, context: Context, counts: Mapping[str, Any]) -> None:
    """Add *counts* to the events that Airflow emits when the task succeeds."""
    events: Any = context.get("outlet_events")
    for outlet in audience_outlets(operator) if events is not None else ():
        events[outlet].extra.update(counts)


def suppress_outlet_events(operator: Any) -> None:
    """Make Airflow emit no event for what is at Batch, as nothing was sent."""
    # Airflow reads the outlets after the task, from the copy of the operator that it ran.
    if audiences := audience_outlets(operator):
        operator.outlets = [outlet for outlet in operator.outlets if outlet not in audiences]
        operator.log.info("no event is emitted: nothing was sent")


def _addresses(operator: Any, recipient: str) -> tuple[str, list[str]]:
    """Return the URI of *recipient*, and those of the outlets that are something else."""
    own = f"{_ADDRESS}{operator.batch_conn_id}/{recipient}"
    # Airflow does not render templates in assets; such a URI is only a name that two DAGs share.
    addresses = map(_address, audience_outlets(operator))
    return own, [address for address in addresses if address != own and "{" not in address + own]


def _address(outlet: object) -> str:
    """Return the URI of an audience; empty if *outlet* is something else."""
    places = (getattr(outlet, "uri", None), getattr(outlet, "name", None))
    return next((place for place in places if isinstance(place, str) and place.startswith(_ADDRESS)), "")
