"""Every block of code in README and docs/ is executed as it stands there; shell commands that build are only read."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]
from airflow.configuration import conf
from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from packaging.version import Version

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.sources.sql import SqlSource
from tests.docs.pages import PAGES, ROOT, Block, blocks, written_here
from tests.docs.running import run_dags
from tests.interpreter import python_m

BLOCKS = blocks()

Check = Callable[[str, Path], None]

#: What a workflow has at least: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax
WORKFLOW = {
    "required": ["name", "on", "permissions", "jobs"],
    "properties": {"jobs": {"additionalProperties": {"required": ["runs-on", "steps"]}}},
}

#: The pages' connections, each to an app or project of one sandbox.
APPS = {"default": "sandbox-app-key", "ios": "sandbox-ios", "android": "sandbox-android", "web": "sandbox-web"}
PROJECT = "project_sandbox"
AUDIENCES = ("vip", "newsletter")

#: What is in the pages' warehouse, and in their folder /data.
CUSTOMERS = (
    ("c-1", 250.0, "gold", "FR", "2026-01-31"),
    ("c-2", 120.5, "silver", "DE", "2026-01-31"),
    ("c-3", 20.0, None, "FR", "2026-01-31"),
)
CHANGES = (("c-1", "add", 1), ("c-2", "add", 2), ("c-1", "remove", 3))
FILES = {
    "members/part-1.csv": "customer;plan;visits\nc-1;café;12\nc-2;free;\n",
    "customers.csv": "customer_id,spent,subscribed\n0001,250,false\n0002,120.5,true\n0003,20,true\n",
}

#: What the log of the pages' mirror has: the day, an id, and what became of it.
LOG = (
    *((day, "customer-1", "+", "new") for day in (1, 3, 5, 7)),
    *((day, "customer-1", "-", "gone") for day in (2, 4, 6)),
    (7, "customer-2", "+", "new"),
    (7, None, "!", "the id is missing, empty or too long"),
)

#: Stands in for dbt: it builds the one model that the pages have.
DBT = """#!{python}
import sqlite3, sys
assert sys.argv[1:] == ["build", "--select", "big_spenders"]
with sqlite3.connect({database!r}) as database:
    database.execute("CREATE TABLE big_spenders AS SELECT customer_id FROM customers WHERE spent > 100")
"""


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A sandbox behind every connection that the pages name, and a warehouse."""
    database = warehouse(tmp_path)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": database}))
    put_dbt(tmp_path / "bin", database)
    monkeypatch.setenv("PATH", os.pathsep.join((str(tmp_path / "bin"), os.environ["PATH"])))
    # The tutorial's own folder is at home.
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "batch-tutorial").mkdir()
    shutil.copy(database, tmp_path / "batch-tutorial")
    with Sandbox(AUDIENCES, apps=APPS.values(), projects=(PROJECT,)) as sandbox:
        for name, key in {**APPS, "cep": PROJECT}.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_BATCH_{name.upper()}", sandbox.connection_json(key))
        yield sandbox


def warehouse(folder: Path) -> str:
    """Return the path of a database with the tables of the pages."""
    path = folder / "warehouse.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE customers (customer_id TEXT, spent REAL, plan TEXT, country TEXT, since TEXT)")
        database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", CUSTOMERS)
        database.execute("CREATE TABLE subscription_changes (customer_id TEXT, action TEXT, changed_at INTEGER)")
        database.executemany("INSERT INTO subscription_changes VALUES (?, ?, ?)", CHANGES)
    return str(path)


def put_dbt(folder: Path, database: str) -> None:
    """Put a command `dbt` into *folder*."""
    folder.mkdir()
    command = folder / "dbt"
    command.write_text(DBT.format(python=sys.executable, database=database))
    command.chmod(0o755)


