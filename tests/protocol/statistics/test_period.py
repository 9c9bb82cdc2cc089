"""Which days may be asked for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.statistics.period import Period

TODAY = date(2026, 8, 31)


@pytest.mark.parametrize(
    ("since", "until", "days"),
    [
        ("2026-08-30", "2026-08-31", ("2026-08-30", "2026-08-31")),
        (date(2026, 8, 30), None, ("2026-08-30", "2026-08-31")),
        (None, None, ("2026-03-04", "2026-08-31")),
        ("", "", ("2026-03-04", "2026-08-31")),
        ("2026-02-27", None, ("2026-02-27", "2026-08-31")),
        ("2026-08-30T23:30:00-02:00", None, ("2026-08-31", "2026-08-31")),
        (datetime(2026, 8, 30, 23, 30), "2026-08-30", ("2026-08-30", "2026-08-30")),  # noqa: DTZ001
        (datetime(2026, 8, 30, 1, tzinfo=timezone(timedelta(hours=2))), None, ("2026-08-29", "2026-08-31")),
    ],
)
def test_a_day_may_come_in_any_form(since: Any, until: Any, days: tuple[str, str]) -> None:
    assert Period.of(since, until, TODAY).days == days


@pytest.mark.parametrize(
    ("since", "until", "reason"),
    [
        ("2026-02-26", None, "the last 6 months only, and 2026-02-26 is before 2026-02-28"),
        ("2026-08-31", "2026-08-30", "2026-08-31 is after until"),
        ("yesterday", None, "since: 'yesterday' is not a day"),
        (None, 20260831, "until: 20260831 is not a day"),
        ("{{ ds }}", None, "is not a day"),
    ],
)
def test_what_batch_does_not_have_is_refused(since: Any, until: Any, reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        Period.of(since, until, TODAY)


def test_without_a_limit_any_day_will_do() -> None:
    assert Period.of("2020-01-01", None, TODAY, months=None).since == date(2020, 1, 1)
    assert Period.of(None, datetime(2026, 8, 1, tzinfo=UTC), TODAY, months=None) == Period(date.min, date(2026, 8, 1))
