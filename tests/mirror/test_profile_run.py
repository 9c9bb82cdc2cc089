"""A run that compares profiles: what it sends, in chunks that can be made again, and what its tries know of others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_batch.exceptions import BatchServerError, EmptySetError, GuardError, MirrorConflictError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.mirror.diff import Counts
from airflow_provider_batch.mirror.flags import Names
from airflow_provider_batch.mirror.guards import Limits
from airflow_provider_batch.mirror.profile_run import ProfileMirrorRun, _Changes
from airflow_provider_batch.profiles.push import ProfilePush
from airflow_provider_batch.protocol.arguments import OnGone
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.profiles.results import ProfilesMirrorResult
from airflow_provider_batch.protocol.rows import Rejection
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.tasks.journal import TaskStateJournal
from tests.mirror.folders import Killed, memory_path
from tests.mirror.mortal import Lives, MortalPath
from tests.mirror.test_profile_tables import sandbox
from tests.worker import Store, memory

__all__ = ["sandbox"]

NAMES = Names(["plan", "score"])


class Rows:
    """Names the place of a profile to set by its position and its id."""

    def rejection(self, position: int, custom_id: str, reason: str) -> Rejection:
        return Rejection("profiles", position, reason, f"row of {custom_id}")


def changes(adds: str, removes: str, names: Names | None = NAMES, flags: str = "1") -> _Changes:
    plan = SimpleNamespace(
        adds=[AnnotatedId(id_, f'"attributes":{{"n":"{id_}"}}') for id_ in adds],
        removes=[AnnotatedId(id_, flags) for id_ in removes],
    )
    return _Changes(cast(Any, plan), cast(Any, Rows()), names)


def shown(changes: _Changes, size: int) -> list[tuple[int, str, int]]:
    """The number of each chunk, its ids (those to clear in capitals), and how many of them it clears."""

    def letter(line: bytes) -> str:
        profile = json.loads(line)
        id_: str = profile["identifiers"]["custom_id"]
        assert profile["attributes"] in ({"n": id_}, {"plan": None})
        return id_ if "n" in profile["attributes"] else id_.upper()

    return [(chunk.number, "".join(map(letter, chunk.lines)), chunk.cleared) for chunk in changes.chunks(size)]


@pytest.mark.parametrize(
    ("adds", "removes", "size", "chunks"),
    [
        ("abc", "xyz", 2, [(1, "ab", 0), (2, "cX", 1), (3, "YZ", 2)]),
        ("abcd", "x", 2, [(1, "ab", 0), (2, "cd", 0), (3, "X", 1)]),
        ("abc", "xyz", 10, [(1, "abcXYZ", 3)]),
        ("", "xyz", 2, [(1, "XY", 2), (2, "Z", 1)]),
        ("abc", "", 2, [(1, "ab", 0), (2, "c", 0)]),
        ("", "", 2, []),
    ],
)
def test_profiles_to_set_come_before_those_to_clear(
    adds: str, removes: str, size: int, chunks: list[tuple[int, str, int]]
) -> None:
    made = changes(adds, removes)
    assert shown(made, size) == shown(made, size) == chunks
    assert len(made) == len(adds) + len(removes)


def test_each_is_cleared_of_what_was_set_on_it() -> None:
    plan = SimpleNamespace(adds=[], removes=[AnnotatedId("x", "01"), AnnotatedId("y", "11"), AnnotatedId("z", "1")])
    (chunk,) = _Changes(cast(Any, plan), cast(Any, Rows()), NAMES).chunks(10)
    assert [json.loads(line)["attributes"] for line in chunk.lines] == [
        {"score": None},
        {"plan": None, "score": None},
        {"plan": None},
    ]


@pytest.mark.parametrize("how", [{"names": None}, {"flags": ""}, {"flags": "00"}])
def test_without_an_attribute_to_delete_nothing_is_cleared(how: dict[str, Any]) -> None:
    made = changes("abc", "xyz", **how)
    assert shown(made, 2) == [(1, "ab", 0), (2, "c", 0)]
    assert len(made) == 3


def test_a_rejection_names_the_row_or_that_it_has_gone() -> None:
    first, second, _ = changes("abc", "xyz").chunks(2)
    gone = Rejection("profiles", 3, "no", "a profile whose row has gone")
    assert first.rejection(1, "no") == Rejection("profiles", 1, "no", "row of b")
    assert second.rejection(0, "no") == Rejection("profiles", 2, "no", "row of c")
    assert second.rejection(1, "no") == gone


#: Of 40 profiles 10 differ, and 20 have gone.
COUNTS = Counts(given=40, added=4, changed=6, unchanged=30, removed=20)


def check(
    counts: Counts,
    before: int | None,
    *,
    replaces: bool = False,
    on_gone: OnGone = "keep",
    resends: bool = False,
    rejections: Sequence[Rejection] = (),
    **how: Any,
) -> None:
    push = ProfilePush(cast(Any, None), "batch_crm", 4)
    run = ProfileMirrorRun(push, cast(Any, None), "run", on_gone=on_gone, full_refresh=resends, limits=Limits(**how))
    plan = SimpleNamespace(counts=counts, before=before, replaces=replaces)
    intake = SimpleNamespace(rejected=len(rejections), rejections=rejections)
    run._check(cast(Any, plan), cast(Any, intake))


def test_limits_that_are_kept_say_nothing() -> None:
    check(COUNTS, 50)
    check(COUNTS, 50, max_shrink=10, max_changes=10)
    check(COUNTS, None, max_shrink=0, max_changes=0)
    check(COUNTS, 50, max_changes=30, on_gone="clear")
    check(COUNTS, 50, max_changes=0, replaces=True)
    check(COUNTS, 50, max_changes=0, resends=True)
    check(Counts(), None, allow_empty=True)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"max_shrink": 9}, "more than max_shrink=9"),
        ({"max_shrink": 9, "resends": True}, "more than max_shrink=9"),
        ({"max_changes": 9}, "to add: 10, to remove: 0"),
        ({"max_changes": 29, "on_gone": "clear"}, "to add: 10, to remove: 20"),
    ],
)
def test_limits_that_are_not_kept_are_named(how: dict[str, Any], reason: str) -> None:
    with pytest.raises(GuardError, match=f"^profiles of batch_crm: .*{reason}"):
        check(COUNTS, 50, **how)


@pytest.mark.parametrize("before", [None, 50])
def test_no_rows_at_all_must_be_meant(before: int | None) -> None:
    with pytest.raises(EmptySetError) as caught:
        check(Counts(), before)
    assert str(caught.value) == (
        "profiles of batch_crm: there are no rows. If that is intended, pass allow_empty=True."
    )


def test_rows_of_which_none_is_valid_are_not_called_none() -> None:
    rejections = [Rejection("profiles", position, "the id is empty. Drop the row.") for position in range(2)]
    with pytest.raises(EmptySetError) as caught:
        check(Counts(), None, rejections=rejections)
    assert str(caught.value) == (
        "profiles of batch_crm: no row is valid, 2 were rejected; the first: profiles[0]: the id is empty. Drop the "
        "row. If that is intended, pass allow_empty=True."
    )
    check(Counts(), None, rejections=rejections, allow_empty=True)


# Runs through the hook


def send(path: Any, number: int, ids: Sequence[str] = "abcd", **arguments: Any) -> ProfilesMirrorResult:
    """Set *number* on each profile; one call after the other."""
    rows = [{"custom_id": id_, "n": number} for id_ in ids]
    given = {"snapshot_path": path, "max_concurrency": 1, **arguments}
    return BatchHook("batch_cep").mirror_profiles(rows, **given)


@pytest.mark.usefixtures("sandbox")
def test_a_retry_with_nothing_to_do_gives_back_what_its_killed_try_has_claimed() -> None:
    path = memory_path()
    send(path, 1, owner="the first")
    (folder,) = (path / "batch_cep").iterdir()
    for left in count():  # until it lives for just long enough to claim the mirror
        with pytest.raises(Killed):
            send(MortalPath(path, Lives(left)), 2, owner="the second")
        if (folder / "claim.json").exists():
            break
    with pytest.raises(MirrorConflictError, match=r"^the second is at work on this mirror; "):
        send(path, 2, owner="the third")
    # By now the source has what it had before.
    assert send(path, 1, owner="the second").unchanged == 4
    assert send(path, 2, owner="the third").accepted == 4


def test_what_a_try_has_delivered_counts_until_another_run_has_sent_something(sandbox: Sandbox, tmp_path: Path) -> None:
    store = Store()

    def go(try_number: int) -> ProfilesMirrorResult:
        journal = TaskStateJournal(memory(store, try_number))
        return send(tmp_path, 1, owner="a task", chunk_size=1, journal=journal)

    for try_number in (1, 2):
        sandbox.faults(None, Fault(503))
        with pytest.raises(BatchServerError):
            go(try_number)
    assert [call.adds for call in sandbox.calls] == [1, 1, 1, 1]
    send(tmp_path, 2, owner="another")
    result = go(3)
    assert (result.accepted, result.earlier_calls) == (4, 0)
    assert sandbox.profiles() == {id_: {"n": 1} for id_ in "abcd"}


@pytest.mark.usefixtures("sandbox")
def test_if_no_row_is_valid_the_first_rejection_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        EmptySetError, match=r"no row is valid, 2 were rejected; the first: profiles\[0\]: the id is empty"
    ):
        send(tmp_path, 1, ["", ""], on_invalid_id="skip")


@pytest.mark.usefixtures("sandbox")
def test_progress_is_told_as_a_share_of_what_is_to_be_sent(tmp_path: Path, told: Callable[[], str]) -> None:
    send(tmp_path, 1, chunk_size=1)
    assert "profiles of batch_cep: chunk 1 accepted; 1 id of 4 (25%), " in told()


def test_a_call_of_which_a_part_is_refused_without_a_place_is_sent_again(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.faults(None, Fault(202, body={"code": "SUCCESS_WITH_PARTIAL_ERRORS", "errors": [{"reason": "no"}]}))
    first = send(tmp_path, 1, chunk_size=2)
    assert (first.accepted, first.rejected) == (3, 1)
    assert sandbox.profiles() == {id_: {"n": 1} for id_ in "ab"}
    second = send(tmp_path, 1)
    assert (second.accepted, second.unchanged) == (2, 2)
    assert sandbox.profiles() == {id_: {"n": 1} for id_ in "abcd"}
