"""What 100 million ids would take: computed from what was measured in the same run, and nothing else."""

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
#: As benchmarks.clients.mirror changes them: 1 % is gone, 1 % is new.
_CHANGED: Final = 0.02
_RATES: Final = (1.0, 10.0, math.inf)
#: As benchmarks.clients.transfer has it.
_CONNECTIONS: Final = 4


@dataclass(frozen=True)
class Measured:
    """The figures that the estimate is made of, each per id or as it was."""

    push_wall: float
    push_cpu: float
    push_growth: tuple[float, float]
    mirror_wall: float
    mirror_cpu: float
    mirror_growth: float
    snapshot_bytes: float


@dataclass(frozen=True)
class Estimate:
    """What one way to bring *ids* takes, without a limit of requests."""

    name: str
    calls: int
    #: Seconds before the first call.
    before: float
    #: Seconds of all calls, at the measured latency.
    sending: float
    cpu: float
    memory: float
    disk: float

    def seconds(self, rate: float, questions: bool = False) -> float:
        """Return how long it takes at so many calls a second; *questions*: one for each token too, at the same rate."""
        requests = self.calls * (2 if questions else 1)
        return self.before + max(self.sending, requests / rate)


def measure() -> Part:
    """Measure a push and a mirror, and compute."""
    return part(_measured())


def estimates(measured: Measured, ids: int = IDS) -> list[Estimate]:
    """Compute both ways for so many ids."""
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
    """Write down what was measured and what follows."""
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
        "On paper: nobody has sent them. It is computed from the figures A to G, measured in the same run, as if twice "
        "as many ids took twice as long. A to C: `SqlToCustomAudienceOperator` over SQLite, one task of "
        f"{_CONNECTIONS} connections, {_LATENCY * 1000:.0f} ms until every answer (A from {_SMALL:,} ids, B likewise). "
        f"D to G: a sorted file of {_MIRRORED:,} ids against yesterday's snapshot, 1 % gone and 1 % new; G by the "
        "folder of snapshots, whose ids (`user-0000000`…) compress better than yours may.",
        [Table("Measured", ("", "what", "figure"), figures), Table("Computed", columns, cells)],
        notes=[
            f"*Calls*: ids or changes over {CALL:,}. *Unlimited*: A times ids or changes, for the mirror after D times "
            "ids. *At 1 and 10 calls a second*: calls over the rate where that is more, for the mirror after D times "
            "ids. *With the wait*: each token is asked for once more at least, and questions count as calls; the "
            "others leave that to a time after the push, or to nobody. *CPU*: B times ids or changes, for the mirror "
            "with E times ids. *Growth*: the greatest of C and F; the two figures of C show whether it grows with the "
            "number of ids. *Disk*: G times ids, twice, since the new snapshot is written beside the old one. A "
            "full push in shards takes less than *unlimited* says, about as the table above shows; the columns with a "
            "rate stay, since the rate is the key's and not the task's. A mirror is one task; its first run, without a "
            "snapshot to compare with, has the calls of a full push.",
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
    # Ten more: those that were pushed before the baseline was taken.
    if (arrived := stage.stats()["ids"]) != ids + 10:
        raise Broken(f"delivered {arrived:,} of {ids + 10:,} ids")
    return reported


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
