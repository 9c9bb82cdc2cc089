"""What a push of profiles did, in counts: neither ids nor values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_batch.protocol.results import Outcome
from airflow_provider_batch.protocol.rows import Rejection


def push_name(batch_conn_id: str) -> str:
    """Return what a push of profiles is called in logs and errors."""
    return f"profiles of {batch_conn_id}"


@dataclass(frozen=True, slots=True)
class ProfilesResult(Outcome):
    """
    What a push of profiles did. Every row that was given is in exactly one of its counts.

    :param batch_conn_id: the connection to the project.
    :param route: ``update`` or ``mass-update``.
    :param accepted: profiles that Batch accepted; that is all that can be known of them.
    :param duplicates: rows that a later row of the same profile replaced.
    :param rejected: rows that were skipped because they are invalid, and profiles that Batch rejected in part.
    :param rejections: the first of them, by position and reason.
    :param calls: how many calls Batch accepted; of a dry run, how many it would have received.
    :param seconds: the duration of the push.
    :param earlier_calls: how many of the calls an earlier try of the task made.
    :param dry_run: whether nothing was sent.
    :param rejected_by_batch: how many of the rejected ones Batch rejected.
    """

    batch_conn_id: str
    route: str
    accepted: int
    duplicates: int
    rejected: int
    rejections: tuple[Rejection, ...]
    calls: int
    seconds: float
    earlier_calls: int = 0
    dry_run: bool = False
    rejected_by_batch: int = 0

    @property
    def name(self) -> str:
        """What the push is called in logs and errors."""
        return push_name(self.batch_conn_id)

    @property
    def given(self) -> int:
        """How many rows there were."""
        return self.accepted + self.duplicates + self.rejected

    def counts(self) -> dict[str, Any]:
        """Return the counts alone, in JSON's types."""
        return {name: value for name, value in self.summary().items() if name not in ("rejections", "seconds")}

    def summary(self) -> dict[str, Any]:
        """Return the counts in JSON's types, without ids and values."""
        return {
            "route": self.route,
            **({"dry_run": True} if self.dry_run else {}),
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "rejections": self.reasons(),
            "calls": self.calls,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class ProfilesMirrorResult(ProfilesResult):
    """
    What a run did that sends only what differs.

    :param unchanged: rows that were not sent, as Batch has them.
    :param cleared: profiles whose rows have gone, and whose attributes were deleted.
    :param profiles: how many profiles had a row.
    """

    unchanged: int = 0
    cleared: int = 0
    profiles: int = 0

    @property
    def given(self) -> int:
        """How many rows there were."""
        return self.accepted + self.unchanged + self.duplicates + self.rejected

    def summary(self) -> dict[str, Any]:
        """Return the counts in JSON's types, without ids and values."""
        more = {"unchanged": self.unchanged, "cleared": self.cleared, "profiles": self.profiles}
        return ProfilesResult.summary(self) | more  # super() without arguments fails in a class with slots
