"""An estimate for 100 million ids, computed from figures that were measured in the same run."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.ids import CALL
from benchmarks.report import Part, Table, count
from benchmarks.stage import Broken, Stage, open_stage, run

IDS: Final = 100_000_000
_LATENCY: Final = 0.1
_SMALL, _LARGE = 1_000_000, 4_000_000
_MIRRORED: Final = 2_000_000
#: The share that benchmarks.clients.mirror changes: 1 % are gone, 1 % are new.
_CHANGED: Final = 0.02
_RATES: Final = (1.0, 10.0, math.inf)
#: The same as in benchmarks.clients.transfer.
_CONNECTIONS: Final = 4


@dataclass(frozen=True)
class Measured:
    """The figures behind the estimate: per id, except for the growth of memory."""

    push_wall: float
    push_cpu: float
    push_growth: tuple[float, float]
    mirror_wall: float
    mirror_cpu: float
    mirror_growth: float
    snapshot_bytes: float


@dataclass(frozen=True)
class Estimate:
    """The cost of one way to push the ids, without a rate limit."""

    name: str
    calls: int
    #: Seconds before the first call.
    before: float
    #: Seconds for all calls, at the measured latency.
    sending: float
    cpu: float
    memory: float
    disk: float

    def seconds(self, rate: float, questions: bool = False) -> float:
        """Return the duration at *rate* calls per second; with *questions*, one status request per token counts too."""
        requests = self.calls * (2 if questions else 1)
        return self.before + max(self.sending, requests / rate)


def measure() -> Part:
    """Measure a push and a mirror, and compute the estimate."""
    return part(_measured())


def estimates(measured: Measured, ids: int = IDS) -> list[Estimate]:
    """Compute the estimate of both ways for *ids* ids."""
    changes = round(ids * _CHANGED)
    return [
        Estimate(
            "full push",
            math.ceil(ids / CALL),
            0.0,
            measured.push_wall * ids,
            measured.push_cpu * ids,
            max(measured.push_growth),
            0.0,
        ),
        Estimate(
            "mirror, 1 % gone and 1 % new",
            math.ceil(changes / CALL),
            measured.mirror_wall * ids,
            measured.push_wall * changes,
            measured.mirror_cpu * ids + measured.push_cpu * changes,
            max(measured.mirror_growth, *measured.push_growth),
            measured.snapshot_bytes * ids * 2,
        ),
    ]


def part(measured: Measured) -> Part:
    """Make the report of the measured figures and of the estimate."""
    both = estimates(measured)
    cells = [
        [
            one.name,
            count(one.calls),
            *(_time(one.seconds(rate)) for rate in _RATES),
            *(_time(one.seconds(rate, questions=True)) for rate in _RATES[:-1]),
            _time(one.cpu),
            count(one.memory),
            f"{one.disk / 1e9:.1f}" if one.disk else "-",
        ]
        for one in both
    ]
    times = ("at 1 call/s", "at 10", "unlimited", "at 1 with the wait", "at 10 with the wait")
    columns = ("way", "calls", *times, "CPU", "growth MB", "disk GB")
    figures = [
        ["A", "wall ns per id of a push", f"{measured.push_wall * 1e9:,.0f}"],
        ["B", "CPU ns per id of a push", f"{measured.push_cpu * 1e9:,.0f}"],
        ["C", f"growth MB of a push, {_SMALL:,} and {_LARGE:,} ids", "{:.1f} and {:.1f}".format(*measured.push_growth)],
        ["D", "wall ns per id of a mirror's plan", f"{measured.mirror_wall * 1e9:,.0f}"],
        ["E", "CPU ns per id of a mirror's plan", f"{measured.mirror_cpu * 1e9:,.0f}"],
        ["F", f"growth MB of a mirror's plan, {_MIRRORED:,} ids", f"{measured.mirror_growth:.1f}"],
        ["G", "bytes per id of a snapshot", f"{measured.snapshot_bytes:.2f}"],
    ]
    return Part(
        f"An estimate for {IDS:,} ids",
        "This is a calculation: nobody has sent so many ids. It extrapolates from the figures A to G, which were "
        "measured in the same run, and assumes that twice as many ids take twice as long. A to C: "
        f"`SqlToCustomAudienceOperator` over SQLite, one task with {_CONNECTIONS} connections, a latency of "
        f"{_LATENCY * 1000:.0f} ms (A and B: {_SMALL:,} ids). D to G: a sorted file of {_MIRRORED:,} ids, compared "
        "with yesterday's snapshot; 1 % are gone and 1 % are new. G is the size of the snapshot folder per id; your "
        "ids may compress less well than these (`user-0000000`…).",
        [Table("Measured", ("", "what", "figure"), figures), Table("Computed", columns, cells)],
        notes=[
            f"- *Calls*: ids or changes, divided by {CALL:,}.\n"
            "- *Unlimited*: A times ids or changes; for the mirror, plus D times ids.\n"
            "- *At 1 and 10 calls per second*: calls divided by the rate, if that is more than A times ids or changes; "
            "for the mirror, plus D times ids.\n"
            "- *With the wait*: adds one status request per token, the least that a wait needs; each counts as a call. "
            "The other columns do not include the wait.\n"
            "- *CPU*: B times ids or changes; for the mirror, plus E times ids.\n"
            "- *Growth*: the largest of C and F. The two figures of C show whether it grows with the number of ids.\n"
            "- *Disk*: twice G times ids, because the new snapshot is written beside the old one.",
            "A full push in shards takes less time than *unlimited*, about as the table above shows. The columns with "
            "a rate do not change, because the rate belongs to the key and not to the task. A mirror is one task. Its "
            "first run has no snapshot to compare with, so it makes the calls of a full push.",
        ],
    )


def _measured() -> Measured:
    with open_stage() as stage:
        small, large = (_pushed(stage, ids) for ids in (_SMALL, _LARGE))
    with tempfile.TemporaryDirectory(prefix="bench-mirror-") as folder:
        work = {"kind": "plain", "ids": _MIRRORED, "folder": folder}
        run("mirror", {**work, "way": "prepare"})
        stored = sum(path.stat().st_size for path in Path(folder, "snapshots").rglob("*") if path.is_file())
        mirror = run("mirror", {**work, "way": "sorted"})
    return Measured(
        small["wall"] / _SMALL,
        small["cpu"] / _SMALL,
        (small["growth"], large["growth"]),
        mirror["wall"] / _MIRRORED,
        mirror["cpu"] / _MIRRORED,
        mirror["peak"] - mirror["before"],
        stored / _MIRRORED,
    )


def _pushed(stage: Stage, ids: int) -> dict[str, Any]:
    stage.reset(latency=_LATENCY, keep=False)
    reported = stage.run("transfer", {"source": "sqlite", "ids": ids})
    # Ten more: the ids that were pushed before the baseline.
    if (arrived := stage.stats()["ids"]) != ids + 10:
        raise Broken(f"delivered {arrived:,} of {ids + 10:,} ids")
    return reported


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
