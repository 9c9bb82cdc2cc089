"""The cost of a mirror: today's audience compared with yesterday's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any, Final

from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import Broken, run

#: For a quick run: MIRROR_IDS=1000000.
_IDS: Final = int(os.environ.get("MIRROR_IDS", "10_000_000"))
_KINDS: Final = ("plain", "UUID")
_WAYS: Final = ("sorted", "DuckDB", "two sets")
_NAMES: Final = {
    "sorted": "a sorted source, merged as a stream",
    "DuckDB": "an unsorted source, sorted by DuckDB (512 MB)",
    "two sets": "two Python sets, unsorted source (writes no snapshot)",
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
        f"Today's audience is compared with yesterday's {_IDS:,} ids: 1 % are gone and 1 % are new. The source is a "
        "text file with one id per line. The mirror reads and checks its snapshot, writes the next one, and writes the "
        "ids to add and to remove to local files. Growth is that of resident memory.",
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
            f"{kind} ids, sorted: growth of at most {_MOST} MB",
            f"{growth:.0f} MB",
            growth <= _MOST,
            "Something is held in memory that should be streamed",
        ),
        Goal(
            f"{kind} ids, sorted: at most {_SECONDS:.0f} CPU seconds, and at most as many as two sets",
            f"{cpu:.1f} s, two sets {sets:.1f} s",
            cpu <= _SECONDS and cpu <= sets,
            "Much of it is reading, checking and compressing snapshots, which two sets do not do",
        ),
    ]
