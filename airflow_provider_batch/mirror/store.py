"""What a run needs of the place that keeps a mirror's snapshot: a folder, or tables in a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.guards import Limits
from airflow_provider_batch.mirror.status import MirrorStatus
from airflow_provider_batch.protocol.arguments import FirstRun
from airflow_provider_batch.protocol.audiences.chunk import Ids


class SnapshotSize(NamedTuple):
    """The number of ids in a snapshot, and the number of ids that Batch may have or not."""

    ids: int
    uncertain: int


class Transaction(Protocol):
    """
    A run that may send. It ends with :meth:`commit`; otherwise all that it may have sent stays uncertain.

    ``series`` stays the same in a retry with the same set if no other run has sent anything in between: what a journal
    noted under another series does not count as delivered.
    """

    series: str

    def look(self) -> None:
        """
        Check that this run may go on: called before each call and during each wait, by any thread; mostly free.

        :raises MirrorConflictError: if another run has taken over.
        """

    def accepted(self, indexing_token: str) -> None:
        """Remember the token of a write, for the next run to wait for if this one fails; called by any thread."""

    def commit(self, indexing_tokens: Sequence[str], *, rejected: Sequence[str] = ()) -> object:
        """
        Make the new snapshot the one that counts: every call was accepted.

        :param rejected: ids of the plan that Batch rejected; the next run sends them again.
        :raises MirrorConflictError: if another run has taken over; the snapshot is left to that one.
        """


class Plan(Protocol):
    """
    What a run sends; its local files last as long as the ``with`` block of :meth:`Store.plan`.

    ``adds`` and ``removes`` can be read repeatedly; each id is in one of them, once. The same new set and the same
    state of the mirror give the same plan. If the plan ``replaces``, ``adds`` is the whole new set, which replaces all
    members.
    """

    replaces: bool
    counts: Counts

    @property
    def before(self) -> int | None:
        """How many ids the last snapshot has; None without a usable one."""

    @property
    def adds(self) -> Ids:
        """The ids to add, with attributes and tags."""

    @property
    def removes(self) -> Ids:
        """The ids to remove."""

    @property
    def is_empty(self) -> bool:
        """Whether the snapshot is the new set already, so that there is nothing to send and nothing to commit."""

    @property
    def unconfirmed_tokens(self) -> tuple[str, ...]:
        """The indexing tokens of the last run, unless its writes are confirmed as indexed."""

    @property
    def tokens_to_await(self) -> tuple[str, ...]:
        """The tokens of all that may not be applied yet: those of unfinished tries, too."""

    def check(self, limits: Limits) -> None:
        """
        Check that the new set does not look like a mistake.

        :param limits: ``max_changes`` does not apply to a plan that replaces the audience.
        :raises GuardError: if it does; the error gives the numbers.
        """

    def begin(self, owner: str) -> AbstractContextManager[Transaction]:
        """
        Note what may be sent from now on.

        :param owner: identifies the run to others; readable, and neither a key nor an id of a member.
        :raises MirrorConflictError: if another run is at work, or has been since the plan was made.
        """


class Store(Protocol):
    """One audience and what was sent to it."""

    def plan(
        self,
        blocks: Iterable[list[str]],
        *,
        is_sorted: bool = False,
        first_run: FirstRun = "add",
        full_refresh: bool = False,
        checkpoint: Callable[[], object] = ...,
    ) -> AbstractContextManager[Plan]:
        """
        Read the whole new set, compare it with the snapshot, and yield what to send; nothing is sent yet.

        :param blocks: lists of valid ids, such as those of an intake.
        :param is_sorted: the source yields ids in ascending order of their code points; this is checked.
        :param first_run: without a snapshot: ``add`` keeps the members that Batch may have, ``replace`` replaces them.
        :param full_refresh: replace the audience, whatever the snapshot holds; it may be damaged.
        :param checkpoint: called for each block of the sorted set; what it raises ends the comparison.
        :raises SnapshotError: if the snapshot cannot be used.
        """

    def confirm(self, indexing_tokens: Sequence[str] | None = None) -> SnapshotSize | None:
        """
        Note that Batch has indexed everything that was sent, and return what the audience has by the snapshot.

        :param indexing_tokens: the tokens that were waited for. If the snapshot is that of another run by now, and its
            writes are not confirmed, nothing is noted and None is returned.
        :raises SnapshotError: unless there is a usable snapshot.
        """

    def inspect(self, ids: Sequence[str]) -> MirrorStatus:
        """
        Return what is known of the mirror, and of *ids*; it takes no claim and changes nothing.

        :raises SnapshotError: if the snapshot is damaged, or of another audience.
        :raises MirrorConflictError: if a run changed the mirror while it was read.
        """

    def release(self, owner: str) -> None:
        """Give back the claim that a killed try of *owner* left."""
