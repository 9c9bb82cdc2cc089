"""Tables, goals and the machine they were measured on, as Markdown."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.stage import OURS, PEERS

#: The heading of the half of RESULTS.md that needs a cluster.
CLUSTER_HEADING: Final = "Beyond one task"

_PACKAGES = (
    "airflow-provider-batch",
    "apache-airflow",
    "apache-airflow-providers-http",
    "requests",
    "urllib3",
    "httpx",
    "duckdb",
    "pyarrow",
    "dlt",
    "drt-core",
)


@dataclass(frozen=True)
class Table:
    """Rows under a heading; every cell is text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [list(self.columns), ["---", *["--:"] * (len(self.columns) - 1)], *map(list, self.rows)]
        return f"**{self.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Goal:
    """A goal and the measured value; *why* is shown if the goal is missed."""

    text: str
    measured: str
    met: bool
    why: str = ""

    def __str__(self) -> str:
        return f"- {'met' if self.met else '**missed**'}: {self.text}: {self.measured}" + (
            f". {self.why}" if self.why and not self.met else ""
        )


@dataclass(frozen=True)
class Part:
    """One part of a run."""

    title: str
    about: str
    tables: Sequence[Table]
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = field(default=())

    def __str__(self) -> str:
        goals = "\n".join(map(str, self.goals))
        return "\n\n".join(filter(None, (f"## {self.title}", self.about, *map(str, self.tables), *self.notes, goals)))


def document(parts: Iterable[Part], seconds: float, load: float) -> str:
    """Return the half of RESULTS.md about a single task."""
    parts = list(parts)
    goals = [goal for part in parts for goal in part.goals]
    met = sum(goal.met for goal in goals)
    summary = f"{met} of {len(goals)} goals are met. Each goal is listed below its table."
    intro = (
        "# Benchmarks\n\n`make bench` generates this page: it sets up the environments and measures everything again. "
        f"`make cluster-bench` generates the part *{CLUSTER_HEADING}* at the end. To measure and print single parts, "
        "run `.venv/bin/python -m benchmarks push memory`. Every client runs in a fresh process, the rounds are "
        "interleaved, and the figures are medians. The server on the loopback counts what arrives: a client that "
        "delivers another number of ids is reported as broken. There is no TLS and no real network, so compare the "
        "figures with each other, not with those of another machine."
    )
    return "\n\n".join((intro, machine(seconds, load), summary, *map(str, parts)))


def cluster_document(parts: Iterable[Part], seconds: float, load: float) -> str:
    """Return the half of RESULTS.md that needs a cluster."""
    intro = (
        f"# {CLUSTER_HEADING}\n\n`make cluster-bench` generates this part: it starts an Airflow with two Celery "
        "workers, Redis and PostgreSQL, and measures everything again."
    )
    return "\n\n".join((intro, machine(seconds, load), *map(str, parts)))


def halves(results: str) -> tuple[str, str]:
    """Split the text of RESULTS.md into the half about a single task and the half that needs a cluster."""
    alone, heading, cluster = results.partition(f"# {CLUSTER_HEADING}\n")
    return alone.rstrip(), (heading + cluster).rstrip()


def machine(seconds: float, load: float) -> str:
    """Return a table with the date, the machine and the versions of a run."""
    rows = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "took": f"{seconds / 60:.1f} minutes; load average at the start {load:.2f}",
        "machine": f"{os.cpu_count()} cores ({_processor()}), {_memory():.0f} GB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
    } | {name: version for name, version in (_versions(PEERS) | _versions(OURS)).items() if version}
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def count(number: float) -> str:
    """Format a whole number."""
    return f"{number:,.0f}"


def _versions(python: Path) -> dict[str, str]:
    script = (
        "import json, sys, importlib.metadata as m\n"
        "known = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({name: known[name] for name in sys.argv[1:] if name in known}))"
    )
    try:
        done = subprocess.run([python, "-c", script, *_PACKAGES], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or "unknown"


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