def shell(script: str, **options: str) -> str:
    """Run *script* with this interpreter's commands first on the path; return what it prints."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, env={**os.environ, "PATH": path, **options}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(command: str, **options: str) -> str:
    """Run *command*, which begins with ``airflow`` or ``python -m``, maybe after a variable; return what it prints."""
    words = shlex.split(command.replace("\\\n", " "))
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        options[name] = value
    done = python_m(*(words if words[0] == "airflow" else words[2:]), **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_install(command: str, folder: Path) -> None:
    # What the pages install is installed already, so that no index is needed to see that names and extras exist.
    package, _, extras = command.removeprefix("pip install ").strip("'").partition("[")
    assert version(package if package != "." else "airflow-provider-batch")
    assert set(filter(None, extras.rstrip("]").split(","))) <= _extras()


def _extras() -> set[str]:
    return set(metadata("airflow-provider-batch").get_all("Provides-Extra") or ())


def check_sandbox(command: str, folder: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, *re.sub(r"--port \d+", "--port 0", command).split()[1:]], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        printed = [next(server.stdout)]
        while "AIRFLOW_CONN_BATCH_DEFAULT" not in printed[-1]:
            printed.append(next(server.stdout))
    finally:
        server.terminate()
        server.wait(timeout=20)


def check_status(command: str, folder: Path) -> None:
    BatchHook().mirror_custom_audience("vip", ["customer-1001"], snapshot_path=data_in(folder) / "batch-snapshots")
    printed = python(command.replace("/data", str(data_in(folder))))
    assert "customer-1001: in the last set" in printed


def check_inspected_tables(command: str, folder: Path) -> None:
    source = SqlSource(SqliteHook("warehouse"), "SELECT 'customer-1' AS id UNION ALL SELECT 'customer-1001'")
    BatchHook().mirror_custom_audience("vip", source, snapshot_schema="main", owner="docs")
    assert re.search("customer-1(001)?: in the last set, since generation 1, ", python(command))


def check_dropped_tables(command: str, folder: Path) -> None:
    warehouse = SqliteHook("warehouse")
    BatchHook().mirror_custom_audience(
        "vip", SqlSource(warehouse, "SELECT 'customer-1' AS id"), snapshot_schema="main", owner="docs"
    )
    ((head,),) = warehouse.get_records("SELECT name FROM sqlite_master WHERE name LIKE 'batch_vip_%_head'")
    name = head.removesuffix("_head")
    assert f"dropped all tables of main.{name}" in python(command.replace("batch_vip_1a2b3c4d", name))


def check_tables(command: str, folder: Path) -> None:
    environment = {"AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(folder / "empty.db")})}
    printed = python(command, **environment)
    assert "holds letters that differ in case" in printed
    assert "FAILS" not in printed


def check_export(command: str, folder: Path) -> None:
    (name,) = re.findall(r"AIRFLOW_CONN_(\w+)=", command)
    exported = shell(f'{command}\nprintf %s "$AIRFLOW_CONN_{name}"')
    if name.startswith("BATCH"):
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(f"AIRFLOW_CONN_{name}", exported)
            assert "YOUR_REST_API_KEY" in str(BatchHook(name.lower()).get_conn().headers)
    else:  # of something else, whose form is not ours
        assert json.loads(exported)["conn_type"]


def check_metrics(command: str, folder: Path) -> None:
    """Check that Airflow has these settings; the others are OpenTelemetry's own."""
    known = conf.configuration_description["metrics"]["options"]
    names = re.findall(r"^export (?:AIRFLOW__METRICS__|OTEL_)(\w+)=\S+$", command, re.MULTILINE)
    assert len(names) == len(command.splitlines())
    assert [name for name in names if f"METRICS__{name}=" in command and name.lower() not in known] == []


def check_command(command: str, folder: Path) -> None:
    python(command)


def check_dag(command: str, folder: Path) -> None:
    dag_id = command.split()[3]  # airflow dags test …
    assert any(block.language == "python" and f'"{dag_id}"' in block.code for block in BLOCKS)


def check_that_it_is_a_command(command: str, folder: Path) -> None:
    python(f"{command} --help")


def check_make(command: str, folder: Path) -> None:
    shell(command.replace("make ", "make --dry-run "))


#: What becomes of a command, by how it begins.
COMMANDS: dict[str, Check] = {
    "pip install ": check_install,
    "python -m airflow_provider_batch.sandbox": check_sandbox,
    "python -m airflow_provider_batch.mirror ": check_status,
    "python -m airflow_provider_batch.mirror.tables inspect ": check_inspected_tables,
    "python -m airflow_provider_batch.mirror.tables drop ": check_dropped_tables,
    "python -m airflow_provider_batch.mirror.tables ": check_tables,
    "export AIRFLOW_CONN_": check_export,
    "export AIRFLOW__METRICS__": check_metrics,
    "airflow dags test ": check_dag,
    "airflow dags unpause ": check_dag,
    "airflow dags trigger ": check_dag,
    "AIRFLOW__CORE__LOAD_EXAMPLES=False airflow standalone": check_that_it_is_a_command,
    "airflow db migrate": check_that_it_is_a_command,
    "airflow ": check_command,
    "AIRFLOW__CORE__TEST_CONNECTION=Enabled airflow ": check_command,
    "make ": check_make,
}


