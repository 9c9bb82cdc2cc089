"""One try of a task that exports profiles into a folder, as a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow_provider_batch.operators.exports import ProfilesExportOperator
from tests.worker import TaskInstance


class Store:
    """What Airflow 3.3 keeps between two tries, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _values(self) -> dict[str, Any]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}

    def get(self, key: str, default: Any = None) -> Any:
        return self._values().get(key, default)

    def set(self, key: str, value: Any) -> None:
        self._path.write_text(json.dumps({**self._values(), key: value}))

    def delete(self, key: str) -> None:
        self._path.write_text(json.dumps({name: value for name, value in self._values().items() if name != key}))


if __name__ == "__main__":
    folder, ti = Path(sys.argv[1]), TaskInstance()
    ti.try_number = int(sys.argv[2])
    operator = ProfilesExportOperator(
        task_id="export", path=str(folder / "results"), batch_conn_id="batch_cep", poke_interval=0.2
    )
    context: Any = {"ti": ti, "task_state_store": Store(folder / "store.json")}
    operator.execute(context)
    sys.stdout.write(f"rows {ti.pushed['summary']['rows']}\n")
