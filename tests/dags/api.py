"""A whole Airflow, as far as the tests need it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import local_airflow
from airflow_api import VERSION, Run, add_connection, ask, wait_until

from airflow_provider_batch.sandbox import Sandbox

__all__ = ["VERSION", "Run", "WholeAirflow", "ask", "wait_until"]


@dataclass(frozen=True)
class WholeAirflow:
    """An Airflow that runs at *url* out of *home*; what the tests add to it ends with it."""

    url: str
    home: Path
    env: Mapping[str, str]
    ending: ExitStack = field(repr=False)

    def run(self, dag: str, name: str, sandbox: Sandbox | None = None, key: str | None = None) -> Run:
        """Start the run *name* of *dag*; *sandbox*, its app or project *key*, is behind the connection of that name."""
        if sandbox is not None:
            add_connection(self.url, name, sandbox.connection_json(key))
        run = Run(self.url, dag, name)
        self.unpause(dag)
        return run

    def unpause(self, dag: str) -> None:
        """Let the runs of *dag* begin."""
        ask(f"{self.url}/api/{VERSION}/dags/{dag}", {"is_paused": False}, method="PATCH")

    def another_triggerer(self) -> None:
        """Start one more triggerer."""
        triggerer = subprocess.Popen(
            [sys.executable, "-m", "airflow", "triggerer"],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.ending.callback(local_airflow.stop, triggerer)

    def logs(self, run: Run | None = None) -> str:
        """Everything that the tasks logged, or those of *run* alone."""
        folder = "*" if run is None else f"run_id={run.name}"
        paths = self.home.glob(f"logs/**/{folder}/**/*.log*")
        return "".join(path.read_text(errors="replace") for path in paths if path.is_file())
