"""What a mirror costs: yesterday's audience against today's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any, Final

from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import Broken, run

#: Smaller for a try: MIRROR_IDS=1000000.
_IDS: Final = int(os.environ.get("MIRROR_IDS", "10_000_000"))
_KINDS: Final = ("plain", "UUID")
_WAYS: Final = ("sorted", "DuckDB", "two sets")
_NAMES: Final = {
    "sorted": "a sorted source, merged as a stream",
    "DuckDB": "an unsorted one, through DuckDB (512 MB)",
    "two sets": "two sets of Python, unsorted (no snapshot is written)",
}
_MOST: Final = 100
_SECONDS: Final = 10.0


def measure() -> Part:
    """Plan the same change in three ways."""
    tables, goals = [], []
    for kind in _KINDS:
        with tempfile.TemporaryDirectory(prefix="bench-mirror-") as folder:
            work = {"kind": kind, "ids": _IDS, "folder": folder}
            run("mirror", {**work, "way": "prepare"})
            figures = {way: _planned(work, way) for way in _WAYS}
        rows = [
            [_NAMES[way], *(f"{one[name]:.1f}" for name in ("wall", "cpu")), count(one["peak"] - one["before"])]
            for way, one in figures.items()
        ]
        tables.append(Table(f"{kind} ids", ("way", "wall s", "CPU s", "growth MB"), rows))
        goals += _goals(kind, figures)
    return Part(
        "Mirror",
        f"Yesterday's audience of {_IDS:,} ids against today's: 1 % is gone and 1 % is new. The source is a file of "
        "lines; the mirror reads and checks its snapshot, writes the next one, and spools what to add and to remove. "
        "The growth is that of resident memory.",
        tables,
        goals,
    )


def _planned(work: Mapping[str, object], way: str) -> dict[str, Any]:
    reported = run("mirror", {**work, "way": way})
    if (reported["adds"], reported["removes"]) != (_IDS // 100, _IDS // 100):
        raise Broken(f"{way} found {reported['adds']:,} ids to add and {reported['removes']:,} to remove")
    return reported


def _goals(kind: str, figures: dict[str, dict[str, Any]]) -> list[Goal]:
    growth = figures["sorted"]["peak"] - figures["sorted"]["before"]
    cpu, sets = figures["sorted"]["cpu"], figures["two sets"]["cpu"]
    return [
        Goal(
            f"{kind} ids, sorted: at most {_MOST} MB, however many",
            f"{growth:.0f} MB",
            growth <= _MOST,
            "Something is held that should stream",
        ),
        Goal(
            f"{kind} ids, sorted: at most {_SECONDS:.0f} CPU seconds, and no more than two sets take",
            f"{cpu:.1f} s, two sets {sets:.1f} s",
            cpu <= _SECONDS and cpu <= sets,
            "Much of it is reading, checking and compressing snapshots, which two sets do not",
        ),
    ]
