"""Importing the package costs a DAG file next to nothing: it is parsed all day."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_batch

#: What a DAG file has loaded before it comes to us; then one fork for each module, which prints what that one adds.
_PROGRAM = """
import json, os, sys
try:
    import airflow.sdk
    from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task
    from airflow.models.baseoperator import BaseOperator
    from airflow.sensors.base import BaseSensorOperator
before = set(sys.modules)
for module in sys.argv[1:]:
    sys.stdout.flush()
    if not os.fork():
        __import__(module)
        print("added", json.dumps([module, sorted(set(sys.modules) - before)]), flush=True)
        os._exit(0)
    os.wait()
"""

_HTTP = {"requests", "urllib3", "httpx", "httpcore", "aiohttp", "starlette", "uvicorn", "cryptography", "pandas"}
#: What the ids come from, and what sorts them: imported where a task runs.
_SOURCES = {"pyarrow", "duckdb", "sqlite3", "s3fs", "boto3"}
#: What a DAG file imports, and how many modules of ours that may add.
_MOST_OF_OURS = {
    "airflow_provider_batch.operators.custom_audience": 24,
    "airflow_provider_batch.sensors.custom_audience": 21,
    "airflow_provider_batch.transfers.sql_to_custom_audience": 27,
    "airflow_provider_batch.transfers.files_to_custom_audience": 27,
    "airflow_provider_batch.decorators.custom_audience": 26,
    "airflow_provider_batch.operators.profiles": 24,
    "airflow_provider_batch.transfers.sql_to_profiles": 27,
    "airflow_provider_batch.transfers.files_to_profiles": 27,
    "airflow_provider_batch.decorators.profiles": 27,
    "airflow_provider_batch.operators.exports": 18,
    "airflow_provider_batch.operators.statistics": 18,
}
_HOOK = "airflow_provider_batch.hooks.batch"


@pytest.fixture(scope="module")
def added() -> dict[str, list[str]]:
    """What importing each module adds to what a DAG file has loaded: all of them in one process, as that takes long."""
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *_MOST_OF_OURS, _HOOK],
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(
        json.loads(line.removeprefix("added ")) for line in run.stdout.splitlines() if line.startswith("added ")
    )


@pytest.mark.parametrize(("module", "most_of_ours"), _MOST_OF_OURS.items())
def test_importing_what_a_dag_file_imports_loads_no_http_client(
    module: str, most_of_ours: int, added: dict[str, list[str]]
) -> None:
    ours = [name for name in added[module] if name.startswith("airflow_provider_batch")]
    assert not {name.partition(".")[0] for name in added[module]} & (_HTTP | _SOURCES)
    assert not {name for name in ours if ".hooks" in name or ".transport" in name or ".triggers" in name}
    assert len(ours) <= most_of_ours, ours
    assert len(added[module]) <= most_of_ours + 6, added[module]


def test_importing_the_hook_loads_the_hooks_and_the_errors_alone(added: dict[str, list[str]]) -> None:
    ours = [name for name in added[_HOOK] if name.startswith("airflow_provider_batch.")]
    assert [name for name in ours if ".hooks" not in name] == ["airflow_provider_batch.exceptions"]


def test_the_errors_and_the_declaration_need_the_standard_library_alone() -> None:
    program = "import sys, airflow_provider_batch.exceptions; print(*{name.partition('.')[0] for name in sys.modules})"
    environment = {**os.environ, "PYTHONPATH": str(Path(airflow_provider_batch.__file__).parent.parent)}
    run = subprocess.run(
        [sys.executable, "-S", "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert set(run.stdout.split()) - sys.stdlib_module_names <= {"airflow_provider_batch", "__main__"}
