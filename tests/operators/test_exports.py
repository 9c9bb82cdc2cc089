"""The operator that brings an export back, against the sandbox."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath, TaskDeferred

from airflow_provider_batch.exceptions import (
    BatchServerError,
    ExportFailedError,
    ExportTimeoutError,
    InvalidArgumentError,
)
from airflow_provider_batch.operators.exports import ProfilesExportOperator
from airflow_provider_batch.results.files import ResultFolder
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.triggers.exports import ProfilesExportTrigger
from tests.clock import Clock
from tests.worker import Store, clear, next_try

ROWS = [{"custom_id": f"c{number}", "n": [number, "é"]} for number in range(5)]
SOON = {"Retry-After": "0"}


@pytest.fixture
def clock() -> Clock:
    return Clock(1_795_000_000.0)


@pytest.fixture
def sandbox(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(rows_per_part=2, clock=clock, keep_bodies=True) as sandbox:
        sandbox.export_records(ROWS)
        connection = json.loads(sandbox.connection_json("project_sandbox"))
        connection["extra"]["max_attempts"] = 2
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", json.dumps(connection))
        yield sandbox


@pytest.fixture
def tries(context: Any, store: Store) -> Any:
    return {**context, "task_state_store": store}


def export(path: Any, **arguments: Any) -> ProfilesExportOperator:
    return ProfilesExportOperator(task_id="export", path=path, batch_conn_id="batch_cep", **arguments)


def rows(*paths: Any) -> list[dict[str, Any]]:
    opened = [gzip.open if str(path).endswith(".gz") else open for path in paths]
    return [
        json.loads(line)
        for path, open_ in zip(paths, opened, strict=True)
        for line in open_(path, "rt", encoding="utf-8")
    ]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def asked(sandbox: Sandbox, verb: str) -> int:
    return sum(call.route.endswith(verb) for call in sandbox.calls)


PARTS = ["attributes-00001.jsonl.gz", "attributes-00002.jsonl.gz", "attributes-00003.jsonl.gz"]


def test_each_part_is_a_file_of_json_lines(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "day"
    paths = export(str(folder)).execute(context)
    assert [Path(path.removeprefix("file://")) for path in paths] == [folder / name for name in PARTS]
    assert names(folder) == PARTS
    assert rows(*(folder / name for name in PARTS)) == ROWS
    summary = context["ti"].pushed["summary"]
    assert summary.pop("seconds") >= 0
    size = (
        len(json.dumps(ROWS[:2]))
        + len("".join(f"{json.dumps(row)}\n" for row in ROWS[2:4]))
        + len(json.dumps(ROWS[4:]))
    )
    assert summary == {"rows": 5, "bytes": size, "parts": 3}
    assert sandbox.leaks == 0


def test_files_may_be_plain(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    export(f"{tmp_path}/", compression=None).execute(context)
    assert names(tmp_path) == [name.removesuffix(".gz") for name in PARTS]
    assert rows(*sorted(tmp_path.iterdir())) == ROWS


def test_a_path_of_object_storage_is_a_folder_too(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    paths = export(ObjectStoragePath(f"file://{tmp_path}/x/")).execute(context)
    assert names(tmp_path / "x") == PARTS
    assert ObjectStoragePath(paths[0]).exists()


def test_the_same_export_gives_the_same_files(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    export(str(tmp_path / "a")).execute(context)
    export(str(tmp_path / "b")).execute(context)
    assert [(tmp_path / "a" / name).read_bytes() for name in PARTS] == [
        (tmp_path / "b" / name).read_bytes() for name in PARTS
    ]


def test_an_earlier_result_is_refused_before_anything_is_asked_for(
    sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    (tmp_path / PARTS[1]).write_bytes(b"earlier")
    with pytest.raises(AirflowFailException, match=r"1 file of an earlier export, such as attributes-00002\.jsonl\.gz"):
        export(str(tmp_path)).execute(context)
    assert names(tmp_path) == [PARTS[1]]
    assert sandbox.calls == []


def test_an_earlier_result_is_replaced_as_a_whole_if_that_is_asked_for(
    sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    others = ["attributes-00004.jsonl.gz", "attributes-00001.jsonl", "events-00001.jsonl.gz", "notes.txt"]
    for name in (PARTS[0], *others):
        (tmp_path / name).write_bytes(b"earlier")
    export(str(tmp_path), overwrite=True).execute(context)
    assert names(tmp_path) == sorted([*PARTS, "events-00001.jsonl.gz", "notes.txt"])
    assert rows(*(tmp_path / name for name in PARTS)) == ROWS


def test_another_type_of_export_has_other_files(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    export(str(tmp_path)).execute(context)
    export(str(tmp_path), export_type="events", events=["email_sent"], since="2026-11-01").execute(context)
    assert names(tmp_path) == sorted([*PARTS, *(name.replace("attributes", "events") for name in PARTS)])


def test_an_export_without_records_has_no_files(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    sandbox.export_records([])
    assert export(str(tmp_path)).execute(context) == []
    assert names(tmp_path) == []
    assert context["ti"].pushed["summary"]["parts"] == 0


def test_templates_may_turn_lists_into_text(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    operator = export(str(tmp_path), attributes="{{ a }}", identifiers="{{ b }}", segment="{{ c }}")
    # As Airflow renders them.
    operator.attributes, operator.identifiers, operator.segment, operator.channels = "['plan']", "", "", "None"
    operator.execute(context)
    operator.attributes = "plan"
    with pytest.raises(AirflowFailException, match="attributes: a single str is not a list"):
        operator.execute(context)
    assert [body for call in sandbox.calls if (body := call.body)] == [
        b'{"export_type": "ATTRIBUTES", "attributes": ["plan"]}'
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"export_type": "profiles"}, "export_type"),
        ({"compression": "zip"}, "compression"),
        ({"overwrite": "yes"}, "overwrite"),
        ({"poke_interval": 0}, "poke_interval"),
        ({"export_timeout": "1h"}, "export_timeout"),
        ({"attributes": ["plan", ""]}, "attributes"),
    ],
)
def test_arguments_are_checked_when_the_file_is_parsed(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        export("x", **arguments)
    with pytest.raises(InvalidArgumentError, match=reason):
        ProfilesExportOperator.partial(task_id="export", **arguments)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"events": ["email_sent"]}, "events: it has no effect with export_type='attributes'"),
        ({"since": "2026-01-31"}, "since: it has no effect with export_type='attributes'"),
        ({"export_type": "events", "attributes": ["plan"]}, "attributes: it has no effect with export_type='events'"),
        ({"identifiers": None}, "attributes: an export needs attributes, identifiers or both"),
    ],
)
def test_what_does_not_go_together_fails_the_dag_file_unless_it_is_a_template(
    arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        export("x", **arguments)
    export("x", **arguments, segment="{{ params.segment }}")


def test_a_failed_export_leaves_nothing_and_a_retry_asks_for_another(
    sandbox: Sandbox, tries: Any, store: Store, tmp_path: Path
) -> None:
    sandbox.fail_exports()
    with pytest.raises(ExportFailedError):
        export(str(tmp_path)).execute(tries)
    assert names(tmp_path) == []
    export(str(tmp_path)).execute(next_try(tries))
    assert asked(sandbox, "profiles/export") == 2
    assert names(tmp_path) == PARTS


def test_a_retry_takes_up_the_export_and_the_parts(
    sandbox: Sandbox, tries: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = [Fault(503, headers=SOON)] * 2
    sandbox.faults(None, None, None, None, *down)
    with pytest.raises(BatchServerError):
        export(str(tmp_path)).execute(tries)
    assert names(tmp_path) == [f".{name}.tmp" for name in PARTS[:2]]
    assert "file_" in json.dumps(store.values)
    downloads = asked(sandbox, "download")
    export(str(tmp_path)).execute(next_try(tries))
    assert asked(sandbox, "profiles/export") == 1
    assert asked(sandbox, "download") == downloads + 1
    assert names(tmp_path) == PARTS
    assert rows(*(tmp_path / name for name in PARTS)) == ROWS
    assert tries["ti"].pushed["summary"]["rows"] == 5
    assert store.values == {}


def test_the_last_try_leaves_nothing(sandbox: Sandbox, tries: Any, tmp_path: Path) -> None:
    tries["ti"].try_number = tries["ti"].max_tries + 1
    sandbox.faults(None, None, None, *[Fault(503, headers=SOON)] * 2)
    with pytest.raises(BatchServerError):
        export(str(tmp_path)).execute(tries)
    assert names(tmp_path) == []


def test_without_a_store_nothing_is_left_and_a_retry_asks_again(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    sandbox.faults(None, None, None, *[Fault(503, headers=SOON)] * 2)
    with pytest.raises(BatchServerError):
        export(str(tmp_path)).execute(context)
    assert names(tmp_path) == []
    export(str(tmp_path)).execute(next_try(context))
    assert asked(sandbox, "profiles/export") == 2
    assert names(tmp_path) == PARTS


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_try_that_dies_while_the_files_get_their_names_is_completed(
    moved: int, sandbox: Sandbox, tries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[str] = []
    move = ResultFolder._move

    def die(self: ResultFolder, source: str, target: str) -> None:
        if len(moves) == moved:
            raise SystemExit
        moves.append(target)
        move(self, source, target)

    monkeypatch.setattr(ResultFolder, "_move", die)
    with pytest.raises(SystemExit):
        export(str(tmp_path)).execute(tries)
    assert len([name for name in names(tmp_path) if name in PARTS]) == moved
    monkeypatch.undo()
    connection = json.loads(sandbox.connection_json("project_sandbox"))
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", json.dumps(connection))
    export(str(tmp_path)).execute(next_try(tries))
    assert asked(sandbox, "profiles/export") == 1
    assert asked(sandbox, "download") == 3 + moved  # what has its name may be of another export
    assert names(tmp_path) == PARTS
    assert rows(*(tmp_path / name for name in PARTS)) == ROWS


def test_a_worker_that_does_not_see_the_files_of_the_other_downloads_them_again(
    sandbox: Sandbox, tries: Any, tmp_path: Path
) -> None:
    sandbox.faults(None, None, None, None, *[Fault(503, headers=SOON)] * 2)
    with pytest.raises(BatchServerError):
        export(str(tmp_path)).execute(tries)
    for path in tmp_path.iterdir():
        path.unlink()
    export(str(tmp_path)).execute(next_try(tries))
    assert rows(*(tmp_path / name for name in PARTS)) == ROWS


@pytest.mark.parametrize("change", ["arguments", "cleared", "gone"])
def test_another_export_is_asked_for_where_the_first_is_not_the_one_that_is_meant(
    change: str, sandbox: Sandbox, tries: Any, tmp_path: Path
) -> None:
    sandbox.faults(None, None, *[Fault(503, headers=SOON)] * 2)
    with pytest.raises(BatchServerError):
        export(str(tmp_path)).execute(tries)
    tries = clear(tries) if change == "cleared" else next_try(tries)
    if change == "gone":
        sandbox.faults(Fault(404))
    export(str(tmp_path), attributes=["plan"] if change == "arguments" else None).execute(tries)
    assert asked(sandbox, "profiles/export") == 2
    assert names(tmp_path) == PARTS


def test_what_a_killed_task_left_is_swept(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    for name in (".attributes-00009.jsonl.gz.tmp", ".events-00001.jsonl.tmp"):
        (tmp_path / name).write_bytes(b"half")
    export(str(tmp_path)).execute(context)
    assert names(tmp_path) == sorted([*PARTS, ".events-00001.jsonl.tmp"])


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(rows_per_part=2, export_delay=60, clock=clock) as sandbox:
        sandbox.export_records(ROWS)
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", sandbox.connection_json("project_sandbox"))
        yield sandbox


def test_a_retry_after_a_timeout_goes_on_waiting_for_the_same(
    slow: Sandbox, clock: Clock, tries: Any, tmp_path: Path
) -> None:
    with pytest.raises(ExportTimeoutError, match="last state CREATED"):
        export(str(tmp_path), export_timeout=0.1).execute(tries)
    clock.now += 60
    export(str(tmp_path)).execute(next_try(tries))
    assert asked(slow, "profiles/export") == 1


def defer(operator: ProfilesExportOperator, context: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    return deferred.value


async def fired(trigger: Any) -> dict[str, Any]:
    events = [event async for event in trigger.run()]
    (event,) = events
    return dict(event.payload)


@pytest.mark.parametrize("with_store", [True, False])
def test_the_wait_may_be_in_the_triggerer(
    with_store: bool, slow: Sandbox, clock: Clock, tries: Any, store: Store, tmp_path: Path
) -> None:
    import asyncio

    context: Any = tries if with_store else {**tries, "task_state_store": None}
    deferred = defer(export(str(tmp_path), deferrable=True, poke_interval=5), context)
    assert isinstance(deferred.trigger, ProfilesExportTrigger)
    path, arguments = deferred.trigger.serialize()
    assert path == "airflow_provider_batch.triggers.exports.ProfilesExportTrigger"
    assert "sandbox-rest-key" not in json.dumps(arguments)
    assert arguments["end_time"] - arguments["start_time"] == 3600
    calls = len(slow.calls)
    clock.now += 60
    event = asyncio.run(fired(ProfilesExportTrigger(**json.loads(json.dumps(arguments)))))
    assert event["status"] == "finished"
    assert [call.method for call in slow.calls[calls:]] == ["GET"]  # it only polls
    again = export(str(tmp_path), deferrable=True)  # attributes do not survive a deferral
    paths = again.execute_complete(context, json.loads(json.dumps(event)))
    assert len(paths) == 3
    assert rows(*(tmp_path / name for name in PARTS)) == ROWS
    assert asked(slow, "profiles/export") == 1
    assert store.values == {}


def test_a_server_that_lags_behind_is_not_taken_for_an_empty_export(
    slow: Sandbox, clock: Clock, tries: Any, tmp_path: Path
) -> None:
    (tmp_path / PARTS[0]).write_bytes(b"earlier")
    operator = export(str(tmp_path), deferrable=True, overwrite=True)
    trigger = defer(operator, tries).trigger
    event: Any = {"status": "finished", "export_id": trigger.serialize()[1]["export_id"], "start_time": clock.now}
    with pytest.raises(TaskDeferred) as again:
        operator.execute_complete(tries, event)
    assert again.value.trigger.serialize()[1]["export_id"] == event["export_id"]
    assert (tmp_path / PARTS[0]).read_bytes() == b"earlier"
    clock.now += 60
    assert len(operator.execute_complete(tries, event)) == 3
    assert rows(*(tmp_path / name for name in PARTS)) == ROWS
    assert asked(slow, "profiles/export") == 1


def test_a_worker_that_dies_after_the_wait_is_followed_by_one_that_takes_it_up(
    slow: Sandbox, clock: Clock, tries: Any, tmp_path: Path
) -> None:
    defer(export(str(tmp_path), deferrable=True), tries)
    clock.now += 60
    export(str(tmp_path), deferrable=True).execute(next_try(tries))  # it does not defer any more
    assert asked(slow, "profiles/export") == 1
    assert names(tmp_path) == PARTS


def test_an_export_that_is_done_at_once_needs_no_triggerer(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    assert len(export(str(tmp_path), deferrable=True).execute(context)) == 3


def test_the_trigger_tells_what_went_wrong(
    slow: Sandbox, clock: Clock, tries: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    slow.fail_exports()
    arguments = defer(export(str(tmp_path), deferrable=True), tries).trigger.serialize()[1]
    late = asyncio.run(fired(ProfilesExportTrigger(**{**arguments, "end_time": arguments["start_time"]})))
    assert (late["status"], late["retryable"]) == ("timeout", True)
    with pytest.raises(ExportTimeoutError, match="not done in time"):
        export(str(tmp_path)).execute_complete(tries, late)
    assert store.values != {}
    clock.now += 60
    failed = asyncio.run(fired(ProfilesExportTrigger(**arguments)))
    with pytest.raises(ExportFailedError, match="ERROR"):
        export(str(tmp_path)).execute_complete(tries, failed)
    assert store.values == {}
    slow.faults(Fault(401))
    wrong = asyncio.run(fired(ProfilesExportTrigger(**arguments)))
    assert (wrong["status"], wrong["retryable"]) == ("error", False)
    with pytest.raises(AirflowFailException, match="answered 401"):
        export(str(tmp_path)).execute_complete(tries, wrong)
    monkeypatch.delenv("AIRFLOW_CONN_BATCH_CEP")
    none = asyncio.run(fired(ProfilesExportTrigger(**arguments)))
    assert none["status"] == "error"
    assert "batch_cep" in none["message"]
    assert names(tmp_path) == []


def test_the_older_platform_is_a_permanent_error(batch_sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="only the Customer Engagement Platform has exports"):
        ProfilesExportOperator(task_id="export", path=str(tmp_path)).execute(context)


def test_s3_gets_whole_files(sandbox: Sandbox, tries: Any, s3: Any) -> None:
    sandbox.faults(None, None, None, None, *[Fault(503, headers=SOON)] * 2)
    path = "s3://aws_default@bucket/profiles/2026-11-25/"
    with pytest.raises(BatchServerError):
        export(path).execute(tries)
    export(path).execute(next_try(tries))
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket="bucket")["Contents"]]
    assert keys == [f"profiles/2026-11-25/{name}" for name in PARTS]
    content = b"".join(gzip.decompress(s3.get_object(Bucket="bucket", Key=key)["Body"].read()) for key in keys)
    assert [json.loads(line) for line in content.splitlines()] == ROWS
    with pytest.raises(AirflowFailException, match="of an earlier export"):
        export("s3://bucket/profiles/2026-11-25", path_conn_id="aws_default").execute(tries)
