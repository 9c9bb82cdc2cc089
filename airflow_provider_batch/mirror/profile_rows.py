"""
The rows of a run that sends what differs, and what was sent before: in a folder, or in tables beside the data.

For a folder, all rows are read, and wait in a spool. Tables are compared by their database, and only the rows that
differ are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from airflow_provider_batch.mirror.flags import Names
from airflow_provider_batch.mirror.plan import FolderMirror
from airflow_provider_batch.mirror.store import Plan
from airflow_provider_batch.mirror.tables.mirror import TableMirror
from airflow_provider_batch.profiles.push import Spooled
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.profiles.intake import PROFILES, ProfileIntake
from airflow_provider_batch.protocol.profiles.table import split
from airflow_provider_batch.protocol.rows import Rejection

#: Profiles that are compared at once.
_BLOCK: Final = 10_000


class Compared(NamedTuple):
    """
    What differs.

    :param plan: profiles with the field that has their attributes; and those whose rows have gone, with their flags.
    :param duplicates: how many rows another one of the same profile replaced.
    :param names: those by which the flags are read.
    """

    plan: Plan
    duplicates: int
    names: Names


class ProfileRows(Protocol):
    """The rows of a run, and what was sent before."""

    def compared(self, *, full_refresh: bool = False, resends: bool = False) -> AbstractContextManager[Compared]:
        """
        Compare both.

        :param full_refresh: whatever the snapshot holds; it may be damaged.
        :param resends: find every row changed.
        """

    def rejection(self, position: int, custom_id: str, reason: str) -> Rejection:
        """Return the rejection of the profile that is at *position* among those to set."""


@dataclass(frozen=True, slots=True)
class FolderRows:
    """Rows of any source, all of which were read."""

    mirror: FolderMirror
    spooled: Spooled
    intake: ProfileIntake
    checkpoint: Callable[[], object]

    @contextmanager
    def compared(self, *, full_refresh: bool = False, resends: bool = False) -> Iterator[Compared]:
        """See :meth:`ProfileRows.compared`."""
        lines = (_annotated(lines) for _, lines in self.spooled.spool.blocks(_BLOCK))
        how: dict[str, Any] = {"full_refresh": full_refresh, "resends": resends, "keys": self.intake.keys}
        with self.mirror.plan(lines, **how, checkpoint=self.checkpoint) as plan:
            yield Compared(plan, self.spooled.spool.duplicates, plan.names)

    def rejection(self, position: int, custom_id: str, reason: str) -> Rejection:
        """See :meth:`ProfileRows.rejection`: it names the place in the source."""
        return self.spooled.rejection_of(custom_id, reason) or Rejection(PROFILES, position, reason)


@dataclass(frozen=True, slots=True)
class TableRows:
    """
    The rows of a query, of which those are read that differ.

    :param intake: that of what the mirror finds changed.
    """

    mirror: TableMirror
    intake: ProfileIntake
    checkpoint: Callable[[], object]

    @contextmanager
    def compared(self, *, full_refresh: bool = False, resends: bool = False) -> Iterator[Compared]:
        """See :meth:`ProfileRows.compared`."""
        lines = (_annotated(block.text.splitlines()) for block in self.intake.blocks())
        with self.mirror.plan(lines, full_refresh=full_refresh, resends=resends, checkpoint=self.checkpoint) as plan:
            plan.rename(self.intake.keys)
            yield Compared(plan, plan.counts.duplicates, plan.names)

    def rejection(self, position: int, custom_id: str, reason: str) -> Rejection:
        """See :meth:`ProfileRows.rejection`: the rows of a query that were not read have no place."""
        return Rejection(PROFILES, position, reason, f"changed profile {position + 1:,} of the query")


def _annotated(lines: Iterable[bytes]) -> list[str]:
    """Return profiles as a mirror compares them: ids with their attributes."""
    return [AnnotatedId(*split(line)) for line in lines]
