"""What the commands about mirrors print, word for word, and how they end."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.mirror import __main__ as folders_command
from airflow_provider_batch.mirror.claim import LIFETIME
from airflow_provider_batch.mirror.claim import Claim as FolderClaim
from airflow_provider_batch.mirror.tables import __main__ as command
from airflow_provider_batch.mirror.tables.check import Check, Finding
from airflow_provider_batch.mirror.tables.database import Database
from airflow_provider_batch.mirror.tables.head import Claim, State
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.target import Target
from tests.mirror.stores import Connections
from tests.mirror.test_plan import Batch, mirror_at, plain, run

Answer = tuple[Any, list[str]]


@pytest.fixture
def answer(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Run a command; return with what it exits, and its lines."""

    def answered(main: Callable[[list[str]], None], *arguments: object) -> Answer:
        with monkeypatch.context() as patch:
            if "--help" not in arguments:  # what others print is not part of the answer
                patch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
            with pytest.raises(SystemExit) as ended:
                main([str(argument) for argument in arguments])
        return ended.value.code, capfd.readouterr().out.splitlines()

    return answered


@pytest.fixture
def warehouse(tables_in_sqlite: Connections, monkeypatch: pytest.MonkeyPatch) -> Connections:
    """The connection of that name, without looking for it."""
    monkeypatch.setattr(command, "database_hook", {"warehouse": tables_in_sqlite}.__getitem__)
    return tables_in_sqlite


# What they say of themselves

ROW = "CONN_ID the Airflow connection to the database SCHEMA the snapshot_schema of the tasks"
HELP = "-h, --help show this help message and exit"
PROGRAM = "python -m airflow_provider_batch.mirror"
QUIET = "It prints no id that is not passed, sends nothing, and changes nothing."
SHOWN = "--audience NAME only this audience (default: all) --id ID repeatable; show this id"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            [],
            f"usage: {PROGRAM}.tables [-h] {{check,inspect,drop}} ... Mirrors whose snapshot is in tables of a "
            "database (snapshot_schema). positional arguments: {check,inspect,drop} check try in tables of its own, "
            "which it drops, whether a database is suited inspect show what mirrors have sent to Batch: when, how many "
            "ids, and whether certain ids are among them drop drop all tables of one mirror: the next run is a first "
            f"run options: {HELP}",
        ),
        (["check"], f"usage: {PROGRAM}.tables check [-h] CONN_ID SCHEMA positional arguments: {ROW} options: {HELP}"),
        (
            ["inspect"],
            f"usage: {PROGRAM}.tables inspect [-h] [--audience NAME] [--id ID] CONN_ID SCHEMA positional arguments: "
            f"{ROW} options: {HELP} {SHOWN} {QUIET}",
        ),
        (
            ["drop"],
            f"usage: {PROGRAM}.tables drop [-h] CONN_ID SCHEMA NAME positional arguments: {ROW} NAME what the tables' "
            f"names begin with: batch_<audience>_<digest> options: {HELP}",
        ),
    ],
)
def test_the_command_about_tables_explains_itself(
    arguments: list[str], text: str, answer: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "999")
    code, lines = answer(command.main, *arguments, "--help")
    assert (code, " ".join(" ".join(lines).split())) == (0, text)


def test_the_command_about_folders_explains_itself(
    answer: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "999")
    code, lines = answer(folders_command.main, "--help")
    assert (code, " ".join(" ".join(lines).split())) == (
        0,
        f"usage: {PROGRAM} [-h] [--audience NAME] [--id ID] PATH Show what mirrors have sent to Batch: when, how many "
        "ids, and whether certain ids are among them. positional arguments: PATH the snapshot_path of the tasks, such "
        f"as s3://my_conn@bucket/path options: {HELP} {SHOWN} {QUIET}",
    )


def test_the_command_about_tables_takes_one_of_its_three(answer: Callable[..., Answer]) -> None:
    assert answer(command.main)[0] == 2


# check


