"""A small client of Airflow's REST API, with what the scripts and the tests need."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import local_airflow

VERSION = "v1" if local_airflow.AIRFLOW_2 else "v2"


class Run:
    """One DAG run with the given *conf*; it starts as soon as the scheduler knows the DAG."""

    def __init__(self, url: str, dag: str, name: str, **conf: Any) -> None:
        self.name = name
        self._dag = f"{url}/api/{VERSION}/dags/{dag}"
        self._run = f"{self._dag}/dagRuns/{name}"
        self.seen: dict[str, list[str]] = {}
        body: dict[str, Any] = {"dag_run_id": name, "conf": conf}
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

    def tasks(self) -> list[dict[str, Any]]:
        """Return all task instances of the run, as the API describes them."""
        found: list[dict[str, Any]] = ask(f"{self._run}/taskInstances")["task_instances"]
        return found

    def xcom(self, task: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom of a task."""
        entry = f"{self._run}/taskInstances/{task}/xcomEntries/{key}?map_index={map_index}"
        return ask(entry + "&deserialize=true")["value"]

    def look(self) -> str:
        """Record the states of the tasks in ``seen``, and return the state of the run."""
        for ti in self.tasks():
            states = self.seen.setdefault(ti["task_id"], [])
            if ti["state"] not in states[-1:]:
                states.append(ti["state"])
        state: str = ask(self._run)["state"]
        return state

    def _look_again(self) -> str:
        """Look, or see nothing new where a busy Airflow does not answer in time: whoever waits looks again."""
        with suppress(TimeoutError):
            return self.look()
        return ""

    def wait_for(self, task: str, state: str) -> None:
        """Wait until *task* is in *state*."""
        give_up = time.monotonic() + 180
        while time.monotonic() < give_up:
            self._look_again()
            if self.seen.get(task, [None])[-1] == state:
                return
            time.sleep(0.5)
        raise AssertionError(f"{task} did not get {state}: {self.seen}")

    def wait(self, patience: float = 240.0) -> str:
        """Wait until the run has ended, and return its state."""
        give_up = time.monotonic() + patience
        while time.monotonic() < give_up:
            if (state := self._look_again()) in ("success", "failed"):
                return state
            time.sleep(0.5)
        raise AssertionError(f"the run did not end: {self.seen}")

    def clear(self, *tasks: str, reset_dag_runs: bool = True) -> None:
        """Clear *tasks*, or without any the whole run, whatever their state, so that they run again."""
        body: dict[str, Any] = {"dry_run": False, "dag_run_id": self.name, "only_failed": False}
        body["reset_dag_runs"] = reset_dag_runs
        ask(f"{self._dag}/clearTaskInstances", body | ({"task_ids": list(tasks)} if tasks else {}))

    def mark_failed(self, task: str) -> None:
        """Mark *task* as failed, as the button *Mark state as… failed* does."""
        body: dict[str, Any] = {"new_state": "failed"}
        if local_airflow.AIRFLOW_2:
            body["dry_run"] = False
        ask(f"{self._run}/taskInstances/{task}", body, method="PATCH")


def add_connection(url: str, name: str, connection: str) -> None:
    """Add *connection*, given as JSON, to Airflow under the id *name*."""
    fields = json.loads(connection)
    ask(
        f"{url}/api/{VERSION}/connections",
        {"connection_id": name, **fields, "extra": json.dumps(fields.get("extra", {}))},
    )


def ask(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    """Return the JSON answer of *url*; with a body, the request is a POST unless *method* names another method."""
    encoded = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, encoded, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.add_note(error.read().decode(errors="replace"))
        raise


def wait_until(done: Callable[[], bool], patience: float = 180.0) -> None:
    """Wait until *done* returns True."""
    give_up = time.monotonic() + patience
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.2)
