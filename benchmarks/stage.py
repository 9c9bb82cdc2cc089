"""Start the server and the processes that are measured, and collect the figures of both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
OURS: Final = Path(sys.executable)
PEERS: Final = ROOT / ".venv-bench" / "bin" / "python"

#: The path of a write, with a fake key.
PATH: Final = "/1.0/KEY/custom-audience/vip"

#: The most seconds that a client can take.
_PATIENCE: Final = 180


class Broken(Exception):
    """A client could not be run, or did not deliver all ids."""


@dataclass(frozen=True)
class Stage:
    """A running server."""

    url: str

    def reset(self, *, latency: float = 0.0, applied_after: int = 1, keep: bool = True) -> None:
        """Reset the statistics; answer writes after *latency* seconds from now on."""
        self._ask(f"/reset/{latency}/{applied_after}/{int(keep)}")

    def stats(self) -> dict[str, Any]:
        """Return the statistics since the last reset."""
        return self._ask("/stats")

    def run(self, client: str, job: Mapping[str, object], python: Path = OURS) -> dict[str, Any]:
        """
        Run a client against this server and return its report.

        :raises Broken: if it fails.
        """
        return run(client, {"url": self.url, "path": PATH, **job}, python, self._environment(job))

    def connection_json(self, extra: object = None) -> str:
        """Return an Airflow connection to this server."""
        connection = {"host": self.url, "login": "KEY", "password": "REST_KEY", "extra": extra or {}}
        return json.dumps({"conn_type": "batch", **connection})

    def _environment(self, job: Mapping[str, object]) -> dict[str, str]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return {
            "AIRFLOW_CONN_BATCH_DEFAULT": self.connection_json(job.get("extra")),
            "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": host, "port": int(port)}),
        }

    def _ask(self, target: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + target, timeout=60) as answer:
            stats: dict[str, Any] = json.load(answer)
            return stats


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Start a server on a free port of the loopback, in its own process."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield Stage(f"http://127.0.0.1:{int(server.stdout.readline())}")
        finally:
            server.terminate()


def run(
    client: str, job: Mapping[str, object], python: Path = OURS, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """
    Run ``benchmarks.clients.<client>`` in a fresh process and return its report.

    :raises Broken: if it fails.
    """
    if not python.exists():
        raise Broken("not installed")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        ours = {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONWARNINGS": "ignore"}
        command = [str(python), "-m", f"benchmarks.clients.{client}", json.dumps({"home": home, **job})]
        env = inherited | ours | dict(environment or {})
        try:
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            raise Broken(f"not done after {_PATIENCE} s") from None
    if done.returncode:
        raise Broken((done.stderr.strip().splitlines() or ["failed without a message"])[-1][:200])
    reported: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return reported
