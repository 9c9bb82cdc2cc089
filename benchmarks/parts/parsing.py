"""The time that an import adds to the parsing of a DAG file."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

from benchmarks.report import Goal, Part, Table, count
from benchmarks.stage import OURS, PEERS, Broken, run

_ROUNDS: Final = 3
#: The most that the import of our hook may cost, as a share of HttpHook's.
_SHARE_WANTED: Final = 0.2
_MODULES: Final = {
    "CustomAudienceUpdateOperator": "airflow_provider_batch.operators.custom_audience",
    "CustomAudienceIndexingSensor": "airflow_provider_batch.sensors.custom_audience",
    "BatchHook": "airflow_provider_batch.hooks.batch",
    "HttpOperator": "airflow.providers.http.operators.http",
    "HttpHook": "airflow.providers.http.hooks.http",
}


def measure() -> Part:
    """Import each module in several fresh processes."""
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in _MODULES}
    broken: dict[str, str] = {}
    for _ in range(_ROUNDS):
        for name, module in _MODULES.items():
            try:
                figures[name].append(run("importer", {"module": module}, PEERS if PEERS.exists() else OURS))
            except Broken as error:
                broken[name] = str(error)
    return Part(
        "Parsing a DAG file",
        "The time and the modules that an import adds to `airflow.sdk`, in fresh processes of one environment.",
        [
            Table(
                "Added",
                ("import", "ms", "modules", "among them"),
                [_row(n, figures[n], broken.get(n)) for n in _MODULES],
            )
        ],
        [_goal(figures["BatchHook"], figures["HttpHook"])],
    )


def _row(name: str, runs: list[dict[str, Any]], broken: str | None) -> list[str]:
    if broken:
        return [name, broken, "", ""]
    wall = median(run["wall"] for run in runs)
    return [name, f"{wall * 1000:.1f}", count(runs[0]["modules"]), ", ".join(runs[0]["libraries"]) or "-"]


def _goal(ours: list[dict[str, Any]], peer: list[dict[str, Any]]) -> Goal:
    text = f"importing BatchHook takes at most {_SHARE_WANTED} of the time of HttpHook"
    if not (ours and peer):
        return Goal(text, "not measured", False, "one of them cannot be imported")
    share = median(run["wall"] for run in ours) / median(run["wall"] for run in peer)
    return Goal(text, f"{share:.2f}", share <= _SHARE_WANTED, f"it adds {ours[0]['modules']} modules")
