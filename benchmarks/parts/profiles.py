"""Attributes of profiles: the CPU of a push beside that of a loop, its memory, and Batch's limit in ids."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.parts.push import IDS
from benchmarks.profiles import CALL
from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import OURS, PEERS, Broken, Stage, open_stage

_CONNECTIONS: Final = 4
_FEW: Final = IDS // 10
#: Profiles that are sent at Batch's pace: a second for each 10,000 of them.
_PACED: Final = IDS // 5
_PER_SECOND: Final = 10_000
_USED: Final = 0.95
_RATIO: Final = 2.0
#: MB by which the peak may grow for each further profile: the spool keeps a hash of 8 bytes.
_MOST_GROWTH: Final = 32

_LOOPS: Final = {
    "requests.post(json=…) in a loop": ("profiles_loop", OURS),
    "dlt, custom destination": ("profiles_dlt", PEERS),
}


def measure() -> Part:
    """Push without a limit, and ours with Batch's."""
    with open_stage() as stage:
        peers = {name: _run(stage, client, IDS, python) for name, (client, python) in _LOOPS.items()}
        few = _run(stage, "profiles_ours", _FEW)
        ours = _run(stage, "profiles_ours", IDS)
        assert not isinstance(few, str)
        assert not isinstance(ours, str)
        _run(stage, "profiles_ours", _PACED, is_paced=True)
        arrivals = sorted(stage.stats()["arrivals"])[1:]  # without the first one, which warms up
    rows = [
        ["ours: SqlSource and BatchHook", f"{ours['cpu']:.2f}", f"{ours['wall']:.1f}", ""],
        *([name, *_cells(run, ours)] for name, run in peers.items()),
    ]
    most, share = most_ids(arrivals), used(arrivals)
    growth = ours["growth"] - few["growth"]
    return Part(
        f"{count(IDS)} profiles of 5 attributes",
        f"Rows of a cursor in memory (two texts, an integer, a boolean, a date and time), in calls of {CALL:,}. Ours "
        "reads, checks and encodes all rows, and puts them aside in a temporary file, before its first call. CPU is "
        "the user and system time of the client's process, without a limit of the calls. Ours sends "
        f"{count(_PACED)} more profiles at Batch's limit of 10,000 ids a second.",
        [
            Table("CPU", ("client", "CPU s", "wall s", "CPU / ours"), rows),
            Table(
                "As the calls arrived",
                ("calls", "seconds", "most ids in any second", "share of the limit"),
                [[str(len(arrivals)), f"{arrivals[-1] - arrivals[0]:.1f}", f"{most:,}", f"{share:.1%}"]],
            ),
        ],
        [
            _ratio_goal(peers["requests.post(json=…) in a loop"], ours),
            Goal(
                f"at most {_PER_SECOND:,} ids in any second", f"{most:,}", most <= _PER_SECOND, "Calls came too early"
            ),
            Goal(f"at least {_USED:.0%} of the limit", f"{share:.1%}", share >= _USED, "The machine was busy"),
            Goal(
                f"at most {_MOST_GROWTH} MB more at {IDS:,} profiles than at {_FEW:,}",
                f"{growth:.1f} MB",
                growth <= _MOST_GROWTH,
                "A hash of each id is kept, in 8 bytes",
            ),
        ],
    )


def most_ids(arrivals: list[float]) -> int:
    """Return the most ids that arrived in any window of one second; each call has the same number."""
    return CALL * max(sum(start <= at < start + 1.0 for at in arrivals) for start in arrivals)


def used(arrivals: list[float]) -> float:
    """Return the share of the limit that was used between the first and the last call."""
    return (len(arrivals) - 1) * CALL / (arrivals[-1] - arrivals[0]) / _PER_SECOND


def _run(stage: Stage, client: str, ids: int, python: Any = OURS, *, is_paced: bool = False) -> dict[str, Any] | str:
    """Return what *client* reports; the reason, if it cannot be measured."""
    stage.reset(keep=False)
    job = {
        "ids": ids,
        "path": "/2.11/profiles/mass-update",
        "connections": _CONNECTIONS,
        "is_paced": is_paced,
        "extra": {"platform": "cep"},
    }
    try:
        reported = stage.run(client, job, python)
    except Broken as broken:
        if python is OURS:
            raise
        return str(broken)
    if (arrived := stage.stats()["ids"]) < ids:
        raise Broken(f"delivered {arrived:,} of {ids:,} profiles")
    return reported


def _cells(run: dict[str, Any] | str, ours: dict[str, Any]) -> list[str]:
    if isinstance(run, str):
        return [run, "", ""]
    return [f"{run['cpu']:.2f}", f"{run['wall']:.1f}", f"{run['cpu'] / ours['cpu']:.2f}"]


def _ratio_goal(loop: dict[str, Any] | str, ours: dict[str, Any]) -> Goal:
    text = f"CPU of the loop at least {_RATIO:.0f} times ours"
    if isinstance(loop, str):
        return Goal(text, "not measured", False, loop)
    ratio = loop["cpu"] / ours["cpu"]
    return Goal(text, f"{ratio:.2f} times", ratio >= _RATIO, "Ours checks every row, and writes it to a file")
