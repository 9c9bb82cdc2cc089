"""Importing the package costs a DAG file next to nothing: it is parsed all day."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

#: What a DAG file has loaded before it comes to us, and how many modules we may add: ours and common.compat's.
_PROGRAM = """
import json, sys
try:
    import airflow.sdk
    from airflow.sdk import DAG, BaseOperator, BaseSensorOperator
except ImportError:
    from airflow import DAG
    from airflow.models.baseoperator import BaseOperator
    from airflow.sensors.base import BaseSensorOperator
before = set(sys.modules)
import {module}
print("added", json.dumps(sorted(set(sys.modules) - before)))
"""

_HTTP = {"requests", "urllib3", "httpx", "httpcore", "aiohttp", "starlette", "uvicorn", "cryptography", "pandas"}


def added_by(module: str) -> list[str]:
    program = _PROGRAM.format(module=module)
    run = subprocess.run([sys.executable, "-c", program], env=os.environ, capture_output=True, text=True, check=True)
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("added ")]
    modules: list[str] = json.loads(line.removeprefix("added "))
    return modules


@pytest.mark.parametrize(
    ("module", "most_of_ours"),
    [
        ("airflow_provider_batch.operators.custom_audience", 6),
        ("airflow_provider_batch.sensors.custom_audience", 9),
    ],
)
def test_importing_what_a_dag_file_imports_loads_no_http_client(module: str, most_of_ours: int) -> None:
    added = added_by(module)
    ours = [name for name in added if name.startswith("airflow_provider_batch")]
    assert not {name.partition(".")[0] for name in added} & _HTTP
    assert not {name for name in ours if ".hooks" in name or ".transport" in name or ".triggers" in name}
    assert len(ours) <= most_of_ours, ours
    assert len(added) <= most_of_ours + 30, added


def test_the_errors_and_the_declaration_import_nothing() -> None:
    program = (
        "import sys; before = set(sys.modules); import airflow_provider_batch.exceptions;"
        "print(sorted(n for n in set(sys.modules) - before if not n.startswith('airflow_provider_batch')))"
    )
    run = subprocess.run([sys.executable, "-S", "-c", program], env=_with_path(), capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


def _with_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
