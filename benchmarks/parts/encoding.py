"""CPU per id against the floor."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

from benchmarks.ids import KINDS
from benchmarks.report import Goal, Part, Table
from benchmarks.stage import Broken, Stage, open_stage, run

_ENCODED: Final = 200_000
_PUSHED: Final = 500_000
_ROUNDS: Final = 2

#: Kind of ids -> the most CPU allowed, as a multiple of the floor.
_WANTED: Final = {"plain": 2.0, "to be escaped": 3.0}
_ESCAPING: Final = ("to be escaped",)

_COLUMNS: Final = (
    "ids",
    "made",
    "floor",
    "protocol",
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
    medians = {
        kind: {name: median(one[name] for one in rounds) for name in rounds[0]} for kind, rounds in figures.items()
    }
    return Part(
        "CPU per id against the floor",
        "*Made*: generate the id strings; this is part of every other column. *Floor*: generate the strings, join them "
        "into the JSON body without checks, and encode it to UTF-8; for ids that need escaping, call `json.dumps` for "
        "each id and join the results. *Protocol*: check the ids, remove duplicates, and build chunks and bodies, "
        "without a network. *Push*: `update_custom_audience` over 4 connections without latency, including the "
        "kernel's work.",
        [Table("CPU in ns per id", _COLUMNS, [_row(kind, figures) for kind, figures in medians.items()])],
        [goal for kind, wanted in _WANTED.items() for goal in _goals(kind, medians[kind], wanted)],
    )


def _measure_once(stage: Stage, kind: str) -> dict[str, float]:
    encoded = run("encoder", {"kind": kind, "ids": _ENCODED, "escaping": kind in _ESCAPING})
    stage.reset()
    pushed = stage.run("ours", {"kind": kind, "ids": _PUSHED, "connections": 4})
    if (arrived := stage.stats()["ids"]) != _PUSHED:
        raise Broken(f"delivered {arrived:,} of {_PUSHED:,} ids")
    return {name: encoded[name] for name in ("made", "floor", "protocol")} | {"push": pushed["cpu"] / _PUSHED * 1e9}


def _row(kind: str, ns: dict[str, float]) -> list[str]:
    columns = [f"{ns[name]:.0f}" for name in ("made", "floor", "protocol", "push")]
    ratios = [f"{ns[name] / ns['floor']:.2f}" for name in ("protocol", "push")]
    return [kind, *columns, *ratios, f"{(ns['protocol'] - ns['made']) / (ns['floor'] - ns['made']):.2f}"]


def _goals(kind: str, ns: dict[str, float], wanted: float) -> list[Goal]:
    network = ns["push"] - ns["protocol"]
    reasons = {
        "protocol": f"Checks and bookkeeping take {ns['protocol'] - ns['floor']:.0f} ns per id",
        "push": (
            f"It is {ns['push'] - wanted * ns['floor']:.0f} ns per id too slow. Threads, requests and the kernel's "
            f"sending take up to {network:.0f} ns, and the floor has no network"
        ),
    }
    return [
        Goal(
            f"CPU of the {name} at most {wanted:.0f} times the floor (ids: {kind})",
            f"{ns[name] / ns['floor']:.2f} times",
            ns[name] <= wanted * ns["floor"],
            why,
        )
        for name, why in reasons.items()
    ]
