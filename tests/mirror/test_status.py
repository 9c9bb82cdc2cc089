"""What a mirror's folder tells of it, and of single ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError
from airflow_provider_batch.mirror import __main__ as command
from airflow_provider_batch.mirror import status as status_module
from airflow_provider_batch.mirror.claim import LIFETIME, Claim
from airflow_provider_batch.mirror.plan import FolderMirror
from airflow_provider_batch.mirror.status import Generation, IdStatus, MirrorStatus, read_status
from airflow_provider_batch.mirror.target import Target
from tests.clock import Clock
from tests.interpreter import python_m

from .folders import Killed, memory_path
from .test_plan import START, Batch, blocks, broken_off, mirror_at, plain, run

HOUR = 3600.0


@pytest.fixture(params=["local", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return tmp_path / "snapshots" / "batch_default" / "vip" if request.param == "local" else memory_path()


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


def status(mirror: FolderMirror, ids: str = "") -> MirrorStatus:
    return read_status(mirror.folder, list(ids), now=mirror.clock(), target=mirror.target)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def known(*generations: int, uncertain: bool = False, rejected: bool = False) -> IdStatus:
    return IdStatus(generations, uncertain, rejected)


def test_before_the_first_run_nothing_is_known(path: Any) -> None:
    assert status(mirror_at(path), "a") == MirrorStatus("", "", (), False, 0, 0, None, {"a": known()})


def test_each_id_is_in_the_generations_that_are_kept(path: Any, clock: Clock) -> None:
    mirror, batch = mirror_at(path, clock), Batch()
    for ids in ("abc", "bcd", "bde"):
        run(mirror, batch, plain(ids))
        clock.now += HOUR
    mirror.confirm()
    assert status(mirror, "abcdex") == MirrorStatus(
        "vip",
        "custom_ids",
        (Generation(3, 3, at(START + 2 * HOUR)), Generation(2, 3, at(START + HOUR))),
        is_confirmed=True,
        uncertain=0,
        rejected=0,
        at_work=None,
        ids={"a": known(), "b": known(3, 2), "c": known(2), "d": known(3, 2), "e": known(3), "x": known()},
    )


def test_an_id_is_found_whatever_it_holds_and_has(path: Any) -> None:
    mirror = mirror_at(path)
    run(mirror, Batch(), {"a\nb": None, "c\x02d": "tag", "é": "tag"})
    ids = ["a\nb", "c\x02d", "é", "a", "c", "tag"]
    found = read_status(mirror.folder, ids, now=START).ids
    assert [id_ for id_ in ids if found[id_] == known(1)] == ids[:3]
    assert [id_ for id_ in ids if found[id_] == known()] == ids[3:]


def test_what_a_run_that_broke_off_may_have_sent_is_uncertain(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("abc"))
    broken_off(mirror, batch, plain("bcd"), calls=1)
    found = status(mirror, "abd")
    assert (found.uncertain, found.rejected, found.is_confirmed, found.at_work) == (2, 0, False, None)
    assert found.ids == {"a": known(1, uncertain=True), "b": known(1), "d": known(uncertain=True)}


def test_the_ids_of_all_runs_that_were_killed_are_counted(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("abc"))

    def is_killed(ids: str) -> None:
        with mirror.plan(blocks(plain(ids))) as plan, plan.begin("run"):
            raise Killed

    for ids, uncertain in (("abcd", 1), ("abce", 1 + 2)):  # the second one takes back what the first may have added
        with pytest.raises(Killed):
            is_killed(ids)
        assert status(mirror).uncertain == uncertain


def test_ids_are_found_in_any_block() -> None:
    assert status_module._found(frozenset("abx"), [["a", "c"], ["b"], ["d"]]) == {"a", "b"}


def test_what_batch_rejected_is_told_apart(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    with mirror.plan(blocks(plain("abcd"))) as plan, plan.begin("run") as transaction:
        transaction.commit(["token"], rejected=["d", "b"])
    found = status(mirror, "abd")
    assert (found.uncertain, found.rejected) == (0, 2)
    assert found.ids == {"a": known(1), "b": known(1, rejected=True), "d": known(1, rejected=True)}
    broken_off(mirror, batch, plain("acd"), calls=1)  # which sends both again
    found = status(mirror, "abd")
    assert (found.uncertain, found.rejected) == (2, 0)
    assert found.ids == {"a": known(1), "b": known(1, uncertain=True), "d": known(1, uncertain=True)}


def test_the_run_at_work_is_named_until_its_claim_has_expired(path: Any, clock: Clock) -> None:
    mirror = mirror_at(path, clock)
    claim = Claim(mirror.folder, "dag/run/task", clock)
    assert status(mirror).at_work == "dag/run/task"
    clock.now += LIFETIME + 1
    assert status(mirror).at_work is None
    clock.now -= 2
    assert status(mirror).at_work == "dag/run/task"
    claim.release()
    assert status(mirror).at_work is None


def test_a_mirror_of_something_else_is_refused(path: Any) -> None:
    mirror = mirror_at(path)
    run(mirror, Batch(), plain("a"))
    other = Target("vip", "custom_ids", "another app")
    with pytest.raises(SnapshotError, match="another app or project"):
        read_status(mirror.folder, now=START, target=other)
    assert read_status(mirror.folder, now=START).audience_name == "vip"


def test_a_damaged_snapshot_is_an_error_and_a_change_meanwhile_a_conflict(
    path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("ab"))

    def meanwhile(wanted: frozenset[str], blocks: Iterator[list[str]]) -> set[str]:
        for ids in changes:
            run(mirror, batch, plain(ids))
        return found(wanted, blocks)

    found = status_module._found
    monkeypatch.setattr(status_module, "_found", meanwhile)
    changes = ["ac", "ad"]
    with pytest.raises(MirrorConflictError, match="Retry"):
        status(mirror, "a")
    changes = []
    for name in mirror.folder.list_files():
        if name.endswith(".ids.gz"):
            mirror.folder.write(name, b"")
    with pytest.raises(SnapshotError, match="the content is not what was written"):
        status(mirror, "a")
    assert status(mirror).generations[0].number == 3  # without ids, none are read


def test_an_earlier_generation_that_cannot_be_read_is_left_out(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    for ids in ("a", "ab", "abc"):
        run(mirror, batch, plain(ids))
    mirror.folder.write("00000002.head.json", b"{")
    assert [generation.number for generation in status(mirror, "a").generations] == [3]
    run(mirror, batch, plain("abcd"))
    mirror.folder.delete(next(name for name in mirror.folder.list_files() if name.startswith("00000003-")))
    assert [generation.number for generation in status(mirror, "a").generations] == [4]


def test_no_text_of_a_status_has_an_id(path: Any) -> None:
    mirror = mirror_at(path)
    run(mirror, Batch(), {"customer-77": None})
    found = read_status(mirror.folder, ["customer-77"], now=START)
    assert found.ids["customer-77"] == known(1)
    assert "customer-77" not in repr(found)


# The command


def printed(
    main: Callable[[list[str]], None], capfd: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, list[str]]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int), ended.value.code
    # Airflow 2 logs to what pytest has put in place of the standard output.
    lines = [line for line in capfd.readouterr().out.splitlines() if " INFO - " not in line]
    return ended.value.code, lines


def test_the_command_answers_for_each_id_that_it_was_given(
    tmp_path: Path, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    mirror, batch = mirror_at(tmp_path / "batch%5Fdefault" / "vip", clock), Batch()
    ids = [word for id_ in "abcdex" for word in ("--id", id_)]
    run(mirror, batch, plain("bc"))
    head = "batch_default, vip"
    accepted = "  not confirmed: Batch has accepted it, and nobody has seen yet that it is indexed"
    nowhere = "the source did not yield it, or it was skipped as invalid"
    assert printed(command.main, capfd, tmp_path, "--id", "b", "--id", "x") == (
        0,
        [
            head,
            "  generation 1, 2026-09-21 14:13:20 UTC: 2 ids (custom_ids)",
            accepted,
            "  b: in the last set, since generation 1, 2026-09-21 14:13:20 UTC; not confirmed",
            f"  x: not in the last set, nor in any that is kept (from generation 1): {nowhere}",
        ],
    )
    mirror.confirm()
    clock.now += HOUR
    run(mirror, batch, plain("abc"))
    clock.now += HOUR
    with mirror.plan(blocks(plain("abd"))) as plan, plan.begin("run") as transaction:
        transaction.commit(["token"], rejected=["d"])
    assert printed(command.main, capfd, tmp_path, "--id", "d")[1][3:] == [
        "  rejected by Batch: 1 id",
        "  the next run sends these again",
        "  d: in the last set, since generation 3, 2026-09-21 16:13:20 UTC; not confirmed; Batch rejected it, so it "
        "was neither added nor removed",
    ]
    broken_off(mirror, batch, plain("abde"), calls=1)
    Claim(mirror.folder, "dag/run/task", Clock(4e9))
    unclear = "a run that did not end may have added or removed it"
    assert printed(command.main, capfd, tmp_path, "--audience", "vip", *ids) == (
        0,
        [
            head,
            "  generation 3, 2026-09-21 16:13:20 UTC: 3 ids (custom_ids)",
            accepted,
            "  uncertain: up to 2 ids, which a run that did not end may have sent",
            "  the next run sends these again",
            "  at work: dag/run/task",
            "  a: in the last set, since generation 2, 2026-09-21 15:13:20 UTC, or earlier",
            "  b: in the last set, since generation 2, 2026-09-21 15:13:20 UTC, or earlier",
            "  c: not in the last set; removed with generation 3, 2026-09-21 16:13:20 UTC",
            f"  d: in the last set, since generation 3, 2026-09-21 16:13:20 UTC; not confirmed; {unclear}",
            f"  e: not in the last set, nor in any that is kept (from generation 2): {nowhere}; {unclear}",
            f"  x: not in the last set, nor in any that is kept (from generation 2): {nowhere}",
        ],
    )


def test_the_command_prints_no_id_that_it_was_not_given(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mirror = mirror_at(tmp_path / "batch_default" / "vip")
    run(mirror, Batch(), {"customer-77": None, "customer-78": None})
    mirror.confirm()
    assert printed(command.main, capfd, tmp_path / "batch_default" / "vip") == (
        0,
        [
            "batch_default, vip",
            "  generation 1, 2026-09-21 14:13:20 UTC: 2 ids (custom_ids)",
            "  confirmed: Batch has indexed it",
        ],
    )


def test_the_command_shows_all_audiences_or_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for folder in ("batch_a/vip", "batch_b/newsletter", "batch_b/vip"):
        run(mirror_at(tmp_path / folder, audience_name=folder.partition("/")[2]), Batch(), plain("a"))
    (tmp_path / "README").touch()
    (tmp_path / "batch_b" / "new").mkdir()
    heads = {"all": ["batch_a, vip", "batch_b, newsletter", "batch_b, vip"], "vip": ["batch_a, vip", "batch_b, vip"]}
    assert printed(command.main, capfd, tmp_path)[1][::3] == heads["all"]
    assert printed(command.main, capfd, tmp_path, "--audience", "vip")[1][::3] == heads["vip"]
    assert printed(command.main, capfd, tmp_path / "batch_b")[1][::3] == heads["all"][1:]


def test_a_mirror_without_a_run_that_ended(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken_off(mirror_at(tmp_path / "batch_default" / "vip"), Batch(), plain("ab"), calls=1)
    assert printed(command.main, capfd, tmp_path, "--id", "a", "--id", "x") == (
        0,
        [
            "batch_default, vip",
            "  no run has ended yet",
            "  uncertain: up to 2 ids, which a run that did not end may have sent",
            "  the next run sends these again",
            "  a: a run that did not end may have added or removed it",
            "  x: unknown, as no run has ended yet",
        ],
    )


def test_what_cannot_be_read_does_not_hide_the_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        run(mirror_at(tmp_path / "batch_default" / name, audience_name=name), Batch(), plain("x"))
    (tmp_path / "batch_default" / "a" / "00000001.head.json").write_text("{")
    code, lines = printed(command.main, capfd, tmp_path)
    assert code == 1
    assert lines[0] == "batch_default, a"
    assert lines[1].startswith(f"  cannot be read: {tmp_path}/batch_default/a/00000001.head.json: the file cannot be")
    assert lines[2:4] == ["batch_default, b", "  generation 1, 2026-09-21 14:13:20 UTC: 1 id (custom_ids)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{0}"], "{0}: no mirror is there. Pass the snapshot_path of the task, as the worker reads it."),
        (["{0}/missing"], "{0}/missing: no mirror is there. Pass the snapshot_path"),
        (["{0}", "--audience", "vip"], "{0}: no mirror of vip is there."),
        (["nothing://bucket/x"], "nothing://bucket/x: nothing://bucket/x: this storage cannot be opened"),
    ],
)
def test_where_nothing_is_the_command_fails(arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([argument.format(tmp_path) for argument in arguments])
    assert str(ended.value.code).startswith(message.format(tmp_path))


def test_the_command_runs_as_a_module(tmp_path: Path) -> None:
    run(mirror_at(tmp_path / "batch_default" / "vip"), Batch(), plain("ab"))
    done = python_m("airflow_provider_batch.mirror", str(tmp_path), "--id", "a")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.splitlines()[-1]
        == "  a: in the last set, since generation 1, 2026-09-21 14:13:20 UTC; not confirmed"
    )
