"""The days whose figures are read."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Self

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.limits import STATISTICS_MONTHS

#: Within any six months, however Batch counts them.
_DEFAULT: Final = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class Period:
    """The first and the last day, both included."""

    since: date
    until: date

    @classmethod
    def of(cls, since: Any, until: Any, today: date, *, months: int | None = STATISTICS_MONTHS) -> Self:
        """
        Return the period from *since*, by default 180 days ago, until *until*, by default today.

        :param since: a date, a datetime, or text in one of their forms, such as ``{{ ds }}`` yields.
        :param months: for how long Batch has figures; None for ever.
        :raises InvalidArgumentError: if one is not a day, or if *since* is after *until* or too long ago.
        """
        first = date.min if months is None else _months_before(today, months)
        last_day = _day("until", until) or today
        first_day = _day("since", since) or (date.min if months is None else today - _DEFAULT)
        # The calendar of Batch may be a day behind ours.
        if months is not None and first_day < first - timedelta(days=1):
            raise InvalidArgumentError(
                f"since: Batch has statistics of the last {months} months only, and {first_day} is before {first}. "
                "Pass a later day."
            )
        if first_day > last_day:
            raise InvalidArgumentError(f"since: {first_day} is after until ({last_day}). Pass an earlier day.")
        return cls(first_day, last_day)

    @property
    def days(self) -> tuple[str, str]:
        """Both days as Batch writes them."""
        return self.since.isoformat(), self.until.isoformat()


def _day(name: str, value: Any) -> date | None:
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).date()
    if isinstance(value, date):
        return value
    try:
        return _day(name, datetime.fromisoformat(value))
    except (TypeError, ValueError):
        raise InvalidArgumentError(
            f"{name}: {value!r:.80} is not a day. Pass one such as '2026-11-25' or '{{{{ ds }}}}'."
        ) from None


def _months_before(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
