"""Exports with the hook, against the sandbox and against servers that are worse."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_batch.exceptions import (
    BatchAuthenticationError,
    BatchConnectionError,
    BatchProtocolError,
    BatchRateLimitError,
    ExportError,
    ExportFailedError,
    ExportTimeoutError,
    InvalidArgumentError,
)
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.protocol.exports.export import ExportFile
from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.transport.servers import HANG_UP, KEY, REST_KEY, Asked, RawServer, Torn, answer

ROWS = [{"custom_id": f"c{number}", "attributes": {"n": number}} for number in range(5)]
SOON = {"Retry-After": "0"}


@pytest.fixture
def hook(batch_sandbox: Sandbox) -> BatchHook:
    return BatchHook("batch_cep")


def connect(monkeypatch: pytest.MonkeyPatch, server: RawServer, **extra: Any) -> BatchHook:
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", server.connection_json(platform="cep", **extra))
    return BatchHook("batch_cep")


def test_the_records_of_all_parts_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(rows_per_part=2) as sandbox:  # three parts, two of them arrays
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", sandbox.connection_json("project_sandbox"))
        sandbox.export_records(ROWS)
        assert list(BatchHook("batch_cep").export_profiles(attributes=["n"])) == ROWS
        assert [call.route for call in sandbox.calls] == [
            "/2.11/profiles/export",
            "/2.11/exports/view",
            *["/2.11/exports/download"] * 3,
        ]
        assert sandbox.leaks == 0


def test_an_export_may_be_empty(hook: BatchHook) -> None:
    assert list(hook.export_profiles()) == []


def test_what_the_members_are_is_what_comes_back(hook: BatchHook) -> None:
    hook.update_custom_audience("vip", add_ids=["a", {"id": "b", "attributes": {"plan": "gold"}}])
    assert list(hook.export_profiles()) == [
        {"custom_id": "a", "attributes": {}},
        {"custom_id": "b", "attributes": {"plan": "gold"}},
    ]


def test_nothing_is_asked_for_before_the_first_record(batch_sandbox: Sandbox, hook: BatchHook) -> None:
    hook.export_profiles()
    assert batch_sandbox.calls == []


def test_the_list_of_exports_is_read_over_all_pages(batch_sandbox: Sandbox, hook: BatchHook) -> None:
    for _ in range(103):
        list(hook.export_profiles())
    listed = list(hook.list_exports())
    assert len({export["id"] for export in listed}) == 103
    assert listed[0]["scope"] == "PROFILE_ATTRIBUTES"


def test_a_failed_export_is_an_error(batch_sandbox: Sandbox, hook: BatchHook) -> None:
    batch_sandbox.fail_exports()
    with pytest.raises(ExportFailedError):
        next(hook.export_profiles())


def test_an_export_that_takes_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(export_delay=3600) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", sandbox.connection_json("project_sandbox"))
        with pytest.raises(ExportTimeoutError, match="last state CREATED"):
            next(BatchHook("batch_cep").export_profiles(export_timeout=0.2))


def test_the_older_platform_has_no_exports(batch_sandbox: Sandbox) -> None:
    for read in (BatchHook().export_profiles, BatchHook().list_exports):
        with pytest.raises(InvalidArgumentError, match="only the Customer Engagement Platform has exports"):
            next(read())
    assert batch_sandbox.calls == []


def test_an_address_that_has_expired_is_asked_for_again(
    batch_sandbox: Sandbox, hook: BatchHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_sandbox.export_records(ROWS)
    from airflow_provider_batch.transport.download import Downloader

    save = Downloader.save

    def late(*arguments: Any) -> int:
        if sum(call.route.endswith("download") for call in batch_sandbox.calls) == 1:
            batch_sandbox.expire_addresses()
        return save(*arguments)

    monkeypatch.setattr(Downloader, "save", late)
    assert list(hook.export_profiles()) == ROWS
    assert sum(call.route.endswith("download") for call in batch_sandbox.calls) == 2


class Service:
    """A server that plays Batch and its storage: *files* are what the addresses answer; the last one repeats."""

    def __init__(self, *files: Any, size: int | None = None, location: str = "/storage?signature=s") -> None:
        self.files = list(files)
        self.size = size
        self.location = location
        self.server = RawServer(self._answer)

    def _answer(self, asked: Asked) -> bytes:
        path = asked.target.partition("?")[0]
        if path == "/storage":
            file = self.files.pop(0) if len(self.files) > 1 else self.files[0]
            return file if isinstance(file, bytes) else bytes(file(asked))
        assert asked.headers["authorization"] == f"Bearer {REST_KEY}"
        assert asked.headers["x-batch-project"] == KEY
        if path.endswith("/export"):
            return answer(202, {"id": "export_1"})
        if path.endswith("/download"):
            return answer(307, b"", Location=self.location)
        file = {"id": "file_1", "part": 1} | ({} if self.size is None else {"size": self.size})
        return answer(200, {"id": "export_1", "status": "SUCCESS", "files": [file]})

    def asked(self, path: str) -> list[Asked]:
        return [asked for asked in self.server.asked if asked.target.partition("?")[0].endswith(path)]


CONTENT = json.dumps(ROWS).encode()


@pytest.mark.parametrize(
    ("first", "then", "size"),
    [
        (answer(403), answer(200, CONTENT), None),
        (answer(503), answer(200, CONTENT), len(CONTENT)),
        (answer(200, CONTENT[:-3]), answer(200, CONTENT), len(CONTENT)),
        (answer(200, CONTENT + b" "), answer(200, CONTENT), len(CONTENT)),
    ],
    ids=["expired", "busy", "too short", "too long"],
)
def test_a_part_that_does_not_arrive_is_asked_for_again_at_a_new_address(
    first: bytes, then: bytes, size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(first, then, size=size)
    with service.server as server:
        assert list(connect(monkeypatch, server).export_profiles()) == ROWS
    assert len(service.asked("/download")) == len(service.asked("/storage")) == 2
    for asked in service.asked("/storage"):
        assert not {"authorization", "x-batch-project", "content-type"} & asked.headers.keys()
        assert KEY not in repr(asked)
        assert REST_KEY not in repr(asked)


def test_a_part_that_never_arrives_whole_is_an_error_and_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(answer(200, CONTENT[:-3]), size=len(CONTENT))
    with service.server as server:
        records = connect(monkeypatch, server, max_attempts=2).export_profiles()
        with pytest.raises(ExportError, match=rf"it has {len(CONTENT) - 3} bytes, but Batch reports {len(CONTENT)}"):
            next(records)
    assert len(service.asked("/storage")) == 2


@pytest.mark.parametrize(
    "torn", [HANG_UP, Torn(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[{}")], ids=["at once", "in its body"]
)
def test_a_connection_that_breaks_is_an_error(torn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(torn) as storage:
        service = Service(b"", location=f"{storage.url}/storage?signature=s")
        with service.server as server, pytest.raises(BatchConnectionError, match="file of the export") as caught:
            next(connect(monkeypatch, server, max_attempts=2).export_profiles())
        assert len(storage.asked) == 2
        assert storage.url not in str(caught.value)


@pytest.mark.parametrize("is_announced", [True, False], ids=["Content-Encoding", "by its first bytes"])
@pytest.mark.parametrize("counts", ["packed", "unpacked"])
def test_a_compressed_part_is_unpacked(counts: str, is_announced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(CONTENT * 1, mtime=0)
    headers = {"Content_Encoding": "gzip"} if is_announced else {}
    service = Service(answer(200, packed, **headers), size=len(packed if counts == "packed" else CONTENT))
    with service.server as server:
        assert list(connect(monkeypatch, server).export_profiles()) == ROWS


def test_a_compressed_part_may_be_larger_than_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(answer(200, gzip.compress(b"[]", mtime=0), Content_Encoding="gzip"), size=2)
    with service.server as server:
        assert list(connect(monkeypatch, server).export_profiles()) == []


def test_a_part_that_is_a_little_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(answer(200, b"[] "), size=2)
    with service.server as server, pytest.raises(ExportError, match="has 3 bytes, but Batch reports 2"):
        next(connect(monkeypatch, server, max_attempts=1).export_profiles())


def test_a_compressed_part_of_another_size_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(CONTENT, mtime=0)
    service = Service(answer(200, packed), size=len(CONTENT) + 1)
    with service.server as server, pytest.raises(ExportError, match=rf"has {len(packed)} bytes, but Batch reports"):
        next(connect(monkeypatch, server, max_attempts=1).export_profiles())


@pytest.mark.parametrize(
    "content", [b"<html>", CONTENT[:-1], gzip.compress(CONTENT)[:-20]], ids=["HTML", "cut", "gzip"]
)
def test_a_part_that_is_not_what_it_should_be_is_an_error(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with Service(answer(200, content)).server as server, pytest.raises(BatchProtocolError) as caught:
        list(connect(monkeypatch, server).export_profiles())
    assert "c0" not in str(caught.value)


@pytest.mark.parametrize("location", ["http://storage.example/f", "https://user@storage.example/f", "ftp://x/f"])
def test_an_address_that_must_not_be_used_is_a_permanent_error(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(b"", location=location)
    with service.server as server, pytest.raises(BatchProtocolError, match="is not used") as caught:
        next(connect(monkeypatch, server).export_profiles())
    assert not caught.value.retryable
    assert "storage" not in str(caught.value)
    assert len(service.asked("/download")) == 1


def test_another_host_gets_no_key(monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]) -> None:
    with RawServer(answer(200, CONTENT)) as storage:
        location = storage.url.replace("127.0.0.1", "localhost") + "/elsewhere?signature=s"
        with Service(b"", location=location).server as server:
            assert list(connect(monkeypatch, server).export_profiles()) == ROWS
        (asked,) = storage.asked
    assert KEY not in repr(asked)
    assert REST_KEY not in repr(asked)
    text = told()
    assert "export_1" in text
    for secret in (KEY, REST_KEY, "elsewhere", "signature"):
        assert secret not in text


def test_wrong_keys_are_an_error_at_once(batch_sandbox: Sandbox, hook: BatchHook) -> None:
    batch_sandbox.faults(Fault(401))
    with pytest.raises(BatchAuthenticationError):
        next(hook.export_profiles())
    assert len(batch_sandbox.calls) == 1


def test_a_rate_limit_is_waited_for(batch_sandbox: Sandbox, hook: BatchHook) -> None:
    batch_sandbox.faults(Fault(429, headers=SOON), None, Fault(429, headers=SOON), Fault(429, headers=SOON))
    assert list(hook.export_profiles()) == []
    assert [call.status for call in batch_sandbox.calls] == [429, 202, 429, 429, 200]


def test_one_attempt_does_not_wait_for_a_rate_limit(batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = json.loads(batch_sandbox.connection_json("project_sandbox"))
    connection["extra"]["max_attempts"] = 1
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", json.dumps(connection))
    batch_sandbox.faults(Fault(429))
    with pytest.raises(BatchRateLimitError):
        next(BatchHook("batch_cep").export_profiles())


def test_a_part_may_be_read_by_itself(batch_sandbox: Sandbox, hook: BatchHook) -> None:
    batch_sandbox.export_records(ROWS)
    from airflow_provider_batch.protocol.exports.export import ExportQuery

    export = hook.get_export(hook.request_export(ExportQuery()))
    assert export.files == (ExportFile(export.files[0].id, 1, len(CONTENT)),)
    with hook.open_part(export.files[0]) as (size, records):
        assert (size, [value for _, value in records]) == (len(CONTENT), ROWS)
