"""
Two tries of one task that are alive at once, in random schedules of their single operations.

Real mirrors, plans and transactions run as greenlets over a folder in memory, and are switched at every operation on
it, at every call and at every tick of the clock. A try may be killed, may freeze for as long as it likes, and its last
call may arrive late; its source may change. What must hold: once all are quiet, one more run makes what Batch has
exactly the set of the source.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from airflow_provider_batch.exceptions import MirrorConflictError, SnapshotError
from airflow_provider_batch.mirror import snapshot, spool
from airflow_provider_batch.mirror.claim import LIFETIME, LOOK_INTERVAL, Claim
from airflow_provider_batch.mirror.plan import FolderMirror
from airflow_provider_batch.mirror.snapshot import Head, State
from airflow_provider_batch.mirror.target import Target
from tests.clock import Clock

from .folders import Killed

START = 1_790_000_000.0
SCHEDULES = 2_000
IDS = "abcdef"


class SameThread:
    """Does at once what a pool of threads does later: thousands of them would take longer than all that they do."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(function(*arguments))
        return done

    def shutdown(self, **_: object) -> None: ...


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "ThreadPoolExecutor", SameThread)


class Files:
    """A folder in memory that all tries share; each operation is one step."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def __str__(self) -> str:
        return "memory"

    def read(self, name: str) -> bytes | None:
        pause()
        return self.files.get(name)

    def open(self, name: str) -> BinaryIO:
        if (content := self.read(name)) is None:
            raise FileNotFoundError(name)
        return BytesIO(content)

    def write(self, name: str, content: bytes) -> None:
        pause()
        self.files[name] = content

    def upload(self, name: str, source: Path) -> None:
        self.write(name, source.read_bytes())

    def create(self, name: str, content: bytes) -> bool:
        pause()
        return self.files.setdefault(name, content) is content

    def list_files(self) -> list[str]:
        pause()
        return list(self.files)

    def delete(self, name: str) -> None:
        pause()
        self.files.pop(name, None)

    def sweep(self) -> None:
        pause()


def pause() -> None:
    """Let the others go on; a try that was killed ends here, and does nothing more."""
    this = getcurrent()
    if isinstance(this, Try):
        this.parent.switch()
        if this.is_killed:
            raise Killed


class Batch:
    """What the service has, and the calls that are on their way to it."""

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.commits = 0
        self._late: list[tuple[int, Callable[[], None]]] = []

    def call(self, effect: Callable[[], None], is_there: Callable[[], bool]) -> None:
        """Send a call, and wait for its answer; whoever is killed meanwhile leaves it on its way."""
        call = (self.commits, effect)
        self._late.append(call)
        while call in self._late:
            if is_there():
                self._late.remove(call)
                effect()
            pause()

    def deliver(self, *, older_than: int) -> None:
        """Apply the calls that were sent before so many commits."""
        for sent, effect in [*self._late]:
            if sent < older_than:
                self._late.remove((sent, effect))
                effect()


class Try(greenlet):  # type: ignore[misc]
    """One try of the task; its set is what the source has when it starts."""

    def __init__(self, world: World, owner: str, *, full_refresh: bool) -> None:
        super().__init__(self.go)
        self.world, self.owner, self.full_refresh = world, owner, full_refresh
        self.is_killed = False
        self.members = world.source

    def go(self) -> None:
        world = self.world
        # A call can be late by the length of one run, and not by that of two.
        world.batch.deliver(older_than=world.batch.commits)
        try:
            with world.mirror().plan([sorted(self.members)], full_refresh=self.full_refresh) as plan:
                if plan.is_empty:
                    return
                with plan.begin(self.owner) as transaction:
                    for effect in calls(world.batch, plan):
                        transaction.look()
                        # Between its look and its call a try can be frozen, but it does not send the next one then.
                        pause()
                        world.batch.call(effect, lambda: world.random.random() < 0.7)
                        transaction.accepted("token")
                    transaction.commit(["token"])
                    world.batch.commits += 1
                    # Until there is another run, a look is not good any more.
                    world.clock.now += LOOK_INTERVAL
        except (MirrorConflictError, Killed):
            pass


def calls(batch: Batch, plan: Any) -> Iterator[Callable[[], None]]:
    if plan.replaces:
        yield batch.members.clear
    for id_ in plan.adds:
        yield lambda id_=id_: batch.members.add(id_)  # type: ignore[misc]
    for id_ in plan.removes:
        yield lambda id_=id_: batch.members.discard(id_)  # type: ignore[misc]


class World:
    """One mirror, its source, and its tries."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = Clock(START)
        self.files = Files()
        self.batch = Batch()
        self.source: set[str] = self.some_ids()

    def some_ids(self) -> set[str]:
        return {id_ for id_ in IDS if self.random.random() < 0.5}

    def mirror(self) -> FolderMirror:
        mirror = FolderMirror(Path("none"), Target("vip", "custom_ids", "digest"), self.clock)
        mirror.folder = self.files
        return mirror

    def run_alone(self) -> None:
        """Run a try to its end, after the claims of all before it are dead."""
        self.clock.now += LIFETIME + 1
        last = Try(self, "the last", full_refresh=False)
        while not last.dead:
            last.switch()

    def race(self) -> None:
        """Run tries of one task and of the next run, a step at a time."""
        tries = [self._new_try("today")]
        runs = iter(["today", *self.random.choices(["today", "tomorrow"], k=self.random.randint(0, 3))])
        waiting = next(runs, None)
        favourite = tries[0]
        restless = self.random.choice([0.01, 0.05, 0.2])
        while live := [one for one in tries if not one.dead]:
            if waiting is not None and self.random.random() < 0.03:
                tries.append(self._new_try(waiting))
                waiting = next(runs, None)
                favourite = tries[-1]
                continue
            if self.random.random() < restless:
                favourite = self.random.choice(live)
            one = favourite if not favourite.dead else self.random.choice(live)
            if self.random.random() < 0.01:
                one.is_killed = True
            if self.random.random() < 0.05:
                self.clock.now += self.random.choice([0.3, LOOK_INTERVAL, 20.0, LIFETIME])
            one.switch()
        if waiting is not None:
            self._new_try(waiting)  # the source has changed

    def _new_try(self, owner: str) -> Try:
        if self.random.random() < 0.7:
            self.source = self.some_ids()
        return Try(self, owner, full_refresh=self.random.random() < 0.1)

    def ends_well(self) -> bool:
        """Return whether one more run makes everything right, after all others are quiet."""
        try:
            self.run_alone()
            self.race()
            self.batch.deliver(older_than=self.batch.commits + 1)
            self.run_alone()
        except SnapshotError:
            return False
        return self.batch.members == self.source


def wrong_schedules(seeds: range) -> Iterator[int]:
    for seed in seeds:
        names = random.Random(seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("secrets.token_hex", lambda size, names=names: names.randbytes(size).hex())
            if not World(seed).ends_well():
                yield seed


def test_after_all_are_quiet_one_more_run_makes_it_right() -> None:
    assert list(wrong_schedules(range(SCHEDULES))) == []


def without_echo(self: State, own: str, folder: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(sorted({own, *(one.name for one in self.unfinished)} | self.ignored)), ()


def overwritten(folder: Any, head: Head) -> None:
    folder.write(head.name, head.to_json())


def one_for_all(generation: int, nonce: str) -> str:
    return f"{generation:08d}.pending.gz"


@pytest.mark.parametrize(
    ("owner", "name", "mutant"),
    [
        (State, "settle", without_echo),
        (Claim, "look", lambda self: None),
        (snapshot, "commit", overwritten),
        (snapshot, "_pending_name", one_for_all),
    ],
)
def test_a_protocol_without_one_of_its_parts_is_found_out(
    owner: Any, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, mutant)
    assert next(wrong_schedules(range(4 * SCHEDULES)), None) is not None
