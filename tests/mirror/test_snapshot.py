"""The files of a mirror, one by one."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError
from airflow_provider_batch.mirror import snapshot
from airflow_provider_batch.mirror.folder import Folder, folder_at
from airflow_provider_batch.mirror.snapshot import Head, State
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.mirror.tries import Pending, Unfinished

from .folders import Mortal, memory_path

VIP = Target("vip", "custom_ids", "digest")
TEXT = b"a\nb\n"
REMEDY = "to send everything and start a new snapshot, pass full_refresh=True."


@pytest.fixture
def folder() -> Folder:
    return folder_at(memory_path())


def head(generation: int = 1, **fields: Any) -> Head:
    digest = hashlib.sha256(TEXT).hexdigest()
    name = f"{generation:08d}-aa.ids.gz"
    return replace(Head(generation, name, 2, digest, VIP, ("t",), "2026-09-21T14:13:20+00:00"), **fields)


def pending(owner: str = "run", nonce: str = "aa", **fields: Any) -> Pending:
    return replace(Pending(owner, nonce, nonce, False, 2), **fields)


def put(folder: Folder, *heads: Head) -> None:
    for one in heads:
        assert folder.create(one.name, one.to_json())
        folder.write(one.snapshot, gzip.compress(TEXT))


def put_pending(folder: Folder, name: str, note: Pending, ids: bytes = TEXT) -> str:
    folder.write(name, snapshot.pending_head(note) + gzip.compress(ids))
    return name


# Heads


def test_a_head_is_a_text_that_people_can_read() -> None:
    written = head(12, settled=("00000011-bb.pending.gz",)).to_json().decode()
    assert written.splitlines()[:4] == [
        "{",
        ' "format": 2,',
        ' "generation": 12,',
        ' "snapshot": "00000012-aa.ids.gz",',
    ]
    assert json.loads(written) == {
        "format": 2,
        "generation": 12,
        "snapshot": "00000012-aa.ids.gz",
        "count": 2,
        "sha256": hashlib.sha256(TEXT).hexdigest(),
        "indexing_tokens": ["t"],
        "written_at": "2026-09-21T14:13:20+00:00",
        "settled": ["00000011-bb.pending.gz"],
        "echoes": [],
        "audience": "vip",
        "type": "custom_ids",
        "recipient": "digest",
    }


def test_the_head_with_the_highest_number_counts(folder: Folder) -> None:
    assert snapshot.read_state(folder, VIP) == State(0)
    newest = head(3, settled=("00000002-bb.pending.gz",), echoes=("00000002-cc.pending.gz",))
    put(folder, head(1), head(2), newest)
    state = State(3, (), "00000003.head.json", newest, ignored=frozenset({"00000002-bb.pending.gz"}))
    assert snapshot.read_state(folder, VIP) == snapshot.read_state(folder, None) == state
    noted: list[object] = []

    class Noting(Mortal):
        def write(self, name: str, content: bytes) -> None:
            noted.append((name, content))
            super().write(name, content)

    snapshot.write_confirmed(Noting(folder, None), newest)
    assert noted == [("00000003.confirmed", b"")]
    assert snapshot.read_state(folder, VIP) == replace(state, is_confirmed=True)


def test_pending_files_count_unless_the_head_has_settled_them(folder: Folder) -> None:
    put(folder, head(2, settled=("00000001-aa.pending.gz",)))
    notes = {f"0000000{number}-{nonce}.pending.gz": pending(nonce=nonce) for number, nonce in ((1, "aa"), (1, "cc"))}
    notes["00000001-cc.pending.gz"] = pending(nonce="cc", known=("00000001-00.pending.gz",))
    notes |= {"00000003-ee.pending.gz": pending("", "ee"), "00000002.pending.gz": pending(nonce="dd", replaces=True)}
    for name, note in notes.items():
        put_pending(folder, name, note)
    snapshot.write_tokens(folder, "00000001-cc.pending.gz", ["x", "y"], has_ended=False)
    snapshot.write_tokens(folder, "00000002.pending.gz", ["y", "z"], has_ended=True)
    state = snapshot.read_state(folder, VIP)
    assert state.unfinished == (
        Unfinished("00000001-cc.pending.gz", notes["00000001-cc.pending.gz"], ("x", "y"), False),
        Unfinished("00000002.pending.gz", notes["00000002.pending.gz"], ("y", "z"), True),
        Unfinished("00000003-ee.pending.gz", notes["00000003-ee.pending.gz"], (), True),  # by Batch, nobody sends them
    )
    assert [one.is_rejection for one in state.unfinished] == [False, False, True]
    assert (state.replaces, state.uncertain, state.unfinished_tokens) == (True, 6, ("x", "y", "z"))
    assert not snapshot.State(0, state.unfinished[:1]).replaces


@pytest.mark.parametrize(
    "tokens", [b"{", b"[]", b'{"indexing_tokens": 5}', b'{"has_ended": 1}', b'{"has_ended": "yes"}', b"\xff"]
)
@pytest.mark.parametrize("owner", ["run", ""])
def test_tokens_that_cannot_be_read_are_of_a_try_that_may_go_on(folder: Folder, tokens: bytes, owner: str) -> None:
    name = put_pending(folder, "00000000-aa.pending.gz", pending(owner))
    folder.write("00000000-aa.tokens.json", tokens)
    (found,) = snapshot.read_state(folder, VIP).unfinished
    assert found == Unfinished(name, pending(owner), (), not owner)


def test_a_try_that_has_ended_may_have_received_no_tokens(folder: Folder) -> None:
    put_pending(folder, "00000000-aa.pending.gz", pending())
    folder.write("00000000-aa.tokens.json", b'{"has_ended": true}')
    (found,) = snapshot.read_state(folder, VIP).unfinished
    assert (found.indexing_tokens, found.has_ended) == ((), True)


def test_a_head_may_have_settled_nothing(folder: Folder) -> None:
    fields = json.loads(head().to_json())
    for name in ("indexing_tokens", "settled", "echoes"):
        del fields[name]
    folder.create("00000001.head.json", json.dumps(fields).encode())
    assert snapshot.read_state(folder, VIP).head == head(indexing_tokens=())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a\n",
        gzip.compress(b"a\n"),
        gzip.compress(b"[]\n"),
        gzip.compress(b'{"format": 2}\n'),
        snapshot.pending_head(pending())[:-9],
    ],
    ids=["empty", "not compressed", "no JSON", "a list", "an object of something else", "truncated"],
)
def test_a_note_that_cannot_be_read_is_named(folder: Folder, content: bytes) -> None:
    folder.write("00000000-aa.pending.gz", content)
    with pytest.raises(SnapshotError) as caught:
        snapshot.read_state(folder, VIP)
    assert str(caught.value) == f"{folder}/00000000-aa.pending.gz: the file cannot be read. Nothing was sent; {REMEDY}"
    assert caught.value.__suppress_context__


def test_tokens_are_texts(folder: Folder) -> None:
    put_pending(folder, "00000000-aa.pending.gz", pending())
    folder.write("00000000-aa.tokens.json", b'{"indexing_tokens": [1, "2"], "has_ended": true}')
    (found,) = snapshot.read_state(folder, VIP).unfinished
    assert (found.indexing_tokens, found.has_ended) == (("1", "2"), True)


@pytest.mark.parametrize("left", ["00000003.confirmed", "00000003-bb.pending.gz"])
def test_what_is_of_a_later_run_tells_that_a_head_is_missing(folder: Folder, left: str) -> None:
    put(folder, head(2))
    put_pending(folder, left, pending())
    with pytest.raises(SnapshotError) as caught:
        snapshot.read_state(folder, VIP)
    assert str(caught.value) == (
        f"{folder}/00000003.head.json: the file is missing, but others of its run are there. Nothing was sent; {REMEDY}"
    )
    folder.delete(left)
    for name in ("00000002.confirmed", "00000002-bb.pending.gz", "00000003-bb.ids.gz"):
        put_pending(folder, name, pending())
    put_pending(folder, "00000003-cc.pending.gz", pending(""))  # noted right before the next head
    assert len(snapshot.read_state(folder, VIP).unfinished) == 2


def test_a_head_that_appears_meanwhile_is_no_missing_one(folder: Folder) -> None:
    class Overtaken(Mortal):
        """Files are listed, and then another run commits."""

        def list_files(self) -> list[str]:
            names = folder.list_files()
            folder.create(head(3).name, head(3).to_json())
            return names

    put(folder, head(2))
    snapshot.write_confirmed(folder, head(3))
    with pytest.raises(MirrorConflictError) as caught:
        snapshot.read_state(Overtaken(folder, None), VIP)
    assert str(caught.value) == (
        f"another run changed the mirror in {folder} after this run had compared its ids with it. Retry."
    )


@pytest.mark.parametrize("gone", ["00000002.head.json", "00000002-bb.pending.gz"])
def test_what_is_deleted_while_it_is_read_is_a_conflict(folder: Folder, gone: str) -> None:
    class Overtaken(Mortal):
        def list_files(self) -> list[str]:
            names = folder.list_files()
            folder.delete(gone)
            return names

    put(folder, head(2))
    put_pending(folder, "00000002-bb.pending.gz", pending())
    with pytest.raises(MirrorConflictError, match=f"^another run changed the mirror in {folder} after"):
        snapshot.read_state(Overtaken(folder, None), VIP)


@pytest.mark.parametrize(
    ("target", "difference"),
    [
        (Target("v" * 99, "custom_ids", "digest"), f"another audience, '{'v' * 79}"),
        (Target("vip", "t" * 99, "digest"), f"an audience of another type, '{'t' * 79}"),
        (Target("vip", "custom_ids", "other"), "another app or project, or of another host"),
        (Target("new", "other", "other"), "another audience, 'new'"),
        (Target("vip", "other", "other"), "an audience of another type, 'other'"),
    ],
)
def test_the_snapshot_of_something_else_is_refused_with_both_ways_out(
    folder: Folder, target: Target, difference: str
) -> None:
    put(folder, head(target=target))
    with pytest.raises(SnapshotError) as caught:
        snapshot.read_state(folder, VIP)
    assert str(caught.value) == (
        f"{folder} holds the snapshot of {difference}. Pass another snapshot_path; or, {REMEDY}"
    )
    assert snapshot.read_state(folder, None).head == head(target=target)


def test_a_newer_format_is_left_to_a_newer_package(folder: Folder) -> None:
    folder.create("00000001.head.json", json.dumps({**json.loads(head().to_json()), "format": 3}).encode())
    with pytest.raises(SnapshotError) as caught:
        snapshot.read_state(folder, VIP)
    assert str(caught.value) == (
        f"{folder}/00000001.head.json was written by a newer version of this package. Upgrade the package; or, {REMEDY}"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"generation": "1"},
        {"generation": True},
        {"generation": 2},
        {"count": 2.0},
        {"snapshot": "x00000001-aa.ids.gz"},
        {"snapshot": "00000001-aa.ids.gz/x"},
        {"settled": ["../00000001-aa.pending.gz"]},
        {"echoes": ["00000001-aa.ids.gz"]},
        {"indexing_tokens": 5},
        {"format": None},
        {"more": 1},
    ],
)
def test_a_head_that_no_run_has_written_is_not_used(folder: Folder, change: dict[str, Any]) -> None:
    folder.create("00000001.head.json", json.dumps({**json.loads(head().to_json()), **change}).encode())
    with pytest.raises(SnapshotError) as caught:
        snapshot.read_state(folder, VIP)
    assert str(caught.value) == f"{folder}/00000001.head.json: the file cannot be read. Nothing was sent; {REMEDY}"
    assert caught.value.__suppress_context__
    state = State(2, (), "00000001.head.json")
    assert snapshot.read_state(folder, VIP, starts_anew=True) == state


def test_a_mirror_that_begins_anew_is_above_all_that_is_there(folder: Folder) -> None:
    folder.create("00000002.head.json", b"{")
    names = ["00000001-aa.pending.gz", "00000005.pending.gz"]
    for name in (*names, "00000004-bb.ids.gz", "00000009.confirmed", "00000008-aa.tokens.json", "note.txt"):
        folder.write(name, b"")
    state = State(6, (), "00000002.head.json", ignored=frozenset(names))
    assert snapshot.read_state(folder, VIP, starts_anew=True) == state


@pytest.mark.parametrize(
    ("names", "is_one"),
    [
        ([], False),
        (["note.txt", "00000001-aa.ids.gz", "claim.json"], False),
        (["note.txt", "00000001.head.json"], True),
        (["head.json"], True),
        (["00000000-aa.pending.gz"], True),
        (["00000000.pending.gz", "note.txt"], True),
    ],
)
def test_a_folder_of_a_mirror_has_a_head_or_a_try(folder: Folder, names: list[str], is_one: bool) -> None:
    for name in names:
        folder.write(name, b"")
    assert snapshot.is_snapshot_folder(folder) is is_one


def test_earlier_heads_are_those_that_can_still_be_read(folder: Folder) -> None:
    put(folder, head(1), head(2), head(4), head(5, target=replace(VIP, recipient="other")), head(6), head(7), head(8))
    folder.delete(head(4).snapshot)
    folder.write(head(6).name, b"{")
    assert snapshot.read_earlier_heads(folder, head(7)) == [head(2), head(1)]

    class Overtaken(Mortal):
        def list_files(self) -> list[str]:
            return [*folder.list_files(), head(3).name, head(3).snapshot]

    assert snapshot.read_earlier_heads(Overtaken(folder, None), head(7)) == [head(2), head(1)]
    assert snapshot.read_earlier_heads(folder, head(1)) == []


# What a run notes


def test_a_try_notes_who_it_is_before_its_ids(folder: Folder, tmp_path: Path) -> None:
    ids = tmp_path / "touched.gz"
    ids.write_bytes(gzip.compress(b"a\nb\n"))
    note = pending(nonce="0b", known=("00000001-cc.pending.gz",), sha256="digest")
    name = snapshot.write_pending(folder, 12, note, ids)
    assert name == "00000012-0b.pending.gz"
    written = folder.read(name) or b""
    assert written == snapshot.pending_head(note) + ids.read_bytes()
    assert written[:8] == b"\x1f\x8b\x08\0\0\0\0\0"  # no name, no time
    first, _, rest = gzip.decompress(written).partition(b"\n")
    assert rest == b"a\nb\n"
    assert json.loads(first) == {
        "format": 2,
        "owner": "run",
        "series": "0b",
        "nonce": "0b",
        "replaces": False,
        "count": 2,
        "sha256": "digest",
        "known": ["00000001-cc.pending.gz"],
    }
    snapshot.write_tokens(folder, name, ("t1", "t2"), has_ended=False)
    assert json.loads(folder.read("00000012-0b.tokens.json") or b"") == {
        "indexing_tokens": ["t1", "t2"],
        "has_ended": False,
    }


def test_refused_ids_are_noted_without_a_time(folder: Folder) -> None:
    snapshot.write_rejected(folder, 3, ["b", "d"])
    (name,) = folder.list_files()
    assert name.startswith("00000003-")
    second = (folder.read(name) or b"").rindex(b"\x1f\x8b\x08")
    for part in ((folder.read(name) or b"")[:8], (folder.read(name) or b"")[second : second + 8]):
        assert part == b"\x1f\x8b\x08\0\0\0\0\0"


def state_of(*unfinished: Unfinished, **fields: Any) -> State:
    return replace(State(3, unfinished, "00000003.head.json", head(3)), **fields)


def of_try(nonce: str, owner: str = "run", generation: int = 3, has_ended: bool = False, **fields: Any) -> Unfinished:
    note = pending(owner, nonce, **{"series": "s", "sha256": "new set", **fields})
    return Unfinished(f"{generation:08d}-{nonce}.pending.gz", note, (), has_ended)


@pytest.mark.parametrize(
    ("unfinished", "known"),
    [
        ([], []),
        ([of_try("bb", owner="other"), of_try("cc", owner="")], ["bb"]),
        ([of_try("bb", sha256="another set")], ["bb"]),
        ([of_try("bb", replaces=True)], ["bb"]),
        ([of_try("bb"), of_try("cc", series="another")], []),
        ([of_try("bb"), of_try("dd", owner="other")], ["dd"]),
    ],
)
def test_a_try_that_continues_no_other_begins_a_series(unfinished: list[Unfinished], known: list[str]) -> None:
    found = state_of(*unfinished).pending("run", "ee", "new set", replaces=False, count=7)
    names = tuple(f"00000003-{nonce}.pending.gz" for nonce in known)
    assert found == Pending("run", "ee", "ee", False, 7, "new set", names)


def test_a_try_that_found_an_older_head_is_not_continued() -> None:
    found = state_of(of_try("bb", generation=2)).pending("run", "ee", "new set", replaces=False, count=7)
    assert found == Pending("run", "ee", "ee", False, 7, "new set", ("00000002-bb.pending.gz",))


def test_a_retry_continues_its_tries_beside_those_that_they_knew() -> None:
    others = ("00000003-dd.pending.gz", "00000003-ff.pending.gz")
    unfinished = [of_try("bb", known=others), of_try("cc", known=others, count=9), of_try("dd", owner="other")]
    found = state_of(*unfinished).pending("run", "ee", "new set", replaces=False, count=7)
    assert found == Pending("run", "s", "ee", False, 7, "new set", others)


def test_a_head_settles_tries_that_have_ended_and_those_that_were_echoes(folder: Folder) -> None:
    tries = [of_try("bb", has_ended=True), of_try("cc"), of_try("dd"), of_try("ee")]
    echo, ours = "00000003-dd.pending.gz", "00000003-00.pending.gz"
    before = frozenset({"00000002-aa.pending.gz", "00000002-99.pending.gz"})
    folder.write("00000002-aa.pending.gz", b"")  # still there
    folder.write("note.txt", b"")
    state = state_of(*tries, head=head(3, echoes=(echo,)), ignored=before)
    settled = ("00000002-aa.pending.gz", ours, "00000003-bb.pending.gz", echo)
    assert state.settle(ours, folder) == (settled, ("00000003-cc.pending.gz", "00000003-ee.pending.gz"))
    assert State(0, (of_try("cc"),)).settle(ours, folder) == ((ours,), ("00000003-cc.pending.gz",))


@pytest.mark.parametrize("change", ["nothing", "settled", "head", "begun", "gone"])
def test_a_run_sees_that_another_one_has_ended_or_begun(folder: Folder, change: str) -> None:
    put(folder, head(2, settled=("00000001-99.pending.gz",)))
    for name in ("00000001-99.pending.gz", "00000002-aa.pending.gz", "00000002-bb.ids.gz"):
        put_pending(folder, name, pending())
    state = snapshot.read_state(folder, VIP)
    if change == "settled":
        folder.delete("00000001-99.pending.gz")
    elif change == "head":
        put(folder, head(3))
    elif change == "begun":
        put_pending(folder, "00000002-cc.pending.gz", pending())
    elif change == "gone":
        folder.delete("00000002-aa.pending.gz")
    if change in ("nothing", "settled"):
        state.check_unchanged(folder)
        return
    with pytest.raises(MirrorConflictError) as caught:
        state.check_unchanged(folder)
    assert str(caught.value) == (
        f"another run changed the mirror in {folder} after this run had compared its ids with it. Retry."
    )


# What is read of it


def put_tries(folder: Folder, *texts: bytes) -> State:
    names = [f"00000000-{number:02x}.pending.gz" for number in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        put_pending(folder, name, pending(count=text.count(b"\n")), text)
    return snapshot.read_state(folder, VIP)


def test_the_ids_of_all_tries_are_merged(folder: Folder) -> None:
    assert list(snapshot.read_pending_ids(folder, State(0))) == []
    state = put_tries(folder, b"a\nc\ne\n")
    assert [*chain.from_iterable(snapshot.read_pending_ids(folder, state))] == ["a", "c", "e"]
    state = put_tries(folder, b"a\nc\ne\n", b"b\nc\n")
    assert list(snapshot.read_pending_ids(folder, state)) == [["a", "b", "c", "e"]]
    state = put_tries(folder, b"a\nc\ne\n", b"b\nc\n", b"", b"c\nf\n")
    assert list(snapshot.read_pending_ids(folder, state)) == [["a", "b", "c", "e", "f"]]
    many = b"".join(b"%05d\n" % number for number in range(10_000))
    state = put_tries(folder, many, many)
    assert [len(block) for block in snapshot.read_pending_ids(folder, state)][:2] == [8_192, 1_808 + 2]


def test_a_note_that_has_other_ids_than_it_says_is_damaged(folder: Folder) -> None:
    for count in (1, 3):
        put_pending(folder, "00000000-aa.pending.gz", pending(count=count), b"a\nb\n")
        (unfinished,) = snapshot.read_state(folder, VIP).unfinished
        with pytest.raises(SnapshotError) as caught:
            list(snapshot.read_unfinished_ids(folder, unfinished))
        assert str(caught.value) == (
            f"{folder}/00000000-aa.pending.gz: the file is truncated. Nothing was sent; {REMEDY}"
        )


class Failing(Mortal):
    """A folder that cannot open any file."""

    error: OSError

    def open(self, name: str) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (None, None, "the file is missing"),
        (b"a\nb\n", None, "the file is truncated or damaged"),
        (gzip.compress(TEXT)[:-4], None, "the file is truncated or damaged"),
        (gzip.compress(b"a\nb"), None, "the file is truncated or damaged"),
        (gzip.compress(b"a\n\xff\n"), None, "the file is truncated or damaged"),
        (gzip.compress(b"a\nc\n"), None, "the content is not what was written"),
        (gzip.compress(b"a\n"), None, "the content is not what was written"),
        (b"", OSError(errno.EBUSY, "modified"), "the file was overwritten while it was read"),
    ],
    ids=["missing", "not compressed", "cut", "a line cut", "not UTF-8", "other lines", "fewer lines", "overwritten"],
)
def test_a_snapshot_that_is_not_what_was_written_is_named_with_the_reason(
    folder: Folder, content: bytes | None, error: OSError | None, reason: str
) -> None:
    if content is not None:
        folder.write(head().snapshot, content)
    read_from = folder
    if error is not None:
        read_from = failing = Failing(folder, None)
        failing.error = error
    with pytest.raises(SnapshotError) as caught:
        list(snapshot.read_snapshot(read_from, head()))
    assert str(caught.value) == f"{folder}/00000001-aa.ids.gz: {reason}. Nothing was sent; {REMEDY}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_error_of_the_store_is_no_damage(folder: Folder) -> None:
    failing = Failing(folder, None)
    failing.error = TimeoutError(errno.ETIMEDOUT, "")
    with pytest.raises(TimeoutError):
        list(snapshot.read_snapshot(failing, head()))


def test_a_snapshot_is_read_in_parts(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_lines(content: Any) -> Iterator[bytes]:
        yield from content

    monkeypatch.setattr(snapshot, "read_texts", in_lines)
    put(folder, head())
    assert list(snapshot.read_snapshot(folder, head())) == [b"a\n", b"b\n"]
    folder.write(snapshot.flags_name(head().snapshot), gzip.compress(b"a\x011\nb\x0101\n"))
    assert list(snapshot.read_flags(folder, head(names=("plan", "score")))) == [b"a\x011\n", b"b\x0101\n"]


# What is deleted


def test_only_what_the_new_head_leaves_without_use_is_deleted(folder: Folder) -> None:
    swept: list[str] = []

    class Noting(Mortal):
        def delete(self, name: str) -> None:
            swept.append(name)
            super().delete(name)

        def sweep(self) -> None:
            swept.append("all")

    kept = [
        *("00000003.head.json", "00000003-aa.ids.gz", "00000004.head.json", "00000004-aa.ids.gz", "00000004.confirmed"),
        *("00000005-cc.ids.gz", "00000005.head.json", "00000004-dd.pending.gz", "00000002-ee.pending.gz"),
        *("00000002-ee.tokens.json", "00000004-dd.tokens.json", "claim.json", "alive-00", "note.txt"),
        "00000004-ff.tokens.json",
    ]
    outdated = [
        *("00000002.head.json", "00000002-aa.ids.gz", "00000003-bb.ids.gz", "00000004-bb.ids.gz", "00000003.confirmed"),
        *("00000003-ff.tokens.json", "00000003-99.pending.gz", "00000003-99.tokens.json", "head.json"),
    ]
    for name in kept + outdated:
        folder.write(name, b"")
    ours = head(4, settled=("00000003-99.pending.gz", "00000003-88.pending.gz"))
    snapshot.delete_outdated(Noting(folder, None), ours, head(3))
    assert sorted(folder.list_files()) == sorted(kept)
    assert swept[:2] == ["00000003-99.pending.gz", "00000003-99.tokens.json"]
    assert swept[-1] == "all"
    assert "00000003-88.pending.gz" not in swept
    snapshot.delete_outdated(folder, ours, None)
    assert sorted({*kept} - {*folder.list_files()}) == ["00000003-aa.ids.gz", "00000003.head.json"]


def test_a_head_is_committed_once_and_only_as_the_newest(folder: Folder) -> None:
    snapshot.commit(folder, head(3))
    assert folder.list_files() == ["00000003.head.json"]
    for late in (head(3, written_at="later"), head(2)):
        with pytest.raises(MirrorConflictError, match=f"^another run changed the mirror in {folder} after"):
            snapshot.commit(folder, late)
    assert folder.read("00000003.head.json") == head(3).to_json()
    assert snapshot.snapshot_name(12, "5f3a") == "00000012-5f3a.ids.gz"
