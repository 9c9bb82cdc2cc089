"""What a push of ids did, in counts: neither ids nor keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from airflow_provider_batch.protocol.audiences.chunk import CheckedChunks, Chunks
from airflow_provider_batch.protocol.audiences.writes import AudienceWrites
from airflow_provider_batch.protocol.results import Outcome
from airflow_provider_batch.protocol.rows import NAMED_REJECTIONS, Rejection
from airflow_provider_batch.protocol.writes import Sent

#: The entries of a summary that are counts, and what they are of.
COUNTS: Final = ("audience", "type", "added", "removed", "duplicates", "rejected", "calls")


@dataclass(frozen=True, slots=True)
class PushResult(Outcome):
    """
    What a push did. Every value that was given is in exactly one of four counts.

    :param indexing_tokens: one for each call, in the order of the chunks.
    :param added: ids that were sent to be added.
    :param removed: ids that were sent to be removed.
    :param duplicates: values that were repeated, or that were to be added and are removed.
    :param rejected: values that were skipped because they are invalid, and ids that Batch rejected.
    :param rejections: the first of them, by position and reason.
    :param seconds: the duration of the push.
    :param earlier_calls: how many of the calls an earlier try of the task made.
    :param planned_calls: of a dry run, how many calls it would have made.
    :param rejected_by_batch: how many of the rejected ones Batch rejected.
    """

    audience_name: str
    audience_type: str
    indexing_tokens: list[str]
    added: int
    removed: int
    duplicates: int
    rejected: int
    rejections: tuple[Rejection, ...]
    seconds: float
    earlier_calls: int = 0
    planned_calls: int | None = None
    rejected_by_batch: int = 0

    @property
    def name(self) -> str:
        """The audience's name."""
        return self.audience_name

    @property
    def dry_run(self) -> bool:
        """Whether nothing was sent."""
        return self.planned_calls is not None

    @property
    def calls(self) -> int:
        """How many calls Batch accepted; of a dry run, how many it would have received."""
        return len(self.indexing_tokens) if self.planned_calls is None else self.planned_calls

    @property
    def given(self) -> int:
        """How many values there were."""
        return self.added + self.removed + self.duplicates + self.rejected

    def counts(self) -> dict[str, Any]:
        """Return the counts alone, in JSON's types."""
        summary = self.summary()
        return {name: summary[name] for name in COUNTS}

    def summary(self) -> dict[str, Any]:
        """Return the counts in JSON's types, without ids and tokens."""
        return {
            "audience": self.audience_name,
            "type": self.audience_type,
            **({} if self.planned_calls is None else {"dry_run": True}),
            "added": self.added,
            "removed": self.removed,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "rejections": self.reasons(),
            "calls": self.calls,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class MirrorResult(PushResult):
    """
    What a run of a mirror did; ``removed`` counts ids that are no longer given.

    :param unchanged: ids that were not sent, as Batch has them.
    :param members: how many members the audience has, by what this and earlier runs sent.
    :param replaced: whether the audience was replaced as a whole.
    """

    unchanged: int = 0
    members: int = 0
    replaced: bool = False

    @property
    def given(self) -> int:
        """How many values there were."""
        return self.added + self.unchanged + self.duplicates + self.rejected

    def summary(self) -> dict[str, Any]:
        """Return the counts in JSON's types, without ids and tokens."""
        more = {"unchanged": self.unchanged, "members": self.members, "replaced": self.replaced}
        return PushResult.summary(self) | more  # super() without arguments fails in a class with slots


R = TypeVar("R", bound=PushResult)


def result_of(kind: type[R], writes: AudienceWrites, chunks: Chunks | CheckedChunks, sent: Sent, **more: Any) -> R:
    """Return the result of the push that sent *chunks*; *more* are the fields that only its *kind* has."""
    return kind(
        audience_name=writes.audience_name,
        audience_type=writes.audience_type,
        indexing_tokens=list(sent.indexing_tokens),
        added=sent.added,
        removed=sent.removed,
        duplicates=chunks.duplicates,
        rejected=chunks.rejected + len(sent.rejections),
        rejections=(*chunks.rejections, *sent.rejections)[:NAMED_REJECTIONS],
        seconds=sent.seconds,
        earlier_calls=sent.earlier_calls,
        planned_calls=sent.planned_calls,
        rejected_by_batch=len(sent.rejections),
        **more,
    )
