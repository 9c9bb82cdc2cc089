"""Ids straight from a database and from files: memory for growing numbers of ids, and the CPU of reading them."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import Broken, Stage, open_stage

_SIZES: Final = dict.fromkeys(("sqlite", "parquet", "csv"), (1_000_000, 10_000_000))
_MOST: Final = 128

#: The most CPU of each operator, compared with the bare loop that reads its source and a push of the same ids from a
#: list.
_RATIOS: Final = {"csv": 1.5, "jsonl": 1.1, "sqlite": 1.1, "parquet": 1.3}
_LOOPS: Final = {
    "csv": "`csv.reader`",
    "jsonl": "`json.loads` for each line",
    "sqlite": "`fetchmany`",
    "parquet": "`iter_batches` and `to_pylist`",
}
_WAYS: Final = ("bare", "list", "operator")
_IDS: Final = 500_000
_ROUNDS: Final = 3


def measure() -> Part:
    """Push the same ids from several sources."""
    with open_stage() as stage:
        figures = {(source, ids): _pushed(stage, source, ids) for source, sizes in _SIZES.items() for ids in sizes}
        apart = {source: {way: _cpu(stage, source, way) for way in _WAYS} for source in _RATIOS}
    rows = [
        [source, f"{ids:,}", f"{run['growth']:.1f}", f"{run['wall']:.1f}", count(run["cpu"] / ids * 1e9)]
        for (source, ids), run in figures.items()
    ]
    compared = [
        [source, _LOOPS[source], *(count(cpu[way] / _IDS * 1e9) for way in _WAYS), f"{_ratio(cpu):.2f}"]
        for source, cpu in apart.items()
    ]
    return Part(
        "From a database and from files",
        "`SqlToCustomAudienceOperator` reads from SQLite, and `FilesToCustomAudienceOperator` from files. Each source "
        "has two columns; the id column is read. The push uses 4 connections, without latency. Every process has "
        "imported what a task's process imports. Files are read once: the ids are checked and put aside in a local "
        "temporary file before the first call. Growth is the peak of resident memory, minus the resident memory "
        "before: after one small push.",
        [
            Table("Memory and CPU", ("source", "ids", "growth MB", "wall s", "CPU ns per id"), rows),
            Table(
                f"CPU ns per id, {_IDS:,} ids",
                ("source", "bare loop", "of the bare loop", "push from a list", "operator", "operator / sum of both"),
                compared,
            ),
        ],
        [_memory_goal(source, sizes[-1], figures[source, sizes[-1]]["growth"]) for source, sizes in _SIZES.items()]
        + [_cpu_goal(source, cpu) for source, cpu in apart.items()],
    )


def _pushed(stage: Stage, source: str, ids: int) -> dict[str, Any]:
    stage.reset(keep=False)
    reported = stage.run("transfer", {"source": source, "ids": ids})
    # Ten more: the ids that were pushed before the baseline.
    if (arrived := stage.stats()["ids"]) != ids + 10:
        raise Broken(f"delivered {arrived:,} of {ids + 10:,} ids")
    return reported


def _cpu(stage: Stage, source: str, way: str) -> float:
    stage.reset(keep=False)
    job = {"source": source, "ids": _IDS, "way": way, "rounds": _ROUNDS}
    cpu: float = stage.run("transfer", job)["cpu"]
    return cpu


def _ratio(cpu: dict[str, float]) -> float:
    return cpu["operator"] / (cpu["bare"] + cpu["list"])


def _memory_goal(source: str, ids: int, growth: float) -> Goal:
    text = f"at most {_MOST} MB over the baseline at {ids:,} ids from {source}"
    why = "The table shows whether it grows with the number of ids"
    return Goal(text, f"{growth:.1f} MB", growth <= _MOST, why)


def _cpu_goal(source: str, cpu: dict[str, float]) -> Goal:
    ratio, most = _ratio(cpu), _RATIOS[source]
    text = f"CPU of the operator at most {most} times the bare loop and the push from a list (source: {source})"
    return Goal(
        text, f"{ratio:.2f} times", ratio <= most, "The operator checks and decodes what the bare loop only reads"
    )
