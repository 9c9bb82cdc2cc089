"""Audiences as Batch shows them, and the results of requests about one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class IndexingState(StrEnum):
    """How far Batch has indexed a write: https://doc.batch.com/api/custom-audience/1.0/get/"""

    IN_PROGRESS = "IN_PROGRESS"
    APPLIED = "APPLIED"
    #: A later replace took over. Only CEP pages name it; none documents whether the write was ever applied.
    REPLACED = "REPLACED"
    #: An undocumented state, which never counts as success.
    UNKNOWN = "UNKNOWN"

    @property
    def finished(self) -> bool:
        """Whether the state is final."""
        return self in (IndexingState.APPLIED, IndexingState.REPLACED)


@dataclass(frozen=True, slots=True)
class CustomAudience:
    """
    An audience as Batch's view or list shows it; a field is None if the answer left it out.

    :param nb_ids: probably the number of uploaded ids, not of the users that they match: Batch does not document which.
    :param created: in UTC.
    :param updated: in UTC.
    :param indexing_state: None in the lists of the older platform, which do not have it.
    :param reported_state: the same state in Batch's own word.
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
        """Whether the state is known and final."""
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
    """One page of a list of audiences; ``next_start`` is where the next page starts, None after the last one."""

    audiences: tuple[CustomAudience, ...]
    next_start: int | str | None


@dataclass(frozen=True, slots=True)
class CreatedAudience:
    """
    An audience that exists now.

    :param created: False if it existed before.
    :param indexing_token: if Batch returned one: CEP does, MEP does not.
    :param existing: how the list shows it, if it existed before.
    """

    name: str
    type: str
    created: bool
    indexing_token: str | None = None
    existing: CustomAudience | None = None


@dataclass(frozen=True, slots=True)
class DeletedAudience:
    """An audience that does not exist; ``deleted`` is True if it did before. MEP returns no ``indexing_token``."""

    name: str
    deleted: bool
    indexing_token: str | None = None


@dataclass(frozen=True, slots=True)
class IndexingOutcome:
    """
    The end of a wait.

    :param audience: the last view.
    :param pending: tokens that were not confirmed in time.
    :param replaced: tokens of writes that ended in ``REPLACED``.
    :param last_error: why the last poll failed.
    """

    audience: CustomAudience | None
    pending: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    last_error: str | None = None
