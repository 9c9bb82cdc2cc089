"""The calls that are sent twice after kill -9."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from benchmarks.report import Goal, Part, Table
from benchmarks.stage import Broken, Stage, open_stage

_CHUNKS: Final = 200
_LATENCY: Final = 0.1
_CONNECTIONS: Final = 4
_KILL_AFTER: Final = 3.7

#: The journal is saved once for every second of calls, or more often. After a kill, calls that were accepted since then
#: or were in flight are sent again.
_MOST_LOST: Final = 1.5

_COLUMNS: Final = ("second try", "calls before the kill", "calls after", "calls needed", "sent twice")


def measure() -> Part:
    """Kill a push, with and without a state store, and let a second try finish it."""
    with open_stage() as stage, tempfile.TemporaryDirectory() as folder:
        resumed = _twice(stage, str(Path(folder, "store.json")))
        mirrored = _twice(stage, str(Path(folder, "mirror.json")), str(Path(folder, "snapshots")))
        repeated = _twice(stage, "")
    return Part(
        "What is sent twice after kill -9",
        f"A push makes {_CHUNKS} calls of 100 ids over {_CONNECTIONS} connections; each call is answered after "
        f"{_LATENCY * 1000:.0f} ms. The process is killed {_KILL_AFTER} s after its start, and the task is tried "
        "again. With a state store (Airflow 3.3 and later; here a file), the second try sends only what is left; so "
        "does that of a mirror. Without one, it sends everything again.",
        [
            Table(
                "Calls that Batch accepted",
                _COLUMNS,
                [
                    _row("with a state store", resumed),
                    _row("a mirror with a state store", mirrored),
                    _row("without", repeated),
                ],
            )
        ],
        [_goal("a push", resumed), _goal("a mirror", mirrored)],
    )


def _goal(what: str, calls: tuple[int, int]) -> Goal:
    most, twice = int(_MOST_LOST / _LATENCY * _CONNECTIONS) + _CONNECTIONS, sum(calls) - _CHUNKS
    text = f"at most {most} calls of {what} sent twice (those of {_MOST_LOST} s, and those in flight)"
    return Goal(text, str(twice), twice <= most, "The journal was not saved often enough")


def _twice(stage: Stage, store: str, snapshots: str = "") -> tuple[int, int]:
    stage.reset(latency=_LATENCY)
    work = {"ids": _CHUNKS * 100, "store": store, "snapshots": snapshots}
    with suppress(Broken):  # it is killed
        stage.run("killed_task", {**work, "kill_after": _KILL_AFTER})
    before = int(stage.stats()["requests"])
    stage.run("killed_task", work)
    return before, int(stage.stats()["requests"]) - before


def _row(name: str, calls: tuple[int, int]) -> list[str]:
    return [name, str(calls[0]), str(calls[1]), str(_CHUNKS), str(sum(calls) - _CHUNKS)]
