"""Reading a source to its end."""

from __future__ import annotations

from airflow_provider_batch.sources.source import Source


def placed(source: Source, size: int = 10_000) -> list[tuple[object, str]]:
    """All values, each with its place."""
    blocks = list(source.blocks(size))
    assert all(0 < len(rows.values) <= size for rows in blocks)
    return [(value, rows.place(number)) for rows in blocks for number, value in enumerate(rows.values)]


def values(source: Source, size: int = 10_000) -> list[object]:
    """All values; they are the same one by one."""
    return [value for value, _ in placed(source, size)]
