"""A push of one million ids, compared with the ideal client and with peers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

from benchmarks.ids import CALL
from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import OURS, PEERS, Broken, Stage, open_stage

IDS: Final = 1_000_000
FAR: Final = 0.1

_SHARE_WANTED: Final = 0.95
_RATIO_WANTED: Final = 3.0
_MANY: Final = (1, 4, 8, 16)


@dataclass(frozen=True)
class Client:
    """One way to push, and the numbers of connections over which it is measured."""

    name: str
    module: str
    connections: Sequence[int] = (1,)
    python: Path = PEERS
    #: How often it is measured without latency (near) and with latency (far), where a goal needs a median.
    rounds: tuple[int, int] = (3, 1)

    def near(self, connections: int) -> int:
        """Return how often it is measured without latency; the goals are about one connection."""
        return self.rounds[0] if connections == 1 else 1

    def far(self, connections: int) -> int:
        """Return how often it is measured with latency; over one connection, ten seconds need no median."""
        return self.rounds[1] if connections > 1 else min(1, self.rounds[1])


IDEAL: Final = Client("ideal: ready bodies, http.client", "ideal", _MANY, OURS, (3, 3))
BARE: Final = Client("bare: unchecked join, http.client", "bare", (1,), OURS, (3, 0))
HOOK: Final = Client("ours: BatchHook", "ours", _MANY, OURS, (3, 3))
RIVALS: Final = (
    Client("requests.patch(json=…) in a loop", "requests_loop", rounds=(3, 0)),
    Client("requests.Session in a loop", "requests_session", rounds=(3, 0)),
    Client("HttpHook.run in a loop", "http_hook"),
    Client("dlt, custom destination", "dlt_destination", rounds=(1, 1)),
    Client("drt-core, REST in batch mode", "drt_rest", rounds=(1, 1)),
)

#: A client and its number of connections.
Entry: TypeAlias = tuple[Client, int]


@dataclass
class Figures:
    """The measured runs of one entry; *broken* holds the reason if there are none."""

    runs: list[Mapping[str, Any]] = field(default_factory=list)
    broken: str = ""

    def __getitem__(self, name: str) -> float:
        return float(median(run[name] for run in self.runs))

    def __bool__(self) -> bool:
        return bool(self.runs) and not self.broken


Results: TypeAlias = Mapping[Entry, Figures]


def measure() -> Part:
    """Push without and with latency, and compare the clients."""
    clients = (IDEAL, HOOK, BARE, *RIVALS)
    with open_stage() as stage:
        near = _race(stage, clients, 0.0, Client.near)
        far = _race(stage, clients, FAR, Client.far)
    return Part(
        f"Push of {IDS:,} ids",
        f"{IDS // CALL} calls of {CALL:,} ids (`user-0000000`…). The clients generate the ids while they send them; "
        "only the ideal starts with prepared bodies. The peers are measured over one connection. CPU is the user and "
        "system time of the client's process. Imports are not counted for any client.",
        [_far_table(far), _near_table(near)],
        [*_share_goals(far), *_ratio_goals(near)],
    )


def _race(stage: Stage, clients: Sequence[Client], latency: float, rounds: Callable[[Client, int], int]) -> Results:
    results: defaultdict[Entry, Figures] = defaultdict(Figures)
    entries = [(client, connections) for client in clients for connections in client.connections]
    for turn in range(max(rounds(*entry) for entry in entries)):
        for client, connections in entries:
            if turn < rounds(client, connections):
                _measure_once(stage, client, connections, latency, results[client, connections])
    return results


def _measure_once(stage: Stage, client: Client, connections: int, latency: float, figures: Figures) -> None:
    if figures.broken:
        return
    try:
        figures.runs.append(delivered(stage, client, connections, latency))
    except Broken as broken:
        figures.broken = str(broken)


def delivered(stage: Stage, client: Client, connections: int, latency: float) -> dict[str, Any]:
    """
    Run *client* once and return what it and the server report.

    :raises Broken: if it fails, or if not every id arrived.
    """
    stage.reset(latency=latency)
    reported = stage.run(client.module, {"ids": IDS, "connections": connections}, client.python)
    stats = stage.stats()
    if stats["ids"] != IDS:
        raise Broken(f"broken: delivered {stats['ids']:,} of {IDS:,} ids")
    return reported | {"server": stats["cpu"] / reported["wall"], "opened": stats["connections"] - 1}


def _far_table(results: Results) -> Table:
    columns = ("client", "connections", "wall s", "ids/s", "ids/s / ideal", "CPU s")
    rows = []
    for (client, connections), figures in results.items():
        if not figures:
            rows.append([client.name, str(connections), figures.broken or "not measured", "", "", ""])
            continue
        ideal = results[IDEAL, connections]
        share = f"{ideal['wall'] / figures['wall']:.0%}" if ideal else ""
        cells = (f"{figures['wall']:.2f}", count(IDS / figures["wall"]), share, f"{figures['cpu']:.2f}")
        rows.append([client.name, str(connections), *cells])
    return Table(f"With a latency of {FAR * 1000:.0f} ms", columns, rows)


def _near_table(results: Results) -> Table:
    columns = ("client", "connections", "opened", "wall s", "CPU s", "CPU / ours", "peak MB", "server CPU")
    ours = results[HOOK, 1]
    rows = []
    for (client, connections), figures in results.items():
        if not figures:
            rows.append([client.name, str(connections), "", figures.broken or "not measured", "", "", "", ""])
            continue
        cells = (
            count(figures["opened"]),
            f"{figures['wall']:.3f}",
            f"{figures['cpu']:.3f}",
            f"{figures['cpu'] / ours['cpu']:.2f}" if ours else "",
            count(figures["peak"]),
            f"{figures['server']:.0%}",
        )
        rows.append([client.name, str(connections), *cells])
    return Table("Without latency (*CPU / ours* compares with ours over 1 connection)", columns, rows)


def _share_goals(results: Results) -> list[Goal]:
    return [
        _share_goal(connections, results[IDEAL, connections], results[HOOK, connections])
        for connections in HOOK.connections
    ]


def _share_goal(connections: int, ideal: Figures, ours: Figures) -> Goal:
    over = f"{connections} connection{'s' if connections > 1 else ''}"
    text = f"at least {_SHARE_WANTED:.0%} of the ideal's throughput over {over} at {FAR * 1000:.0f} ms"
    if not (ideal and ours):
        return Goal(text, "not measured", False, ideal.broken or ours.broken)
    share = ideal["wall"] / ours["wall"]
    late, cpu = ours["wall"] - ideal["wall"], ours["cpu"] - ideal["cpu"]
    why = (
        f"Ours needs {late:.2f} s more, and {cpu:.2f} s more CPU: it generates, checks and encodes its ids while it "
        f"sends, and the ideal starts with prepared bodies. The goal allows "
        f"{ideal['wall'] * (1 / _SHARE_WANTED - 1):.2f} s for that"
    )
    return Goal(text, f"{share:.1%}", share >= _SHARE_WANTED, why)


def _ratio_goals(results: Results) -> list[Goal]:
    return [
        _ratio_goal(client, results[client, 1], results[HOOK, 1], results[BARE, 1])
        for client in RIVALS
        if 1 in client.connections
    ]


def _ratio_goal(client: Client, peer: Figures, ours: Figures, bare: Figures) -> Goal:
    text = f"CPU of {client.name} at least {_RATIO_WANTED:.0f} times ours"
    if not (peer and ours and bare):
        return Goal(text, "not measured", False, peer.broken or ours.broken or bare.broken)
    ratio, least = peer["cpu"] / ours["cpu"], peer["cpu"] / bare["cpu"]
    possible = "out of reach" if least < _RATIO_WANTED else "within reach"
    why = (
        f"Ours takes {ours['cpu'] - bare['cpu']:.2f} s more than the bare client ({bare['cpu']:.2f} s), which only "
        f"generates the ids, joins them unchecked and sends them. Compared with the bare client, the ratio is "
        f"{least:.1f}, so the goal is {possible}"
    )
    return Goal(text, f"{ratio:.1f} times", ratio >= _RATIO_WANTED, why)
