"""Conversations about statistics: a page of a list, and the figures of one entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_batch.protocol.flow import Flow, exchange
from airflow_provider_batch.protocol.pages import Page
from airflow_provider_batch.protocol.retry import Delay
from airflow_provider_batch.protocol.statistics import decode, encode
from airflow_provider_batch.protocol.statistics.encode import Filters
from airflow_provider_batch.protocol.statistics.period import Period
from airflow_provider_batch.protocol.statistics.subjects import Subject


def page(subject: Subject, version: str, start: str | None, filters: Filters, delay: Delay) -> Flow[Page]:
    """Return one page of the list; without *start*, the first one."""
    request = encode.list_page(subject, version, start, filters)
    return (yield from exchange(request, decode.list_page(subject), delay))


def stats(subject: Subject, version: str, key: str, period: Period | None, delay: Delay) -> Flow[Mapping[str, Any]]:
    """Return the figures of *key*."""
    return (yield from exchange(encode.stats(subject, version, key, period), decode.stats, delay))
