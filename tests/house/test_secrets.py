"""Neither a key nor an id in logs, errors, results: whatever happens on the wire."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_batch.decorators.custom_audience import custom_audience_task
from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.operators.custom_audience import (
    CustomAudienceMirrorOperator,
    CustomAudienceReplaceOperator,
    CustomAudienceUpdateOperator,
)
from airflow_provider_batch.protocol.audiences.members import Member
from airflow_provider_batch.sensors.custom_audience import CustomAudienceIndexingSensor
from airflow_provider_batch.transfers.files_to_custom_audience import FilesToCustomAudienceOperator
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator
from airflow_provider_batch.triggers.custom_audience import CustomAudienceIndexingTrigger
from tests.conftest import hook_logs_a_line
from tests.transport.servers import HANG_UP, KEY, REST_KEY, Asked, RawServer, Script, Torn, answer

IDS = ["jane.doe@example.com", "+33 6 12 34 56 78", "c-9f8e7d", "Zoë «quoted»", "4815162342", 'with "quotes"\\']
#: What is known of the members, where the API takes it.
KNOWN = ["12 Sesame Street", "1980-02-29T10:11:12Z", "481516234.5", "lapsed-in-spring"]
MEMBERS = [
    {"id": IDS[0], "attributes": {"street": KNOWN[0], "born": datetime(1980, 2, 29, 10, 11, 12, tzinfo=UTC)}},
    {"id": IDS[2], "attributes": {"spent": Decimal(KNOWN[2]), "likes": [KNOWN[3]]}},
    *IDS,
]
LOGGERS = ["", "urllib3", "httpx", "httpcore", "requests", "asyncio", "airflow_provider_batch", "airflow.task"]
ACCEPTED = answer(201, {"indexing_token": "t" * 32})
APPLIED = answer(200, {"name": "vip", "indexing_state": "APPLIED"})


class Seen:
    """All that was logged and printed, and what a test adds to it."""

    def __init__(self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
        self.told: list[str] = []
        self._caplog = caplog
        self._capfd = capfd

    def add(self, *values: object) -> None:
        self.told += [text for value in values for text in (str(value), repr(value))]

    def add_error(self, error: BaseException) -> None:
        self.add(error, error.args, vars(error))
        self.told += format_exception(error)
        for inner in (error.__cause__, error.__context__):
            if inner is not None:
                self.add_error(inner)

    def everything(self) -> str:
        printed = self._capfd.readouterr()
        # The fixture looks when the test is over: what counts is what was logged since it began.
        logged = [*self._caplog.get_records("setup"), *self._caplog.get_records("call")]
        records = [f"{record.getMessage()} {record.__dict__}" for record in logged]
        return "\n".join([*self.told, *records, printed.out, printed.err])


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Seen]:
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
        logging.getLogger(name).debug("a line of %r", name)
    line = hook_logs_a_line()
    seen = Seen(caplog, capfd)
    yield seen
    everything = seen.everything()
    for heard in (line, *(f"a line of {name!r}" for name in LOGGERS)):
        assert heard in everything
    for secret in (KEY, REST_KEY, *IDS, *KNOWN, *(json.dumps(id_)[1:-1] for id_ in IDS)):
        assert not re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", everything), secret


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def connected(server: RawServer, **extra: object) -> BatchHook:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", server.connection_json(**extra))
        return BatchHook()

    return connected


def values(given: Iterable[object]) -> Iterator[str]:
    """Each attribute of a member, and each in a list of them."""
    for value in given:
        yield from values(value) if isinstance(value, list) else [str(value)]


def quoting(status: int, **headers: str) -> Any:
    """An answer that quotes everything back that it was sent."""

    def quoted(asked: Asked) -> bytes:
        elements = json.loads(asked.body).get("ids", []) if asked.body else []
        ids = [
            said for element in elements for said in (element["id"], *values(element.get("attributes", {}).values()))
        ]
        keys = [value for name, value in asked.headers.items() if "authorization" in name or "project" in name]
        message = f"{' '.join(keys)} may not do {asked.target}: {', '.join(ids)}"
        return answer(status, {"code": 31, "message": message, "ids": ids}, **headers)

    return quoted


def test_a_push_that_works_tells_nothing(seen: Seen, connect: Any) -> None:
    with RawServer(ACCEPTED) as server:
        result = connect(server).update_custom_audience("vip", add_ids=IDS, remove_ids=["gone"], chunk_size=2)
    seen.add(result, result.summary(), result.indexing_tokens)
    assert result.added == len(IDS)


def listed(*names: str) -> bytes:
    """A list of audiences, for either platform."""
    audiences = [{"name": name} for name in names]
    return answer(200, {"custom_audiences": audiences, "audiences": audiences})


@pytest.fixture(params=[{}, {"platform": "cep"}], ids=["mep", "cep"])
def platform(request: pytest.FixtureRequest) -> dict[str, str]:
    given: dict[str, str] = request.param
    return given


def test_members_that_are_known_tell_nothing(seen: Seen, connect: Any) -> None:
    with RawServer(ACCEPTED) as server:
        hook = connect(server, platform="cep")
        result = hook.update_custom_audience("vip", add_ids=MEMBERS, chunk_size=2)
        given = [*MEMBERS, {"id": IDS[0], "attributes": {"a": {"b": KNOWN[0]}}}, {"id": IDS[1], "tags": [KNOWN[3]]}]
        skipped = hook.update_custom_audience("vip", add_ids=given, on_invalid_id="skip")
    seen.add(result, result.summary(), skipped, skipped.summary(), *map(Member, IDS))
    assert (result.added, result.duplicates, skipped.rejected) == (len(IDS), 2, 2)


def test_what_is_skipped_is_told_without_its_text(seen: Seen, connect: Any) -> None:
    with RawServer(ACCEPTED) as server:
        given = [*IDS, IDS[0] * 20, (IDS[1], IDS[2]), {"user": IDS[3]}, IDS[4].encode(), f"{IDS[2]}\ud800"]
        result = connect(server).update_custom_audience("vip", add_ids=given, on_invalid_id="skip")
    seen.add(result, result.summary())
    assert result.rejected == 5


@pytest.mark.parametrize("bad", [IDS[0] * 20, (IDS[1], IDS[2]), {"user": IDS[3]}, IDS[4].encode(), f"{IDS[2]}\ud800"])
def test_what_is_refused_is_told_without_its_text(bad: object, seen: Seen, connect: Any) -> None:
    with RawServer(ACCEPTED) as server, pytest.raises(BatchError) as caught:
        connect(server).update_custom_audience("vip", add_ids=[*IDS, bad])
    seen.add_error(caught.value)


def test_an_argument_that_is_no_list_is_told_without_its_text(seen: Seen, connect: Any) -> None:
    for bad in (IDS[0], {IDS[0]: IDS[1]}, IDS[2].encode(), f"[{IDS[0]}", (id_ for id_ in [None])):
        with RawServer(ACCEPTED) as server, pytest.raises(BatchError) as caught:
            connect(server).update_custom_audience("vip", add_ids=bad)
        seen.add_error(caught.value)


@pytest.mark.parametrize(
    "script",
    [
        quoting(400),
        quoting(401),
        quoting(404),
        quoting(429, Retry_After="0"),
        quoting(503, Retry_After="0"),
        quoting(201),
        HANG_UP,
        Torn(b"HTTP/1.1 2"),
        answer(200, f"<html>{KEY} {REST_KEY} {IDS}</html>".encode()),
    ],
    ids=["400", "401", "404", "429", "503", "201 without a token", "hung up", "torn", "HTML"],
)
def test_a_push_that_fails_tells_nothing(script: Script, platform: Any, seen: Seen, connect: Any) -> None:
    members = MEMBERS if platform else IDS
    with RawServer(script) as server:
        hook = connect(server, max_attempts=1, **platform)
        with pytest.raises(BatchError) as caught:
            hook.update_custom_audience("vip", add_ids=members)
        seen.add_error(caught.value)
        with pytest.raises(BatchError) as caught:
            hook.replace_custom_audience("vip", members)
        seen.add_error(caught.value)
    assert ("audiences/replace" if platform else "custom-audience/vip") in str(caught.value)


@pytest.mark.parametrize("script", [quoting(400), quoting(401), quoting(503, Retry_After="0"), HANG_UP])
@pytest.mark.parametrize(
    ("before", "verb"),
    [
        ([listed()], lambda hook: hook.create_custom_audience("vip")),
        ([listed("vip")], lambda hook: hook.delete_custom_audience("vip")),
        ([], lambda hook: list(hook.list_custom_audiences())),
    ],
    ids=["create", "delete", "list"],
)
def test_the_other_verbs_tell_nothing(
    script: Script, before: list[bytes], verb: Any, platform: Any, seen: Seen, connect: Any
) -> None:
    with RawServer(*before, script) as server:
        hook = connect(server, max_attempts=1, **platform)
        with pytest.raises(BatchError) as caught:
            verb(hook)
    seen.add_error(caught.value)


def test_tries_and_their_end_tell_nothing(seen: Seen, connect: Any) -> None:
    with RawServer(quoting(503, Retry_After="0")) as server, pytest.raises(BatchError) as caught:
        connect(server, max_attempts=3).update_custom_audience("vip", add_ids=IDS, chunk_size=2)
    seen.add_error(caught.value)


def test_a_quoted_id_is_not_told_in_part() -> None:
    from airflow_provider_batch.protocol.refusals import raise_for_status
    from airflow_provider_batch.protocol.wire import Request, Response

    ids = [f"customer-{number:011d}" for number in range(100)]
    body = json.dumps({"message": ", ".join(ids)}).encode()
    with pytest.raises(BatchError) as caught:
        raise_for_status(Response(400, {}, body), Request("PATCH", "/", (), b"", lambda: ids))
    assert "customer" not in str(caught.value)


@pytest.mark.parametrize("quoted", ["line\n%s", "«%s»", "\u2018%s\u2019"])
def test_a_key_in_quotes_that_json_escapes_is_not_told(quoted: str, connect: Any) -> None:
    with RawServer(answer(401, {"message": quoted % REST_KEY})) as server, pytest.raises(BatchError) as caught:
        connect(server).update_custom_audience("vip", add_ids=["a"])
    assert REST_KEY not in str(caught.value)


def test_a_redirect_that_quotes_the_keys_tells_nothing(connect: Any) -> None:
    with RawServer(quoting(302)) as server:
        _, message = connect(server).test_connection()
    assert REST_KEY not in message


def test_an_address_in_a_header_is_not_logged_with_its_key(connect: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="httpcore")
    waiting = CustomAudienceIndexingTrigger(
        batch_conn_id="batch_default",
        audience_name="vip",
        indexing_tokens=["t"],
        poke_interval=1,
        start_time=0,
        end_time=0,
    )

    async def events() -> list[Any]:
        return [event async for event in waiting.run()]

    with RawServer(answer(308, Location=f"https://elsewhere.example/1.0/{KEY}/custom-audience/vip")) as server:
        connect(server)
        assert len(asyncio.run(events())) == 1
    assert KEY not in caplog.text


def test_an_operator_tells_nothing(seen: Seen, connect: Any) -> None:
    with RawServer(ACCEPTED, APPLIED, quoting(400)) as server:
        connect(server)
        operator = CustomAudienceUpdateOperator(
            task_id="update", audience_name="vip", add_ids=IDS, wait_for_indexing=True
        )
        operator.render_template_fields({})
        seen.add(operator.execute({}), operator.add_ids)
        with pytest.raises(AirflowFailException) as caught:
            operator.execute({})
        seen.add_error(caught.value)


def test_a_sensor_tells_nothing(seen: Seen, connect: Any) -> None:
    with RawServer(quoting(503), HANG_UP, APPLIED, quoting(401)) as server:
        connect(server)
        sensor = CustomAudienceIndexingSensor(
            task_id="indexed", audience_name="vip", indexing_tokens=["t" * 32, "u" * 32], poke_interval=0
        )
        with pytest.raises(AirflowFailException) as caught:
            sensor.execute({})
        seen.add_error(caught.value)


@pytest.mark.parametrize("script", [quoting(400), quoting(503), HANG_UP, APPLIED, Torn(b"HTTP/1.1 2")])
def test_a_trigger_tells_nothing(script: Script, platform: Any, seen: Seen, connect: Any) -> None:
    async def events() -> list[Any]:
        waiting = CustomAudienceIndexingTrigger(
            batch_conn_id="batch_default",
            audience_name="vip",
            indexing_tokens=["t" * 32],
            poke_interval=0.01,
            start_time=time.time(),
            end_time=time.time() + 0.05,
        )
        seen.add(waiting.serialize(), vars(waiting))
        return [event.payload async for event in waiting.run()]

    with RawServer(script) as server:
        connect(server, **platform)
        seen.add(*asyncio.run(events()))


def test_a_tested_connection_tells_nothing(platform: Any, seen: Seen, connect: Any) -> None:
    for script in (quoting(401), HANG_UP, answer(200, {"custom_audiences": [], "audiences": []})):
        with RawServer(script) as server:
            hook = connect(server, **platform)
            ok, message = hook.test_connection()
            seen.add(ok, message, hook, vars(hook))


def test_a_replacing_operator_tells_nothing(platform: Any, seen: Seen, connect: Any) -> None:
    members = MEMBERS if platform else IDS
    with RawServer(ACCEPTED, quoting(400)) as server:
        connect(server, **platform)
        operator = CustomAudienceReplaceOperator(task_id="replace", audience_name="vip", ids=members)
        operator.render_template_fields({})
        seen.add(operator.execute({}), operator.ids)
        with pytest.raises(AirflowFailException) as caught:
            operator.execute({})
        seen.add_error(caught.value)


@pytest.mark.parametrize("status", [201, 400, 503])
@pytest.mark.parametrize(
    ("source", "mode"),
    [(source, mode) for source in ("query", "file", "function") for mode in ("add", "mirror")] + [("list", "mirror")],
)
def test_transfers_and_mirrors_tell_nothing(
    source: str, mode: str, status: int, seen: Seen, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "db")}))
    arguments: dict[str, Any] = {"task_id": "push", "audience_name": "vip", "chunk_size": 2}
    arguments |= {"snapshot_path": str(tmp_path / "kept")} if mode == "mirror" else {}
    arguments |= {"mode": mode} if source != "list" else {}
    operator = _transfer(source, arguments, tmp_path)
    # The tokens are all the same, and so are the last answers.
    with RawServer(*([ACCEPTED] * 3 if status == 201 else [quoting(status)]), APPLIED) as server:
        connect(server, max_attempts=1, max_concurrency=1)
        operator.render_template_fields({"params": {}})
        seen.add(*(getattr(operator, field) for field in operator.template_fields))
        if status == 201:
            seen.add(operator.execute({}))
        else:
            with pytest.raises((BatchError, AirflowFailException)) as caught:
                operator.execute({})
            seen.add_error(caught.value)
    kept = list(tmp_path.rglob("*.json"))  # heads, and the tokens of tries that failed
    assert bool(kept) is (mode == "mirror")
    assert any(path.name.endswith("head.json") for path in kept) is (mode == "mirror" and status == 201)
    for path in kept:
        seen.add(path.read_text())


def _transfer(source: str, arguments: dict[str, Any], folder: Path) -> Any:
    """An operator whose ids come from there."""
    if source == "query":
        with closing(sqlite3.connect(folder / "db")) as database, database:
            database.execute("CREATE TABLE t (id)")
            database.executemany("INSERT INTO t VALUES (?)", [(id_,) for id_ in IDS])
        return SqlToCustomAudienceOperator(sql="SELECT id FROM t", conn_id="warehouse", **arguments)
    if source == "file":
        (folder / "ids.txt").write_text("\n".join(IDS))
        return FilesToCustomAudienceOperator(path=str(folder / "ids.txt"), **arguments)
    if source == "list":
        return CustomAudienceMirrorOperator(ids=IDS, **arguments)
    with DAG("d", schedule=None) as dag:
        custom_audience_task(**arguments)(lambda given: iter(given))(IDS)
    return dag.tasks[0]
