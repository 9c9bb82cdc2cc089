"""One try of a task that may be killed; its state store is a file, because Airflow's outlives the process too."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from airflow_provider_batch.operators.custom_audience import CustomAudienceMirrorOperator, CustomAudienceUpdateOperator
from benchmarks.ids import made
from benchmarks.measure import Meter, job, report


class FileStore:
    """A state store: JSON values by key, in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, key: str, default: Any = None) -> Any:
        return self._all().get(key, default)

    def set(self, key: str, value: Any) -> None:
        self._write(self._all() | {key: value})

    def delete(self, key: str) -> None:
        self._write({known: value for known, value in self._all().items() if known != key})

    def _all(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}
        return values

    def _write(self, values: dict[str, Any]) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(values))
        new.replace(self._path)


def main() -> None:
    """
    Push the job's *ids* in chunks of 100, in mode mirror if there are *snapshots*.

    With *kill_after*, kill -9 this process after so many seconds.
    """
    todo = job()
    if "kill_after" in todo:
        threading.Timer(todo["kill_after"], os.kill, (os.getpid(), signal.SIGKILL)).start()
    ids = list(made("plain", todo["ids"]))
    how: Any = {"task_id": "push", "audience_name": "vip", "chunk_size": 100, "max_concurrency": 4}
    if todo["snapshots"]:
        snapshots = {"snapshot_path": todo["snapshots"], "wait_for_indexing": False}
        operator: Any = CustomAudienceMirrorOperator(ids=ids, **how, **snapshots)
    else:
        operator = CustomAudienceUpdateOperator(add_ids=ids, **how)
    context: Any = {}
    if todo["store"]:
        store = FileStore(Path(todo["store"]))
        names = {"dag_id": "benchmark", "run_id": "killed", "task_id": "push", "map_index": -1}
        ti = Mock(try_number=(store.get("benchmark_tries") or 0) + 1, max_tries=9, **names)
        store.set("benchmark_tries", ti.try_number)
        context = {"task_state_store": store, "ti": ti}
    with Meter() as meter:
        operator.execute(context)
    report(meter)


if __name__ == "__main__":
    main()
