"""Runs of a mirror through the hook, against the sandbox."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_batch.exceptions import (
    BatchAuthenticationError,
    BatchNotFoundError,
    BatchRequestError,
    BatchServerError,
    DriftError,
    GuardError,
    IndexingTimeoutError,
    InvalidArgumentError,
    InvalidMemberError,
    MirrorConflictError,
    PushStoppedError,
    SnapshotError,
)
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror import plan
from airflow_provider_batch.mirror import run as run_module
from airflow_provider_batch.mirror.lines import Lines
from airflow_provider_batch.protocol.audiences.audience import IndexingOutcome
from airflow_provider_batch.protocol.audiences.results import MirrorResult
from airflow_provider_batch.protocol.retry import Patience
from airflow_provider_batch.protocol.rows import NAMED_REJECTIONS
from airflow_provider_batch.protocol.writes import Sent
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.tasks.journal import TaskStateJournal
from tests.clock import Clock, eventually
from tests.connections import connect_once
from tests.interpreter import python_m
from tests.mirror.folders import Killed, memory_path
from tests.mirror.mortal import Lives, MortalPath
from tests.worker import Store, memory

PROJECT = "project_sandbox"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that indexes a write ten seconds after it, by the test's clock."""
    with Sandbox(["vip", "other"], indexing_delay=10, clock=clock, keep_bodies=True) as sandbox:
        connect_once(sandbox, monkeypatch)
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", sandbox.connection_json(PROJECT))
        yield sandbox


def mirror(path: Any, ids: Any, *, conn_id: str = "batch_default", **arguments: Any) -> Any:
    given = {"snapshot_path": path, "poke_interval": 0.1, "indexing_timeout": 0.1, **arguments}
    return BatchHook(conn_id).mirror_custom_audience(given.pop("audience_name", "vip"), ids, **given)


def sent(sandbox: Sandbox) -> list[set[str]]:
    """The ids of each write that was accepted."""
    return [
        {element["id"] for element in json.loads(call.body or b"")["ids"]}
        for call in sandbox.calls
        if call.method == "PATCH" and call.status == 201
    ]


def confirmed(path: Path) -> bool:
    return any(path.rglob("*.confirmed"))


# Writes that are not indexed yet


