"""
A stream of changes -> the ids to add and the ids to remove. Of several changes of one id, the last counts.

No page of Batch promises that calls are applied in the order in which they arrive, so an id may be in one call only,
and its last change is known at the end of the stream. Every id is therefore held, some 200 bytes each.
"""

from __future__ import annotations

from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.intake import IntakeOf, MemberIntake
from airflow_provider_batch.protocol.audiences.members import NO_ACTION, REMOVE_IDS, Change
from airflow_provider_batch.protocol.ids import AnnotatedId


def read_changes(changes: object, intake_of: IntakeOf) -> tuple[MemberIntake, MemberIntake]:
    """
    Read all *changes* and return the two sides of the push, which have no id in common.

    :raises InvalidMemberError: for the first value that is not a valid change, unless such values are skipped.
    """
    intake = intake_of(changes, "changes")
    last: dict[str, tuple[str, int, bool]] = {}
    given = 0
    for position, value, place in intake.values():
        given += 1
        try:
            if not isinstance(value, Change):
                intake.normalized(value)  # raises the reason if the row could not be read
                raise ValueError("the value has no action. Pass a Change, or name the action_column.")
            if value.action not in ("add", "remove"):
                raise ValueError(NO_ACTION)
            id_ = intake.normalized(value.value, removes=value.action == "remove")
        except ValueError as error:
            intake.reject(position, value, place, str(error))
            continue
        intake.note_doubt(id_, position, place)
        last[id_] = (id_, position, value.action == "remove")
    intake.duplicates = given - intake.rejected - len(last)
    return intake.holding(_side(last, "add_ids")), intake_of((), REMOVE_IDS).holding(_side(last, REMOVE_IDS))


def _side(last: dict[str, tuple[str, int, bool]], argument: str) -> Block:
    kept = [(id_, position) for id_, position, removes in last.values() if removes is (argument == REMOVE_IDS)]
    annotated = any(isinstance(id_, AnnotatedId) for id_, _ in kept)
    return Block([id_ for id_, _ in kept], argument, [position for _, position in kept], annotated=annotated)
