"""Neither a key, nor a record, nor the address of a file in logs, errors, XComs or the state store."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest

from airflow_provider_batch.operators.exports import ProfilesExportOperator
from airflow_provider_batch.operators.statistics import CampaignStatsOperator, OrchestrationStatsOperator
from tests.conftest import hook_logs_a_line
from tests.transport.servers import HANG_UP, KEY, REST_KEY, Asked, RawServer, Torn, answer
from tests.worker import Store

SECRETS = (KEY, REST_KEY, "jane.doe@example.com", "storage-path", "signature-of-it")
RECORD = {"custom_id": "jane.doe@example.com"}
GOOD = answer(200, [RECORD])
LOGGERS = ["", "urllib3", "requests", "httpx", "airflow_provider_batch", "airflow.task"]

#: What the storage answers.
FILES: dict[str, Any] = {
    "good": GOOD,
    "expired": answer(403, f"<Error>storage-path signature-of-it {RECORD}</Error>".encode()),
    "cut": Torn(f"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[{json.dumps(RECORD)}".encode()),
    "hung up": HANG_UP,
    "broken": answer(200, f"[{json.dumps(RECORD)}, jane.doe@example.com".encode()),
    "odd headers": Torn(b"HTTP/1.1 200 OK\r\nstorage-path\x00signature-of-it\r\n\r\n[]"),
}


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture, told: Callable[[], str]) -> Iterator[list[str]]:
    """What else is to be looked at; all that was logged is looked at as well."""
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    line = hook_logs_a_line()
    texts: list[str] = []
    yield texts
    everything = "\n".join([told(), *texts])
    assert line in everything
    for secret in SECRETS:
        assert secret not in everything


@pytest.mark.parametrize("name", FILES)
def test_an_export_tells_nothing(
    name: str, heard: list[str], context: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = ""

    def serve(asked: Asked) -> bytes:
        path = asked.target.partition("?")[0]
        if path.endswith("/export"):
            return answer(202, {"id": "export_1"})
        if path.endswith("/download"):
            return answer(307, b"", Location=location)
        return answer(200, {"id": "export_1", "status": "SUCCESS", "files": [{"id": "file_1", "part": 1}]})

    with RawServer(FILES[name]) as storage, RawServer(serve) as server:
        location = f"{storage.url}/storage-path?signature=signature-of-it"
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", server.connection_json(platform="cep", max_attempts=2))
        tries: Any = {**context, "task_state_store": store}
        operator = ProfilesExportOperator(task_id="export", path=str(tmp_path / "out"), batch_conn_id="batch_cep")
        try:
            heard.append(repr(operator.execute(tries)))
            assert name in ("good", "odd headers")
        except Exception as error:  # noqa: BLE001 - each of them is looked at
            assert name != "good"
            heard += [*format_exception(error), repr(error), repr(vars(error))]
        for asked in storage.asked:
            assert not {"authorization", "x-batch-project", "content-type"} & asked.headers.keys()
            assert KEY not in repr(asked)
            assert REST_KEY not in repr(asked)
    heard += [repr(context["ti"].pushed), repr(store.values), repr(vars(operator))]


@pytest.mark.parametrize("platform", ["mep", "cep"])
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
def test_statistics_tell_no_key(
    status: int, platform: str, heard: list[str], context: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(asked: Asked) -> bytes:
        if "/list" in asked.target:
            entry = {"id": "o1", "campaign_token": "o1"}
            return answer(200, [entry] if platform == "mep" else {"orchestrations": [entry]})
        keys = [asked.headers.get(name, "") for name in ("authorization", "x-authorization", "x-batch-project")]
        body = {"detail": [], "details": []} if status == 200 else {"code": 31, "message": f"{keys} {asked.target}"}
        return answer(status, body)

    with RawServer(serve) as server:
        connection = server.connection_json(platform=platform, max_attempts=1, requests_per_second=100)
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", connection)
        kind: Any = CampaignStatsOperator if platform == "mep" else OrchestrationStatsOperator
        operator = kind(task_id="stats")
        try:
            assert operator.execute({**context, "task_state_store": store}) == []
            assert status == 200
        except Exception as error:  # noqa: BLE001 - each of them is looked at
            assert status != 200
            heard += [*format_exception(error), repr(error)]
        assert any("/stats" in asked.target for asked in server.asked)
    heard += [repr(context["ti"].pushed), repr(store.values)]
