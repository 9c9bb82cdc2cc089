"""
One pytest for all mutants: it collects the tests once, and forks a process for each mutant.

mutmut starts pytest anew for each mutant, and gives all tests that reach it a try in no order: with some thousand
mutants that takes days. Here a mutant costs a fork and its tests, the quickest first, until one fails: those of its
floor, and then all others that reach it. One that is listed has its reason to survive, and meets the first only.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import hypothesis
import pytest
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils.format_utils import mangled_name_from_mutant_name

#: Fixtures that take longer to start than all tests of a mutant should take.
SERVERS: Final = {"airflow_db", "ended", "mariadb_server", "postgres_server", "s3_server", "whole_airflow"}

#: How a mutant ends, in mutmut's numbers: a test failed or none, there was none, or it did not end.
KILLED, SURVIVED, UNTESTED, TIMEOUT = 1, 0, 33, 36


class Mutant(NamedTuple):
    """A change: its name, its floor, and whether it is listed."""

    name: str
    floor: str
    listed: bool


class Reach(NamedTuple):
    """Which tests reach which function, and how many seconds each test takes."""

    tests: dict[str, list[str]]
    seconds: dict[str, float]

    def of(self, mutant: Mutant) -> list[str]:
        """Say which tests a mutant has to meet, and in which order."""
        tests = self.tests.get(mangled_name_from_mutant_name(mutant.name), ())
        near = {test: test.startswith(f"tests/{mutant.floor}/") for test in tests}
        return sorted(
            (test for test in tests if near[test] or not mutant.listed),
            key=lambda test: (not near[test], self.seconds[test]),
        )


class Trials:
    """A plugin of pytest: where its loop over the tests was, one over the mutants."""

    def __init__(self, mutants: Iterable[Mutant], record: Callable[[Mutant, int], None]) -> None:
        """
        Take what is to be tried.

        :param mutants: the changes
        :param record: is told how each of them ended
        """
        self.mutants = mutants
        self.record = record
        self.failed = False
        self.running: dict[int, tuple[Mutant, str]] = {}

    def pytest_configure(self) -> None:
        """Let property tests stop at the first counterexample, and keep none for the next mutant."""
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", phases=phases, database=None, deadline=None)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """See a test fail."""
        self.failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Try every mutant, as many at a time as there are processors."""
        if session.testsfailed:  # a module of tests could not be imported: pytest says so
            return None
        items = {i.nodeid: i for i in session.items if SERVERS.isdisjoint(getattr(i, "fixturenames", ()))}
        gc.freeze()  # the processes share what is here now
        reach = self._reach(items)
        for mutant in self.mutants:
            tests = reach.of(mutant)
            if not tests:
                self.record(mutant, UNTESTED)
                continue
            if len(self.running) == os.cpu_count():
                self._end()
            folder = tempfile.mkdtemp()
            child = os.fork()
            if not child:
                self._try(mutant.name, {items[test]: reach.seconds[test] for test in tests}, folder)
            self.running[child] = mutant, folder
        while self.running:
            self._end()
        return True

    def _reach(self, items: dict[str, pytest.Item]) -> Reach:
        """Run all tests once, without any change, and see what each of them calls."""
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
        try:
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
            os._exit(self.failed or not file.stat().st_size)

    def _try(self, name: str, tests: dict[pytest.Item, float], folder: str) -> None:
        """Be the process of a mutant: run its tests until one fails, or takes so long that it will not end."""
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            os.environ["PYTEST_DEBUG_TEMPROOT"] = folder  # where tmp_path is
            set_mutant_under_test(name)
            for item, following in pairwise([*tests, None]):
                assert item
                signal.setitimer(signal.ITIMER_REAL, 5 + 10 * tests[item])
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.failed:
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
        shutil.rmtree(folder, ignore_errors=True)
        code = os.waitstatus_to_exitcode(status)
        self.record(mutant, TIMEOUT if code == -signal.SIGALRM else KILLED if code else SURVIVED)
