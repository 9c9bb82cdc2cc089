"""Reading a source to its end."""

from __future__ import annotations

import psutil

from airflow_provider_batch.sources.source import Source


def placed(source: Source, size: int = 10_000) -> list[tuple[object, str]]:
    """All values, each with its place."""
    blocks = list(source.blocks(size))
    assert all(0 < len(rows.values) <= size for rows in blocks)
    return [(value, rows.place(number)) for rows in blocks for number, value in enumerate(rows.values)]


def values(source: Source, size: int = 10_000) -> list[object]:
    """All values; they are the same one by one."""
    return [value for value, _ in placed(source, size)]


def counted(source: Source) -> tuple[int, int]:
    """How many values there are, and by how many bytes the memory grows meanwhile; read something like it before."""
    task = psutil.Process()
    before = most = task.memory_info().rss
    seen = 0
    for rows in source.blocks(10_000):
        seen += len(rows.values)
        most = max(most, task.memory_info().rss)
    return seen, most - before
