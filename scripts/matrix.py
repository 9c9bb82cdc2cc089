"""
The unit tests, and the example DAGs run by Airflow itself, on every Airflow and Python that the package is made for.

Each combination in an environment of its own under .venv-matrix/, installed from constraints/; as many at a time as
--jobs says.
A whole Airflow (`airflow_server`), the README's blocks and the longest push are left to `make test`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final, Literal

ROOT: Final = Path(__file__).resolve().parent.parent
ENVIRONMENTS: Final = ROOT / ".venv-matrix"

#: The pins that stand for the lowest version of everything that pyproject.toml names; the lowest Airflow among them.
LOWEST: Final = "lowest"

#: What came after these is not for them, as their own metadata says; later versions of Airflow run on all of ours.
NEWEST_PYTHON: Final = {"2.11": (3, 12), "3.0": (3, 12), LOWEST: (3, 12)}

TESTS: Final = (
    *("-m", "not airflow_server and not browser and not cluster"),
    *(f"--ignore=tests/{left_out}" for left_out in ("browser", "cluster", "docs", "faults/test_many_faults.py")),
)

Outcome = Literal["passed", "FAILED", "skipped", "-"]


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter: the name it was asked for by, and where it is, if it is anywhere."""

    name: str
    path: str | None

    @property
    def version(self) -> tuple[int, ...]:
        """What its name says: `python3.12` is (3, 12)."""
        return tuple(int(part) for part in self.name.removeprefix("python").split("."))


def find(name: str) -> Python:
    """Look for the interpreter *name* on the path, then where pyenv installs what its shims do not show."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [shutil.which(name), *sorted(map(str, pyenv.glob(f"versions/*/bin/{name}")), reverse=True)]
    return Python(name, next((place for place in places if place and runs(place)), None))


def runs(place: str) -> bool:
    """Whether it starts: a shim may not."""
    return subprocess.run([place, "-c", ""], stderr=subprocess.DEVNULL, check=False).returncode == 0


def constraints(airflow: str) -> Path:
    """Return where the pins of *airflow* are kept; *airflow* is a version, or `lowest`."""
    return ROOT / "constraints" / (f"{LOWEST}.txt" if airflow == LOWEST else f"airflow-{airflow}.txt")


def is_for(airflow: str, python: Python) -> bool:
    """Whether *airflow* runs on *python* at all."""
    newest = NEWEST_PYTHON.get(airflow if airflow == LOWEST else ".".join(airflow.split(".")[:2]))
    return newest is None or python.version <= newest


def check(airflow: str, python: Python) -> Outcome:
    """Install *airflow* and this package for *python*, and run the tests."""
    label = f"Airflow {airflow}, {python.name}"
    if not is_for(airflow, python):
        return "-"
    if python.path is None:
        say(f"{label}: skipped, as there is no {python.name} here: PYTHONS=… names what there is")
        return "skipped"
    say(f"{label}: installing")
    began = time.monotonic()
    folder = ENVIRONMENTS / f"airflow-{airflow}-{python.name}"
    log = folder.with_suffix(folder.suffix + ".log")
    ENVIRONMENTS.mkdir(exist_ok=True)
    with log.open("wb") as output:
        steps = [
            *installation(airflow, python.path, folder),
            [str(folder / "bin/python"), "-m", "pytest", "-q", *TESTS],
        ]
        for step in steps:
            if step is steps[-1]:
                say(f"{label}: testing")
            if subprocess.run(step, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False).returncode:
                break
        else:
            say(f"{label}: passed in {time.monotonic() - began:.0f} s")
            return "passed"
    print(*log.read_text(errors="replace").splitlines()[-40:], sep="\n")
    say(f"{label}: FAILED after {time.monotonic() - began:.0f} s; all of it is in {log.relative_to(ROOT)}")
    return "FAILED"


def installation(airflow: str, python: str, folder: Path) -> list[list[str]]:
    """Return the commands that make the environment *folder*; the pins are complete, so uv has nothing to choose."""
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", "--python", str(folder), "--no-deps"]
    return [
        [uv, "venv", "--quiet", "--clear", "--python", python, str(folder)],
        [*install, "--requirement", str(constraints(airflow))],
        [*install, "--no-build-isolation", "--editable", "."],
    ]


def table(airflows: Iterable[str], pythons: Sequence[Python], outcomes: dict[tuple[str, str], Outcome]) -> str:
    """Return the outcomes, a line for each version of Airflow."""
    rows = [["Airflow", *(python.name for python in pythons)]]
    rows += [[airflow, *(outcomes[airflow, python.name] for python in pythons)] for airflow in airflows]
    return "\n".join("  ".join(f"{cell:10}" for cell in row).rstrip() for row in rows)


def say(text: str) -> None:
    """Tell what is going on."""
    print(f"==> {text}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--airflow", nargs="+", required=True, help="versions with pins in constraints/, or `lowest`")
    parser.add_argument("--python", nargs="+", required=True, help="interpreters, such as python3.12")
    parser.add_argument("--jobs", type=int, default=2, help="combinations at a time (default: 2)")
    options = parser.parse_args()
    pythons = [find(name) for name in options.python]
    combinations = list(product(options.airflow, pythons))
    with ThreadPoolExecutor(options.jobs) as jobs:
        done = jobs.map(check, *zip(*combinations, strict=True))
        outcomes = {(airflow, python.name): next(done) for airflow, python in combinations}
    print(table(options.airflow, pythons, outcomes))
    if "FAILED" in outcomes.values() or "passed" not in outcomes.values():
        sys.exit(1)


if __name__ == "__main__":
    main()
