"""What the results of all pushes share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from airflow_provider_batch.exceptions import TooManyRejectedError, counted
from airflow_provider_batch.protocol.arguments import most
from airflow_provider_batch.protocol.rows import Rejection


class Outcome(ABC):
    """The counts of a push, of which each value that was given is in exactly one."""

    __slots__ = ()
    rejected: int
    rejections: tuple[Rejection, ...]

    @property
    @abstractmethod
    def name(self) -> str:
        """What the push is called in logs and errors."""

    @property
    @abstractmethod
    def given(self) -> int:
        """How many values there were."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Return the counts in JSON's types, without ids and tokens."""

    def reasons(self) -> list[str]:
        """Return the place and the reason of the first rejections."""
        return [f"{rejection.where}: {rejection.reason}" for rejection in self.rejections]

    def check_rejected(self, max_rejected: float | None) -> None:
        """
        Check that not too many values were rejected.

        :param max_rejected: a count (int), or a share of all values given (float); None for any number.
        :raises TooManyRejectedError: if there are more; what was not rejected has been sent.
        """
        allowed = most(max_rejected, self.given)
        if allowed is not None and self.rejected > allowed:
            raise TooManyRejectedError(
                f"{self.name}: {self.rejected:,} of {counted(self.given, 'value')} were rejected, more than "
                f"max_rejected={max_rejected}. The others were sent. The first: {self.reasons()[0]}"
            )
