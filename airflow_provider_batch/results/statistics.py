"""
The figures of everything that a list has, one call each.

One that cannot be read does not stop the others: it is noted with its reason, and the caller decides what to do when
all others were read. What would stop every one of them ends the reading: wrong keys and a rate limit that does not end
at once; no answer, a fault of the service and a missing permission when they come again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_batch.exceptions import (
    BatchAuthenticationError,
    BatchError,
    BatchRateLimitError,
    InvalidArgumentError,
    PushStoppedError,
    StatisticsMissingError,
    counted,
)
from airflow_provider_batch.protocol.pages import Entry, unseen
from airflow_provider_batch.protocol.statistics import conversations
from airflow_provider_batch.protocol.statistics.encode import Filters
from airflow_provider_batch.protocol.statistics.lines import lines
from airflow_provider_batch.protocol.statistics.period import Period
from airflow_provider_batch.protocol.statistics.subjects import Subject
from airflow_provider_batch.push.line import Line

#: After so many failures in a row that need not be about the one, the others would fail as well.
_FAILURES_IN_A_ROW: Final = 5

#: How many of the missing ones an error names.
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """What was read about one: its lines, or why there are none."""

    key: str
    lines: tuple[dict[str, Any], ...] = ()
    failure: BatchError | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What is to be read.

    :param version: of Batch's API.
    :param keys: those to read where Batch has no list; None to read the list.
    :param period: the days; None for all that Batch answers.
    """

    subject: Subject
    version: str
    filters: Filters = ()
    keys: Sequence[str] | None = None
    period: Period | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False, compare=False)

    def entries(self, ask: Callable[[Any], Any], delay: Any) -> Iterator[Entry]:
        """Yield what the list has; each page is requested when it is needed."""
        if self.keys is not None:
            yield from ({self.subject.key: key} for key in dict.fromkeys(self.keys))
            return
        seen: set[str] = set()
        start: str | None = None
        while True:
            page = ask(conversations.page(self.subject, self.version, start, self.filters, delay))
            # Without a cursor, nothing but a page without news shows the end: pages may be shorter than asked for.
            if not self.subject.listed and all(entry.get(self.subject.key) in seen for entry in page.entries):
                return
            yield from unseen(page, self.subject.key, seen)
            if (start := page.next_start) is None:
                return

    def run(self, line: Line, known: Collection[str] = ()) -> Iterator[Figures]:
        """Yield the figures of each but those that are *known*."""
        delay = line.settings.backoff
        failures = read = 0
        failure: BatchError | None = None
        # The whole list first: reading all figures may take so long that its pages shift.
        for entry in list(self.entries(line.ask, delay)):
            key = str(entry[self.subject.key])
            if key in known:
                continue
            try:
                answer = line.ask(conversations.stats(self.subject, self.version, key, self.period, delay))
            except BatchError as error:
                failures = failures + 1 if error.retryable or _is_denied(error) else 0
                if failures == _FAILURES_IN_A_ROW or _concerns_all(error):
                    raise
                failure = error
                yield Figures(key, failure=error)
                continue
            failures, read = 0, read + 1
            read_at = self.now().isoformat(timespec="seconds")
            found = lines(entry, answer, self.subject.days, read_at)
            yield Figures(key, tuple(each for each in found if self._is_wanted(each)))
        if failure is not None and not read and _is_denied(failure):
            raise failure  # of all of them, however few they are

    def _is_wanted(self, line: dict[str, Any]) -> bool:
        """Whether the line is of the period, where Batch takes none, or a longer one."""
        day = line.get("date")
        is_exact = self.subject.period and not self.subject.is_open
        if self.period is None or is_exact or not isinstance(day, str):
            return True
        first, last = self.period.days
        return first <= day[:10] <= last


def _is_denied(error: BatchError) -> bool:
    return isinstance(error, BatchAuthenticationError)


def _concerns_all(error: BatchError) -> bool:
    """Whether the error is certainly not about the one whose figures were asked for."""
    return isinstance(error, BatchRateLimitError | PushStoppedError) or (
        isinstance(error, BatchAuthenticationError) and error.status == 401
    )


def check_missing(subject: Subject, missing: Sequence[Figures]) -> None:
    """
    Check that nothing is missing.

    :raises StatisticsMissingError: if something is; retryable if one of the errors was transient.
    """
    if not missing:
        return
    named = "; ".join(f"{each.key}: {each.failure}" for each in missing[:_NAMED])
    more = f"; and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
    raise StatisticsMissingError(
        f"the statistics of {counted(len(missing), subject.noun)} cannot be read; all others were. Pass "
        f"on_missing='skip' to go on without. {named}{more}",
        missing=tuple(each.key for each in missing),
        retryable=any(each.failure is not None and each.failure.retryable for each in missing),
    )


def check_keys(name: str, keys: Any) -> list[str]:
    """Return the list *keys*, of which Batch has no list itself."""
    if isinstance(keys, str) or not isinstance(keys, Sequence | set | frozenset | tuple):
        raise InvalidArgumentError(f"{name}: a single {type(keys).__name__} is not a list. Pass a list of str.")
    if not all(isinstance(key, str) and key for key in keys):
        raise InvalidArgumentError(f"{name}: an entry is empty or not text. Pass a list of str.")
    return list(keys)
