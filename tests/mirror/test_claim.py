from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import MirrorConflictError
from airflow_provider_batch.mirror.claim import LIFETIME, RENEWAL_INTERVAL, Claim, read_owner, release_claim_of
from airflow_provider_batch.mirror.folder import Folder, folder_at
from tests.clock import Clock

from .folders import Killed, Mortal, memory_path
from .test_plan import START

PATIENCE = 10.0


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    return folder_at(tmp_path / "vip" if request.param == "local" else memory_path())


def test_one_run_has_the_claim_and_gives_it_back(folder: Folder) -> None:
    clock = Clock(START + 0.25)
    claim = Claim(folder, "dag/task/monday", clock)
    with pytest.raises(MirrorConflictError) as caught:
        Claim(folder, "dag/task/tuesday", clock)
    assert str(caught.value) == (
        "dag/task/monday is at work on this mirror; its claim dates from 2026-09-21 14:13:20+00:00. If that run was "
        "killed, another one can take over 30 minutes after the last renewal, or at once if you delete "
        f"{folder}/claim.json."
    )
    claim.release()
    assert folder.list_files() == []
    Claim(folder, "dag/task/tuesday", clock)


def test_a_look_is_good_for_a_second(folder: Folder) -> None:
    clock = Clock(START)
    claim = Claim(folder, "first", clock)
    folder.delete("claim.json")
    clock.now += 0.9
    claim.look()
    clock.now += 0.1
    with pytest.raises(MirrorConflictError) as caught:
        claim.look()
    assert str(caught.value) == f"the claim in {folder} was deleted while this run was at work. Retry it."


def test_each_look_is_good_for_a_second_and_none_if_the_clock_was_put_back(folder: Folder) -> None:
    clock = Clock(START)
    claim = Claim(folder, "first", clock)
    clock.now += 1
    claim.look()
    folder.delete("claim.json")
    claim.look()
    clock.now += 0.9
    claim.look()
    clock.now -= 1
    with pytest.raises(MirrorConflictError, match="was deleted"):
        claim.look()


def test_a_dead_claim_is_taken_over(folder: Folder) -> None:
    clock = Clock(START)
    first = Claim(folder, "first", clock)
    clock.now += LIFETIME
    with pytest.raises(MirrorConflictError):
        Claim(folder, "second", clock)
    clock.now += 1
    second = Claim(folder, "second", clock)
    with pytest.raises(MirrorConflictError, match="second is at work"):
        first.check()
    first.release()
    with pytest.raises(MirrorConflictError, match="second is at work"):
        Claim(folder, "third", clock)
    second.check()
    second.release()
    assert folder.list_files() == []


def test_a_retry_takes_over_at_once_what_its_own_try_left(folder: Folder) -> None:
    clock = Clock(START)
    killed = Claim(folder, "same", clock)
    retry = Claim(folder, "same", clock)
    with pytest.raises(MirrorConflictError):
        killed.check()
    another = Claim(folder, "same", clock)
    with pytest.raises(MirrorConflictError):
        retry.check()
    another.release()
    assert folder.list_files() == []


@pytest.mark.parametrize("lives", range(15))
def test_a_run_that_was_taken_over_has_nothing_back_when_its_successor_is_killed(lives: int, folder: Folder) -> None:
    """Three files are read and four deleted, each of which its user may be killed before or after."""
    clock = Clock(START)
    first = Claim(folder, "first", clock)
    clock.now += LIFETIME + 1
    dying = Mortal(folder, None)
    second = Claim(dying, "second", clock)
    dying.lives = lives
    with pytest.raises(Killed) if lives < 14 else nullcontext():
        second.release()
    with pytest.raises(MirrorConflictError):
        first.check()


def test_a_claim_that_is_renewed_lives_and_is_seldom_written(folder: Folder) -> None:
    clock = Clock(START)
    claim = Claim(folder, "first", clock)
    for _ in range(100):
        clock.now += LIFETIME / 2
        claim.look()
    signs = [name for name in folder.list_files() if name.startswith("alive-")]
    seen = [folder.read(name) for name in signs]
    for _ in range(100):
        clock.now += RENEWAL_INTERVAL / 101
        claim.look()
    assert [folder.read(name) for name in signs] == seen != []
    with pytest.raises(MirrorConflictError):
        Claim(folder, "second", clock)


def test_a_claim_that_was_dead_but_not_taken_over_lives_on(folder: Folder) -> None:
    clock = Clock(START)
    claim = Claim(folder, "first", clock)
    clock.now += 2 * LIFETIME
    claim.look()
    with pytest.raises(MirrorConflictError, match="first is at work"):
        Claim(folder, "second", clock)
    claim.release()
    assert folder.list_files() == []


