"""
The floors below Airflow, changed in one small place after the other: does a test fail?

mutmut makes the changes (the mutants), in a copy of the package under mutants/; trials.py runs the tests that reach
them. What was killed is not tested again before its function changes, or `make clean`. Whatever survives has to be
listed in tests/survivors.toml: as equivalent, since it changes nothing that a caller could see, or as spared, since no
test is worth it. The score of a floor is the share that was killed of those that are not equivalent.

    python scripts/mutants.py [push mirror/tables ...]
"""

from __future__ import annotations

import io
import os
import random
import shutil
import sys
import tomllib
from collections import Counter, defaultdict
from contextlib import redirect_stdout
from multiprocessing import Process
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from mutmut.__main__ import create_mutants
from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir, setup_source_paths, walk_mutatable_files
from trials import KILLED, SURVIVED, TIMEOUT, UNTESTED, Trials

ROOT: Final = Path(__file__).resolve().parent.parent
MUTANTS: Final = ROOT / "mutants"
LISTED: Final = ROOT / "tests" / "survivors.toml"
PACKAGE: Final = "airflow_provider_batch"

#: What there is to say about those that do not survive.
ENDS: Final = {KILLED: "killed", TIMEOUT: "out of time", None: "not tried"}

#: Seconds of tests that a mutant meets: first of those on its floor, and if it survives without being listed, of all.
NEAR: Final = 10.0
ALL: Final = 60.0

#: The least share of a floor's mutants, but for the equivalent ones, that the tests have to kill.
LEAST: Final = 0.95


class Survivor(NamedTuple):
    """A change that no test notices: where, which lines, and what they become."""

    where: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"where = {self.where!r}\nwas = '''{self.was}'''\nbecomes = ['''{self.becomes}''']\n"


def make(wanted: tuple[str, ...]) -> list[SourceFileMutationData]:
    """Write the mutants and the tests as they are now, and read how the mutants of each file ended the last time."""
    shutil.rmtree(MUTANTS / "tests", ignore_errors=True)
    MUTANTS.mkdir(exist_ok=True)
    with redirect_stdout(io.StringIO()):
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(os.cpu_count() or 1)
    setup_source_paths()
    files = [
        SourceFileMutationData(path=path)
        for path in sorted(walk_mutatable_files())
        if str(path.relative_to(PACKAGE)).startswith(wanted)
    ]
    for file in files:
        file.load()
        for name, code in file.exit_code_by_key.items():
            file.exit_code_by_key[name] = code if code in (KILLED, TIMEOUT) else None
    return files


def run(files: list[SourceFileMutationData], mutants: set[str], tests: list[str], seconds: float) -> None:
    """
    Try mutants with some tests, in an order of chance: a run that is stopped is a sample.

    :param seconds: the most that the tests of one mutant may take.
    """
    home = {name: file for file in files for name in file.exit_code_by_key if name in mutants}
    order = sorted(home)
    random.Random(0).shuffle(order)

    def record(mutant: str, code: int) -> None:
        codes = home[mutant].exit_code_by_key
        if code != UNTESTED or codes[mutant] is None:
            codes[mutant] = code
            home[mutant].save()

    def pytest_of_its_own() -> None:
        for file in files:
            file.meta_path = file.meta_path.absolute()
        os.chdir(MUTANTS)
        settings = ["--rootdir=.", "-q", "--capture=sys", "--disable-warnings", *config().pytest_add_cli_args]
        pytest.main([*settings, *tests], plugins=[Trials(order, record, seconds)])

    if order:
        process = Process(target=pytest_of_its_own)
        process.start()
        process.join()
        for file in files:
            file.load()


def floor(file: SourceFileMutationData) -> str:
    """Say on which floor a file is."""
    return Path(file.path).parts[1]


def where(path: Path | str, name: str) -> str:
    """Say which function a mutant changes."""
    function = name.rpartition(".")[2].rpartition("__mutmut_")[0].removeprefix("x_").removeprefix("xǁ")
    return f"{Path(path).with_suffix('').relative_to(PACKAGE)}.{function.replace('ǁ', '.')}"


def listed(kind: str) -> set[Survivor]:
    """Read the survivors of one kind that are known."""
    entries: list[dict[str, Any]] = tomllib.loads(LISTED.read_text()).get(kind, [])
    return {Survivor(entry["where"], entry["was"], becomes) for entry in entries for becomes in entry["becomes"]}


def survivor(path: Path | str, name: str) -> Survivor:
    """Say what the mutant changes, without the number that mutmut gives it, which changes with the code around it."""
    changed = [line for line in get_diff_for_mutant(name, path=path).splitlines()[2:] if line[:1] in "+-"]
    was, becomes = ("\n".join(line[1:].strip() for line in changed if line[0] == sign) for sign in "-+")
    return Survivor(where(path, name), was, becomes)


def unlisted(files: list[SourceFileMutationData]) -> set[str]:
    """Name the mutants that survive without being listed."""
    known = listed("equivalent") | listed("spared")
    return {
        name
        for file in files
        for name, code in file.exit_code_by_key.items()
        if code in (SURVIVED, UNTESTED) and survivor(file.path, name) not in known
    }


def score(files: list[SourceFileMutationData], wanted: tuple[str, ...]) -> bool:
    """Compare what survives with the list, print the scores, and say whether all is well."""
    kinds = {kind: listed(kind) for kind in ("equivalent", "spared")}
    scores: dict[str, Counter[str]] = defaultdict(Counter)
    found: set[Survivor] = set()
    for file in files:
        for name, code in file.exit_code_by_key.items():
            if code in ENDS:
                scores[floor(file)][ENDS[code]] += 1
                continue
            mutant = survivor(file.path, name)
            found.add(mutant)
            kind = next((kind for kind, mutants in kinds.items() if mutant in mutants), "unknown")
            scores[floor(file)][kind] += 1
            if kind == "unknown":
                print(f"# {name}{', which no test reaches' if code == UNTESTED else ''}\n{mutant}")
    if not any(ends["not tried"] for ends in scores.values()):
        for gone in sorted(each for each in set().union(*kinds.values()) - found if each.where.startswith(wanted)):
            print(f"listed, but killed or gone: {gone}")
    shares = {}
    for name, ends in scores.items():
        killed = ends["killed"] + ends["out of time"]
        shares[name] = killed / ((killed + ends["spared"] + ends["unknown"]) or 1)
        print(f"{name:10}{shares[name]:6.1%} killed; " + ", ".join(f"{ends[end]:,} {end}" for end in sorted(ends)))
    return min(shares.values()) >= LEAST and not any(ends["unknown"] or ends["not tried"] for ends in scores.values())


def main() -> int:
    """
    Make the mutants of the whole package or of some paths in it, try them, and score them.

    First they meet the quickest tests of their floor. Only what survives these, and is not listed, meets all tests.
    """
    os.chdir(ROOT)  # where mutmut looks for its settings
    wanted = tuple(sys.argv[1:]) or ("",)
    files = make(wanted)
    for name in sorted(set(map(floor, files))):
        here = [file for file in files if floor(file) == name]
        left = {mutant for file in here for mutant, code in file.exit_code_by_key.items() if code is None}
        run(here, left, [f"tests/{name}"], NEAR)
        run(here, unlisted(here), config().pytest_add_cli_args_test_selection, ALL)
    return not score(files, wanted)


if __name__ == "__main__":
    sys.exit(main())
