"""The REST API of a whole Airflow, as far as the tests need it."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

import local_airflow


class Run:
    """One run of a DAG; started as soon as the scheduler knows the DAG."""

    def __init__(self, url: str, dag: str) -> None:
        self._dag = f"{url}/api/{'v1' if local_airflow.AIRFLOW_2 else 'v2'}/dags/{dag}"
        self._run = f"{self._dag}/dagRuns/r1"
        self.seen: dict[str, list[str]] = {}
        body: dict[str, Any] = {"dag_run_id": "r1"}
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
        body = {"dry_run": False, "dag_run_id": "r1", "task_ids": [task], "only_failed": False}
        ask(f"{self._dag}/clearTaskInstances", body)


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON behind *url*; a body makes it a POST."""
    encoded = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, encoded, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