def test_a_claim_that_is_dead_is_left_to_whoever_takes_it_over(folder: Folder) -> None:
    clock = Clock(START)
    claim = Claim(folder, "first", clock)
    clock.now += 2 * LIFETIME
    claim.release()
    assert folder.list_files() == ["claim.json"]


def test_a_claim_that_was_deleted_is_lost(folder: Folder) -> None:
    claim = Claim(folder, "first", Clock(START))
    folder.delete("claim.json")
    with pytest.raises(MirrorConflictError, match="was deleted"):
        claim.check()
    claim.release()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"owner": "a"}', b'{"owner":"","nonce":"","since":"","renewed":""}']
)
def test_a_claim_that_cannot_be_read_is_a_claim(folder: Folder, content: bytes) -> None:
    folder.create("claim.json", content)
    with pytest.raises(MirrorConflictError) as caught:
        Claim(folder, "first", Clock(START))
    assert str(caught.value) == (
        f"the claim in {folder} cannot be read. If no run is at work on this mirror, delete {folder}/claim.json."
    )
    assert read_owner(folder, START + 2 * LIFETIME) == ""


def entry(nonce: str, **fields: Any) -> bytes:
    return json.dumps({"owner": "a", "nonce": nonce, "since": START, "renewed": START, **fields}).encode()


@pytest.mark.parametrize(
    "claims",
    [
        {"claim.json": entry("aa"), "claim-aa.json": entry("bb"), "claim-bb.json": entry("aa")},
        {"claim.json": entry("aa"), "claim-aa.json": entry("aa")},
        {"claim.json": entry("../claim")},
        {"claim.json": entry("aa", since=1e300)},
        {"claim.json": entry("aa", renewed=float("inf"))},
    ],
)
def test_tampered_claims_end_in_an_error_with_the_remedy(folder: Folder, claims: dict[str, bytes]) -> None:
    for name, content in claims.items():
        folder.create(name, content)
    with pytest.raises(MirrorConflictError, match=r"cannot be read\. .* delete .*claim\.json"):
        Claim(folder, "a", Clock(START))


def test_a_run_is_seen_when_it_has_renewed_its_claim(folder: Folder) -> None:
    clock = Clock(START)
    claim = Claim(folder, "first", clock)
    clock.now += RENEWAL_INTERVAL - 1
    claim.check()
    assert folder.list_files() == ["claim.json"]
    clock.now += 1
    claim.check()
    alive = next(name for name in folder.list_files() if name.startswith("alive-"))
    assert json.loads(folder.read(alive) or b"") == clock.now
    assert read_owner(folder, clock.now + LIFETIME) == "first"
    assert read_owner(folder, clock.now + LIFETIME + 1) is None
    with pytest.raises(MirrorConflictError, match=r"first is at work on this mirror; its claim dates from .* 14:13:20"):
        Claim(folder, "second", clock)
    clock.now += RENEWAL_INTERVAL
    claim.check()
    assert json.loads(folder.read(alive) or b"") == clock.now
    claim.release()
    assert folder.list_files() == []


@pytest.mark.parametrize("sign", [b"", b"{", b"[]", b"null", json.dumps(START - 100).encode()])
def test_a_sign_of_life_that_says_nothing_leaves_the_claim_as_it_is(folder: Folder, sign: bytes) -> None:
    folder.create("claim.json", entry("aa"))
    folder.write("alive-aa", sign)
    assert read_owner(folder, START + LIFETIME) == "a"
    assert read_owner(folder, START + LIFETIME + 1) is None
    with pytest.raises(MirrorConflictError, match="a is at work"):
        Claim(folder, "b", Clock(START + LIFETIME))


def test_nobody_is_at_work_where_nothing_is(folder: Folder) -> None:
    assert read_owner(folder, START) is None


def test_the_last_claim_of_a_chain_counts(folder: Folder) -> None:
    chain = {
        "claim.json": entry("aa", owner="first"),
        "claim-aa.json": entry("bb", owner="second"),
        "alive-aa": b"1e12",
        "claim-bb.json": entry("cc", owner="third"),
    }
    for name, content in chain.items():
        folder.create(name, content)
    assert read_owner(folder, START) == "third"
    assert read_owner(folder, START + LIFETIME + 1) is None
    with pytest.raises(MirrorConflictError, match=r"^third is at work"):
        Claim(folder, "fourth", Clock(START))
    for owner in ("first", "second"):
        release_claim_of(folder, owner)
    assert sorted(folder.list_files()) == sorted(chain)
    release_claim_of(folder, "third")
    assert folder.list_files() == []
    release_claim_of(folder, "third")


