"""Functions that read a source to its end."""

from __future__ import annotations

import psutil

from airflow_provider_batch.sources.source import Source


def placed(source: Source, size: int = 10_000) -> list[tuple[object, str]]:
    """Return all values, each with its place."""
    blocks = list(source.blocks(size))
    assert all(0 < len(rows.values) <= size for rows in blocks)
    return [(value, rows.place(number)) for rows in blocks for number, value in enumerate(rows.values)]


def values(source: Source, size: int = 10_000) -> list[object]:
    """Return all values."""
    return [value for value, _ in placed(source, size)]


def count_and_growth(source: Source) -> tuple[int, int]:
    """Return the number of values, and by how many bytes the memory grows; read a similar source first, to warm up."""
    task = psutil.Process()
    before = peak = task.memory_info().rss
    seen = 0
    for rows in source.blocks(10_000):
        seen += len(rows.values)
        peak = max(peak, task.memory_info().rss)
    return seen, peak - before
