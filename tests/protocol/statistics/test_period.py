"""Which days may be asked for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.statistics.period import Period
from tests.clock import local_zone

TODAY = date(2026, 8, 31)
NO_DAY = "is not a day. Pass one such as '2026-11-25' or '{{ ds }}'."


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
    with local_zone("America/Los_Angeles"):
        assert Period.of(since, until, TODAY).days == days


@pytest.mark.parametrize(
    ("since", "until", "reason"),
    [
        (
            "2026-02-26",
            None,
            "since: Batch has statistics of the last 6 months only, and 2026-02-26 is before 2026-02-28. Pass a later "
            "day.",
        ),
        ("2026-08-31", "2026-08-30", "since: 2026-08-31 is after until (2026-08-30). Pass an earlier day."),
        ("yesterday", None, f"since: 'yesterday' {NO_DAY}"),
        (None, 20260831, f"until: 20260831 {NO_DAY}"),
        ("{{ ds }}", None, f"since: '{{{{ ds }}}}' {NO_DAY}"),
    ],
)
def test_what_batch_does_not_have_is_refused(since: Any, until: Any, reason: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Period.of(since, until, TODAY)
    assert str(caught.value) == reason


def test_without_a_limit_any_day_will_do() -> None:
    assert Period.of("2020-01-01", None, TODAY, months=None).since == date(2020, 1, 1)
    assert Period.of(None, datetime(2026, 8, 1, tzinfo=UTC), TODAY, months=None) == Period(date.min, date(2026, 8, 1))