def test_the_first_claim_is_deleted_first_as_no_other_counts_without_it(folder: Folder) -> None:
    deleted: list[str] = []

    class Noting(Mortal):
        def delete(self, name: str) -> None:
            deleted.append(name)
            super().delete(name)

    for name, content in {"claim.json": entry("aa"), "claim-aa.json": entry("bb")}.items():
        folder.create(name, content)
    release_claim_of(Noting(folder, None), "a")
    assert deleted == ["claim.json", "alive-aa", "claim-aa.json", "alive-bb"]


def test_whoever_comes_second_is_told_who_was_first_or_that_somebody_was(folder: Folder) -> None:
    class Late(Mortal):
        """Between a look at the claims and the creation of ours, somebody else has created one."""

        def create(self, name: str, content: bytes) -> bool:
            for other, owner in others.items():
                folder.create(other, entry("aa" if other == "claim.json" else "bb", owner=owner))
            return False

    others = {"claim.json": "first", "claim-aa.json": "second"}
    with pytest.raises(MirrorConflictError, match=r"^second is at work on this mirror"):
        Claim(Late(folder, None), "third", Clock(START))
    release_claim_of(folder, "second")
    others = {}
    with pytest.raises(MirrorConflictError) as caught:
        Claim(Late(folder, None), "third", Clock(START))
    assert str(caught.value) == f"another run claimed the mirror in {folder} at the same moment. Retry."


def test_a_claim_that_was_given_back_is_not_brought_back_by_a_run_that_was_frozen(folder: Folder) -> None:
    clock = Clock(START)
    frozen = Claim(folder, "same", clock)
    Claim(folder, "same", clock).release()
    clock.now += RENEWAL_INTERVAL
    # It has looked at its claim, and was frozen before it could renew it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen, "_check_last", lambda: None)
        frozen.check()
    assert "claim.json" not in folder.list_files()
    with pytest.raises(MirrorConflictError):
        frozen.check()
    Claim(folder, "another", clock)


def test_a_claim_that_could_not_be_looked_at_is_given_back(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(Claim, "_check_last", unreachable)
        with pytest.raises(TimeoutError):
            Claim(folder, "first", Clock(START))
    assert folder.list_files() == []
    with monkeypatch.context() as patch:
        patch.setattr(Claim, "_check_last", unreachable)
        patch.setattr(Claim, "release", unreachable)
        with pytest.raises(TimeoutError):
            Claim(folder, "first", Clock(START))
    assert read_owner(folder, START) == "first"


class Turns:
    """Lets two threads make their operations in a given order."""

    def __init__(self, order: list[int]) -> None:
        self._order = order
        self._condition = threading.Condition()
        self._gone: set[int] = set()

    def take(self, who: int, operation: Callable[[], Any]) -> Any:
        with self._condition:
            assert self._condition.wait_for(lambda: self._next() in (who, None), PATIENCE)
            try:
                # Within its turn: a file in memory is looked for and then written, which two must not do at once.
                return operation()
            finally:
                if self._order:
                    self._order.pop(0)
                self._condition.notify_all()

    def leave(self, who: int) -> None:
        with self._condition:
            self._gone.add(who)
            self._condition.notify_all()

    def _next(self) -> int | None:
        while self._order and self._order[0] in self._gone:
            self._order.pop(0)
        return self._order[0] if self._order else None


class Slow(Mortal):
    """A folder that waits for its user's turn before each operation."""

    def __init__(self, folder: Folder, turn: Callable[[Callable[[], Any]], Any]) -> None:
        super().__init__(folder, None)
        self._turn = turn

    def breathe(self) -> None:
        pass

    def _do(self, operation: Callable[..., Any], *arguments: Any) -> Any:
        return self._turn(lambda: super(Slow, self)._do(operation, *arguments))


def take(folder: Folder, who: int, clock: Clock, turns: Turns, taken: list[Claim]) -> None:
    try:
        taken.append(Claim(Slow(folder, partial(turns.take, who)), f"run {who}", clock))
    except MirrorConflictError:
        pass
    finally:
        turns.leave(who)


@pytest.mark.parametrize("dead", [0, 1])
def test_of_two_that_take_it_at_once_exactly_one_has_it(dead: int) -> None:
    steps = 5 + dead
    for ours in combinations(range(2 * steps), steps):
        if ours[0] != 0:
            continue  # the same with the names exchanged
        folder, clock = folder_at(memory_path()), Clock(START)
        for number in range(dead):
            Claim(folder, f"dead {number}", clock)
            clock.now += LIFETIME + 1
        turns = Turns([0 if step in ours else 1 for step in range(2 * steps)])
        taken: list[Claim] = []

        threads = [threading.Thread(target=take, args=(folder, who, clock, turns, taken)) for who in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(taken) == 1, ours
        taken[0].check()
