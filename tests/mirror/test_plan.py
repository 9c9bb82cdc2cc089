from __future__ import annotations

import gzip
import hashlib
import json
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import chain, combinations, count
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import (
    EmptySetError,
    GuardError,
    InvalidArgumentError,
    InvalidMemberError,
    MirrorConflictError,
    SnapshotError,
)
from airflow_provider_batch.mirror import snapshot
from airflow_provider_batch.mirror.claim import LIFETIME, Claim
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.folder import Folder
from airflow_provider_batch.mirror.guards import Limits
from airflow_provider_batch.mirror.order import in_order
from airflow_provider_batch.mirror.plan import FolderMirror, FolderPlan, FolderTransaction
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.protocol.ids import AnnotatedId
from tests.clock import Clock

from .folders import Killed, Mortal, memory_path

#: An audience: ids, and the one tag that some have.
Audience = dict[str, str | None]

#: New sets, each with the moment at which its run is killed, who runs it, and how.
History = list[tuple[Audience, int | None, str, dict[str, Any]]]

START = 1_790_000_000.0


@pytest.fixture(params=["local", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return tmp_path / "snapshots" / "vip" if request.param == "local" else memory_path()


def mirror_at(
    path: Any,
    clock: Clock | None = None,
    *,
    audience_name: str = "vip",
    audience_type: str = "custom_ids",
    recipient: str = "digest",
) -> FolderMirror:
    return FolderMirror(path, Target(audience_name, audience_type, recipient), clock or Clock(START))


def blocks(audience: Audience, size: int = 4) -> Iterator[list[str]]:
    ids = [id_ if tag is None else AnnotatedId(id_, f'"tags":["{tag}"]') for id_, tag in audience.items()]
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def plain(ids: str) -> Audience:
    return dict.fromkeys(ids)


def entry(id_: str) -> tuple[str, str | None]:
    return (str(id_), json.loads(f"{{{id_.extras}}}")["tags"][0]) if isinstance(id_, AnnotatedId) else (id_, None)


class Batch:
    """What the service has; every call takes two ids."""

    def __init__(self, audience: Audience | None = None) -> None:
        self.audience = dict(audience or {})
        self.sent: list[str] = []

    def calls(self, plan: FolderPlan) -> Iterator[None]:
        """Make one call after the other."""
        if plan.replaces:
            self.audience = {}
            yield
        adds: list[tuple[str, str | None]] = list(map(entry, plan.adds))
        removes = list(map(entry, plan.removes))
        for start in range(0, len(adds), 2):
            self.audience.update(adds[start : start + 2])
            self.sent += [id_ for id_, _ in adds[start : start + 2]]
            yield
        for id_, _ in removes:
            self.audience.pop(id_, None)
            self.sent.append(id_)
            yield


def run(mirror: FolderMirror, batch: Batch, audience: Audience, owner: str = "run", **options: Any) -> FolderPlan:
    with mirror.plan(blocks(audience), **options) as plan:
        if not plan.is_empty:
            with plan.begin(owner) as transaction:
                for _ in batch.calls(plan):
                    transaction.look()
                transaction.commit(["token"])
        return plan


def broken_off(mirror: FolderMirror, batch: Batch, audience: Audience, calls: int, **options: Any) -> FolderTransaction:
    with mirror.plan(blocks(audience), **options) as plan, plan.begin("run") as transaction:
        for _, _ in zip(range(calls), batch.calls(plan), strict=False):
            transaction.look()
        return transaction


def sent(batch: Batch) -> str:
    ids, batch.sent = "".join(sorted(batch.sent)), []
    return ids


def test_only_what_differs_is_sent(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("abc"))
    assert sent(batch) == "abc"
    plan = run(mirror, batch, plain("bcd"))
    assert sent(batch) == "ad"
    assert (plan.counts.adds, plan.counts.removes, plan.counts.unchanged) == (1, 1, 2)
    assert run(mirror, batch, plain("bcd")).is_empty
    assert (sent(batch), batch.audience) == ("", plain("bcd"))


def test_a_changed_tag_is_noticed_and_not_kept(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, {"a": "secret", "b": "secret", "c": None})
    sent(batch)
    plan = run(mirror, batch, {"a": "other", "b": "secret", "c": "new"})
    assert (sent(batch), plan.counts.changed) == ("ac", 2)
    assert batch.audience == {"a": "other", "b": "secret", "c": "new"}
    everything = b"".join(map(content_of(mirror), mirror.folder.list_files()))
    assert b'"audience": "vip"' in everything
    assert b"secret" not in everything
    assert b"other" not in everything


def content_of(mirror: FolderMirror) -> Any:
    def content(name: str) -> bytes:
        raw = mirror.folder.read(name) or b""
        return gzip.decompress(raw) if name.endswith(".gz") else raw

    return content


def test_members_that_batch_has_stay_at_a_first_run_or_are_replaced(path: Any) -> None:
    batch = Batch(plain("xy"))
    assert not run(mirror_at(path / "1"), batch, plain("ab")).replaces
    assert batch.audience == plain("xyab")
    assert run(mirror_at(path / "2"), batch, plain("abc"), first_run="replace").replaces
    assert batch.audience == plain("abc")
    assert not run(mirror_at(path / "2"), batch, plain("abcd"), first_run="replace").replaces
    assert sent(batch) == "aabbcd"


def test_a_full_refresh_replaces(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("abc"))
    batch.audience = plain("zx")
    assert run(mirror, batch, plain("bcd"), full_refresh=True).before == 3
    assert batch.audience == plain("bcd")


def test_what_an_unfinished_try_may_have_sent_is_sent_again_or_taken_back(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("abcd"))
    sent(batch)
    broken_off(mirror, batch, plain("cdefgh"), calls=1)
    assert sent(batch) == "ef"
    plan = run(mirror, batch, plain("acde"))
    # b and f to h are taken back or never came; a and e are uncertain.
    assert (sent(batch), batch.audience) == ("abefgh", plain("cdea"))
    assert (plan.counts.added, plan.counts.resent, plan.counts.removed, plan.counts.withdrawn) == (1, 1, 1, 3)
    assert run(mirror, batch, plain("acde")).is_empty


def test_what_was_uncertain_stays_so_over_several_tries(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    broken_off(mirror, batch, plain("ab"), calls=1)
    broken_off(mirror, batch, plain("cd"), calls=0)
    run(mirror, batch, plain("x"))
    assert batch.audience == plain("x")


def test_a_replace_that_broke_off_is_followed_by_another(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch(plain("z"))
    run(mirror, batch, plain("abc"))
    broken_off(mirror, batch, plain("abc"), calls=1, full_refresh=True)
    assert batch.audience == {}
    (unfinished,) = snapshot.read_state(mirror.folder, None).unfinished
    assert (unfinished.pending.replaces, unfinished.pending.count) == (True, 0)  # any member is uncertain
    assert run(mirror, batch, plain("abc")).replaces
    assert batch.audience == plain("abc")


def test_a_retry_continues_the_series_of_its_own_tries_only(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    first = broken_off(mirror, batch, plain("ab"), calls=1)
    second = broken_off(mirror, batch, plain("ab"), calls=1)
    assert first.series == second.series
    with mirror.plan(blocks(plain("b"))) as plan, plan.begin("another"):
        pass
    assert broken_off(mirror, batch, plain("ab"), calls=1).series != first.series


def test_a_retry_that_replaces_begins_a_series_of_its_own_for_each_set(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    added = broken_off(mirror, batch, plain("ab"), calls=1)
    replaced = broken_off(mirror, batch, plain("ab"), calls=1, full_refresh=True)
    assert not replaced.series.startswith(added.series)
    assert broken_off(mirror, batch, plain("ab"), calls=1).series == replaced.series
    assert broken_off(mirror, batch, plain("ac"), calls=1).series != replaced.series


def test_a_retry_has_the_same_plan(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("abc"))
    plans = []
    for _ in range(3):
        with mirror.plan(blocks(plain("bcd"))) as plan, plan.begin("run"):
            plans.append((list(plan.adds), list(plan.removes)))
    assert plans == [(["d"], ["a"])] * 3


def test_a_plan_can_be_read_again_and_again(path: Any) -> None:
    with mirror_at(path).plan(blocks({"b": "x", "a": None, "c\n": None})) as plan:
        for _ in range(2):
            assert list(map(entry, plan.adds)) == [("a", None), ("b", "x"), ("c\n", None)]
        assert (len(plan.adds), len(plan.removes), list(plan.removes)) == (3, 0, [])


def test_planning_writes_nothing(path: Any) -> None:
    mirror = mirror_at(path)
    with mirror.plan(blocks(plain("ab"))) as plan:
        plan.check(Limits())
    assert mirror.folder.list_files() == []


def test_the_folder_holds_the_last_two_snapshots_and_no_more(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    for ids in ("a", "ab", "abc"):
        broken_off(mirror, batch, plain("x"), calls=1)
        run(mirror, batch, plain(ids))
    run(mirror, batch, plain("abcd"))
    names = sorted(mirror.folder.list_files())
    heads = ["00000003.head.json", "00000004.head.json"]
    assert names == sorted([*heads, *(head_of(mirror, name)["snapshot"] for name in heads)])
    assert content_of(mirror)(head_of(mirror)["snapshot"]) == b"a\nb\nc\nd\n"


def newest(mirror: FolderMirror, kind: str) -> str:
    return max(name for name in mirror.folder.list_files() if name.endswith(kind))


def head_of(mirror: FolderMirror, name: str | None = None) -> dict[str, Any]:
    head: dict[str, Any] = json.loads(content_of(mirror)(name or newest(mirror, ".head.json")))
    return head


def test_the_head_says_what_the_snapshot_is_of(path: Any) -> None:
    mirror = mirror_at(path)
    run(mirror, Batch(), plain("ba"))
    head = head_of(mirror)
    snapshot = head.pop("snapshot")
    assert snapshot in mirror.folder.list_files()
    assert head == {
        "format": 2,
        "generation": 1,
        "count": 2,
        "sha256": hashlib.sha256(b"a\nb\n").hexdigest(),
        "audience": "vip",
        "type": "custom_ids",
        "recipient": "digest",
        "indexing_tokens": ["token"],
        "written_at": "2026-09-21T14:13:20+00:00",
        "settled": head["settled"],
        "echoes": [],
    }


def test_the_files_of_the_first_format_are_read(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("ab"))
    broken_off(mirror, batch, plain("abc"), calls=1)
    pending = newest(mirror, ".pending.gz")
    fields = {name: value for name, value in head_of(mirror).items() if name not in ("settled", "echoes")}
    note, ids = gzip.decompress(mirror.folder.read(pending) or b"").split(b"\n", 1)
    old_note = {name: value for name, value in json.loads(note).items() if name not in ("sha256", "known")}
    for name in mirror.folder.list_files():
        if name != fields["snapshot"]:
            mirror.folder.delete(name)
    mirror.folder.write("head.json", json.dumps(fields | {"format": 1}).encode())
    old_pending = json.dumps(old_note | {"format": 1}).encode() + b"\n" + ids
    mirror.folder.write("00000001.pending.gz", gzip.compress(old_pending))
    sent(batch)
    with mirror.plan(blocks(plain("ab"))) as plan:
        assert (plan.before, list(plan.adds), list(plan.removes)) == (2, [], ["c"])
    run(mirror, batch, plain("ab"))
    assert batch.audience == plain("ab")
    run(mirror, batch, plain("ab"))  # nobody knows whether the try of that time has ended
    assert sent(batch) == "cc"
    assert run(mirror, batch, plain("ab")).is_empty
    assert "head.json" not in mirror.folder.list_files()


def test_a_try_that_never_held_its_claim_when_it_could_send_leaves_no_note(path: Any) -> None:
    mirror, other = mirror_at(path), mirror_at(path)
    write = mirror.folder.upload

    def upload(name: str, source: Path) -> None:
        write(name, source)
        if name.endswith(".pending.gz"):
            Claim(other.folder, "run", Clock(START))  # its next try

    mirror.folder.upload = upload  # type: ignore[method-assign]
    with pytest.raises(MirrorConflictError), mirror.plan(blocks(plain("ab"))) as plan, plan.begin("run"):
        raise AssertionError
    assert not [name for name in other.folder.list_files() if name.endswith(".pending.gz")]


def test_refused_ids_are_kept_beside_the_snapshot_as_nobodys(
    path: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    mirror = mirror_at(path)
    with mirror.plan(blocks(plain("abcd"))) as plan, plan.begin("run") as transaction:
        transaction.commit(["token"], rejected=["d", "b"])
    content = gzip.decompress(mirror.folder.read(newest(mirror, ".pending.gz")) or b"")
    first, _, ids = content.partition(b"\n")
    pending = json.loads(first)
    assert pending == {
        "format": 2,
        "owner": "",
        "series": pending["nonce"],
        "nonce": pending["nonce"],
        "replaces": False,
        "count": 2,
        "sha256": "",
        "known": [],
    }
    assert len(bytes.fromhex(pending["nonce"])) >= 8
    assert ids == b"b\nd\n"
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(("runs", "generation"), [(2, 4), (0, 2)])
def test_a_mirror_that_begins_anew_writes_over_nothing(path: Any, runs: int, generation: int) -> None:
    mirror, batch = mirror_at(path), Batch()
    for number in range(runs):
        run(mirror, batch, plain("abc"[: number + 1]))
    head_name = newest(mirror, ".head.json") if runs else "head.json"
    mirror.folder.create(head_name, b"")
    mirror.folder.write(head_name, b"{")
    run(mirror, batch, plain("xyz"), full_refresh=True)
    assert head_of(mirror)["generation"] == generation


@pytest.mark.parametrize("ends", ["confirmed", "failed"])
def test_a_head_that_somebody_deleted_is_missed(path: Any, ends: str) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("ab"))
    run(mirror, batch, plain("abc"))
    if ends == "confirmed":
        mirror.confirm()
    else:
        with pytest.raises(ZeroDivisionError), mirror.plan(blocks(plain("abcd"))) as plan, plan.begin("run"):
            raise ZeroDivisionError
    mirror.folder.delete("00000002.head.json")
    lost = r"00000002\.head\.json: the file is missing.* Nothing was sent; to send everything .* pass full_refresh=True"
    with pytest.raises(SnapshotError, match=lost), mirror.plan(blocks(plain("a"))):
        pass
    run(mirror, batch, plain("a"), full_refresh=True)
    assert batch.audience == plain("a")


def test_refused_ids_are_uncertain_for_the_next_run(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("abx"))
    sent(batch)
    with mirror.plan(blocks(plain("abcd"))) as plan, plan.begin("run") as transaction:
        transaction.commit(["token"], rejected=["d", "x"])
    plan = run(mirror, batch, plain("abcd"))
    assert (sent(batch), plan.counts.resent, plan.counts.withdrawn) == ("dx", 1, 1)
    assert run(mirror, batch, plain("abcd")).is_empty


def test_a_source_that_is_not_sorted_as_it_said_is_refused(path: Any) -> None:
    mirror = mirror_at(path)
    with (
        pytest.raises(InvalidMemberError, match=r"^vip: ids\[5\]"),
        mirror.plan(blocks(plain("abcdfe")), is_sorted=True),
    ):
        pass
    with mirror.plan(blocks(plain("abcdef")), is_sorted=True) as plan:
        assert list(plan.adds) == list("abcdef")


def test_an_unknown_way_to_begin_is_refused(path: Any) -> None:
    way: Any = "both"
    with (
        pytest.raises(InvalidArgumentError, match=r"^first_run: 'both' is not"),
        mirror_at(path).plan([], first_run=way),
    ):
        pass


def test_each_block_of_the_sorted_set_is_a_checkpoint(path: Any) -> None:
    passed: list[int] = []
    with mirror_at(path).plan([["b"], ["a"], []], checkpoint=lambda: passed.append(1)):
        assert passed == [1]
    with mirror_at(path).plan([["a"], ["b"], []], is_sorted=True, checkpoint=lambda: passed.append(2)):
        assert passed == [1, 2, 2]


def test_what_is_sent_again_is_uncertain_whatever_the_snapshot_says(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, {"a": None, "b": "x", "c": None})
    assert sent(batch) == "abc"
    with mirror.plan(blocks({"a": None, "b": "x", "d": None}), resends=True) as plan:
        assert (plan.replaces, plan.is_empty, plan.before) == (False, False, 3)
        assert list(map(entry, plan.adds)) == [("a", None), ("b", "x"), ("d", None)]
        assert list(plan.removes) == ["c"]
        assert plan.counts == Counts(given=3, added=1, resent=2, removed=1)
    with mirror_at(path / "new").plan(blocks(plain("ab")), resends=True) as plan:
        assert plan.counts == Counts(given=2, added=2)


def test_only_the_writes_that_were_waited_for_are_confirmed(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    with pytest.raises(SnapshotError) as caught:
        mirror.confirm()
    assert str(caught.value) == f"{path} holds no snapshot to confirm. Run the mirror again."
    run(mirror, batch, plain("abc"))
    with pytest.raises(SnapshotError, match="holds the snapshot of another app or project"):
        mirror_at(path, recipient="elsewhere").confirm()
    with mirror.plan(blocks(plain("abcd"))) as plan:
        assert plan.unconfirmed_tokens == plan.tokens_to_await == ("token",)
    for others in (["another"], [], ["token", "another"]):
        assert mirror.confirm(others) is None
    assert not [name for name in mirror.folder.list_files() if name.endswith(".confirmed")]
    assert mirror.confirm(["token"]) == (3, 0)
    assert "00000001.confirmed" in mirror.folder.list_files()
    assert mirror.confirm([]) == (3, 0)
    assert mirror.confirm(["another"]) is None
    broken_off(mirror, batch, plain("abcde"), calls=1)
    assert mirror.confirm() == (3, 2)
    with mirror.plan(blocks(plain("abcd"))) as plan:
        assert plan.unconfirmed_tokens == plan.tokens_to_await == ()
    mirror.folder.write("00000001.head.json", b"{")
    with pytest.raises(SnapshotError, match="the file cannot be read"):
        mirror.confirm()


def test_a_run_waits_for_the_tokens_of_the_last_one_and_of_tries_that_broke_off(path: Any) -> None:
    mirror = mirror_at(path)
    run(mirror, Batch(), plain("ab"))
    for tokens in (["t1"], ["t2", "token", "t3", "t2"]):
        with mirror.plan(blocks(plain("abc"))) as plan, plan.begin("run") as begun:
            for token in tokens:
                begun.accepted(token)
    with mirror.plan(blocks(plain("abc"))) as plan:
        assert plan.unconfirmed_tokens == ("token",)
        assert plan.tokens_to_await == ("token", "t2", "t3")  # those of the first try were waited for by the second
    mirror.confirm()
    with mirror.plan(blocks(plain("abc"))) as plan:
        assert plan.unconfirmed_tokens == ()
        assert plan.tokens_to_await == ("t2", "token", "t3")


def test_a_mirror_that_is_inspected_is_that_of_its_target_at_its_time(path: Any) -> None:
    clock = Clock(START)
    mirror = mirror_at(path, clock)
    run(mirror, Batch(), plain("ab"))
    Claim(mirror.folder, "the run at work", clock)
    found = mirror.inspect(["a", "x"])
    assert (found.audience_name, found.at_work) == ("vip", "the run at work")
    assert {id_: known.generations for id_, known in found.ids.items()} == {"a": (1,), "x": ()}
    clock.now += LIFETIME + 1
    assert mirror.inspect([]).at_work is None
    with pytest.raises(SnapshotError, match="another app or project"):
        mirror_at(path, recipient="elsewhere").inspect([])


def test_the_claim_that_a_killed_try_left_is_given_back(path: Any) -> None:
    mirror = mirror_at(path)
    Claim(mirror.folder, "killed", Clock(START))
    mirror.release("another")
    assert mirror.folder.list_files() == ["claim.json"]
    mirror.release("killed")
    assert mirror.folder.list_files() == []


def test_a_mirror_tells_the_time_by_the_clock_of_the_machine(path: Any) -> None:
    before = time.time()
    mirror = FolderMirror(path, Target("vip", "custom_ids", "digest"))
    assert before <= mirror.clock() <= time.time()


def test_what_is_deleted_while_it_is_compared_is_a_conflict_and_otherwise_damage(path: Any) -> None:
    mirror = mirror_at(path)
    run(mirror, Batch(), plain("abc"))

    def meanwhile() -> Iterator[list[str]]:
        yield ["a"]
        for ids in ("abd", "abe"):
            run(mirror_at(path), Batch(), plain(ids))

    with pytest.raises(MirrorConflictError, match="another run changed the mirror"), mirror.plan(meanwhile()):
        pass

    def damages() -> Iterator[list[str]]:
        yield ["a"]
        mirror.folder.delete(head_of(mirror)["snapshot"])

    with pytest.raises(SnapshotError, match="the file is missing"), mirror.plan(damages()):
        pass


class Noting(Mortal):
    """A folder that notes what is changed in it."""

    def __init__(self, folder: Folder) -> None:
        super().__init__(folder, None)
        self.noted: list[str] = []

    def _note(self, what: str, name: str) -> None:
        kind = name.partition(".")[2] if name[:1].isdigit() else name.partition("-")[0].partition(".")[0]
        self.noted.append(f"{what} {kind}")

    def write(self, name: str, content: bytes) -> None:
        self._note("write", name)
        super().write(name, content)

    def upload(self, name: str, source: Path) -> None:
        self._note("upload", name)
        super().upload(name, source)

    def create(self, name: str, content: bytes) -> bool:
        self._note("create", name)
        return super().create(name, content)

    def delete(self, name: str) -> None:
        self._note("delete", name)
        super().delete(name)


def test_a_run_notes_what_it_may_send_before_it_does_and_commits_last(path: Any) -> None:
    mirror = mirror_at(path)
    run(mirror, Batch(), plain("ab"))
    run(mirror, Batch(), plain("abc"))
    with pytest.raises(ZeroDivisionError), mirror.plan(blocks(plain("ab"))) as plan, plan.begin("run"):
        raise ZeroDivisionError
    mirror.folder = folder = Noting(mirror.folder)
    with mirror.plan(blocks(plain("abcde"))) as plan:
        assert folder.noted == []
        with plan.begin("run") as transaction:
            # That of the try before, which has ended, holds nothing that the new one does not.
            assert folder.noted == [
                *("create claim", "upload ids.gz", "upload pending.gz", "delete pending.gz", "delete tokens.json")
            ]
            del folder.noted[:]
            transaction.commit(["token"], rejected=["e"])
            committed = folder.noted[:]
    assert committed[:4] == ["write pending.gz", "create head.json", "delete pending.gz", "delete tokens.json"]
    assert sorted(committed[4:]) == ["delete head.json", "delete ids.gz", "delete ids.gz"]
    assert folder.noted[len(committed) :] == ["delete claim", "delete alive"]


def test_each_run_names_its_files_with_a_nonce_of_its_own(path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = mirror_at(path)
    nonces = (f"{number:02d}" * 8 for number in count(10))
    monkeypatch.setattr("secrets.token_hex", lambda size: next(nonces)[: 2 * size])
    with mirror.plan(blocks(plain("ab"))) as plan, plan.begin("run") as transaction:
        names = [name for name in mirror.folder.list_files() if "claim" not in name]
        nonce = next(name for name in names if name.endswith(".pending.gz"))[9:25]
        assert len({*nonce}) == 2 or nonce == nonce[:2] * 8
        assert sorted(names) == [f"00000000-{nonce}.pending.gz", f"00000001-{nonce[:8]}.ids.gz"]
        assert transaction.series == nonce
    with mirror.plan(blocks(plain("ab")), full_refresh=True) as plan, plan.begin("run") as transaction:
        assert transaction.series[16:] == hashlib.sha256(b"a\nb\n").hexdigest()


def test_a_run_that_was_overtaken_notes_what_it_may_have_sent_under_a_new_name(path: Any) -> None:
    clock = Clock(START)
    mirror = mirror_at(path, clock)
    with pytest.raises(MirrorConflictError), mirror.plan(blocks(plain("ab"))) as plan, plan.begin("first") as late:  # noqa: PT012 - at its look
        first = newest(mirror, ".pending.gz")
        late.accepted("t1")
        clock.now += LIFETIME + 1
        run(mirror_at(path, clock), Batch(), plain("cd"), owner="second")
        late.look()
    before, after = snapshot.read_state(mirror.folder, None).unfinished
    unfinished = after if before.name == first else before
    assert {before.name, after.name} == {first, unfinished.name}
    assert (unfinished.indexing_tokens, unfinished.has_ended) == (("t1",), True)
    assert (unfinished.pending.owner, unfinished.pending.count) == ("first", 2)
    assert unfinished.pending.series == unfinished.pending.nonce != late.series
    assert len(unfinished.pending.nonce) == 16
    assert [*chain.from_iterable(snapshot.read_unfinished_ids(mirror.folder, unfinished))] == ["a", "b"]


@pytest.mark.parametrize(
    ("ends", "has_ended"), [(None, True), (ZeroDivisionError, True), (Killed, False), (KeyboardInterrupt, False)]
)
def test_a_try_that_does_not_commit_notes_its_tokens_and_whether_it_has_ended(
    path: Any, ends: type[BaseException] | None, has_ended: bool
) -> None:
    mirror = mirror_at(path)
    raised = nullcontext() if ends is None else pytest.raises(ends)
    with raised, mirror.plan(blocks(plain("ab"))) as plan, plan.begin("run") as transaction:
        transaction.accepted("t1")
        transaction.accepted("t2")
        if ends is not None:
            raise ends
    (unfinished,) = snapshot.read_state(mirror.folder, None).unfinished
    assert (unfinished.indexing_tokens, unfinished.has_ended) == (("t1", "t2"), has_ended)


def test_tokens_that_cannot_be_noted_do_not_hide_the_error(path: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Unwritable(Mortal):
        def write(self, name: str, content: bytes) -> None:
            raise PermissionError(name)

    mirror = mirror_at(path)
    mirror.folder = Unwritable(mirror.folder, None)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(ZeroDivisionError),
        mirror.plan(blocks(plain("ab"))) as plan,
        plan.begin("run"),
    ):
        raise ZeroDivisionError
    assert [record.message for record in caplog.records] == [
        "the tokens of this run could not be noted: PermissionError"
    ]
    assert "claim.json" not in mirror.folder.list_files()


def test_guards_refuse_before_anything_is_claimed(path: Any) -> None:
    mirror = mirror_at(path)
    run(mirror, Batch(), plain("abcdefghij"))
    names = sorted(mirror.folder.list_files())
    with mirror.plan(blocks({})) as plan:
        with pytest.raises(EmptySetError, match=r"^vip: .* allow_empty=True"):
            plan.check(Limits())
        plan.check(Limits(allow_empty=True))
    with mirror.plan(blocks(plain("abcdefg"))) as plan:
        plan.check(Limits(max_shrink=3, max_changes=0.3))
        with pytest.raises(GuardError, match="max_shrink=2"):
            plan.check(Limits(max_shrink=2))
        with pytest.raises(GuardError, match=r"max_changes=0\.2"):
            plan.check(Limits(max_changes=0.2))
    with mirror.plan(blocks(plain("xyz")), full_refresh=True) as plan:
        plan.check(Limits(max_changes=0))
        with pytest.raises(GuardError, match=r"max_shrink=0\.5"):
            plan.check(Limits(max_shrink=0.5))
    assert sorted(mirror.folder.list_files()) == names


def test_without_a_snapshot_only_emptiness_is_guarded(path: Any) -> None:
    with mirror_at(path).plan(blocks(plain("ab"))) as plan:
        plan.check(Limits(max_shrink=0, max_changes=0))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ({"audience_name": "other"}, "another audience, 'vip'"),
        ({"audience_type": "advertising_ids"}, "an audience of another type, 'custom_ids'"),
        ({"recipient": "elsewhere"}, "another app or project, or of another host"),
    ],
)
def test_the_snapshot_of_another_audience_is_refused(path: Any, target: dict[str, str], reason: str) -> None:
    run(mirror_at(path), Batch(), plain("ab"))
    mirror = mirror_at(path, None, **target)
    with pytest.raises(SnapshotError, match=reason) as caught, mirror.plan(blocks(plain("ab"))):
        pass
    assert "full_refresh=True" in str(caught.value)
    batch = Batch(plain("z"))
    run(mirror_at(path, None, **target), batch, plain("ab"), full_refresh=True)
    assert batch.audience == plain("ab")


def shorter(compressed: bytes | None) -> bytes:
    """The lines without the last one."""
    return gzip.compress(b"".join(gzip.decompress(compressed or b"").splitlines(keepends=True)[:-1]))


def damaged(mirror: FolderMirror, kind: str) -> str:
    """Damage a file, and return its name."""
    head = head_of(mirror)
    snapshot = mirror.folder.read(head["snapshot"]) or b""
    head_name = newest(mirror, ".head.json")
    pending_name = newest(mirror, ".pending.gz") if kind.startswith("pending") else "none"
    content: dict[str, tuple[str, bytes | None]] = {
        "head cut": (head_name, b'{"format": 1'),
        "head empty": (head_name, b""),
        "head a list": (head_name, b"[]"),
        "head of another shape": (head_name, json.dumps(head | {"more": 1}).encode()),
        "head of a newer format": (head_name, json.dumps(head | {"format": 3}).encode()),
        "head with a path": (head_name, json.dumps(head | {"snapshot": "../x"}).encode()),
        "snapshot missing": (head["snapshot"], None),
        "snapshot empty": (head["snapshot"], b""),
        "snapshot cut": (head["snapshot"], snapshot[:-9]),
        "snapshot no gzip": (head["snapshot"], b"a\nb\n"),
        "snapshot changed": (head["snapshot"], gzip.compress(b"a\nc\n")),
        "snapshot cut in a line": (head["snapshot"], gzip.compress(b"a\nb")),
        "snapshot not UTF-8": (head["snapshot"], gzip.compress(b"\xff\n")),
        "snapshot shorter": (head["snapshot"], gzip.compress(b"a\n")),
        "pending cut": (pending_name, (mirror.folder.read(pending_name) or b"")[:-4]),
        "pending empty": (pending_name, b""),
        "pending no JSON": (pending_name, gzip.compress(b"a\n")),
        "pending shorter": (pending_name, shorter(mirror.folder.read(pending_name))),
    }
    name, changed = content[kind]
    if changed is None:
        mirror.folder.delete(name)
    else:
        mirror.folder.write(name, changed)
    return name


@pytest.mark.parametrize(
    "kind",
    [
        *("head cut", "head empty", "head a list", "head of another shape", "head of a newer format"),
        *("head with a path", "snapshot missing", "snapshot empty", "snapshot cut", "snapshot no gzip"),
        *("snapshot changed", "snapshot cut in a line", "snapshot not UTF-8", "snapshot shorter"),
        *("pending cut", "pending empty", "pending no JSON", "pending shorter"),
    ],
)
def test_what_is_damaged_is_named_and_nothing_is_lost(path: Any, kind: str) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("ab"))
    broken_off(mirror, batch, plain("abc"), calls=0)
    name = damaged(mirror, kind)
    files = {name: mirror.folder.read(name) for name in mirror.folder.list_files()}
    with pytest.raises(SnapshotError, match=f"/{name}:? .*full_refresh=True"), mirror.plan(blocks(plain("abd"))):
        pass
    assert {name: mirror.folder.read(name) for name in mirror.folder.list_files()} == files
    batch.audience = plain("xyz")
    run(mirror, batch, plain("abd"), full_refresh=True)
    assert batch.audience == plain("abd")
    assert run(mirror, batch, plain("abd")).is_empty
    assert len(mirror.folder.list_files()) <= 4


def test_the_tokens_of_a_run_at_work_are_noted_every_ten_seconds(path: Any) -> None:
    clock = Clock(START)
    mirror = mirror_at(path, clock)

    def noted() -> Any:
        names = [name for name in mirror.folder.list_files() if name.endswith(".tokens.json")]
        return [json.loads(mirror.folder.read(name) or b"") for name in names]

    def at_work(*tokens: str) -> list[dict[str, Any]]:
        return [{"indexing_tokens": [*tokens], "has_ended": False}]

    with mirror.plan(blocks(plain("abc"))) as plan, plan.begin("run") as transaction:
        clock.now += 60
        transaction.look()
        assert noted() == []
        transaction.accepted("t1")
        transaction.look()
        assert noted() == at_work("t1")
        transaction.accepted("t2")
        clock.now += 9
        transaction.look()
        assert noted() == at_work("t1")
        clock.now += 1
        transaction.look()
        assert noted() == at_work("t1", "t2")
        transaction.commit(["t1", "t2"])


def test_what_a_try_may_have_sent_is_read_in_pieces_too(path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror, batch = mirror_at(path), Batch()
    broken_off(mirror, batch, plain("abcdefgh"), calls=2)
    monkeypatch.setattr(snapshot, "read_texts", lambda content: (line for line in content))
    state = snapshot.read_state(mirror.folder, None)
    (unfinished,) = state.unfinished
    found = chain.from_iterable(snapshot.read_unfinished_ids(mirror.folder, unfinished))
    assert "".join(found) == "abcdefgh"


def test_no_error_names_an_id(path: Any) -> None:
    mirror = mirror_at(path)
    run(mirror, Batch(), dict.fromkeys(["secret-1", "secret-2"]))
    damaged(mirror, "snapshot not UTF-8")
    with pytest.raises(SnapshotError) as caught, mirror.plan(blocks(plain("a"))):
        pass
    assert "secret" not in repr(caught.value)
    assert caught.value.__cause__ is None


STEPS = ("plan", "begin", "call", "commit")


def steps(mirror: FolderMirror, batch: Batch, audience: Audience, owner: str) -> Generator[None, None, None]:
    with mirror.plan(blocks(audience)) as plan:
        yield
        with plan.begin(owner) as transaction:
            yield
            for _ in batch.calls(plan):
                transaction.look()
            yield
            transaction.commit([])
        yield


@pytest.mark.parametrize("ours", list(combinations(range(8), 4)))
def test_of_two_runs_at_once_one_fails_and_the_other_is_right(ours: tuple[int, ...]) -> None:
    path, batch = memory_path(), Batch()
    run(mirror_at(path), batch, plain("abc"))
    wanted = {0: plain("bcd"), 1: plain("cx")}
    runs = {who: steps(mirror_at(path), batch, audience, f"run {who}") for who, audience in wanted.items()}
    failed: set[int] = set()
    made = {0: 0, 1: 0}
    succeeded: list[int] = []
    for step in range(8):
        who = 0 if step in ours else 1
        if who in failed:
            continue
        try:
            next(runs[who])
        except MirrorConflictError:
            failed.add(who)
            continue
        made[who] += 1
        if made[who] == len(STEPS):
            succeeded.append(who)
    assert succeeded
    assert batch.audience == wanted[succeeded[-1]]
    for who in succeeded:
        runs[who].close()
    assert "claim.json" not in mirror_at(path).folder.list_files()
    run(mirror_at(path), batch, plain("q"))
    assert batch.audience == plain("q")


def test_a_run_that_slept_too_long_does_not_commit(path: Any) -> None:
    clock, batch = Clock(START), Batch()
    mirror = mirror_at(path, clock)
    with mirror.plan(blocks(plain("ab"))) as plan, plan.begin("first") as transaction:
        clock.now += LIFETIME + 1
        run(mirror_at(path, clock), batch, plain("cd"), owner="second")
        with pytest.raises(MirrorConflictError):
            transaction.look()
        with pytest.raises(MirrorConflictError):
            transaction.commit([])
    # What it may have sent after the other one had begun, is sent again once.
    assert run(mirror, batch, plain("cd")).counts.withdrawn == 2
    assert run(mirror, batch, plain("cd")).is_empty


def test_a_call_that_comes_later_than_two_other_runs_is_mended_by_the_next_one(path: Any) -> None:
    clock, batch = Clock(START), Batch()

    def frozen() -> None:
        with mirror_at(path, clock).plan(blocks(plain("ab"))) as plan, plan.begin("first") as transaction:
            for ids in ("cd", "cde"):
                clock.now += LIFETIME + 1
                run(mirror_at(path, clock), batch, plain(ids), owner=ids)
            next(batch.calls(plan))  # between its look at the claim and this call it did nothing
            transaction.look()

    with pytest.raises(MirrorConflictError):
        frozen()
    assert batch.audience == plain("cdeab")
    run(mirror_at(path, clock), batch, plain("cde"))
    assert batch.audience == plain("cde")
    assert run(mirror_at(path, clock), batch, plain("cde")).is_empty


def test_a_run_that_was_taken_over_does_not_commit_though_the_other_has_not_begun(path: Any) -> None:
    clock = Clock(START)
    mirror = mirror_at(path, clock)
    with mirror.plan(blocks(plain("ab"))) as plan, plan.begin("first") as transaction:
        clock.now += LIFETIME + 1
        Claim(mirror.folder, "second", clock)
        with pytest.raises(MirrorConflictError, match="second is at work"):
            transaction.commit([])
    assert not [name for name in mirror.folder.list_files() if name.endswith("head.json")]


def test_a_run_that_was_slow_but_alone_goes_on(path: Any) -> None:
    clock, batch = Clock(START), Batch()
    mirror = mirror_at(path, clock)
    with mirror.plan(blocks(plain("ab"))) as plan, plan.begin("first") as transaction:
        clock.now += LIFETIME + 1
        list(batch.calls(plan))
        transaction.look()
        transaction.commit([])
    assert run(mirror, batch, plain("ab")).is_empty
    assert len(mirror.folder.list_files()) == 2  # the head and one snapshot


def test_files_that_cannot_be_deleted_do_not_fail_a_run(
    path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mirror, batch = mirror_at(path), Batch()

    class Undeletable(Mortal):
        def delete(self, name: str) -> None:
            raise PermissionError(name)

    mirror.folder = Undeletable(mirror.folder, None)
    with caplog.at_level(logging.WARNING):
        run(mirror, batch, plain("a"))
    assert [record.message for record in caplog.records] == [
        f"files of earlier runs in {path} could not be deleted: PermissionError",
        "the claim on a mirror could not be released and will expire: PermissionError",
    ]
    run(mirror_at(path), batch, plain("ab"))
    assert batch.audience == plain("ab")


def test_notes_of_ended_tries_that_cannot_be_deleted_are_read_once_more(path: Any) -> None:
    mirror, batch = mirror_at(path), Batch()
    run(mirror, batch, plain("a"))
    broken_off(mirror, batch, plain("ab"), calls=1)

    class Undeletable(Mortal):
        def delete(self, name: str) -> None:
            raise PermissionError(name)

    mirror.folder = Undeletable(mirror.folder, None)
    run(mirror, batch, plain("ac"))
    assert batch.audience == plain("ac")
    assert run(mirror_at(path), batch, plain("ac")).is_empty


IDS = st.sampled_from(["a", "b", "c", "d", "e", "b\n", "é", "😀"])
AUDIENCES = st.dictionaries(IDS, st.sampled_from([None, None, "x", "y"]), max_size=8)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """New sets, each with the moment at which its run is killed, or None; the last one is not."""
    lives = st.one_of(st.none(), st.integers(0, 60))
    ways: list[dict[str, Any]] = [{}, {}, {}, {"full_refresh": True}, {"first_run": "replace"}]
    options = st.sampled_from(ways)
    owners = st.sampled_from(["same", "other"])
    tries = draw(st.lists(st.tuples(AUDIENCES, lives, owners, options), max_size=7))
    return [*tries, (draw(AUDIENCES), None, "last", {})]


def heads_in(mirror: FolderMirror) -> list[str]:
    return sorted(name for name in mirror.folder.list_files() if name.endswith(".head.json"))


def check_history(path: Any, history: History) -> None:
    clock, batch = Clock(START), Batch()
    last: Audience = {}
    uncertain: set[str] = set()
    echo: set[str] = set()
    for audience, lives, owner, options in history:
        clock.now += LIFETIME + 1
        mirror = mirror_at(path, clock)
        heads = heads_in(mirror)
        mirror.folder = mortal = Mortal(mirror.folder, lives)
        batch.sent = []
        touched: set[str] = set()
        changed = {entry_[0] for entry_ in last.items() ^ audience.items()}
        try:
            with mirror.plan(blocks(audience, 2), **options) as plan:
                touched = {entry(member)[0] for member in chain(plan.adds, plan.removes)}
                assert plan.replaces or changed <= touched <= changed | uncertain | echo
                if not plan.is_empty:
                    with plan.begin(owner) as transaction:
                        mortal.breathe()
                        for _ in batch.calls(plan):
                            mortal.breathe()
                            transaction.look()
                        transaction.commit([])
        except Killed:
            if heads_in(mirror_at(path)) == heads:
                uncertain |= touched
                continue
        assert set(batch.sent) <= touched
        assert batch.audience == audience
        last, echo, uncertain = audience, uncertain, set()
    assert batch.audience == history[-1][0]


@settings(max_examples=150, deadline=None)
@given(history=histories())
def test_whatever_happens_the_audience_is_the_last_set_that_succeeded(history: History) -> None:
    check_history(memory_path(), history)


@settings(max_examples=20, deadline=None)
@given(history=histories())
def test_so_it_is_on_a_disk(tmp_path_factory: pytest.TempPathFactory, history: History) -> None:
    check_history(tmp_path_factory.mktemp("mirror") / "vip", history)


@pytest.mark.parametrize("full_refresh", [False, True])
def test_so_it_is_when_a_run_is_killed_at_each_moment(full_refresh: bool) -> None:
    moments = 0
    nothing: dict[str, Any] = {}
    options: dict[str, Any] = {"full_refresh": full_refresh}
    for lives in range(1000):
        path = memory_path()
        history: History = [
            ({"a": None, "b": "x", "c": None, "é": None}, None, "first", nothing),
            ({"b": "y", "c": None, "d\n": None}, lives, "killed", options),
            ({"b": "x", "c": "z", "e": None}, None, "last", nothing),
        ]
        check_history(path, history)
        clock, batch = Clock(START), Batch()
        mirror = mirror_at(memory_path(), clock)
        mirror.folder = Mortal(mirror.folder, lives)
        try:
            run(mirror, batch, plain("ab"), **options)
        except Killed:
            moments = lives + 1
        else:
            break
    assert moments > 30


def test_a_comparison_that_is_stopped_leaves_neither_a_thread_nor_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_batch.mirror.plan.in_order", partial(in_order, in_memory=0))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ids = [f"{number * 7_919 % 100_000:05d}" for number in range(100_000)]

    def stop() -> None:
        raise Killed

    mirror = mirror_at(tmp_path / "snapshots")
    with pytest.raises(Killed) as caught, mirror.plan([ids[:60_000], ids[60_000:]], checkpoint=stop):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch-mirror")]
    assert list(tmp_path.iterdir()) == []
    assert caught.tb is not None  # until here, it refers to all that was going on


# Mirrors of profiles, which keep the attributes that were set on each


def profile(id_: str, *names: str) -> AnnotatedId:
    return AnnotatedId(id_, f'"attributes":{{{",".join(f"{json.dumps(name)}:1" for name in names)}}}')


def compared(
    mirror: FolderMirror, *profiles: AnnotatedId, keys: str, **options: Any
) -> tuple[list[str], dict[str, Any]]:
    """The profiles that a plan sets, and the attributes that those have whose rows have gone."""
    with mirror.plan([[*profiles]], keys=keys.split(), **options) as plan:
        return list(map(str, plan.adds)), {str(gone): {*plan.names.keys_of(extras(gone))} for gone in plan.removes}


def extras(id_: str) -> str:
    assert isinstance(id_, AnnotatedId)
    return id_.extras


def set_profiles(
    mirror: FolderMirror, *profiles: AnnotatedId, keys: str, rejected: tuple[str, ...] = (), **how: Any
) -> None:
    with mirror.plan([[*profiles]], keys=keys.split(), **how) as plan, plan.begin("run") as transaction:
        transaction.commit([], rejected=rejected)


def test_a_mirror_of_profiles_knows_what_each_has_by_the_names_of_all_runs(path: Any) -> None:
    mirror = mirror_at(path, audience_name="profiles.app", audience_type="profiles")
    set_profiles(mirror, profile("a", "plan"), profile("b", "score"), keys="score plan")
    assert head_of(mirror)["names"] == ["plan", "score"]
    flags = head_of(mirror)["snapshot"].replace(".ids.gz", ".flags.gz")
    assert content_of(mirror)(flags) == b"a\x011\nb\x0101\n"
    assert compared(mirror, profile("a", "plan"), keys="plan") == ([], {"b": {"score"}})
    set_profiles(mirror, profile("a", "plan", "born"), profile("b", "score"), keys="born plan")
    assert head_of(mirror)["names"] == ["plan", "score", "born"]
    assert content_of(mirror)(newest(mirror, ".flags.gz")) == b"a\x01101\nb\x0101\n"
    assert compared(mirror, keys="") == ([], {"a": {"plan", "born"}, "b": {"score"}})
    assert compared(mirror, profile("a", "plan"), keys="plan", full_refresh=True) == (["a"], {})


def test_what_a_try_may_have_set_counts_by_its_own_names(path: Any) -> None:
    mirror = mirror_at(path, audience_name="profiles.app", audience_type="profiles")
    set_profiles(mirror, profile("a", "score"), keys="score")
    for name in ("born", "age"):
        given: list[str] = [profile("a", "score"), profile("b", name)]
        with mirror.plan([given], keys=[name]) as plan, plan.begin("run"):
            pass
    (unfinished,) = snapshot.read_state(mirror.folder, None).unfinished
    assert unfinished.pending.names == ("score", "born", "age")
    assert compared(mirror, profile("a", "score"), keys="score") == ([], {"b": {"born", "age"}})
    with pytest.raises(Killed), mirror.plan([[profile("c", "plan")]], keys=["plan"]) as plan, plan.begin("other"):
        raise Killed
    assert compared(mirror, keys="") == ([], {"a": {"score"}, "b": {"born", "age"}, "c": {"plan"}})


class Overtaken(Mortal):
    """A folder in which another run ends when a file that a try has noted is opened for the second time."""

    def __init__(self, folder: Folder, meanwhile: Callable[[], object]) -> None:
        super().__init__(folder, None)
        self._meanwhile = meanwhile
        self._opened = 0

    def open(self, name: str) -> BinaryIO:
        self._opened += name.endswith(".pending.gz")
        if self._opened == 2:
            self._meanwhile()
        return super().open(name)


def test_what_a_try_may_have_set_may_be_settled_while_it_is_compared(path: Any) -> None:
    mirror = mirror_at(path, audience_name="profiles.app", audience_type="profiles")
    with mirror.plan([[profile("a", "plan")]], keys=["plan"]) as plan, plan.begin("run"):
        pass
    late = mirror_at(path, audience_name="profiles.app", audience_type="profiles")
    late.folder = Overtaken(late.folder, lambda: set_profiles(mirror, profile("a", "plan"), keys="plan"))
    with pytest.raises(MirrorConflictError, match="another run changed the mirror"), late.plan([[]], keys=["plan"]):
        pass


def test_what_batch_rejected_of_profiles_keeps_all_that_it_may_have(path: Any) -> None:
    mirror = mirror_at(path, audience_name="profiles.app", audience_type="profiles")
    set_profiles(mirror, profile("a", "plan"), profile("b", "score"), profile("c", "plan"), keys="plan score")
    given = [profile("a", "score"), profile("b", "plan"), profile("c", "score")]
    set_profiles(mirror, *given, keys="plan score", rejected=("c", "a"))
    (unfinished,) = snapshot.read_state(mirror.folder, None).unfinished
    assert (unfinished.is_rejection, unfinished.pending.names, unfinished.pending.count) == (True, ("plan", "score"), 2)
    noted = chain.from_iterable(snapshot.read_unfinished_ids(mirror.folder, unfinished))
    assert list(noted) == ["a\x0111", "c\x0111"]
    assert compared(mirror, *given, keys="plan score") == (["a", "c"], {})
    set_profiles(mirror, *given, keys="plan score", rejected=("b",), full_refresh=True)
    (unfinished,) = snapshot.read_state(mirror.folder, None).unfinished
    assert list(snapshot.read_unfinished_ids(mirror.folder, unfinished)) == [["b\x01"]]


def test_a_snapshot_without_flags_is_none_of_profiles(path: Any) -> None:
    mirror = mirror_at(path, audience_name="profiles.app", audience_type="profiles")
    run(mirror, Batch(), plain("ab"))
    with pytest.raises(SnapshotError) as caught, mirror.plan([[profile("a", "plan")]], keys=["plan"]):
        pass
    assert str(caught.value) == (
        f"{path}/00000001.head.json: it does not have which attributes were set. Nothing was sent; to send "
        "everything and start a new snapshot, pass full_refresh=True."
    )
    set_profiles(mirror_at(path / "2"), profile("a", "plan"), keys="plan")
    mirror = mirror_at(path / "2")
    flags = newest(mirror, ".flags.gz")
    mirror.folder.write(flags, gzip.compress(b""))
    with pytest.raises(SnapshotError) as caught, mirror.plan([[]], keys=["plan"]):
        pass
    assert str(caught.value) == (
        f"{path}/2/{flags}: the content is not what was written. Nothing was sent; to send everything and start a "
        "new snapshot, pass full_refresh=True."
    )
    mirror.folder.delete(flags)
    with pytest.raises(SnapshotError, match=r"flags\.gz: the file is missing"), mirror.plan([[]], keys=["plan"]):
        pass
