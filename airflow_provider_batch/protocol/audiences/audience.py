"""Audiences as Batch shows them, and what became of a request about one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class IndexingState(StrEnum):
    """How far Batch is with a write: https://doc.batch.com/api/custom-audience/1.0/get/"""

    IN_PROGRESS = "IN_PROGRESS"
    APPLIED = "APPLIED"
    #: A later replace took over. Only CEP pages name it; none documents whether the write was ever applied.
    REPLACED = "REPLACED"
    #: An undocumented state. It is never taken for success.
    UNKNOWN = "UNKNOWN"

    @property
    def finished(self) -> bool:
        """Whether asking again cannot change the answer."""
        return self in (IndexingState.APPLIED, IndexingState.REPLACED)


@dataclass(frozen=True, slots=True)
class CustomAudience:
    """
    An audience as Batch's view or list shows it; a field is None where the answer left it out.

    :param nb_ids: probably the number of ids that were uploaded, not of the users they match: Batch does not document
        which.
    :param created: in UTC.
    :param updated: in UTC.
    :param indexing_state: None in the lists of the older platform, which do not have it.
    :param reported_state: Batch's own word for it.
    """

    name: str
    type: str | None
    description: str | None
    nb_ids: int | None
    created: datetime | None
    updated: datetime | None
    indexing_state: IndexingState | None
    reported_state: str

    @property
    def is_indexed(self) -> bool:
        """Whether asking again cannot change the state."""
        return self.indexing_state is not None and self.indexing_state.finished

    def to_dict(self) -> dict[str, Any]:
        """Return the view in JSON's types, for an XCom or a trigger's event."""
        return {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "nb_ids": self.nb_ids,
            "created": self.created.isoformat() if self.created else None,
            "updated": self.updated.isoformat() if self.updated else None,
            "indexing_state": self.indexing_state.value if self.indexing_state else None,
        }


@dataclass(frozen=True, slots=True)
class AudiencePage:
    """A part of a list of audiences; ``next_start`` asks for the next part, None if this is the last one."""

    audiences: tuple[CustomAudience, ...]
    next_start: int | str | None


@dataclass(frozen=True, slots=True)
class CreatedAudience:
    """
    The audience exists.

    :param created: False if it existed before.
    :param indexing_token: where Batch gave one: the newer platform does, the older one does not.
    :param existing: how the list shows it, if it existed before.
    """

    name: str
    type: str
    created: bool
    indexing_token: str | None = None
    existing: CustomAudience | None = None


@dataclass(frozen=True, slots=True)
class DeletedAudience:
    """The audience is gone; ``deleted`` is False if it did not exist. Not every version gives an ``indexing_token``."""

    name: str
    deleted: bool
    indexing_token: str | None = None


@dataclass(frozen=True, slots=True)
class IndexingOutcome:
    """
    The end of a wait.

    :param audience: the last view that Batch gave.
    :param pending: tokens that were not confirmed in time.
    :param replaced: tokens of writes that a later replace took over.
    :param last_error: why the last question had no answer.
    """

    audience: CustomAudience | None
    pending: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    last_error: str | None = None
