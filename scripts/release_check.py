"""
Build a release into dist/, and check it: `make release-check`.

The checks: the version is written in one place only; two builds are identical, byte for byte; the package index accepts
the metadata; the builds contain nothing but the package; and an Airflow without any of the extras can install the wheel
and shows the provider.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from matrix import ROOT, constraints, find, is_for, say

PACKAGE: Final = "airflow_provider_batch"
DISTRIBUTION: Final = "airflow-provider-batch"
TWINE: Final = "twine==7.0.0"

#: The files of every wheel besides the package.
DIST_INFO: Final = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}

#: Imports every module that the provider declares to Airflow; none of them needs an extra.
IMPORTS: Final = """
import importlib, airflow_provider_batch
declared = airflow_provider_batch.get_provider_info()
modules = {entry["python-module"] for entry in declared["transfers"]}
for part in ("hooks", "operators", "sensors", "triggers"):
    modules.update(*(entry["python-modules"] for entry in declared[part]))
named = [*declared["extra-links"], *(entry["class-name"] for entry in declared["task-decorators"])]
named += [entry[part] for entry in declared["asset-uris"] for part in entry if part != "schemes"]
for module in sorted(modules | {path.rpartition(".")[0] for path in named}):
    importlib.import_module(module)
"""

UV: Final = str(Path(sys.executable).with_name("uv"))


class Unfit(Exception):
    """The build is not fit for a release; the message gives the reason."""


def main() -> None:
    """Build and check the release."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--airflow", nargs="+", required=True, help="versions with pins in constraints/")
    parser.add_argument("--python", nargs="+", required=True, help="interpreters, such as python3.12")
    options = parser.parse_args()
    try:
        version = the_version()
        say(f"{DISTRIBUTION} {version} is the newest version in CHANGELOG.md")
        check_tracked()
        built = build_twice()
        check_metadata(built)
        check_contents(built, version)
        for airflow in options.airflow:
            check_on(airflow, options.python, built[f"{PACKAGE}-{version}-py3-none-any.whl"], version)
    except Unfit as unfit:
        sys.exit(f"==> not fit for a release: {unfit}")
    say(f"fit for a release: {', '.join(str(path.relative_to(ROOT)) for path in built.values())}")


def the_version() -> str:
    """Return the version; fail if it is written outside the package, or is not the newest heading of CHANGELOG.md."""
    (version,) = re.findall(
        r'^__version__ = "(.+)"$', (ROOT / PACKAGE / "__init__.py").read_text("utf-8"), re.MULTILINE
    )
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    if headings[:1] != [version]:
        raise Unfit(f"the version is {version}, but the newest heading of CHANGELOG.md is {headings[:1]}")
    # Left out: the changelog and the benchmarks name versions on purpose, and constraints/ those of other packages.
    elsewhere = [path for path in tracked() if path.suffix in {".py", ".toml", ".md"} and path.name != "CHANGELOG.md"]
    elsewhere = [path for path in elsewhere if path.parts[0] not in {"benchmarks", "constraints", "tests"}]
    written = re.compile(rf"(?<![\d.]){re.escape(version)}(?![\d.]*\d)")
    places = [str(path) for path in elsewhere if written.search((ROOT / path).read_text("utf-8"))]
    if places != [f"{PACKAGE}/__init__.py"]:
        raise Unfit(f"the version is written in {', '.join(places)}; keep it in one place only")
    return str(version)


def check_tracked() -> None:
    """Fail if files of the package are not under version control: the builds would not contain them."""
    if forgotten := listed("--others", "--exclude-standard", PACKAGE):
        raise Unfit(f"not under version control: {', '.join(map(str, forgotten))}")


def tracked() -> list[Path]:
    """Return the files under version control, relative to the root."""
    return listed()


def listed(*options: str) -> list[Path]:
    """Return the files that git lists and that exist."""
    command = ["git", "ls-files", "-z", *options]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in names.split("\0") if name and (ROOT / name).exists()]


