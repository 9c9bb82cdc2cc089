"""
What is known of an audience, and of single ids: what was sent to Batch last, when, and what is uncertain.

Reading it takes no claim and changes nothing. So a run may be at work meanwhile: if it changes what is being read, the
reader is asked to try again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Final

from airflow_provider_batch.exceptions import SnapshotError
from airflow_provider_batch.mirror import snapshot
from airflow_provider_batch.mirror.claim import read_owner
from airflow_provider_batch.mirror.folder import Folder
from airflow_provider_batch.mirror.lines import id_part, id_parts, line_of, lines_in
from airflow_provider_batch.mirror.snapshot import Head, State
from airflow_provider_batch.mirror.target import Target

#: How the names begin that profiles have in place of an audience; no audience can have such a name.
PROFILES_PREFIX: Final = "profiles."


@dataclass(frozen=True, slots=True)
class Generation:
    """
    One set of ids that was sent as a whole.

    :param number: counts from 1; each run that changes something makes a new one.
    :param size: how many ids it has.
    :param written_at: when Batch had accepted all of it.
    """

    number: int
    size: int
    written_at: datetime


@dataclass(frozen=True, slots=True)
class IdStatus:
    """
    What is known of one id.

    :param generations: the numbers of the generations that have it, of those that are kept; the newest first.
    :param is_uncertain: whether a run that did not end may have added or removed it.
    :param is_rejected: whether Batch rejected it, so that it was neither added nor removed.
    """

    generations: tuple[int, ...]
    is_uncertain: bool
    is_rejected: bool


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """
    What is known of a mirror.

    :param audience_name: empty, like ``audience_type``, if no run has ended yet. Of attributes of profiles:
        ``profiles.`` and a name.
    :param generations: those that are kept, the newest first; empty if no run has ended yet.
    :param is_confirmed: whether Batch has indexed the newest one, as far as somebody has waited for that.
    :param uncertain: how many ids runs that did not end may have sent, at most.
    :param rejected: how many ids Batch rejected; the next run sends them again.
    :param at_work: the run that holds the claim; None if there is none.
    :param ids: what is known of the ids that were asked for.
    """

    audience_name: str
    audience_type: str
    generations: tuple[Generation, ...]
    is_confirmed: bool
    uncertain: int
    rejected: int
    at_work: str | None
    ids: Mapping[str, IdStatus] = field(repr=False)

    @property
    def is_of_profiles(self) -> bool:
        """Whether it is of attributes of profiles, which stand in place of an audience."""
        return self.audience_name.startswith(PROFILES_PREFIX)


def read_status(folder: Folder, ids: Iterable[str] = (), *, now: float, target: Target | None = None) -> MirrorStatus:
    """
    Read what is known of a mirror, and of *ids*.

    :param now: seconds since the epoch.
    :param target: what the mirror has to be of; None for anything.
    :raises SnapshotError: if a file is damaged, or *target* is another one.
    :raises MirrorConflictError: if a run changed the mirror while it was read.
    """
    state = snapshot.read_state(folder, target)
    heads = [state.head, *snapshot.read_earlier_heads(folder, state.head)] if state.head else []
    try:
        known = dict(_id_statuses(folder, state, heads, ids))
    except SnapshotError:
        state.check_unchanged(folder)  # a run may have deleted what it does not need any more
        raise
    sizes = {True: 0, False: 0}
    for one in state.unfinished:
        sizes[one.is_rejection] += one.pending.count
    return MirrorStatus(
        state.head.target.audience if state.head else "",
        state.head.target.type if state.head else "",
        tuple(Generation(head.generation, head.count, datetime.fromisoformat(head.written_at)) for head in heads),
        state.is_confirmed,
        sizes[False],
        sizes[True],
        read_owner(folder, now),
        known,
    )


def _id_statuses(folder: Folder, state: State, heads: list[Head], ids: Iterable[str]) -> Iterator[tuple[str, IdStatus]]:
    lines = {id_: id_part(line_of(id_)) for id_ in ids}
    if not lines:
        return
    wanted = frozenset(lines.values())
    sets = {head.generation: _found(wanted, map(lines_in, snapshot.read_snapshot(folder, head))) for head in heads}
    uncertain, rejected = (
        _found(
            wanted,
            chain.from_iterable(
                snapshot.read_unfinished_ids(folder, one) for one in state.unfinished if one.is_rejection is kind
            ),
        )
        for kind in (False, True)
    )
    for id_, line in lines.items():
        generations = tuple(number for number, found in sets.items() if line in found)
        yield id_, IdStatus(generations, line in uncertain, line in rejected)


def _found(wanted: frozenset[str], blocks: Iterable[list[str]]) -> set[str]:
    """Return which of the *wanted* ids the blocks of lines have."""
    found: set[str] = set()
    for block in blocks:
        found |= wanted.intersection(id_parts(block))
    return found
