"""
The rows of a run that sends what differs, and what was sent before: in a folder, or in tables beside the data.

For a folder, all rows are read, and wait in a spool. Tables are compared by their database, and only the rows that
differ are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from airflow_provider_batch.exceptions import SnapshotError
from airflow_provider_batch.mirror.plan import Mirror
from airflow_provider_batch.mirror.profile_push import Spooled
from airflow_provider_batch.mirror.store import Plan
from airflow_provider_batch.mirror.tables.mirror import TableMirror
from airflow_provider_batch.mirror.tables.plan import TablePlan
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.profiles.intake import PROFILES, ProfileIntake
from airflow_provider_batch.protocol.profiles.names import declared
from airflow_provider_batch.protocol.profiles.table import split
from airflow_provider_batch.protocol.rows import Rejection

#: The file with the keys of the attributes that a mirror has sent, by their names.
_SENT: Final = "attributes.json"

#: Profiles that are compared at once.
_BLOCK: Final = 10_000


class Compared(Protocol):
    """What differs, and the attributes that were ever sent."""

    @property
    def plan(self) -> Plan:
        """What differs: profiles with the field that has their attributes, and those whose rows have gone."""

    @property
    def duplicates(self) -> int:
        """How many rows another one of the same profile replaced."""

    def sent(self) -> dict[str, str]:
        """Return the keys of all attributes that were ever sent, by their names."""

    def note(self, keys: Mapping[str, str]) -> None:
        """Note what will have been sent, before it is."""


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


def by_name(keys: Iterable[str]) -> dict[str, str]:
    """Return the keys of attributes by their names: an attribute has one type at a time."""
    return {declared(key)[1]: key for key in sorted(keys)}


@dataclass(frozen=True, slots=True)
class FolderRows:
    """Rows of any source, all of which were read."""

    mirror: Mirror
    spooled: Spooled
    checkpoint: Callable[[], object]

    @contextmanager
    def compared(self, *, full_refresh: bool = False, resends: bool = False) -> Iterator[FolderCompared]:
        """See :meth:`ProfileRows.compared`."""
        lines = (_annotated(lines) for _, lines in self.spooled.spool.blocks(_BLOCK))
        with self.mirror.plan(lines, full_refresh=full_refresh, resends=resends, checkpoint=self.checkpoint) as plan:
            yield FolderCompared(plan, self)

    def rejection(self, position: int, custom_id: str, reason: str) -> Rejection:
        """See :meth:`ProfileRows.rejection`: it names the place in the source."""
        return self.spooled.rejection_of(custom_id, reason) or Rejection(PROFILES, position, reason)


@dataclass(frozen=True, slots=True)
class FolderCompared:
    """What differs from a folder; beside its snapshot is a file with the attributes."""

    plan: Plan
    rows: FolderRows

    @property
    def duplicates(self) -> int:
        """How many rows a later one replaced."""
        return self.rows.spooled.spool.duplicates

    def sent(self) -> dict[str, str]:
        """See :meth:`Compared.sent`."""
        folder = self.rows.mirror.folder
        content = folder.read(_SENT)
        try:
            return by_name(json.loads(content)) if content else {}
        except (ValueError, TypeError):
            raise SnapshotError(
                f"{folder}/{_SENT}: the file cannot be read. Nothing was sent. Delete it; then on_gone='clear' deletes "
                "only attributes that are sent from now on."
            ) from None

    def note(self, keys: Mapping[str, str]) -> None:
        """See :meth:`Compared.note`."""
        self.rows.mirror.folder.write(_SENT, json.dumps(sorted(keys.values())).encode())


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
    def compared(self, *, full_refresh: bool = False, resends: bool = False) -> Iterator[TablesCompared]:
        """See :meth:`ProfileRows.compared`."""
        lines = (_annotated(block.text.splitlines()) for block in self.intake.blocks())
        with self.mirror.plan(lines, full_refresh=full_refresh, resends=resends, checkpoint=self.checkpoint) as plan:
            yield TablesCompared(plan)

    def rejection(self, position: int, custom_id: str, reason: str) -> Rejection:
        """See :meth:`ProfileRows.rejection`: the rows of a query that were not read have no place."""
        return Rejection(PROFILES, position, reason, f"changed profile {position + 1:,} of the query")


@dataclass(frozen=True, slots=True)
class TablesCompared:
    """What differs from tables, whose head has the attributes."""

    plan: TablePlan

    @property
    def duplicates(self) -> int:
        """How many rows another one replaced, as a table has no order."""
        return self.plan.counts.duplicates

    def sent(self) -> dict[str, str]:
        """See :meth:`Compared.sent`."""
        return by_name(self.plan.names)

    def note(self, keys: Mapping[str, str]) -> None:
        """See :meth:`Compared.note`."""
        self.plan.note_names(sorted(keys.values()))


def _annotated(lines: Iterable[bytes]) -> list[str]:
    """Return profiles as a mirror compares them: ids with their attributes."""
    return [AnnotatedId(*split(line)) for line in lines]
