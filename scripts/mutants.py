"""
The floors below Airflow, changed in one small place after the other: does a test fail?

mutmut makes the changes (the mutants) and runs the tests that reach them, under mutants/, as pyproject.toml says. What
was killed is not tested again before its function changes, or `make clean`. Whatever survives has to be listed in
tests/survivors.toml: as equivalent, since it changes nothing that a caller could see, or as spared, since no test is
worth it. The score of a floor is the share that was killed of those that are not equivalent.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from mutmut.mutation.diff_apply import get_diff_for_mutant

ROOT: Final = Path(__file__).resolve().parent.parent
MUTANTS: Final = ROOT / "mutants"
LISTED: Final = ROOT / "tests" / "survivors.toml"
PACKAGE: Final = "airflow_provider_batch"

#: How the tests of a mutant end that they kill: by a failure, an error, or a signal after too much time.
KILLED: Final = (1, 3, -24)

#: The least share of a floor's mutants, but for the equivalent ones, that the tests have to kill.
LEAST: Final = 0.95


class Survivor(NamedTuple):
    """A change that no test notices: where, which lines, and what they become."""

    where: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"where = {self.where!r}\nwas = '''{self.was}'''\nbecomes = ['''{self.becomes}''']\n"


def run() -> None:
    """Let mutmut test those mutants that no test has killed yet, by the tests as they are now."""
    shutil.rmtree(MUTANTS / "tests", ignore_errors=True)
    (MUTANTS / "mutmut-stats.json").unlink(missing_ok=True)
    for meta in MUTANTS.rglob("*.py.meta"):
        kept = json.loads(meta.read_text())
        codes = kept["exit_code_by_key"]
        codes |= {name: None for name, code in codes.items() if code not in KILLED}
        meta.write_text(json.dumps(kept))
    subprocess.run(["mutmut", "run"], cwd=ROOT, check=True)


def outcomes() -> Iterator[tuple[Path, str, bool]]:
    """Give each mutant: its file, its name, and whether it was killed."""
    for meta in sorted(MUTANTS.rglob("*.py.meta")):
        for name, code in json.loads(meta.read_text())["exit_code_by_key"].items():
            yield meta.relative_to(MUTANTS).with_suffix(""), name, code in KILLED


def survivor(path: Path, name: str) -> Survivor:
    """Say what the mutant changes, without the number that mutmut gives it, which changes with the code around it."""
    changed = [line for line in get_diff_for_mutant(name, path=path).splitlines()[2:] if line[:1] in "+-"]
    was, becomes = ("\n".join(line[1:].strip() for line in changed if line[0] == sign) for sign in "-+")
    function = name.rpartition(".")[2].rpartition("__mutmut_")[0].removeprefix("x_").removeprefix("xǁ")
    return Survivor(f"{path.with_suffix('').relative_to(PACKAGE)}.{function.replace('ǁ', '.')}", was, becomes)


def listed(kind: str) -> set[Survivor]:
    """Read the survivors of one kind that are known."""
    entries: list[dict[str, Any]] = tomllib.loads(LISTED.read_text()).get(kind, [])
    return {Survivor(entry["where"], entry["was"], becomes) for entry in entries for becomes in entry["becomes"]}


def main() -> int:
    """Run, compare with the list, and print the scores."""
    os.chdir(ROOT)  # where mutmut looks for its settings
    run()
    equivalent, spared = listed("equivalent"), listed("spared")
    total: Counter[str] = Counter()
    alive: Counter[str] = Counter()
    found: set[Survivor] = set()
    for path, name, killed in outcomes():
        floor = path.parts[1]
        total[floor] += 1
        if killed:
            continue
        mutant = survivor(path, name)
        found.add(mutant)
        if mutant in equivalent:
            total[floor] -= 1
            continue
        alive[floor] += 1
        if mutant not in spared:
            print(f"# {name}\n{mutant}")
    for gone in sorted((equivalent | spared) - found):
        print(f"listed, but killed or gone: {gone}")
    for floor, number in sorted(total.items()):
        print(f"{floor:10} {number - alive[floor]:5,} of {number:5,} killed: {1 - alive[floor] / number:.1%}")
    unknown = found - equivalent - spared
    if unknown:
        print(f"{len(unknown)} survive and are not in {LISTED.relative_to(ROOT)}")
    return 1 if unknown or any(1 - alive[floor] / number < LEAST for floor, number in total.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
