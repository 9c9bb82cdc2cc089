"""One thousand deferred waits in one event loop."""

from __future__ import annotations

from typing import Final

from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import Stage, open_stage

_WAITS: Final = 1_000
_VIEWS: Final = 3
_POKE_INTERVAL: Final = 1.0

_ROUNDS: Final = 3
#: The most CPU of a poll, as a multiple of a bare GET, and the most memory of a wait in kB.
_RATIO_WANTED: Final = 2.0
_KILOBYTES_WANTED: Final = 15.0

_COLUMNS: Final = (
    "waits",
    "polls",
    "connections",
    "wall s",
    "CPU ms per poll",
    "CPU ms of a bare GET",
    "poll / bare",
    "growth kB per wait",
)


def measure() -> Part:
    """Wait for one thousand writes at once, and make as many GETs as that takes polls."""
    with open_stage() as stage:
        rounds = [_measure_once(stage) for _ in range(_ROUNDS)]
    # The least of several rounds: whatever else the machine does only adds CPU.
    bare, poll = (min(one[name] for one in rounds) for name in ("bare", "poll"))
    kilobytes = max(one["kilobytes"] for one in rounds)
    finished = int(min(one["finished"] for one in rounds))
    cells = (
        count(_WAITS),
        count(rounds[0]["polls"]),
        count(rounds[0]["connections"]),
        f"{rounds[0]['wall']:.2f}",
        f"{poll:.2f}",
        f"{bare:.2f}",
        f"{poll / bare:.2f}",
        f"{kilobytes:.0f}",
    )
    return Part(
        f"{_WAITS:,} deferred waits at once",
        f"{_WAITS:,} `CustomAudienceIndexingTrigger`s run in one event loop, each with a token of its own. The server "
        f"reports a token as applied at the {_VIEWS}rd poll, and the poke interval is {_POKE_INTERVAL:.0f} s, so a "
        f"wait takes at least {(_VIEWS - 1) * _POKE_INTERVAL:.0f} s. Each trigger reads its connection; all share the "
        "connections to Batch. A *bare* GET is `httpx.AsyncClient.get`, one after the other over one connection that "
        "is kept open. CPU is the least of three rounds, memory the most.",
        [Table("All at once", _COLUMNS, [cells])],
        [
            Goal(
                "every wait ends as finished",
                f"{finished:,} of {_WAITS:,}",
                finished == _WAITS,
                f"{_WAITS - finished} ended in another way",
            ),
            Goal(
                f"CPU of a poll at most {_RATIO_WANTED:.0f} times that of a bare GET",
                f"{poll / bare:.2f} times",
                poll <= _RATIO_WANTED * bare,
                "each wait also reads its connection and its answers, and has a task of its own",
            ),
            Goal(
                f"at most {_KILOBYTES_WANTED:.0f} kB a wait",
                f"{kilobytes:.1f} kB",
                kilobytes <= _KILOBYTES_WANTED,
                "tasks, coroutines and connections take the memory",
            ),
        ],
    )


def _measure_once(stage: Stage) -> dict[str, float]:
    stage.reset(applied_after=_VIEWS)
    bare = stage.run("triggers", {"gets": _WAITS * _VIEWS})
    stage.reset(applied_after=_VIEWS)
    run = stage.run("triggers", {"waits": _WAITS, "poke_interval": _POKE_INTERVAL})
    # The first wait warms up and is not measured.
    stats = stage.stats()
    polls = stats["views"] - _VIEWS
    return {
        "bare": bare["cpu"] / (_WAITS * _VIEWS) * 1000,
        "poll": run["cpu"] / polls * 1000,
        "polls": polls,
        "connections": stats["connections"],
        "wall": run["wall"],
        "kilobytes": run["growth"] / _WAITS * 1024,
        "finished": run["finished"],
    }
