"""
Two processes that mirror one audience at the same time, over a real PostgreSQL, for many rounds.

In each round, either may be killed at a moment of its run, or stop at one and go on once the other has ended; both may
be tries of one task, or of two; the claim of the first may have expired; a call may fail; and the source changes in
between. Whatever happened, the next run makes the audience right.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import pytest
from urllib3.connectionpool import HTTPConnectionPool

from airflow_provider_batch.exceptions import BatchError, MirrorConflictError
from airflow_provider_batch.hooks import mirrors
from airflow_provider_batch.hooks.stores import table_mirror
from airflow_provider_batch.mirror.claim import LIFETIME
from airflow_provider_batch.mirror.tables import plan
from airflow_provider_batch.sandbox import Fault, Sandbox
from tests.connections import connect_once
from tests.mirror.mortal import Lives, mortal
from tests.mirror.stores import Connections, Mortal
from tests.mirror.test_tables import fill, mirror, ours
from tests.mirror.test_tables_kills import INVALID, check_log
from tests.mirror.test_tables_tries import members

#: More with RACE_ROUNDS=…
ROUNDS: Final = int(os.environ.get("RACE_ROUNDS", "100"))
IDS: Final = [f"id-{number}" for number in range(8)]
#: More moments than a run has.
MOST: Final = 160
#: Seconds for which a run waits for one that may have stopped in a transaction.
PATIENCE: Final = 0.2

FAULTS: Final = (Fault(503), Fault(503, after_write=True), Fault(reset=True, after_write=True))


FAILURES: Final = {"BatchServerError", "BatchConnectionError"}


@dataclass(frozen=True)
class Job:
    """
    One run of a worker.

    :param now: its clock, seconds from that of this machine.
    :param fate: which signal it sends itself, and at which moment; None for none.
    """

    owner: str
    now: float
    fate: tuple[int, signal.Signals] | None = None
    look_interval: float = 0.0


class Fate(Lives):
    """Sends this very process a signal at one moment."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.fate[0] if job.fate else None)
        self._signal = job.fate[1] if job.fate else signal.SIGCONT

    def take(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self._signal)


def run(connections: Any, source: Connections, job: Job) -> str:
    """Return how it ended."""
    clock = lambda: time.time() + job.now  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirrors, "table_mirror", partial(table_mirror, clock=clock))
        patch.setattr(plan, "LOOK_INTERVAL", job.look_interval)
        try:
            mirror(
                source,
                hook=connections,
                chunk_size=2,
                max_concurrency=1,
                on_invalid_id="skip",
                allow_empty=True,
                keep_changes=3650,
                indexing_timeout=20,
                owner=job.owner,
            )
        except MirrorConflictError:
            return "conflict"
        except BatchError as error:
            return type(error).__name__
    return "committed"


def work(connections: Connections, commands: Connection) -> None:
    """Do one job after the other."""
    urlopen = HTTPConnectionPool.urlopen
    while (job := commands.recv()) is not None:
        fate = Fate(job)
        HTTPConnectionPool.urlopen = mortal(urlopen, fate)  # type: ignore[method-assign]
        commands.send(run(Mortal(connections, fate), connections, job))
    os._exit(0)


class Worker:
    """A process that lives until it is killed; then another one takes its place."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._process: Any = None

    def start(self, job: Job) -> None:
        if self._process is None or not self._process.is_alive():
            self._commands, theirs = multiprocessing.Pipe()
            process = multiprocessing.get_context("fork").Process(target=work, args=(self._connections, theirs))
            process.start()
            theirs.close()
            self._process = process
        self._commands.send(job)

    def waits(self, seconds: float) -> bool:
        """Whether it has not ended after so many seconds."""
        return not self._commands.poll(seconds)

    def outcome(self) -> str:
        """Let it go on if it has stopped, and return how its run ended."""
        while self.waits(0.01):
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGCONT)
        try:
            return str(self._commands.recv())
        except (EOFError, ConnectionResetError):
            self._process.join(60)
            assert self._process.exitcode == -signal.SIGKILL
            return "killed"

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(60)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(["vip"]) as sandbox:
        connect_once(sandbox, monkeypatch)
        yield sandbox


@pytest.fixture
def workers(tables_in_postgresql: Connections, sandbox: Sandbox) -> Iterator[list[Worker]]:
    both = [Worker(tables_in_postgresql) for _ in range(2)]
    yield both
    for worker in both:
        worker.end()


def jobs(chance: random.Random, number: int) -> list[Job]:
    """What both do in one round."""
    now = 4 * LIFETIME * number
    owners = ["today", chance.choice(["today", "tomorrow"])]
    later = [now, now + chance.choice([0.0, LIFETIME + 1])]
    signals = [[None, signal.SIGKILL, signal.SIGSTOP, signal.SIGSTOP], [None, None, None, signal.SIGKILL]]
    fates = [chance.choice(each) for each in signals]
    return [
        Job(owner, at, (chance.randrange(1, MOST), fate) if fate else None, chance.choice([0.0, plan.LOOK_INTERVAL]))
        for owner, at, fate in zip(owners, later, fates, strict=True)
    ]


def test_of_two_that_race_none_does_harm_for_good(
    tables_in_postgresql: Connections, sandbox: Sandbox, workers: list[Worker]
) -> None:
    connections, chance = tables_in_postgresql, random.Random(15)
    fill(connections, [])
    outcomes: Counter[tuple[str, ...]] = Counter()
    for number in range(1, ROUNDS + 1):
        members(connections, [*chance.sample(IDS, chance.randrange(1, len(IDS))), INVALID])
        if chance.random() < 0.2:
            sandbox.faults(*[None] * chance.randrange(4), chance.choice(FAULTS))
        first, second = jobs(chance, number)
        workers[0].start(first)
        if first.fate and chance.random() < 0.5:
            workers[0].waits(PATIENCE)  # until it has ended, or will not before it is sent on
            members(connections, [*chance.sample(IDS, chance.randrange(1, len(IDS))), INVALID])
        workers[1].start(second)
        workers[1].waits(PATIENCE)
        outcomes[workers[0].outcome(), workers[1].outcome()] += 1
        now = sorted(chance.sample(IDS, chance.randrange(1, len(IDS))))
        members(connections, [*now, INVALID])
        third = Job("the day after", second.now + 2 * LIFETIME)
        endings = [run(connections, connections, third)]
        while endings[-1] != "committed":  # it met a fault that was left
            endings.append(run(connections, connections, third))
        assert {*endings[:-1]} <= FAILURES
        assert sandbox.members("vip") == {*now}, (number, first, second, outcomes)
    check_log(connections)
    assert ours(connections)[-2:] == ["head", "log"]
    # Neither of them gets stuck, and they did get in each other's way.
    known = {"committed", "conflict", "killed", *FAILURES}
    assert {each for pair in outcomes for each in pair} <= known
    assert sum(count for pair, count in outcomes.items() if "conflict" in pair) > ROUNDS / 10
