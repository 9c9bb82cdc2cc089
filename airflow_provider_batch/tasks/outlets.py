"""Outlets that are audiences of Batch: their event says that the audience is indexed, and comes not a moment before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_batch.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_ADDRESS: Final = "batch://"


def audience_outlets(operator: Any) -> list[Any]:
    """Return the outlets of *operator* that are audiences, by address or, as references may be, by name."""
    return [outlet for outlet in operator.outlets or () if _address(outlet)]


def check_outlets(operator: Any, *, waits: bool) -> None:
    """
    Return if *operator* may have its outlets.

    :param waits: whether it ends when the audience is indexed.
    :raises InvalidArgumentError: if it would say so too early.
    """
    outlets = audience_outlets(operator)
    if outlets and not waits:
        raise InvalidArgumentError(
            f"outlets: the event of {_address(outlets[0])} says that the audience is indexed, and this task does not "
            "wait for that; give the outlet to a CustomAudienceIndexingSensor that follows, or, where the operator has "
            "that, pass wait_for_indexing=True"
        )


def check_own(operator: Any) -> None:
    """
    Return if every audience among the outlets of *operator* is the one that it is about, over its connection.

    :raises InvalidArgumentError: if one is another: nothing was waited for there.
    """
    # Airflow renders no templates in assets: one is a name that two DAGs agree on.
    addresses = [address for outlet in audience_outlets(operator) if "{" not in (address := _address(outlet))]
    if not addresses:
        return
    own = f"{_ADDRESS}{operator.batch_conn_id}/{operator.audience_name}"
    if others := [address for address in addresses if address != own]:
        raise InvalidArgumentError(
            f"outlets: the event of {others[0]} would say that that audience is indexed, and this task knows it of "
            f"{own} alone; pass custom_audience_asset({operator.audience_name!r}, {operator.batch_conn_id!r})"
        )


def check_alone(operator: Any, context: Context) -> None:
    """
    Return if the task is not one of several mapped ones that share an outlet.

    :raises InvalidArgumentError: if it is: the first that is done would speak for all of them.
    """
    outlets = audience_outlets(operator)
    if outlets and getattr(context.get("ti"), "map_index", -1) >= 0:
        raise InvalidArgumentError(
            f"outlets: the first of these mapped tasks that is done would say that {_address(outlets[0])} is indexed, "
            "while others are not; give the outlet to one CustomAudienceIndexingSensor over all their tokens"
        )


def awaited(operator: Any, indexing_tokens: Sequence[str]) -> list[str]:
    """
    Return what is to be indexed before the task may end: its own writes.

    Where there are none, an outlet still says that the audience is indexed, and somebody else may have just written to
    it, such as an earlier try of the same task: then it is the last write.
    """
    from airflow_provider_batch.protocol.audiences.tokens import LAST_WRITE

    return list(indexing_tokens) or ([LAST_WRITE] if audience_outlets(operator) else [])


def emit_outlet_events(
    operator: Any, context: Context, counts: Mapping[str, Any], audience: Mapping[str, Any] | None
) -> None:
    """
    Put *counts* and the audience's size and state into what Airflow emits for it once the task has succeeded.

    :param audience: its view; None if nothing was waited for, which a task with such an outlet always does.
    """
    events: Any = context.get("outlet_events")
    if events is None or audience is None:
        return
    for outlet in audience_outlets(operator):
        events[outlet].extra.update({**counts, **{name: audience[name] for name in ("nb_ids", "indexing_state")}})


def withhold_events(operator: Any) -> None:
    """Let Airflow emit nothing for audiences: nothing was sent."""
    # Airflow reads the outlets after the task, from the copy of the operator that it ran.
    if withheld := audience_outlets(operator):
        operator.outlets = [outlet for outlet in operator.outlets if outlet not in withheld]
        operator.log.info("no event is emitted: nothing was sent")


def _address(outlet: object) -> str:
    """Return the address of an audience, or nothing if *outlet* is something else."""
    places = (getattr(outlet, "uri", None), getattr(outlet, "name", None))
    return next((place for place in places if isinstance(place, str) and place.startswith(_ADDRESS)), "")
