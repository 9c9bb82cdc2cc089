"""Peak memory of a push, for growing numbers of ids."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.report import Goal, Part, Table
from benchmarks.stage import Broken, Stage, open_stage

_SIZES: Final = (100_000, 1_000_000, 10_000_000)
_REMOVALS: Final = (0, 100_000)
_MOST: Final = 64


def measure() -> Part:
    """Push growing numbers of ids from a generator."""
    with open_stage() as stage:
        figures = {(ids, removals): _pushed(stage, ids, removals) for removals in _REMOVALS for ids in _SIZES}
    rows = [
        [f"{ids:,}", f"{removals:,}", f"{run['growth']:.1f}", f"{run['wall']:.1f}", f"{run['cpu']:.1f}"]
        for (ids, removals), run in figures.items()
    ]
    return Part(
        "Peak memory of a stream",
        "Growth is the peak of resident memory during a push from a generator over 4 connections, minus the resident "
        "memory before: after the import of the hook and one call. A push that both adds and removes holds the ids to "
        "remove in memory.",
        [Table("Growth", ("ids to add", "ids to remove", "growth MB", "wall s", "CPU s"), rows)],
        [_goal(removals, figures[_SIZES[-1], removals]["growth"]) for removals in _REMOVALS],
    )


def _pushed(stage: Stage, ids: int, removals: int) -> dict[str, Any]:
    stage.reset(keep=False)
    reported = stage.run("ours", {"ids": ids, "removals": removals, "connections": 4, "warm": True})
    # One more: the id of the call before the baseline.
    if (arrived := stage.stats()["ids"]) != ids + removals + 1:
        raise Broken(f"delivered {arrived:,} of {ids + removals + 1:,} ids")
    return reported


def _goal(removals: int, growth: float) -> Goal:
    text = f"at most {_MOST} MB over the baseline at {_SIZES[-1]:,} ids" + (
        f" and {removals:,} removals" if removals else ""
    )
    why = f"It is {growth - _MOST:.0f} MB too much; the table shows whether it grows with the number of ids"
    return Goal(text, f"{growth:.1f} MB", growth <= _MOST, why)
