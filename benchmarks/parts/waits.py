"""One thousand deferred waits in one event loop."""

from __future__ import annotations

from typing import Final

from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import open_stage

_WAITS: Final = 1_000
_VIEWS: Final = 3
_POKE_INTERVAL: Final = 1.0

_COLUMNS: Final = ("waits", "polls", "wall s", "CPU s", "CPU ms per poll", "growth MB", "growth kB per wait", "peak MB")


def measure() -> Part:
    """Wait for one thousand writes at once."""
    with open_stage() as stage:
        stage.reset(applied_after=_VIEWS)
        run = stage.run("triggers", {"waits": _WAITS, "poke_interval": _POKE_INTERVAL})
        # The first wait warms up and is not measured.
        stats = stage.stats()
    polls = stats["views"] - _VIEWS
    cells = (
        count(_WAITS),
        count(polls),
        f"{run['wall']:.2f}",
        f"{run['cpu']:.2f}",
        f"{run['cpu'] / polls * 1000:.2f}",
        f"{run['growth']:.0f}",
        f"{run['growth'] / _WAITS * 1024:.0f}",
        f"{run['peak']:.0f}",
    )
    return Part(
        f"{_WAITS:,} deferred waits at once",
        f"{_WAITS:,} `CustomAudienceIndexingTrigger`s run in one event loop, each with one token. The server reports a "
        f"token as applied at the {_VIEWS}rd poll, and the poke interval is {_POKE_INTERVAL:.0f} s, so a wait takes at "
        f"least {(_VIEWS - 1) * _POKE_INTERVAL:.0f} s. Each trigger reads its connection and opens its own client.",
        [Table("All at once", _COLUMNS, [cells])],
        [_goal(run["finished"])],
    )


def _goal(finished: int) -> Goal:
    missing = f"{_WAITS - finished} ended in another way"
    return Goal("every wait ends as finished", f"{finished:,} of {_WAITS:,}", finished == _WAITS, missing)
