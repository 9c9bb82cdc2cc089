"""Every block of the README is executed as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_batch import get_provider_info
from airflow_provider_batch.sandbox import Sandbox

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)

Check = Callable[[str, Sandbox, Path], None]


def shell(script: str, **options: str) -> str:
    """Run *script* with this interpreter's commands first on the path; return what it prints."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, env={**os.environ, "PATH": path, **options}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_install(block: str, sandbox: Sandbox, folder: Path) -> None:
    # The package is installed already, so that no index is needed to see that its name and its extra exist.
    assert "already satisfied: airflow-provider-batch" in shell(block.splitlines()[0] + " --no-index")
    if len(block.splitlines()) > 1:
        check_sandbox(block.splitlines()[1], sandbox, folder)


def check_sandbox(command: str, sandbox: Sandbox, folder: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, *command.replace("--port 8000", "--port 0").split()[1:]], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        printed = [next(server.stdout)]
        while "AIRFLOW_CONN_BATCH_DEFAULT" not in printed[-1]:
            printed.append(next(server.stdout))
    finally:
        server.terminate()
        server.wait(timeout=20)


def check_export(block: str, sandbox: Sandbox, folder: Path) -> None:
    program = "from airflow_provider_batch.hooks.batch import BatchHook; print(BatchHook().get_conn().headers)"
    assert "YOUR_REST_API_KEY" in shell(f"{block}\npython -c '{program}'")


def check_connections_add(block: str, sandbox: Sandbox, folder: Path) -> None:
    assert "batch_default" in shell(f"{block}\nairflow connections list -o plain")


def check_pool(block: str, sandbox: Sandbox, folder: Path) -> None:
    assert "batch_api" in shell(f"{block}\nairflow pools list -o plain")


def check_dag(block: str, sandbox: Sandbox, folder: Path) -> None:
    (folder / "push_big_spenders.py").write_text(block)
    shell("airflow dags test push_big_spenders", AIRFLOW__CORE__DAGS_FOLDER=str(folder))
    assert sandbox.members("vip") == {"customer-1001", "customer-1002", "customer-1003"}


def check_hook(block: str, sandbox: Sandbox, folder: Path) -> None:
    exec(compile(block, "README.md", "exec"), {})
    assert len(sandbox.members("vip")) == 24_999


def check_fixture(block: str, sandbox: Sandbox, folder: Path) -> None:
    (folder / "test_segment.py").write_text(block)
    assert "1 passed" in shell(f"python -m pytest -q -p no:cacheprovider --rootdir {folder} {folder}/test_segment.py")


def check_make(block: str, sandbox: Sandbox, folder: Path) -> None:
    for line in block.splitlines():
        shell(line.replace("make ", "make --dry-run "))


#: What a block is, by its language and a word in it.
CHECKS: dict[tuple[str, str], Check] = {
    ("shell", "pip install"): check_install,
    ("shell", "export"): check_export,
    ("shell", "airflow connections add"): check_connections_add,
    ("shell", "airflow pools set"): check_pool,
    ("python", "with DAG("): check_dag,
    ("python", "hook = BatchHook()"): check_hook,
    ("python", "pytest_plugins"): check_fixture,
    ("shell", "make demo"): check_make,
}


@pytest.mark.usefixtures("airflow_db")
@pytest.mark.parametrize(("language", "block"), BLOCKS)
def test_a_block_does_what_it_says(language: str, block: str, batch_sandbox: Sandbox, tmp_path: Path) -> None:
    (check,) = (check for (kind, word), check in CHECKS.items() if kind == language and word in block)

    check(block, batch_sandbox, tmp_path)


def test_no_check_has_lost_its_block() -> None:
    for kind, word in CHECKS:
        assert any(kind == language and word in block for language, block in BLOCKS)


def test_the_readme_names_every_field_of_the_connection() -> None:
    fields = get_provider_info()["connection-types"][0]["conn-fields"]
    assert fields.keys() == set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE))


def test_every_file_that_the_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
