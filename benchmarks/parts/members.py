"""Members with attributes: the CPU of a push and of a mirror's first run."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import Broken, Stage, open_stage

_MEMBERS: Final = 100_000
_ROUNDS: Final = 3
_DUMPS: Final = "json.dumps"

#: What is done -> the most CPU allowed, as a multiple of json.dumps.
_WANTED: Final = {"push": 4.0, "mirror": 8.0}
_NAMES: Final = {_DUMPS: "`json.dumps` of the bodies", "push": "a push", "mirror": "the first run of a mirror"}


def measure() -> Part:
    """Send members with two attributes each, and compare with json.dumps."""
    with open_stage() as stage:
        rounds = [{way: _measure_once(stage, way) for way in _NAMES} for _ in range(_ROUNDS)]
    # The least of several rounds: whatever else the machine does only adds CPU.
    us = {way: min(one[way] for one in rounds) for way in _NAMES}
    rows = [[name, f"{us[way]:.2f}", f"{us[way] / us[_DUMPS]:.2f}"] for way, name in _NAMES.items()]
    return Part(
        f"{count(_MEMBERS)} members with attributes",
        "Each member has an id and two attributes, a text and a number, and is in memory as a `Member` before the "
        "clock starts. `json.dumps` encodes structures that are there already, and checks and sends nothing.",
        [Table("CPU in µs per member (the least of three rounds)", ("what", "CPU", "/ json.dumps"), rows)],
        [_goal(way, us[way] / us[_DUMPS], most) for way, most in _WANTED.items()],
    )


def _measure_once(stage: Stage, way: str) -> float:
    stage.reset()
    run: dict[str, Any] = stage.run("members", {"way": way, "ids": _MEMBERS})
    # The mirror and the push have each sent a few more, to warm up.
    if way != _DUMPS and (arrived := stage.stats()["ids"]) < _MEMBERS:
        raise Broken(f"delivered {arrived:,} of {_MEMBERS:,} members")
    return float(run["cpu"]) / _MEMBERS * 1e6


def _goal(way: str, ratio: float, most: float) -> Goal:
    text = f"CPU of {_NAMES[way]} at most {most:.0f} times that of json.dumps"
    return Goal(text, f"{ratio:.1f} times", ratio <= most, "checks, copies and files take the rest")
