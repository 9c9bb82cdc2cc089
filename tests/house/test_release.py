"""What `make test`, `make matrix` and `make release-check` go by."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import matrix
import pytest
import release_check
from matrix import LOWEST, ROOT, Python

import airflow_provider_batch

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def named(variable: str) -> list[str]:
    """The words that the Makefile gives *variable*."""
    (words,) = re.findall(rf"^{variable} [?:]= (.+)$", MAKEFILE, re.MULTILINE)
    return str(words).split()


@pytest.mark.parametrize("airflow", sorted({*named("OLDEST"), *named("NEWEST"), *named("AIRFLOWS")}))
def test_every_airflow_that_is_named_has_its_pins(airflow: str) -> None:
    expected = named("OLDEST")[0] if airflow == LOWEST else airflow
    assert f"apache-airflow=={expected}" in matrix.constraints(airflow).read_text("utf-8").splitlines()


def test_the_oldest_airflow_is_the_lowest_that_may_be_installed() -> None:
    (oldest,) = named("OLDEST")
    assert f"apache-airflow>={oldest}" in PYPROJECT["project"]["dependencies"]


def test_the_pythons_are_those_that_the_package_says_it_is_for() -> None:
    prefix = "Programming Language :: Python :: 3."
    classified = [name.rpartition(" ")[2] for name in PYPROJECT["project"]["classifiers"] if name.startswith(prefix)]
    assert named("PYTHONS") == [f"python{version}" for version in classified]
    assert PYPROJECT["project"]["requires-python"] == f">={classified[0]}"


def test_what_runs_beside_one_airflow_alone_is_checked_to_know_none() -> None:
    paths = [path.removesuffix(".py").replace("/", ".") for path in named("KNOW_NO_AIRFLOW")]
    assert paths in [contract.get("source_modules") for contract in PYPROJECT["tool"]["importlinter"]["contracts"]]


@pytest.mark.parametrize("package", ["duckdb", "h11", "hypothesis", "isal", "pytest", "starlette", "uvicorn"])
def test_what_it_uses_is_pinned_alike_for_both_airflows(package: str) -> None:
    newest, oldest = (
        re.findall(rf"^{package}==.*$", matrix.constraints(airflow).read_text("utf-8"), re.MULTILINE)
        for airflow in (*named("NEWEST"), *named("OLDEST"))
    )
    assert newest == oldest != []


@pytest.mark.parametrize(
    ("airflow", "python", "runs"),
    [
        ("2.11.2", "python3.12", True),
        ("2.11.2", "python3.13", False),
        ("3.0.6", "python3.13", False),
        ("3.1.8", "python3.13", True),
        ("3.1.8", "python3.14", False),
        ("3.2.2", "python3.14", True),
        (LOWEST, "python3.13", False),
    ],
)
def test_an_airflow_is_not_tried_on_what_it_is_not_for(airflow: str, python: str, runs: bool) -> None:
    assert matrix.is_for(airflow, Python(python, None)) is runs


def test_an_interpreter_that_is_not_there_is_skipped_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    absent = matrix.find("python3.99")
    assert absent == Python("python3.99", None)
    assert matrix.check("3.3.2", absent) == "skipped"
    assert "python3.99 is not installed" in capsys.readouterr().out


def test_an_interpreter_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    shim = tmp_path / "python3.98"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    installed = tmp_path / "versions" / "3.98.1" / "bin" / "python3.98"
    installed.parent.mkdir(parents=True)
    installed.symlink_to(sys.executable)
    assert matrix.find("python3.98").path == str(installed)


def test_the_table_has_a_line_for_each_airflow() -> None:
    pythons = [Python("python3.12", ""), Python("python3.13", None)]
    drawn = matrix.table(
        ["2.11.2", "3.3.2"],
        pythons,
        {
            ("2.11.2", "python3.12"): "passed",
            ("2.11.2", "python3.13"): "-",
            ("3.3.2", "python3.12"): "FAILED",
            ("3.3.2", "python3.13"): "skipped",
        },
    )
    assert [line.split() for line in drawn.splitlines()] == [
        ["Airflow", "python3.12", "python3.13"],
        ["2.11.2", "passed", "-"],
        ["3.3.2", "FAILED", "skipped"],
    ]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not under version control")
def test_the_version_stands_in_one_place_and_is_the_newest_in_the_changelog() -> None:
    assert release_check.the_version() == airflow_provider_batch.__version__


def test_what_should_not_be_released_is_named() -> None:
    with pytest.raises(release_check.Unfit, match=r"unexpected in .*: \['notes.txt'\]; missing: \['py.typed'\]"):
        release_check.compare("the wheel", {"a.py", "notes.txt"}, {"a.py", "py.typed"})


def test_a_file_that_was_forgotten_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / release_check.PACKAGE
    package.mkdir()
    (package / "old.py").touch()
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    release_check.check_tracked()

    (package / "new.py").touch()
    with pytest.raises(release_check.Unfit, match=r"not under version control: airflow_provider_batch/new\.py$"):
        release_check.check_tracked()


def test_every_module_that_is_named_to_airflow_is_imported() -> None:
    program = (
        f"{release_check.IMPORTS}\nimport sys; print(*(name for name in sys.modules if name.startswith('airflow_p')))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    named = set(re.findall(r"airflow_provider_batch(?:\.[a-z_]+)+", repr(airflow_provider_batch.get_provider_info())))
    assert {name for name in named if (ROOT / f"{name.replace('.', '/')}.py").exists()} <= set(run.stdout.split())
