"""The cost of a mirror: today's audience compared with yesterday's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import Broken, run

#: For a quick run: MIRROR_IDS=1000000.
_IDS: Final = int(os.environ.get("MIRROR_IDS", "10_000_000"))
_KINDS: Final = ("plain", "random UUID")
_WAYS: Final = ("sorted", "DuckDB", "two sets")
_NAMES: Final = {
    "sorted": "a sorted source, merged as a stream",
    "DuckDB": "an unsorted source, sorted by DuckDB (512 MB)",
    "two sets": "two Python sets, unsorted source (writes no snapshot)",
}
#: The most growth in MB, and the most of the wall time of two sets.
_MEMORY: Final = {"sorted": 64, "DuckDB": 512}
_SHARES: Final = {"sorted": 0.25, "DuckDB": 0.4}
#: What each way cannot do without; measured only if it takes too long.
_ALONE: Final = {
    "sorted": {"read": "reading the source", "copy": "reading the snapshot and writing the next one"},
    "DuckDB": {"sort": "reading the source and sorting it", "copy": "reading the snapshot and writing the next one"},
}


def measure() -> Part:
    """Plan the same change in three ways."""
    tables: list[Table] = []
    goals: list[Goal] = []
    for kind in _KINDS:
        with tempfile.TemporaryDirectory(prefix="bench-mirror-") as folder:
            work = {"kind": kind, "ids": _IDS, "folder": folder}
            run("mirror", {**work, "way": "prepare"})
            figures = {way: _planned(work, way) for way in _WAYS}
            goals += _goals(kind, figures, partial(_alone, work))
        rows = [
            [_NAMES[way], *(f"{one[name]:.1f}" for name in ("wall", "cpu")), count(one["peak"] - one["before"])]
            for way, one in figures.items()
        ]
        tables.append(Table(f"{kind} ids", ("way", "wall s", "CPU s", "growth MB"), rows))
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


def _alone(work: Mapping[str, object], way: str) -> str:
    """Measure the parts of *way* one by one."""
    walls = {name: run("mirror", {**work, "way": part})["wall"] for part, name in _ALONE[way].items()}
    return "Alone, " + " and ".join(f"{name} takes {wall:.1f} s" for name, wall in walls.items())


def _goals(kind: str, figures: dict[str, dict[str, Any]], alone: Callable[[str], str]) -> Iterator[Goal]:
    sets = figures["two sets"]["wall"]
    for way, most in _SHARES.items():
        share = figures[way]["wall"] / sets
        yield Goal(
            f"{kind} ids, {way}: at most {most} of the time of two sets",
            f"{share:.2f}",
            share <= most,
            "" if share <= most else f"It allows {most * sets:.1f} s. {alone(way)}. Two sets do no more than compare",
        )
        growth = figures[way]["peak"] - figures[way]["before"]
        yield Goal(
            f"{kind} ids, {way}: growth of at most {_MEMORY[way]} MB",
            f"{growth:.0f} MB",
            growth <= _MEMORY[way],
            "Something is held in memory that should be streamed",
        )
