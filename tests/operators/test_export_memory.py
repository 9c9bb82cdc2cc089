"""An export of 100 MB, in a process of its own whose memory is measured."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.transport.servers import Asked, RawServer, answer

ROW = json.dumps({"custom_id": "c" * 60, "attributes": {"plan": "gold", "note": "x" * 100}})
SIZE = 100_000_000

PROGRAM = """
import json, resource, sys
from airflow_provider_batch.operators.exports import ProfilesExportOperator

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

class TaskInstance:
    try_number, max_tries = 1, 0
    def xcom_push(self, key, value):
        pass

def export(name):
    operator = ProfilesExportOperator(task_id=name, path=sys.argv[1] + "/" + name, batch_conn_id="batch_cep")
    operator.execute({"ti": TaskInstance()})

export("small")
before = peak()
export("large")
print("peaks", json.dumps([before, peak()]))
"""


def pieces(is_array: bool) -> Iterator[bytes]:
    """100 MB of records, made while they are sent."""
    begin, between, end = ("[", ",\n", "]") if is_array else ("", "\n", "\n")
    count = SIZE // (len(ROW) + len(between))
    whole = len(begin) + count * (len(ROW) + len(between)) - len(between) + len(end)
    yield f"HTTP/1.1 200 OK\r\nContent-Length: {whole}\r\n\r\n{begin}".encode()
    thousand = (ROW + between) * 1000
    for _ in range(count // 1000):
        yield thousand.encode()
    rest = (ROW + between) * (count % 1000)
    yield rest[: -len(between)].encode() + end.encode()


@pytest.mark.parametrize("is_array", [True, False], ids=["array", "lines"])
def test_a_part_of_100_mb_takes_little_memory(is_array: bool, tmp_path: Path) -> None:
    files = [answer(200, json.dumps([json.loads(ROW)]).encode())]

    def serve(asked: Asked) -> bytes:
        path = asked.target.partition("?")[0]
        if path.endswith("/export"):
            return answer(202, {"id": "export_1"})
        if path.endswith("/download"):
            return answer(307, b"", Location="/storage")
        if path == "/storage":
            return files.pop(0) if files else pieces(is_array)  # type: ignore[return-value]  # sent piece by piece
        return answer(200, {"id": "export_1", "status": "SUCCESS", "files": [{"id": "file_1", "part": 1}]})

    with RawServer(serve) as server:
        environment = {**os.environ, "AIRFLOW_CONN_BATCH_CEP": server.connection_json(platform="cep")}
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert run.returncode == 0, run.stderr[-3000:]
    (peaks,) = (line for line in run.stdout.splitlines() if line.startswith("peaks "))
    before, after = json.loads(peaks.removeprefix("peaks "))
    assert after - before < 20, (before, after)  # MB
    with gzip.open(tmp_path / "large" / "attributes-00001.jsonl.gz", "rt") as file:
        count = sum(1 for _ in file)
    assert count == SIZE // (len(ROW) + (2 if is_array else 1))