def check_shell(code: str, folder: Path) -> None:
    """Check one command after the other; those of more than one line end in a backslash or are one export."""
    commands = [code] if code.startswith("export") else re.split(r"(?<!\\)\n", code.rstrip("\n"))
    for command in commands:
        check = next(check for begins, check in COMMANDS.items() if command.startswith(begins))
        check(command, folder)


def data_in(folder: Path) -> Path:
    """Return the folder that the pages call /data."""
    for name, text in FILES.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1")
    return folder / "data"


def with_data(code: str, folder: Path) -> str:
    """Return *code* with this folder in place of /data."""
    return code.replace('"/data', f'"{data_in(folder)}')


def check_python(code: str, folder: Path) -> None:
    """Run a DAG, the tests of a test module, or anything else as it is."""
    code = with_data(code, folder)
    if re.search(r"^with DAG\(", code, re.MULTILINE):
        assert [str(dag_run.state) for dag_run in run_dags(code, folder)] == ["success"] * code.count("with DAG(")
    elif re.search(r"^pytest_plugins = |^def test_", code, re.MULTILINE):
        # On a page, conftest.py and the module of tests may be one block. Its name is its own: a name is imported once.
        module = folder / f"{folder.name}.py"
        module.write_text(code)
        ini = folder / "pytest.ini"
        ini.write_text("[pytest]\n")
        options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", str(ini), "--rootdir", str(folder)]
        assert pytest.main([*options, str(module)]) == pytest.ExitCode.OK
    else:
        exec(compile(code, "page", "exec"), {})


def check_json(code: str, folder: Path) -> None:
    """A block of JSON is a connection's extra, or a value that the code takes elsewhere."""
    json.loads(code)


def check_yaml(code: str, folder: Path) -> None:
    """A block of YAML is a workflow of a code host."""
    jsonschema.validate(yaml.load(code, yaml.BaseLoader), WORKFLOW)


def check_sql(code: str, folder: Path) -> None:
    """A block of SQL is a query of the log of a mirror in tables."""
    import duckdb

    with duckdb.connect(":memory:") as connection:
        connection.execute("CREATE SCHEMA analytics_batch")
        connection.execute(
            'CREATE TABLE analytics_batch.batch_vip_1a2b3c4d_log ("at" TIMESTAMP, run VARCHAR, id VARCHAR, op VARCHAR, '
            "why VARCHAR, changes VARCHAR)"
        )
        for day, id_, op, why in LOG:
            row = [f"2026-10-0{day} 09:00:00", "a run", id_, op, why, f"d{day}"]
            connection.execute("INSERT INTO analytics_batch.batch_vip_1a2b3c4d_log VALUES (?, ?, ?, ?, ?, ?)", row)
        assert connection.execute(code).fetchall()


LANGUAGES: dict[str, Check] = {
    "sql": check_sql,
    "shell": check_shell,
    "python": check_python,
    "json": check_json,
    "yaml": check_yaml,
}


@pytest.mark.usefixtures("airflow_db")
@pytest.mark.parametrize("block", {(each.code, each.then): each for each in BLOCKS}.values(), ids=str)
def test_a_block_does_what_it_says(block: Block, sandbox: Sandbox, tmp_path: Path) -> None:
    if block.since and Version(version("apache-airflow")) < Version(block.since):
        pytest.skip(f"needs Airflow {block.since}")
    LANGUAGES[block.language](block.code, tmp_path)

    if block.then:
        assert eval(block.then, {"sandbox": sandbox})


def test_no_page_has_code_that_is_not_run() -> None:
    pages = [written_here(page.read_text("utf-8")) for page in PAGES]
    fences = sum(len(re.findall(r"^ *```\w+$", page, re.MULTILINE)) for page in pages)
    texts = sum(page.count("\n```text\n") for page in pages)
    assert fences == len(BLOCKS) + texts


def test_no_command_is_left_without_a_page() -> None:
    shown = "\n".join(block.code for block in BLOCKS if block.language == "shell")
    assert [begins for begins in COMMANDS if begins not in shown] == []
