"""The rate limit, as the server sees it."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from benchmarks.report import Goal, Part, Table
from benchmarks.stage import Stage, open_stage

_RATES: Final = (5, 20, 50)
_SECONDS: Final = 4
_WANTED: Final = 0.95

_COLUMNS: Final = ("allowed per second", "requests", "seconds", "most in any second", "share of the allowed rate")


def measure() -> Part:
    """Push many small calls at several rates."""
    with open_stage() as stage:
        arrivals = {rate: _arrivals(stage, rate) for rate in _RATES}
    return Part(
        "Rate limit",
        "A push over 4 connections without latency, with `requests_per_second` set in the connection. The server "
        "counts the most requests in any window of one second, and the rate between the first and the last request.",
        [Table("Requests as they arrived", _COLUMNS, [_row(rate, times) for rate, times in arrivals.items()])],
        [goal for rate, times in arrivals.items() for goal in _goals(rate, times)],
    )


def most_in_any_second(times: list[float]) -> int:
    """Return how many of *times* (sorted) fall into the fullest window of one second."""
    return max(bisect_left(times, start + 1.0) - number for number, start in enumerate(times))


def used(rate: int, times: list[float]) -> float:
    """Return the share of *rate* that was used between the first and the last of *times*."""
    return (len(times) - 1) / (times[-1] - times[0]) / rate


def _arrivals(stage: Stage, rate: int) -> list[float]:
    stage.reset()
    ids = rate * _SECONDS + 1
    stage.run("ours", {"ids": ids, "chunk_size": 1, "connections": 4, "extra": {"requests_per_second": rate}})
    return sorted(stage.stats()["arrivals"])


def _row(rate: int, times: list[float]) -> list[str]:
    seconds = times[-1] - times[0]
    return [str(rate), str(len(times)), f"{seconds:.2f}", str(most_in_any_second(times)), f"{used(rate, times):.1%}"]


def _goals(rate: int, times: list[float]) -> list[Goal]:
    most, share = most_in_any_second(times), used(rate, times)
    slow = f"A call arrived every {1000 / (share * rate):.1f} ms instead of every {1000 / rate:.1f} ms"
    return [
        Goal(f"at most {rate} requests in any second", str(most), most <= rate, f"{most - rate} too many"),
        Goal(f"at least {_WANTED:.0%} of {rate} requests per second", f"{share:.1%}", share >= _WANTED, slow),
    ]
