"""
One pytest for all mutants: it collects the tests once, and forks a process for each mutant.

mutmut starts pytest anew for each mutant, and gives the tests that reach it a try in no order: with some thousand
mutants that takes days. Here a mutant costs a fork and its tests until one fails: first those that killed others of the
same function, then the quickest.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import hypothesis
import pytest
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils.format_utils import mangled_name_from_mutant_name

#: Fixtures that take longer to start than all tests of a mutant should take.
SERVERS: Final = {"airflow_db", "ended", "gcs", "mariadb_server", "postgres_server", "s3_server", "whole_airflow"}

#: How a mutant ends, in mutmut's numbers: a test failed or none, there was none, or it did not end.
KILLED, SURVIVED, UNTESTED, TIMEOUT = 1, 0, 33, 36


class Reach(NamedTuple):
    """Which tests reach which function, and how many seconds each test takes."""

    tests: dict[str, list[str]]
    seconds: dict[str, float]

    def of(self, function: str, killers: Counter[str], most: float) -> dict[str, float]:
        """Say which tests meet a mutant: first what killed others, then the quickest, in so many seconds in all."""
        tests = sorted(self.tests.get(function, ()), key=lambda test: (-killers[test], self.seconds[test]))
        so_far = accumulate(self.seconds[test] for test in tests)
        return {test: self.seconds[test] for test, took in zip(tests, so_far, strict=True) if took <= most}


def _needed(item: pytest.Item) -> set[str]:
    """Return the fixtures of a test, with a server that it asks for as it runs, by which such tests are grouped."""
    groups = {group for mark in item.iter_markers("xdist_group") for group in mark.args}
    return {*getattr(item, "fixturenames", ()), *groups}


def quiet() -> None:
    """Print nothing more in this process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)


class Trials:
    """A plugin of pytest: where its loop over the tests was, one over the mutants."""

    def __init__(self, mutants: list[str], record: Callable[[str, int], None], seconds: float) -> None:
        """
        Take what is to be tried.

        :param mutants: their names
        :param record: is told how each of them ended
        :param seconds: the most that the tests of one may take
        """
        self.mutants = mutants
        self.record = record
        self.seconds = seconds
        self.failures: list[str] = []
        self.killers: dict[str, Counter[str]] = defaultdict(Counter)
        self.running: dict[int, tuple[str, str]] = {}

    def pytest_configure(self) -> None:
        """Let property tests stop at the first counterexample, and keep none for the next mutant."""
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", phases=phases, database=None, deadline=None)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """See a test fail."""
        if report.failed:
            self.failures.append(report.longreprtext)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Try every mutant, as many at a time as there are processors."""
        if session.testsfailed:  # a module of tests could not be imported: pytest says so
            return None
        gc.freeze()  # the processes share what is here now
        items = {item.nodeid: item for item in session.items if SERVERS.isdisjoint(_needed(item))}
        reach = self._reach(items)
        seconds = sum(reach.seconds.values())
        found = f"{len(self.mutants):,} mutants, {len(items):,} tests, which take {seconds:.0f} s"
        print(found, file=sys.__stdout__, flush=True)
        for mutant in self.mutants:
            function = mangled_name_from_mutant_name(mutant)
            tests = reach.of(function, self.killers[function], self.seconds)
            if not tests:
                self.record(mutant, UNTESTED)
                continue
            if len(self.running) == os.cpu_count():
                self._end()
            folder = tempfile.mkdtemp()
            child = os.fork()
            if not child:
                self._try(mutant, {items[test]: seconds for test, seconds in tests.items()}, folder)
            self.running[child] = mutant, folder
        while self.running:
            self._end()
        return True

    def _reach(self, items: dict[str, pytest.Item]) -> Reach:
        """Run tests once, without any change, and see what each of them calls."""
        with tempfile.NamedTemporaryFile("r") as file:
            child = os.fork()
            if not child:
                self._watch(list(items.values()), Path(file.name))
            if os.waitpid(child, 0)[1]:
                pytest.exit("a test fails without any change", returncode=1)
            return Reach(**json.load(file))

    def _watch(self, items: list[pytest.Item], file: Path) -> None:
        """Be the process that runs all tests."""
        tests: dict[str, list[str]] = defaultdict(list)
        seconds: dict[str, float] = {}
        set_mutant_under_test("stats")
        told = os.fdopen(os.dup(1), "w")
        try:
            quiet()
            for item, following in pairwise([*items, None]):
                assert item
                began = time.monotonic()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                seconds[item.nodeid] = time.monotonic() - began
                for function in state()._stats:
                    tests[function].append(item.nodeid)
                state()._stats.clear()
            file.write_text(json.dumps({"tests": tests, "seconds": seconds}))
        finally:
            print(*self.failures, sep="\n", file=told, flush=True)
            os._exit(bool(self.failures) or not file.stat().st_size)

    def _try(self, mutant: str, tests: dict[pytest.Item, float], folder: str) -> None:
        """Be the process of a mutant: run its tests until one fails, or takes so long that it will not end."""
        try:
            os.setsid()
            quiet()
            os.environ["PYTEST_DEBUG_TEMPROOT"] = folder  # where tmp_path is
            set_mutant_under_test(mutant)
            for item, following in pairwise([*tests, None]):
                assert item
                signal.setitimer(signal.ITIMER_REAL, 5 + 10 * tests[item])
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.failures:
                    Path(folder, "killer").write_text(item.nodeid)
                    os._exit(KILLED)
            os._exit(SURVIVED)
        finally:
            os._exit(KILLED)

    def _end(self) -> None:
        """Wait for one of the processes, and remove what its tests have left behind."""
        child, status = os.wait()
        mutant, folder = self.running.pop(child)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with suppress(FileNotFoundError):
            self.killers[mangled_name_from_mutant_name(mutant)][Path(folder, "killer").read_text()] += 1
        shutil.rmtree(folder, ignore_errors=True)
        code = os.waitstatus_to_exitcode(status)
        self.record(mutant, TIMEOUT if code == -signal.SIGALRM else KILLED if code else SURVIVED)
