"""The calls that are sent twice after kill -9."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from benchmarks.report import Goal, Part, Table
from benchmarks.stage import Broken, Stage, open_stage

_CHUNKS: Final = 400
_LATENCY: Final = 0.1
_CONNECTIONS: Final = 4
_KILL_AFTER: Final = 8.5

#: The journal is saved once for every second of calls, or more often. After a kill, calls that were accepted since then
#: or were in flight are sent again.
_MOST_LOST: Final = 1.5

_COLUMNS: Final = ("second try", "calls before the kill", "calls after", "calls needed", "sent twice")


def measure() -> Part:
    """Kill a push, with and without a state store, and let a second try finish it."""
    with open_stage() as stage, tempfile.TemporaryDirectory() as folder:
        resumed = _twice(stage, str(Path(folder, "store.json")))
        repeated = _twice(stage, "")
    most = int(_MOST_LOST / _LATENCY * _CONNECTIONS) + _CONNECTIONS
    return Part(
        "What is sent twice after kill -9",
        f"A push makes {_CHUNKS} calls of 100 ids over {_CONNECTIONS} connections; each call is answered after "
        f"{_LATENCY * 1000:.0f} ms. The process is killed {_KILL_AFTER} s after its start, and the task is tried "
        "again. With a state store (Airflow 3.3 and later; here a file), the second try sends only what is left. "
        "Without one, it sends everything again.",
        [
            Table(
                "Calls that Batch accepted",
                _COLUMNS,
                [_row("with a state store", resumed), _row("without", repeated)],
            )
        ],
        [
            Goal(
                f"at most {most} calls sent twice (those of {_MOST_LOST} s, and those in flight)",
                str(sum(resumed) - _CHUNKS),
                sum(resumed) - _CHUNKS <= most,
                "The journal was not saved often enough",
            )
        ],
    )


def _twice(stage: Stage, store: str) -> tuple[int, int]:
    stage.reset(latency=_LATENCY)
    ids = _CHUNKS * 100
    with suppress(Broken):  # it is killed
        stage.run("killed_task", {"ids": ids, "store": store, "kill_after": _KILL_AFTER})
    before = int(stage.stats()["requests"])
    stage.run("killed_task", {"ids": ids, "store": store})
    return before, int(stage.stats()["requests"]) - before


def _row(name: str, calls: tuple[int, int]) -> list[str]:
    return [name, str(calls[0]), str(calls[1]), str(_CHUNKS), str(sum(calls) - _CHUNKS)]
