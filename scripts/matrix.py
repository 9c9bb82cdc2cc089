"""
Run the unit tests and the example DAGs on every Airflow and Python that the package supports.

Each combination has its own environment under .venv-matrix/, installed from constraints/; --jobs sets how many run at
once. Three slow parts run in `make test` only: a complete Airflow (`airflow_server`), the code blocks of the
documentation, and the longest push.
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

#: The name of the pins with the lowest versions that pyproject.toml allows, Airflow's included.
LOWEST: Final = "lowest"

#: The newest Python that these versions of Airflow support, by their metadata; later versions run on all of PYTHONS.
NEWEST_PYTHON: Final = {"2.11": (3, 12), "3.0": (3, 12), "3.1": (3, 13), LOWEST: (3, 12)}

TESTS: Final = (
    *("-m", "not airflow_server and not browser and not cluster"),
    *(f"--ignore=tests/{left_out}" for left_out in ("browser", "cluster", "docs", "faults/test_many_faults.py")),
)

Outcome = Literal["passed", "FAILED", "skipped", "-"]


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter: its requested name, and its path if it was found."""

    name: str
    path: str | None

    @property
    def version(self) -> tuple[int, ...]:
        """The version in its name: `python3.12` is (3, 12)."""
        return tuple(int(part) for part in self.name.removeprefix("python").split("."))


def find(name: str) -> Python:
    """Look for the interpreter *name* on the path, then in pyenv's versions, which its shims may not offer."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [shutil.which(name), *sorted(map(str, pyenv.glob(f"versions/*/bin/{name}")), reverse=True)]
    return Python(name, next((place for place in places if place and runs(place)), None))


def runs(place: str) -> bool:
    """Whether the interpreter at *place* starts; a shim may not."""
    return subprocess.run([place, "-c", ""], stderr=subprocess.DEVNULL, check=False).returncode == 0


def constraints(airflow: str) -> Path:
    """Return the file with the pins of *airflow*, which is a version or `lowest`."""
    return ROOT / "constraints" / (f"{LOWEST}.txt" if airflow == LOWEST else f"airflow-{airflow}.txt")


def is_for(airflow: str, python: Python) -> bool:
    """Whether *airflow* supports *python*."""
    newest = NEWEST_PYTHON.get(airflow if airflow == LOWEST else ".".join(airflow.split(".")[:2]))
    return newest is None or python.version <= newest


def check(airflow: str, python: Python) -> Outcome:
    """Install *airflow* and this package for *python*, and run the tests."""
    label = f"Airflow {airflow}, {python.name}"
    if not is_for(airflow, python):
        return "-"
    if python.path is None:
        say(f"{label}: skipped, because {python.name} is not installed; pass the installed ones as PYTHONS=…")
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
    say(f"{label}: FAILED after {time.monotonic() - began:.0f} s; the complete log is {log.relative_to(ROOT)}")
    return "FAILED"


def installation(airflow: str, python: str, folder: Path) -> list[list[str]]:
    """Return the commands that create the environment *folder*; the pins are complete, so uv resolves nothing."""
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", "--python", str(folder), "--no-deps"]
    return [
        [uv, "venv", "--quiet", "--clear", "--python", python, str(folder)],
        [*install, "--requirement", str(constraints(airflow))],
        [*install, "--no-build-isolation", "--editable", "."],
    ]


def table(airflows: Iterable[str], pythons: Sequence[Python], outcomes: dict[tuple[str, str], Outcome]) -> str:
    """Return the outcomes as a table, with one line per version of Airflow."""
    rows = [["Airflow", *(python.name for python in pythons)]]
    rows += [[airflow, *(outcomes[airflow, python.name] for python in pythons)] for airflow in airflows]
    return "\n".join("  ".join(f"{cell:10}" for cell in row).rstrip() for row in rows)


def say(text: str) -> None:
    """Print a line about the progress."""
    print(f"==> {text}", flush=True)


def main() -> None:
    """Check the combinations that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--airflow", nargs="+", required=True, help="versions with pins in constraints/, or `lowest`")
    parser.add_argument("--python", nargs="+", required=True, help="interpreters, such as python3.12")
    parser.add_argument("--jobs", type=int, default=2, help="combinations that run at once (default: 2)")
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