def test_writes_of_the_last_run_are_waited_for_before_opposing_ones(
    sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    mirror(tmp_path, ["a", "b"])
    with pytest.raises(IndexingTimeoutError):
        mirror(tmp_path, ["b"])
    assert sent(sandbox) == [{"a", "b"}]
    clock.now += 10
    mirror(tmp_path, ["b"])
    assert sent(sandbox) == [{"a", "b"}, {"a"}]
    clock.now += 10
    assert sandbox.members("vip") == {"b"}


def test_those_that_somebody_has_waited_for_are_not_asked_for_again(
    sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    result = mirror(tmp_path, ["a", "b"])
    clock.now += 10
    BatchHook().confirm_mirror("vip", snapshot_path=tmp_path, indexing_tokens=result.indexing_tokens, nb_ids=2)
    assert confirmed(tmp_path)
    calls = len(sandbox.calls)
    mirror(tmp_path, ["b"])
    assert [call.method for call in sandbox.calls[calls:]] == ["PATCH"]


def test_a_run_without_changes_gives_the_tokens_that_are_still_to_be_waited_for(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    first = mirror(tmp_path, ["a", "b"], chunk_size=1)
    calls = len(sandbox.calls)
    again = mirror(tmp_path, ["b", "a"])
    assert [call.method for call in sandbox.calls[calls:]] == ["GET"]  # asked once, and not waited for
    assert again.indexing_tokens == first.indexing_tokens
    assert (again.added, again.unchanged, again.earlier_calls) == (0, 2, 2)
    assert len(sent(sandbox)) == 2


@pytest.mark.parametrize("status", [400, 404])
def test_tokens_that_batch_does_not_know_any_more_do_not_block(
    status: int, sandbox: Sandbox, tmp_path: Path, told: Callable[[], str]
) -> None:
    mirror(tmp_path, ["a", "b"])
    sandbox.faults(Fault(status))
    assert mirror(tmp_path, ["a", "b"]).indexing_tokens == []
    assert "vip: Batch does not report the state of the last run's writes: " in told()
    assert confirmed(tmp_path)  # it is asked for once

    mirror(tmp_path, ["b"])
    sandbox.faults(Fault(status))
    mirror(tmp_path, ["c"])
    assert sent(sandbox)[1:] == [{"a"}, {"b", "c"}]


def test_a_token_that_batch_does_not_know_any_more_ends_the_wait_for_the_others(
    sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    assert len(mirror(tmp_path, ["a", "b"], chunk_size=1).indexing_tokens) == 2
    clock.now += 10
    sandbox.faults(Fault(404))
    assert mirror(tmp_path, ["a", "b"]).indexing_tokens == []
    assert confirmed(tmp_path)


def test_a_key_that_is_refused_is_no_such_token(sandbox: Sandbox, tmp_path: Path) -> None:
    mirror(tmp_path, ["a"])
    for ids in (["a"], ["b"]):
        sandbox.faults(Fault(401))
        with pytest.raises(BatchAuthenticationError):
            mirror(tmp_path, ids)
    assert not confirmed(tmp_path)


def test_only_the_writes_that_were_waited_for_are_confirmed(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    first = mirror(tmp_path, ["a"])
    clock.now += 10
    second = mirror(tmp_path, ["b"])
    # The first run comes back late, when the second one's writes are under way.
    confirm: dict[str, Any] = {"snapshot_path": tmp_path, "on_drift": "fail", "nb_ids": 7}
    BatchHook().confirm_mirror("vip", indexing_tokens=first.indexing_tokens, **confirm)
    BatchHook().confirm_mirror("vip", indexing_tokens=[], **confirm)
    assert not confirmed(tmp_path)
    BatchHook().confirm_mirror("vip", indexing_tokens=second.indexing_tokens, **{**confirm, "nb_ids": 1})
    assert confirmed(tmp_path)


def test_attributes_in_another_order_are_no_change(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    given = {"plan": "gold", "age": 7, "seen": date(2026, 1, 31)}
    turned = dict(reversed(given.items()))
    mirror(tmp_path, [{"id": "a", "attributes": given}], conn_id="batch_cep")
    clock.now += 10
    result = mirror(tmp_path, [{"attributes": turned, "id": "a"}], conn_id="batch_cep")
    assert (result.added, result.unchanged) == (0, 1)
    result = mirror(tmp_path, [{"id": "a", "attributes": {**turned, "age": 8}}], conn_id="batch_cep")
    assert (result.added, result.unchanged) == (1, 0)
    clock.now += 10
    assert sandbox.attributes("vip", PROJECT)["a"]["attributes"]["age"] == 8


@dataclass
class Waits:
    """A line whose waits take twenty seconds each, and end as they are told."""

    ends: list[IndexingOutcome | Exception]
    clock: Clock
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    warned: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def log(self) -> Any:
        return SimpleNamespace(warning=lambda *text: self.warned.append(text))

    def wait(self, flow: Any, patience: Patience) -> IndexingOutcome:
        self.asked.append((*flow.args, patience))
        self.clock.now += 20.0
        if isinstance(end := self.ends.pop(0), Exception):
            raise end
        return end


INDEXED, PENDING = IndexingOutcome(None, ()), IndexingOutcome(None, ("as the wait had it",), (), "an error")


@pytest.mark.parametrize(
    ("ends", "tokens", "outcome", "warned"),
    [
        ([INDEXED, INDEXED, INDEXED, INDEXED], "abcd", INDEXED, []),
        ([INDEXED, PENDING], "abcd", replace(PENDING, pending=("b", "c", "d")), []),
        ([PENDING], "a", replace(PENDING, pending=("a",)), []),
        ([INDEXED, BatchNotFoundError("first"), BatchRequestError("second"), INDEXED], "abcd", None, ["first"]),
        ([BatchRequestError("first"), PENDING], "abcd", replace(PENDING, pending=("b", "c", "d")), []),
        ([], "", None, []),
    ],
)
def test_each_token_is_waited_for_until_the_time_of_all_is_over(
    ends: list[Any], tokens: str, outcome: IndexingOutcome | None, warned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(run_module, "time", SimpleNamespace(monotonic=clock))
    line, asked = Waits([*ends], clock), len(ends)
    writes: Any = SimpleNamespace(audience_name="vip", dialect="dialect", patience=Patience(7.0, 3600.0))
    run: Any = run_module.MirrorRun(cast(Any, line), writes, cast(Any, None), 1, "owner")
    assert run._await_tokens(list(tokens), 50.0) == outcome
    assert line.asked == [
        ("dialect", "vip", [token], Patience(7.0, left))
        for token, left in zip(tokens[:asked], (50.0, 30.0, 10.0, 0.0), strict=False)
    ]
    assert [(text % ("vip", str(error))) for text, _, error in line.warned] == [
        f"vip: Batch does not report the state of the last run's writes: {error}" for error in warned
    ]


@pytest.mark.parametrize(
    ("tokens", "ends", "done", "left"),
    [
        ((), [], [("release", "owner")], ()),
        (("t1", "t2"), [INDEXED, INDEXED], [("release", "owner")], ("t1", "t2")),
        (("t1", "t2"), [INDEXED, PENDING], [("release", "owner")], ("t1", "t2")),
        (("t1", "t2"), [BatchNotFoundError("gone")] * 2, [("release", "owner"), ("confirm", ("t1", "t2"))], ()),
    ],
)
def test_a_run_that_sends_nothing_gives_back_its_claim_and_asks_once_about_the_last_writes(
    tokens: tuple[str, ...],
    ends: list[Any],
    done: list[tuple[str, Any]],
    left: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(run_module, "time", SimpleNamespace(monotonic=clock))
    line, noted = Waits([*ends], clock), list[tuple[str, Any]]()
    writes: Any = SimpleNamespace(audience_name="vip", dialect="dialect", patience=Patience(7.0, 3600.0))
    store: Any = SimpleNamespace(
        release=lambda owner: noted.append(("release", owner)),
        confirm=lambda tokens: noted.append(("confirm", tokens)),
    )
    run = run_module.MirrorRun(cast(Any, line), writes, store, 1, "owner")
    plan: Any = SimpleNamespace(unconfirmed_tokens=tokens)
    assert run._send_nothing(plan) == Sent(indexing_tokens=left, earlier_calls=len(left))
    assert noted == done
    assert {asked[-1] for asked in line.asked} <= {Patience(7.0, 0.0)}


def test_what_a_failed_try_has_sent_is_waited_for(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    sandbox.faults(None, Fault(503))
    with pytest.raises(BatchServerError):
        mirror(tmp_path, ["a", "b"], chunk_size=1, max_concurrency=1)
    with pytest.raises(IndexingTimeoutError):
        mirror(tmp_path, ["c"])
    clock.now += 10
    mirror(tmp_path, ["c"])
    assert sent(sandbox) == [{"a"}, {"a", "b", "c"}]


@pytest.mark.usefixtures("sandbox")
def test_progress_is_told_as_a_share_of_what_is_to_be_sent(tmp_path: Path, told: Callable[[], str]) -> None:
    mirror(tmp_path, ["a", "b", "c", "d"], chunk_size=1, max_concurrency=1)
    assert "vip: chunk 1 accepted; 1 id of 4 (25%), " in told()


def test_a_wait_that_takes_too_long_names_what_it_waited_for(
    sandbox: Sandbox, tmp_path: Path, told: Callable[[], str]
) -> None:
    first = mirror(tmp_path, ["a", "b"], chunk_size=1).indexing_tokens
    told()
    sandbox.faults(Fault(200, body={"name": "vip", "indexing_state": "APPLIED"}))
    with pytest.raises(IndexingTimeoutError) as caught:
        mirror(tmp_path, ["b"], indexing_timeout=0.4)
    assert caught.value.indexing_tokens == (first[1],)
    assert str(caught.value).startswith("vip: not confirmed after 0 s: ")
    assert re.search(r"\bvip: waiting until the writes of the last run are indexed\b", told())


# What a run returns


def whole(result: MirrorResult) -> MirrorResult:
    """Without what is another one every time."""
    assert 0.0 <= result.seconds < 60.0
    return replace(result, seconds=0.0, indexing_tokens=["token"] * len(result.indexing_tokens))


def test_every_value_of_the_source_is_in_one_count(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    ids: list[object] = ["c", "", "b", "c", "d", None, "d", "e"]
    first = mirror(tmp_path, ["a", "b", "c"])
    given: dict[str, Any] = {"audience_name": "vip", "audience_type": "custom_ids", "removed": 0, "duplicates": 0}
    none: dict[str, Any] = {"rejected": 0, "rejections": (), "seconds": 0.0}
    assert whole(first) == MirrorResult(**given, **none, indexing_tokens=["token"], added=3, members=3)
    clock.now += 10
    given |= {"removed": 1, "duplicates": 2, "added": 2, "unchanged": 2, "members": 4, "rejected": 2}
    planned = mirror(tmp_path, ids, on_invalid_id="skip", chunk_size=2, dry_run=True)
    assert [each.position for each in planned.rejections] == [1, 5]
    given |= {"rejections": planned.rejections, "seconds": 0.0}
    assert whole(planned) == MirrorResult(**given, indexing_tokens=[], planned_calls=2)
    assert len(sent(sandbox)) == 1
    done = mirror(tmp_path, ids, on_invalid_id="skip", chunk_size=2)
    assert whole(done) == MirrorResult(**given, indexing_tokens=["token"] * 2)
    assert sent(sandbox)[1:] == [{"d", "e"}, {"a"}]


def test_what_the_source_and_what_batch_rejects_is_told_in_this_order(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.faults(Fault(400), None, Fault(400))
    ids = ["a", *[""] * (NAMED_REJECTIONS - 1), "b"]
    result = mirror(tmp_path, ids, on_invalid_id="skip", on_rejected_chunk="bisect")
    assert (result.added, result.rejected, result.rejected_by_batch) == (1, NAMED_REJECTIONS, 1)
    places = [(each.argument, each.position) for each in result.rejections]
    assert places == [*(("ids", position) for position in range(1, NAMED_REJECTIONS)), ("add_ids", 0)]
    again = mirror(memory_path(), ids + [""] * 5, on_invalid_id="skip")
    assert (len(again.rejections), again.rejected) == (NAMED_REJECTIONS, NAMED_REJECTIONS + 4)


def test_ids_that_batch_rejected_are_uncertain_though_nobody_asked_for_them(
    sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    sandbox.faults(Fault(400), None, Fault(400))
    mirror(tmp_path, ["a", "b"], on_rejected_chunk="bisect")
    clock.now += 10
    mirror(tmp_path, ["a", "b"])
    assert sent(sandbox) == [{"b"}, {"a"}]


def test_a_replaced_audience_has_nothing_unchanged_and_may_be_empty(
    sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    mirror(tmp_path, ["a", "b"])
    clock.now += 10
    result = mirror(tmp_path, ["b", "c"], full_refresh=True)
    assert (result.added, result.unchanged, result.members, result.replaced) == (2, 0, 2, True)
    clock.now += 10
    result = mirror(tmp_path, [], full_refresh=True, allow_empty=True)
    assert (result.added, result.members, result.replaced, result.calls) == (0, 0, True, 1)
    clock.now += 10
    assert sandbox.members("vip") == set()


@pytest.mark.usefixtures("sandbox")
def test_a_source_that_claims_to_be_sorted_is_checked(tmp_path: Path) -> None:
    with pytest.raises(InvalidMemberError, match="is_sorted=True"):
        mirror(tmp_path, ["b", "a"], is_sorted=True)
    assert mirror(tmp_path, ["a", "b"], is_sorted=True).added == 2


def test_what_a_run_has_to_prepare_it_prepares_before_its_first_call_and_not_without_one(
    sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    def asked(ids: list[str], **how: Any) -> list[str]:
        calls = len(sandbox.calls)
        mirror(tmp_path, ids, audience_name="new", create_if_missing=True, **how)
        clock.now += 10
        return [call.method for call in sandbox.calls[calls:]]

    assert asked(["a"], dry_run=True) == []
    assert asked(["a"]) == ["GET", "POST", "PATCH"]
    assert asked(["a"]) == ["GET"]  # about its writes


# Two at once


def test_of_two_runs_at_once_one_fails(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    sandbox.faults(Fault(stall=3))
    first = threading.Thread(target=mirror, args=(tmp_path, ["a", "b"]), kwargs={"owner": "the first"})
    first.start()
    try:
        eventually(lambda: any(tmp_path.rglob("claim.json")), within=20)
        with pytest.raises(MirrorConflictError, match="the first is at work on this mirror"):
            mirror(tmp_path, ["c"], owner="the second")
    finally:
        first.join()
    assert sent(sandbox) == [{"a", "b"}]
    assert not any(tmp_path.rglob("claim*"))
    clock.now += 10
    mirror(tmp_path, ["c"], owner="the second")
    assert sent(sandbox)[1:] == [{"a", "b", "c"}]


def test_a_run_whose_comparison_is_out_of_date_fails(sandbox: Sandbox, tmp_path: Path) -> None:
    def slow() -> Iterator[str]:
        yield "a"
        mirror(tmp_path, ["b"], owner="a faster one")

    with pytest.raises(MirrorConflictError):
        mirror(tmp_path, slow())
    # The faster one is of the same moment; it has nothing to do with this one.
    assert sent(sandbox) == [{"b"}]


def test_a_retry_with_nothing_to_do_gives_back_what_its_killed_try_has_claimed(sandbox: Sandbox, clock: Clock) -> None:
    path = memory_path()
    mirror(path, ["a"], owner="the first")
    clock.now += 10
    folder = path / "batch_default" / "vip"
    for left in count():  # until it lives for just long enough to claim the mirror
        with pytest.raises(Killed):
            mirror(MortalPath(path, Lives(left)), ["b"], owner="the second")
        if (folder / "claim.json").exists():
            break
    with pytest.raises(MirrorConflictError):
        mirror(path, ["b"], owner="the third")
    # By now the query returns what it returned before.
    assert mirror(path, ["a"], owner="the second").added == 0
    mirror(path, ["b"], owner="the third")
    assert sent(sandbox) == [{"a"}, {"a", "b"}]


def test_runs_of_two_connections_and_audiences_do_not_meet(sandbox: Sandbox, tmp_path: Path) -> None:
    mirror(tmp_path, ["a"])
    mirror(tmp_path, ["b"], conn_id="batch_cep")
    mirror(tmp_path, ["c"], audience_name="other")
    folders = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("*.head.json")}
    assert folders == {"batch_default/vip", "batch_cep/vip", "batch_default/other"}


# Drift and guards


def test_drift_is_told_fails_or_is_ignored(
    sandbox: Sandbox, clock: Clock, tmp_path: Path, told: Callable[[], str]
) -> None:
    BatchHook().update_custom_audience("vip", add_ids=["x", "y"])
    result = mirror(tmp_path, ["a"])
    clock.now += 10
    confirm: dict[str, Any] = {"snapshot_path": tmp_path, "indexing_tokens": result.indexing_tokens}
    said = "Batch counts 3 ids, 2 more than the snapshot: something else added them"
    BatchHook().confirm_mirror("vip", on_drift="ignore", **confirm)
    assert said not in told()
    BatchHook().confirm_mirror("vip", **confirm)
    assert said in told()
    with pytest.raises(DriftError, match=said):
        BatchHook().confirm_mirror("vip", on_drift="fail", **confirm)
    # The way out.
    result = mirror(tmp_path, ["a"], full_refresh=True)
    clock.now += 10
    BatchHook().confirm_mirror("vip", on_drift="fail", **{**confirm, "indexing_tokens": result.indexing_tokens})
    assert sandbox.members("vip") == {"a"}


@pytest.mark.parametrize(
    ("ids", "guards", "said"),
    [
        (
            ["a"],
            {"max_shrink": 0.5},
            r"set: 4, in the new set: 1. It shrinks by 3 \(75.0%\), more than max_shrink=0.5",
        ),
        (
            ["a"],
            {"max_shrink": 2},
            r"set: 4, in the new set: 1. It shrinks by 3 \(75.0%\), more than max_shrink=2",
        ),
        (["a", "e", "f"], {"max_changes": 0.9}, r"set: 4, to add: 2, to remove: 3. The changes are 5 \(125.0%\)"),
        (["a", "e", "f"], {"max_changes": 4}, r"set: 4, to add: 2, to remove: 3. The changes are 5 \(125.0%\)"),
        ([], {}, "allow_empty=True"),
    ],
)
def test_guards_say_both_figures(
    ids: list[str], guards: dict[str, Any], said: str, sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    mirror(tmp_path, ["a", "b", "c", "d"], **guards)  # a first run has nothing to be compared with
    clock.now += 10
    calls = len(sandbox.calls)
    with pytest.raises(GuardError, match=said):
        mirror(tmp_path, ids, **guards)
    assert len(sandbox.calls) == calls
    if guards:
        mirror(tmp_path, ["a", "b", "c"], **guards)


@pytest.mark.parametrize("limit", [True, 1.5, -1, "0.5"])
@pytest.mark.parametrize("name", ["max_shrink", "max_changes"])
def test_a_limit_that_is_none_is_refused_before_the_source_is_read(
    name: str, limit: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    source = iter(["a"])
    with pytest.raises(InvalidArgumentError, match=name):
        mirror(tmp_path, source, **{name: limit})
    assert list(source) == ["a"]
    assert sandbox.calls == []


# Snapshots that cannot be used


@pytest.fixture
def kept(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> Path:
    """The folder of a mirror that has run."""
    mirror(tmp_path, ["secret-1", "secret-2"])
    clock.now += 10
    return tmp_path / "batch_default" / "vip"


def is_refused(sandbox: Sandbox, said: str, path: Path, **arguments: Any) -> None:
    calls = len(sandbox.calls)
    files = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(SnapshotError, match=said) as caught:
        mirror(path, ["secret-3"], **arguments)
    assert "secret" not in repr((caught.value, caught.value.__cause__, caught.value.__context__))
    assert len(sandbox.calls) == calls
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == files  # nothing is lost


def test_the_snapshot_of_another_audience(sandbox: Sandbox, kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept, kept.parent / "other")
    is_refused(sandbox, "of another audience, 'vip'", tmp_path, audience_name="other")


def test_the_snapshot_of_another_type(sandbox: Sandbox, kept: Path, tmp_path: Path) -> None:
    is_refused(sandbox, "of another type, 'custom_ids'", tmp_path, audience_type="advertising_ids")


def test_the_snapshot_of_another_app(
    sandbox: Sandbox, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox() as other:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", other.connection_json())
        is_refused(other, "of another app or project", tmp_path)
        # A new REST key is the same app.
        fields = {**json.loads(sandbox.connection_json()), "password": "another-rest-key"}
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", json.dumps(fields))
        with pytest.raises(BatchAuthenticationError):
            mirror(tmp_path, ["a"])


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda content: content[:-9], "the file is truncated or damaged"),
    "another text": (lambda _: gzip.compress(b"secret-1\nsecret-9\n"), "the content is not what was written"),
    "a line less": (lambda _: gzip.compress(b"secret-1\n"), "the content is not what was written"),
    "no gzip": (lambda _: b"secret-1\nsecret-2\n", "the file is truncated or damaged"),
    "nothing": (lambda _: b"", "the (file is truncated or damaged|content is not what was written)"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot(damage: str, sandbox: Sandbox, clock: Clock, kept: Path, tmp_path: Path) -> None:
    change, said = DAMAGES[damage]
    (file,) = kept.glob("*.ids.gz")
    file.write_bytes(change(file.read_bytes()))
    is_refused(sandbox, f"/{file.name}: {said}", tmp_path)
    mirror(tmp_path, ["a"], full_refresh=True)
    clock.now += 10
    assert sandbox.members("vip") == {"a"}
    mirror(tmp_path, ["b"])


def test_a_missing_snapshot(sandbox: Sandbox, kept: Path, tmp_path: Path) -> None:
    (file,) = kept.glob("*.ids.gz")
    file.unlink()
    is_refused(sandbox, f"/{file.name}: the file is missing", tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda fields: {**fields, "format": fields["format"] + 1}, "was written by a newer version of this package"),
        (lambda fields: {"format": 1}, "the file cannot be read"),
        (lambda fields: [], "the file cannot be read"),
        (lambda fields: {**fields, "snapshot": "../../other"}, "the file cannot be read"),
    ],
)
def test_a_head_that_cannot_be_used(
    change: Callable[[Any], Any], said: str, sandbox: Sandbox, kept: Path, tmp_path: Path
) -> None:
    head = kept / "00000001.head.json"
    head.write_text(json.dumps(change(json.loads(head.read_text()))))
    is_refused(sandbox, said, tmp_path)
    mirror(tmp_path, ["a"], full_refresh=True)


# Refused ids, failed tries


def test_refused_ids_are_tried_again_and_are_no_drift(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    sandbox.faults(Fault(400), None, Fault(400))  # between them, the list shows that the audience exists
    refused: list[Any] = []
    result = mirror(tmp_path, ["a", "b"], on_rejected_chunk="bisect", on_rejection=lambda *told: refused.append(told))
    assert (result.added, result.rejected, refused) == (1, 1, [(result.rejections[0], "a")])
    clock.now += 10
    BatchHook().confirm_mirror(
        "vip", snapshot_path=tmp_path, indexing_tokens=result.indexing_tokens, nb_ids=1, on_drift="fail"
    )
    result = mirror(tmp_path, ["a", "b"])
    assert (result.added, result.unchanged) == (1, 1)
    assert sent(sandbox)[1:] == [{"a"}]
    clock.now += 10
    with pytest.raises(DriftError):
        BatchHook().confirm_mirror("vip", snapshot_path=tmp_path, nb_ids=1, on_drift="fail")


@pytest.mark.usefixtures("sandbox")
def test_another_way_with_drift_is_refused_and_not_taken_for_a_warning(tmp_path: Path) -> None:
    mirror(tmp_path, ["a"])
    with pytest.raises(InvalidArgumentError, match="on_drift: 'raise' is not one of warn, fail, ignore"):
        BatchHook().confirm_mirror("vip", snapshot_path=tmp_path, nb_ids=7, on_drift="raise")  # type: ignore[arg-type]
    assert not confirmed(tmp_path)


def test_what_a_failed_try_may_have_sent_is_put_right_by_the_next_run(
    sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    sandbox.faults(None, Fault(503, after_write=True))
    with pytest.raises(BatchServerError):
        mirror(tmp_path, ["a", "b", "c"], chunk_size=1, max_concurrency=1)
    clock.now += 10
    assert sandbox.members("vip") == {"a", "b"}
    mirror(tmp_path, ["c", "d"])
    clock.now += 10
    assert sandbox.members("vip") == {"c", "d"}


def test_a_retry_of_a_replace_with_another_set_replaces_again(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    """What the first try has written behind its replace is not in the new set, whose first chunk is the same."""
    store = Store()
    arguments: dict[str, Any] = {"chunk_size": 2, "max_concurrency": 1, "first_run": "replace"}
    applied = Fault(200, body={"name": "vip", "indexing_state": "APPLIED"})
    sandbox.faults(None, applied, Fault(503, after_write=True))
    with pytest.raises(BatchServerError):
        mirror(tmp_path, ["a", "b", "c", "d"], **arguments, journal=TaskStateJournal(memory(store)))
    clock.now += 10
    assert sandbox.members("vip") == {"a", "b", "c", "d"}
    sandbox.faults(None, None, applied)  # the first answers the wait for what the first try has sent
    mirror(tmp_path, ["a", "b", "e"], **arguments, journal=TaskStateJournal(memory(store, 2)))
    clock.now += 10
    assert sandbox.members("vip") == {"a", "b", "e"}


def test_a_retry_sends_what_its_first_try_has_not(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    store = Store()
    arguments: dict[str, Any] = {"chunk_size": 1, "max_concurrency": 1}
    sandbox.faults(None, None, Fault(503))
    with pytest.raises(BatchServerError):
        mirror(tmp_path, ["a", "b", "c", "d"], **arguments, journal=TaskStateJournal(memory(store)))
    clock.now += 10
    result = mirror(tmp_path, ["a", "b", "c", "d"], **arguments, journal=TaskStateJournal(memory(store, 2)))
    assert (result.added, result.earlier_calls) == (4, 2)
    assert sent(sandbox) == [{"a"}, {"b"}, {"c"}, {"d"}]


def test_an_audience_that_is_missing_is_created_first(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    mirror(tmp_path, ["a"], audience_name="new", create_if_missing=True)
    clock.now += 10
    assert sandbox.members("new") == {"a"}


def test_a_first_run_may_replace(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    BatchHook().update_custom_audience("vip", add_ids=["x", "y"])
    clock.now += 10
    result = mirror(tmp_path, ["a"], first_run="replace")
    assert result.replaced
    clock.now += 10
    assert sandbox.members("vip") == {"a"}
    assert not mirror(tmp_path, ["b"], first_run="replace").replaced


# Where snapshots are, and what is in them


@pytest.mark.parametrize("storage", ["memory", "s3", "local"])
def test_snapshots_in_any_storage(
    storage: str, request: pytest.FixtureRequest, sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    if storage == "s3":
        request.getfixturevalue("s3")
    if storage == "memory":
        path = memory_path()
    else:
        path = ObjectStoragePath("s3://aws_default@bucket/kept" if storage == "s3" else f"file://{tmp_path}")
    for ids in (["a", "b"], ["b", "c"], ["b", "c"]):
        tokens = mirror(path, ids).indexing_tokens
        clock.now += 10
        BatchHook().confirm_mirror("vip", snapshot_path=path, indexing_tokens=tokens, on_drift="fail")
        assert sandbox.members("vip") == set(ids)
    assert sent(sandbox) == [{"a", "b"}, {"a", "c"}]
    names = sorted(file.name for file in (path / "batch_default" / "vip").iterdir())
    assert [name[:9] for name in names] == ["00000001-", "00000001.", "00000002-", "00000002.", "00000002."]


def test_neither_keys_nor_attributes_are_kept_and_nothing_tells_an_id(
    sandbox: Sandbox, clock: Clock, tmp_path: Path, told: Callable[[], str]
) -> None:
    given = [{"id": f"secret-{number}", "attributes": {"plan": "private-plan"}} for number in range(6)]
    sandbox.faults(None, Fault(503))
    arguments: dict[str, Any] = {"conn_id": "batch_cep", "chunk_size": 2, "max_concurrency": 1}
    result = mirror(tmp_path, given, **arguments)
    clock.now += 10
    result = mirror(tmp_path, given[1:], **arguments)
    clock.now += 10
    BatchHook("batch_cep").confirm_mirror("vip", snapshot_path=tmp_path, indexing_tokens=result.indexing_tokens)
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    text = b"".join(gzip.decompress(file) if file.startswith(b"\x1f\x8b") else file for file in files)
    assert b"secret-1" in text
    logged = told()
    assert "vip" in logged
    for private in (PROJECT, "sandbox-rest-key", "private-plan"):
        assert private.encode() not in text
        assert private not in logged
    for said in (logged, repr(result), str(result.summary())):
        assert "secret-" not in said


# Stopping


class StoppingJournal:
    """A journal that stops *hook* when the call *number* is accepted."""

    def __init__(self, hook: BatchHook, number: int) -> None:
        self.hook, self.number = hook, number

    def read(self) -> None:
        """It knows nothing."""

    def note(self, receipt: Any) -> None:
        if receipt.number == self.number:
            self.hook.stop()

    def close(self) -> None:
        """There is nothing to save."""

    clear = close


@pytest.mark.parametrize("number", [1, 3])
def test_a_run_that_is_stopped_commits_nothing_and_gives_its_claim_back(
    number: int, sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    """Also if that comes after its last call: the next run sends everything again."""
    hook = BatchHook()
    given = ["a", "b", "c"]
    with pytest.raises(PushStoppedError):
        hook.mirror_custom_audience(
            "vip",
            given,
            snapshot_path=tmp_path,
            chunk_size=1,
            max_concurrency=1,
            journal=StoppingJournal(hook, number),
            owner="one",
        )
    assert not any(path.name.startswith(("claim", "head")) for path in tmp_path.rglob("*"))
    before = len(sent(sandbox))
    assert number <= before <= 3
    clock.now += 10  # the next run waits for the writes of the stopped one
    mirror(tmp_path, given, chunk_size=1, owner="another")
    assert len(sent(sandbox)) == before + 3


def test_a_stop_ends_the_comparison_with_the_last_run(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = BatchHook()

    def stopping(lines: Iterator[Lines], local: Path) -> Iterator[Lines]:
        yield from lines
        hook.stop()
        yield Lines([], b"")

    monkeypatch.setattr(plan, "in_order", stopping)
    with pytest.raises(PushStoppedError):
        hook.mirror_custom_audience("vip", ["a", "b"], snapshot_path=tmp_path)
    assert sandbox.calls == []
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


# What it knows of itself


def test_the_hook_inspects_its_mirror(sandbox: Sandbox, tmp_path: Path) -> None:
    mirror(tmp_path, ["a", 7])
    calls = len(sandbox.calls)
    status = BatchHook().inspect_mirror("vip", snapshot_path=tmp_path, ids=["a", 7, "x"])
    assert (status.audience_name, status.generations[0].size, status.is_confirmed) == ("vip", 2, False)
    assert {id_: known.generations for id_, known in status.ids.items()} == {"a": (1,), "7": (1,), "x": ()}
    with pytest.raises(InvalidMemberError, match="the id is empty"):
        BatchHook().inspect_mirror("vip", snapshot_path=tmp_path, ids=["a", ""])
    with pytest.raises(SnapshotError, match="an audience of another type"):
        BatchHook().inspect_mirror("vip", snapshot_path=tmp_path, audience_type="install_ids")
    assert len(sandbox.calls) == calls


def test_a_mirror_in_an_object_store_is_inspected_by_its_connection(sandbox: Sandbox, s3: Any) -> None:
    path = "s3://aws_default@bucket/snapshots"
    mirror(ObjectStoragePath(path), ["a"])
    done = python_m("airflow_provider_batch.mirror", path, "--audience", "vip", "--id", "a", "--id", "b")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert (lines[0], len(lines)) == ("batch_default, vip", 5)
    assert lines[3].startswith("  a: in the last set, since generation 1, ")
    assert lines[4].startswith("  b: not in the last set, nor in any that is kept")