def test_each_trap_is_told_as_soon_as_it_was_tried(
    warehouse: Connections,
    answer: Callable[..., Answer],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    def traps(check: Check) -> Iterator[Finding]:
        assert check._keeper.schema == "main"
        for finding in findings:
            yield finding
            told.append(capfd.readouterr().out)

    monkeypatch.setattr(Check, "run", traps)
    findings = [Finding("one", ""), Finding("two", "it is wrong"), Finding("three", "")]
    assert answer(command.main, "check", "warehouse", "main") == (1, [])
    assert told == ["warehouse, schema main: sqlite\nholds one\n", "FAILS two: it is wrong\n", "holds three\n"]
    findings = [Finding("one", "")]
    assert answer(command.main, "check", "warehouse", "main")[0] == 0


# drop


def make(connections: Connections, name: str, state: State) -> Keeper:
    """The head of a mirror, and the tables that it names."""
    keeper = Keeper("main", name)
    with Database(connections.get_conn).session() as session:
        keeper.change(session, lambda _: state)
    connections.run(*(f"CREATE TABLE {name}_{table} (id TEXT)" for table in state.named))
    return keeper


@pytest.mark.parametrize("name", ["batch_vip_00000000", "batch_vip_00000000_head"])
def test_a_mirror_is_dropped_by_what_the_names_begin_with(
    name: str, warehouse: Connections, answer: Callable[..., Answer]
) -> None:
    make(warehouse, "batch_vip_00000000", State(base="b0123456789ab", net="e0123456789ab"))
    others = [f"batch_vip_00000000_{end}" for end in ("b0123456789abc", "B0123456789ag", "logs", "my_head")]
    others += ["batch_vip_000000001_head", "xbatch_vip_00000000_head"]
    warehouse.run(*(f"CREATE TABLE {other} (x INT)" for other in others))
    warehouse.run("CREATE TABLE batch_vip_00000000_d0000000000ff (id TEXT)")
    assert answer(command.main, "drop", "warehouse", "main", name) == (
        0,
        ["dropped all tables of main.batch_vip_00000000"],
    )
    assert warehouse.tables() == sorted(others)


@pytest.mark.parametrize("name", ["batch_vip_00000000", "members", "embers_batch_"])
def test_a_mirror_that_is_not_there_is_not_dropped(
    name: str, warehouse: Connections, answer: Callable[..., Answer]
) -> None:
    warehouse.run("CREATE TABLE members (id TEXT)", "CREATE TABLE members_head (id TEXT)")
    assert answer(command.main, "drop", "warehouse", "main", name) == (
        f"warehouse, schema main: no mirror {name} is there. The command inspect prints the names, such as "
        "batch_<audience>_<digest>.",
        [],
    )
    assert warehouse.tables() == ["members", "members_head"]


def test_what_fails_is_told_in_one_line(
    warehouse: Connections, answer: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(connection: object) -> None:
        raise SourceError("the database is gone")

    monkeypatch.setattr(command, "Database", fails)
    for arguments in (["drop", "warehouse", "main", "batch_x"], ["inspect", "warehouse", "main"]):
        assert answer(command.main, *arguments) == ("the database is gone", [])


# inspect

ACCEPTED = "  not confirmed: Batch has accepted it, and nobody has seen yet that it is indexed"
WRITTEN = 1_790_000_000.0
STATE = State(target=Target("vip", "custom_ids", "app"), generation=1, members=2, written_at=WRITTEN, base_generation=1)
GENERATION = "  generation 1, 2026-09-21 14:13:20 UTC: 2 ids (custom_ids)"


def test_each_mirror_in_a_schema_is_shown(warehouse: Connections, answer: Callable[..., Answer]) -> None:
    now = time.time()
    claims = [Claim("dag/run/task", "n1", now - 9999, now - age) for age in (LIFETIME - 60, LIFETIME + 60)]
    make(warehouse, "batch_vip_00000001", replace(STATE, claim=claims[0]))
    make(warehouse, "batch_vip_00000002", replace(STATE, claim=claims[1]))
    make(warehouse, "batch_vip_00000003", State())
    make(warehouse, "batch_vip_00000004", State())
    warehouse.run("DELETE FROM batch_vip_00000004_head")
    fault = "main.batch_vip_00000004_head has 0 rows instead of one. Drop it to start a new snapshot."
    shown = [
        *("main.batch_vip_00000001, vip", GENERATION, ACCEPTED, "  at work: dag/run/task"),
        *("main.batch_vip_00000002, vip", GENERATION, ACCEPTED),
        *("main.batch_vip_00000003", "  no run has ended yet"),
        *("main.batch_vip_00000004", f"  cannot be read: {fault}"),
    ]
    assert answer(command.main, "inspect", "warehouse", "main") == (1, shown)
    assert answer(command.main, "inspect", "warehouse", "main", "--audience", "VIP") == (1, shown[-4:])
    warehouse.run("DROP TABLE batch_vip_00000004_head")
    # One that does not tell its audience may be of any that is called like its tables.
    assert answer(command.main, "inspect", "warehouse", "main", "--audience", "vip") == (0, shown[:-2])
    assert answer(command.main, "inspect", "warehouse", "main", "--audience", "VIP") == (0, shown[-4:-2])


def test_ids_are_shown_if_they_are_asked_for(warehouse: Connections, answer: Callable[..., Answer]) -> None:
    make(warehouse, "batch_vip_00000001", replace(STATE, base="b0"))
    warehouse.run("INSERT INTO batch_vip_00000001_b0 VALUES ('a')")
    assert answer(command.main, "inspect", "warehouse", "main", "--id", "x", "--id", "a") == (
        0,
        [
            "main.batch_vip_00000001, vip",
            GENERATION,
            ACCEPTED,
            "  x: not in the last set, nor in any that is kept (from generation 1): the source did not yield it, or it "
            "was skipped as invalid",
            "  a: in the last set, since generation 1, 2026-09-21 14:13:20 UTC; not confirmed",
        ],
    )


def test_where_no_mirror_is_what_to_pass_is_told(
    warehouse: Connections, answer: Callable[..., Answer], tmp_path: Path
) -> None:
    make(warehouse, "batch_new_00000001", replace(STATE, target=Target("new", "custom_ids", "app")))
    remedy = "Pass the snapshot_schema of the task."
    missing = f"warehouse, schema main: no mirror of vip is there. {remedy}"
    assert answer(command.main, "inspect", "warehouse", "main", "--audience", "vip") == (missing, [])
    warehouse.run("DROP TABLE batch_new_00000001_head")
    assert answer(command.main, "inspect", "warehouse", "main") == (
        f"warehouse, schema main: no mirror is there. {remedy}",
        [],
    )
    for given, what in ((["--audience", "vip"], "no mirror of vip"), ([], "no mirror")):
        message = f"{tmp_path}: {what} is there. Pass the snapshot_path of the task, as the worker reads it."
        assert answer(folders_command.main, tmp_path, *given) == (message, [])


# The same of folders


def test_each_folder_of_a_mirror_is_shown_with_its_connection(tmp_path: Path, answer: Callable[..., Answer]) -> None:
    root = tmp_path / "snapshots"
    stores = {name: mirror_at(root / "batch%2Eone" / name, audience_name=name) for name in ("vip", "a, b", "broken")}
    for store in (*stores.values(), mirror_at(root / "batch%2Eone" / "x" / "vip")):
        run(store, Batch(), plain("ab"))
    claim = FolderClaim(stores["vip"].folder, "dag/run/task", time.time)
    (head,) = (root / "batch%2Eone" / "broken").glob("*.head.json")
    head.write_text("{")
    found = "  a: in the last set, since generation 1, 2026-09-21 14:13:20 UTC; not confirmed"
    code, lines = answer(folders_command.main, root, "--id", "a")
    assert code == 1
    assert lines[:5] == ["batch.one, a, b", GENERATION, ACCEPTED, found, "batch.one, broken"]
    assert lines[5].startswith(f"  cannot be read: {head}: ")
    assert lines[6:] == ["batch.one, vip", GENERATION, ACCEPTED, "  at work: dag/run/task", found]
    claim.release()
    shown = ["batch.one, vip", GENERATION, ACCEPTED]
    assert answer(folders_command.main, root, "--audience", "vip") == (0, shown)
    assert answer(folders_command.main, root / "batch%2Eone" / "vip") == (0, shown)
    # Two folders deep, and no deeper.
    both = [*shown, "x, vip", *shown[1:]]
    assert answer(folders_command.main, root / "batch%2Eone", "--audience", "vip") == (0, both)
    assert answer(folders_command.main, tmp_path)[1] == []


def test_a_path_that_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, answer: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folders_command, "is_snapshot_folder", fails)
    assert answer(folders_command.main, tmp_path) == (f"{tmp_path}: [Errno 13] Permission denied", [])
