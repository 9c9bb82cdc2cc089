"""What a run needs of the place that keeps a mirror's snapshot: a folder, or tables in a database."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple, Protocol, Self

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError, SourceError
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.guards import Limits, check_all
from airflow_provider_batch.mirror.status import MirrorStatus
from airflow_provider_batch.protocol.arguments import FirstRun
from airflow_provider_batch.protocol.audiences.chunk import Ids

log = logging.getLogger(__name__)

#: What either store raises if it cannot be reached, or holds something else than this run has left.
STORE_ERRORS: Final = (OSError, SourceError, SnapshotError, MirrorConflictError)


class SnapshotSize(NamedTuple):
    """The number of ids in a snapshot, and the number of ids that Batch may have or not."""

    ids: int
    uncertain: int


class Transaction(ABC):
    """
    A run that may send. It ends with :meth:`commit`; otherwise all that it may have sent stays uncertain.

    ``series`` stays the same in a retry with the same set if no other run has sent anything in between: what a journal
    noted under another series does not count as delivered.
    """

    series: str

    def __init__(self) -> None:
        self._tokens: list[str] = []
        self._is_committed = False

    @abstractmethod
    def look(self) -> None:
        """
        Check that this run may go on: called before each call and during each wait, by any thread; mostly free.

        :raises MirrorConflictError: if another run has taken over.
        """

    def accepted(self, indexing_token: str) -> None:
        """Remember the token of a write, for the next run to wait for if this one fails; called by any thread."""
        self._tokens.append(indexing_token)

    @abstractmethod
    def commit(self, indexing_tokens: Sequence[str], *, rejected: Sequence[str] = ()) -> object:
        """
        Make the new snapshot the one that counts: every call was accepted.

        :param rejected: ids of the plan that Batch rejected; the next run sends them again.
        :raises MirrorConflictError: if another run has taken over; the snapshot is left to that one.
        """

    @contextmanager
    def ending(self) -> Iterator[Self]:
        """Note at the end, unless it has committed, which tokens were received, and whether it makes no more calls."""
        has_ended = False
        try:
            yield self
            has_ended = True
        except MirrorConflictError:
            has_ended = True
            try:
                self._note_overtaken()
            except STORE_ERRORS as error:
                log.warning(
                    "no run repairs what this one may have sent after the other one; compare the audience with the "
                    "snapshot, or run with full_refresh=True: %s",
                    type(error).__name__,
                )
            raise
        except Exception:
            has_ended = True  # after any other kind, such as a timeout of Airflow, a thread may have been left behind
            raise
        finally:
            if not self._is_committed:
                try:
                    self._note(has_ended=has_ended)
                except STORE_ERRORS as error:
                    log.warning("the tokens of this run could not be noted: %s", type(error).__name__)

    @abstractmethod
    def _note(self, *, has_ended: bool) -> None:
        """Note the tokens, and whether the run makes no more calls."""

    @abstractmethod
    def _note_overtaken(self) -> None:
        """Note all ids as uncertain once more: the last call may have come after what others sent and settled since."""


class Plan(ABC):
    """
    What a run sends; its local files last as long as the ``with`` block of :meth:`Store.plan`.

    ``adds`` and ``removes`` can be read repeatedly; each id is in one of them, once. The same new set and the same
    state of the mirror give the same plan. If the plan ``replaces``, ``adds`` is the whole new set, which replaces all
    members.
    """

    audience_name: str
    replaces: bool
    counts: Counts
    #: The ids to add, with attributes and tags, and the ids to remove.
    adds: Ids
    removes: Ids

    @property
    @abstractmethod
    def before(self) -> int | None:
        """How many ids the last snapshot has; None without a usable one."""

    @property
    def is_empty(self) -> bool:
        """Whether the snapshot is the new set already, so that there is nothing to send and nothing to commit."""
        return self.before is not None and not (self.replaces or self.counts.adds or self.counts.removes)

    @property
    @abstractmethod
    def unconfirmed_tokens(self) -> tuple[str, ...]:
        """The indexing tokens of the last run, unless its writes are confirmed as indexed."""

    @property
    @abstractmethod
    def unfinished_tokens(self) -> tuple[str, ...]:
        """The indexing tokens of tries that have not committed."""

    @property
    def tokens_to_await(self) -> tuple[str, ...]:
        """The tokens of all that may not be applied yet."""
        return tuple(dict.fromkeys(self.unconfirmed_tokens + self.unfinished_tokens))

    def check(self, limits: Limits) -> None:
        """
        Check that the new set does not look like a mistake.

        :param limits: ``max_changes`` does not apply to a plan that replaces the audience.
        :raises GuardError: if it does; the error gives the numbers.
        """
        check_all(self.audience_name, self.counts, self.before, limits, replaces=self.replaces)

    @abstractmethod
    def begin(self, owner: str) -> AbstractContextManager[Transaction]:
        """
        Note what may be sent from now on.

        :param owner: identifies the run to others; readable, and neither a key nor an id of a member.
        :raises MirrorConflictError: if another run is at work, or has been since the plan was made.
        """


class Store(Protocol):
    """One audience and what was sent to it."""

    def to_check(self, ids: object) -> object:
        """Return what the checks have to read of *ids*, a whole set: all of it, or what was found changed."""

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
