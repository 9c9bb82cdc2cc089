"""CPU per id against the floor."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.ids import KINDS
from benchmarks.report import Goal, Part, Table
from benchmarks.stage import Broken, Stage, open_stage, run

_ENCODED: Final = 200_000
_PUSHED: Final = 1_000_000
_ROUNDS: Final = 3

#: Kind of ids -> the most CPU allowed, as a multiple of the floor.
_WANTED: Final = {
    "protocol": {"plain": 2.0, "to be escaped": 3.0},
    "push": {"plain": 1.5, "UUID": 1.8, "non-ASCII": 1.5, "to be escaped": 3.0},
}
_ESCAPING: Final = ("to be escaped",)

_COLUMNS: Final = (
    "ids",
    "made",
    "floor",
    "protocol",
    "unsorted",
    "push",
    "protocol / floor",
    "push / floor",
    "(protocol - made) / (floor - made)",
)


def measure() -> Part:
    """Compare the protocol and the whole push with the floor, for all kinds of ids."""
    figures: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    with open_stage() as stage:
        for _ in range(_ROUNDS):
            for kind in KINDS:
                figures[kind].append(_measure_once(stage, kind))
    # The least of several rounds: whatever else the machine does only adds CPU.
    least = {kind: {name: min(one[name] for one in rounds) for name in rounds[0]} for kind, rounds in figures.items()}
    return Part(
        "CPU per id against the floor",
        "*Made*: generate the id strings; this is part of every other column. *Floor*: generate the strings, join them "
        "into the JSON body without checks, and encode it to UTF-8; for ids that need escaping, call `json.dumps` for "
        "each id and join the results. *Protocol*: check the ids, remove duplicates, and build chunks and bodies, "
        "without a network. The ids ascend, as from a sorted query, so they cannot repeat. *Unsorted*: the same for "
        "ids that descend, among which a set looks for repetitions. *Push*: `update_custom_audience` over 4 "
        "connections without latency, including the kernel's work. The figures are the least of three rounds.",
        [Table("CPU in ns per id", _COLUMNS, [_row(kind, figures) for kind, figures in least.items()])],
        [_goal(work, kind, least[kind], most) for work, kinds in _WANTED.items() for kind, most in kinds.items()],
    )


def _measure_once(stage: Stage, kind: str) -> dict[str, float]:
    encoded = run("encoder", {"kind": kind, "ids": _ENCODED, "escaping": kind in _ESCAPING})
    stage.reset()
    pushed = stage.run("ours", {"kind": kind, "ids": _PUSHED, "connections": 4})
    if (arrived := stage.stats()["ids"]) != _PUSHED:
        raise Broken(f"delivered {arrived:,} of {_PUSHED:,} ids")
    return {name: encoded[name] for name in ("made", "floor", "protocol", "unsorted")} | {
        "push": pushed["cpu"] / _PUSHED * 1e9
    }


def _row(kind: str, ns: dict[str, float]) -> list[str]:
    columns = [f"{ns[name]:.0f}" for name in ("made", "floor", "protocol", "unsorted", "push")]
    ratios = [f"{ns[name] / ns['floor']:.2f}" for name in ("protocol", "push")]
    return [kind, *columns, *ratios, f"{(ns['protocol'] - ns['made']) / (ns['floor'] - ns['made']):.2f}"]


def _goal(work: str, kind: str, ns: dict[str, float], most: float) -> Goal:
    over = ns[work] - most * ns["floor"]
    network = f". Threads, requests and the kernel's sending take up to {ns['push'] - ns['protocol']:.0f} ns"
    return Goal(
        f"CPU of the {work} at most {most} times the floor (ids: {kind})",
        f"{ns[work] / ns['floor']:.2f} times",
        over <= 0,
        f"It is {over:.0f} ns per id too slow{network if work == 'push' else ''}",
    )
