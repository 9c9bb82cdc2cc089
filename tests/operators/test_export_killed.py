"""A task that is killed (-9) while it waits and while it downloads, and the try that follows."""

from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.clock import eventually
from tests.interpreter import Command
from tests.transport.servers import KEY, REST_KEY, Asked, RawServer, Trickle, answer

ROWS = [{"custom_id": f"c{number}"} for number in range(4)]


class Service:
    """An export of two parts: never done until `is_done`, and the second part never ends until `is_whole`."""

    def __init__(self) -> None:
        self.is_done = self.is_whole = False
        self.server = RawServer(self._answer)

    def _answer(self, asked: Asked) -> Any:
        path = asked.target.partition("?")[0]
        if path.startswith("/storage"):
            assert KEY not in repr(asked)
            assert REST_KEY not in repr(asked)
            part = ROWS[:2] if path.endswith("1") else ROWS[2:]
            if path.endswith("2") and not self.is_whole:
                return Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n[", b" ")
            return answer(200, part)
        if path.endswith("/export"):
            return answer(202, {"id": "export_1"})
        if path.endswith("/download"):
            return answer(307, b"", Location=f"/storage/{asked.target[-1]}")
        files = {"files": [{"id": f"file_{number}", "part": number} for number in (1, 2)]} if self.is_done else {}
        return answer(200, {"id": "export_1", "status": "SUCCESS" if self.is_done else "RUNNING", **files})

    def asked(self, path: str) -> int:
        return sum(asked.target.partition("?")[0].endswith(path) for asked in self.server.asked)

    def start(self, folder: Path, try_number: int) -> Command:
        connection = self.server.connection_json(platform="cep")
        return Command("tests.operators.export_once", str(folder), str(try_number), AIRFLOW_CONN_BATCH_CEP=connection)


@pytest.mark.parametrize("moment", ["waiting", "downloading"])
def test_a_killed_task_leaves_no_result_and_the_next_try_takes_the_export_up(moment: str, tmp_path: Path) -> None:
    service = Service()
    service.is_done = moment == "downloading"
    with service.server:
        first = service.start(tmp_path, 1)
        try:
            if moment == "waiting":
                eventually(lambda: service.asked("/view") >= 3, within=60)
            else:
                eventually(lambda: service.asked("/storage/2") == 1, within=60)
        finally:
            first.kill()
            killed = first.wait()
        results = tmp_path / "results"
        left = sorted(path.name for path in results.iterdir()) if results.exists() else []
        assert left == ([] if moment == "waiting" else [".attributes-00001.jsonl.gz.tmp"])
        service.is_done = service.is_whole = True
        ended = service.start(tmp_path, 2).wait()
    assert killed.returncode == -signal.SIGKILL
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "rows 4" in ended.stdout
    assert service.asked("/export") == 1
    assert service.asked("/storage/1") == 1
    names = ["attributes-00001.jsonl.gz", "attributes-00002.jsonl.gz"]
    assert sorted(path.name for path in results.iterdir()) == names
    content = b"".join(gzip.decompress((results / name).read_bytes()) for name in names)
    assert [json.loads(line) for line in content.splitlines()] == ROWS
    assert json.loads((tmp_path / "store.json").read_text()) == {}
    for secret in (KEY, REST_KEY, "/storage"):
        assert secret not in killed.stdout + killed.stderr + ended.stdout + ended.stderr
