"""Ids straight from a database and from files: memory for growing numbers of ids, and the CPU of reading them."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import Broken, Stage, open_stage

_SIZES: Final = {"sqlite": (1_000_000, 10_000_000), "parquet": (1_000_000, 10_000_000), "csv": (1_000_000,)}
_MOST: Final = 128


def measure() -> Part:
    """Push the same ids from several sources."""
    with open_stage() as stage:
        figures = {(source, ids): _pushed(stage, source, ids) for source, sizes in _SIZES.items() for ids in sizes}
    rows = [
        [source, f"{ids:,}", f"{run['growth']:.1f}", f"{run['wall']:.1f}", count(run["cpu"] / ids * 1e9)]
        for (source, ids), run in figures.items()
    ]
    return Part(
        "From a database and from files",
        "`SqlToCustomAudienceOperator` reads from SQLite, and `FilesToCustomAudienceOperator` from Parquet and CSV. "
        "Each source has two columns; the id column is read. The push uses 4 connections, without latency. Files are "
        "read twice, so that every row is checked before the first call. Growth is the peak of resident memory, minus "
        "the resident memory before: after one small push.",
        [Table("Memory and CPU", ("source", "ids", "growth MB", "wall s", "CPU ns per id"), rows)],
        [
            _goal(source, sizes[-1], figures[source, sizes[-1]]["growth"])
            for source, sizes in _SIZES.items()
            if len(sizes) > 1
        ],
    )


def _pushed(stage: Stage, source: str, ids: int) -> dict[str, Any]:
    stage.reset(keep=False)
    reported = stage.run("transfer", {"source": source, "ids": ids})
    # Ten more: the ids that were pushed before the baseline.
    if (arrived := stage.stats()["ids"]) != ids + 10:
        raise Broken(f"delivered {arrived:,} of {ids + 10:,} ids")
    return reported


def _goal(source: str, ids: int, growth: float) -> Goal:
    text = f"at most {_MOST} MB over the baseline at {ids:,} ids from {source}"
    why = "The table shows whether it grows with the number of ids"
    return Goal(text, f"{growth:.1f} MB", growth <= _MOST, why)
