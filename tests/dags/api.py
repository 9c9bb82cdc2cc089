"""A whole Airflow and its REST API, as far as the tests need them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import local_airflow

from airflow_provider_batch.sandbox import Sandbox

VERSION = "v1" if local_airflow.AIRFLOW_2 else "v2"


@dataclass(frozen=True)
class WholeAirflow:
    """An Airflow that runs at *url* out of *home*; what the tests add to it ends with it."""

    url: str
    home: Path
    env: Mapping[str, str]
    ending: ExitStack = field(repr=False)

    def run(self, dag: str, name: str, sandbox: Sandbox | None = None) -> Run:
        """Start the run *name* of *dag*; it finds *sandbox* behind the connection of the same name."""
        if sandbox is not None:
            connection = json.loads(sandbox.connection_json())
            ask(f"{self.url}/api/{VERSION}/connections", {"connection_id": name, **connection})
        return Run(self.url, dag, name)

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


class Run:
    """One run of a DAG; started as soon as the scheduler knows the DAG."""

    def __init__(self, url: str, dag: str, name: str) -> None:
        self.name = name
        self._dag = f"{url}/api/{VERSION}/dags/{dag}"
        self._run = f"{self._dag}/dagRuns/{name}"
        self.seen: dict[str, list[str]] = {}
        body: dict[str, Any] = {"dag_run_id": name}
        if not local_airflow.AIRFLOW_2:
            body["logical_date"] = None
        give_up = time.monotonic() + 120
        while True:
            try:
                ask(f"{self._dag}/dagRuns", body)
                return
            except OSError:
                if time.monotonic() > give_up:
                    raise
            time.sleep(1)

    def look(self) -> str:
        """Note the tasks' states in ``seen``, and return the run's."""
        for ti in ask(f"{self._run}/taskInstances")["task_instances"]:
            states = self.seen.setdefault(ti["task_id"], [])
            if ti["state"] not in states[-1:]:
                states.append(ti["state"])
        state: str = ask(self._run)["state"]
        return state

    def wait_for(self, task: str, state: str) -> None:
        """Return once *task* is in *state*."""
        give_up = time.monotonic() + 180
        while time.monotonic() < give_up:
            self.look()
            if self.seen.get(task, [None])[-1] == state:
                return
            time.sleep(0.5)
        raise AssertionError(f"{task} did not get {state}: {self.seen}")

    def wait(self) -> None:
        """Return once the run has ended."""
        give_up = time.monotonic() + 240
        while time.monotonic() < give_up:
            if self.look() in ("success", "failed"):
                return
            time.sleep(0.5)
        raise AssertionError(f"the run did not end: {self.seen}")

    def clear(self, task: str) -> None:
        """Clear *task*, whatever its state, so that it runs again."""
        body = {"dry_run": False, "dag_run_id": self.name, "task_ids": [task], "only_failed": False}
        ask(f"{self._dag}/clearTaskInstances", body)

    def mark_failed(self, task: str) -> None:
        """Do what the button *Mark state as… failed* does to *task*."""
        body: dict[str, Any] = {"new_state": "failed"}
        if local_airflow.AIRFLOW_2:
            body["dry_run"] = False
        ask(f"{self._run}/taskInstances/{task}", body, method="PATCH")


def ask(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    """Return the JSON behind *url*; a body makes it a POST, unless *method* says otherwise."""
    encoded = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, encoded, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait_until(done: Callable[[], bool], patience: float = 180.0) -> None:
    """Return once *done* returns True."""
    give_up = time.monotonic() + patience
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.2)