def build_twice() -> dict[str, Path]:
    """
    Build into dist/, and return the built files by name.

    Fail if a second build in another folder, of newer files with other permissions, differs.
    """
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="release-check-") as elsewhere:
        again = build(Path(elsewhere, "a-longer-name"), group_may_write=True)
        once = build(Path(elsewhere, "first"), group_may_write=False)
        differing = [name for name in once.keys() | again.keys() if once.get(name) != again.get(name)]
        if differing or len(once) != 2:
            raise Unfit(f"two builds differ in {', '.join(differing)}" if differing else "a build lacks a file")
    dist.mkdir()
    for name, content in once.items():
        (dist / name).write_bytes(content)
        say(f"{name}: {len(content):,} bytes, identical in both builds")
    return {name: dist / name for name in sorted(once)}


def build(folder: Path, *, group_may_write: bool) -> dict[str, bytes]:
    """Copy the files under version control to *folder*, and return the source distribution and wheel built there."""
    for path in tracked():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
        (folder / path).chmod(0o664 if group_may_write else 0o644)
    committed_at = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    env = {**os.environ, "SOURCE_DATE_EPOCH": committed_at.stdout.strip()}
    run(UV, "build", "--quiet", "--no-build-isolation", "--python", sys.executable, str(folder), env=env)
    return {path.name: path.read_bytes() for path in (folder / "dist").iterdir() if path.suffix in {".gz", ".whl"}}


def check_metadata(built: Mapping[str, Path]) -> None:
    """Check with twine that the package index accepts the metadata and can render the README."""
    run(UV, "tool", "run", "--quiet", "--from", TWINE, "twine", "check", "--strict", *map(str, built.values()))
    say("twine: passed")


def check_contents(built: Mapping[str, Path], version: str) -> None:
    """Check that the wheel holds the package and its metadata, and the source distribution all tracked files."""
    name = f"{PACKAGE}-{version}"
    package = {str(path) for path in tracked() if path.parts[0] == PACKAGE}
    if lacking := {f"{PACKAGE}/py.typed", f"{PACKAGE}/sandbox/page.html"} - package:
        raise Unfit(f"not under version control: {', '.join(sorted(lacking))}")
    with zipfile.ZipFile(built[f"{name}-py3-none-any.whl"]) as wheel:
        compare("the wheel", set(wheel.namelist()), package | {f"{name}.dist-info/{part}" for part in DIST_INFO})
    with tarfile.open(built[f"{name}.tar.gz"]) as source:
        held = {member.name.partition("/")[2] for member in source.getmembers() if member.isfile()}
    compare("the source distribution", held, {str(path) for path in tracked()} | {"PKG-INFO"})
    say("wheel and source distribution contain the expected files, and nothing else")


def compare(what: str, held: set[str], expected: set[str]) -> None:
    """Fail if *what* does not contain exactly *expected*."""
    if held != expected:
        too_much, lacking = sorted(held - expected), sorted(expected - held)
        raise Unfit(f"unexpected in {what}: {too_much}; missing: {lacking}")


def check_on(airflow: str, pythons: list[str], wheel: Path, version: str) -> None:
    """Install *wheel* with *airflow* and without any extra, and check that Airflow shows the provider."""
    found = [python for python in map(find, pythons) if python.path is not None and is_for(airflow, python)]
    if not found:
        raise Unfit(
            f"Airflow {airflow} runs on none of {', '.join(pythons)} here; pass the installed ones as PYTHONS=…"
        )
    with tempfile.TemporaryDirectory(prefix="release-check-") as home:
        folder = Path(home, "environment")
        run(UV, "venv", "--quiet", "--python", str(found[-1].path), str(folder))
        install = (UV, "pip", "install", "--quiet", "--python", str(folder), "--constraints", str(constraints(airflow)))
        run(*install, f"apache-airflow=={airflow}", str(wheel))
        run(UV, "pip", "check", "--quiet", "--python", str(folder))
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHONPATH"))}
        env |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONWARNINGS": "ignore"}
        python = str(folder / "bin" / "python")
        run(python, "-c", IMPORTS, env=env, cwd=home)
        shown = run(python, "-m", "airflow", "providers", "list", "--output", "json", env=env, cwd=home)
    providers = json.loads(shown[shown.index("[{") :])
    ours = [provider["version"] for provider in providers if provider["package_name"] == DISTRIBUTION]
    if ours != [version]:
        raise Unfit(f"Airflow {airflow} does not show the provider in this version: {ours}")
    say(f"Airflow {airflow}, {found[-1].name}: installed, and the provider is shown")


def run(*command: str, env: Mapping[str, str] | None = None, cwd: str | Path = ROOT) -> str:
    """Run *command* and return its standard output."""
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unfit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
