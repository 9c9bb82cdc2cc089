"""Lists and figures -> requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

from airflow_provider_batch.protocol.limits import MAX_ENTRIES_PER_PAGE
from airflow_provider_batch.protocol.statistics.period import Period
from airflow_provider_batch.protocol.statistics.subjects import Subject
from airflow_provider_batch.protocol.wire import Request

#: A filter may have several values: one parameter each.
Filters = tuple[tuple[str, str], ...]


def list_page(subject: Subject, version: str, start: str | None, filters: Filters = ()) -> Request:
    """Return the request for one page of the list; without *start*, for the first one."""
    path = subject.list_path.replace("{version}", version)
    begin = (("from", start),) if start is not None else ()
    limit = ("limit", str(MAX_ENTRIES_PER_PAGE))
    return Request("GET", path, (*filters, *begin, limit), remedies=subject.remedies)


def stats(subject: Subject, version: str, key: str, period: Period | None) -> Request:
    """Return the request for the figures of *key*."""
    path = subject.stats_path.replace("{version}", version).replace("{key}", quote(key, safe=""))
    named = ((subject.stats_key, key),) if subject.stats_key else ()
    days = tuple(zip(subject.period, _days(subject, period), strict=True)) if period and subject.period else ()
    return Request("GET", path, (*named, *days), remedies=subject.remedies)


def _days(subject: Subject, period: Period) -> tuple[str, str]:
    if subject.is_open and period.since == period.until:
        period = replace(period, since=period.since - timedelta(days=1))
    return period.days
