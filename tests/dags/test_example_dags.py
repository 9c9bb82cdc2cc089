"""Every example DAG runs on real Airflow against the sandbox."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import local_airflow
import pytest
from airflow.providers.common.compat.sdk import DAG, BaseHook

from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.sandbox.errors import UnknownAudience
from tests.conftest import EXAMPLE_DAGS
from tests.dags.running import rendered, stored, xcoms

APPS = ("sandbox-ios", "sandbox-android", "sandbox-web")
PROJECT = "project_sandbox"

pytestmark = pytest.mark.usefixtures("airflow_db")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that takes a moment to index, with one connection for each app and one for a project."""
    with Sandbox(audiences=("vip", "newsletter"), apps=APPS, indexing_delay=0.5) as sandbox:
        for app in APPS:
            name = app.removeprefix("sandbox-")
            monkeypatch.setenv(f"AIRFLOW_CONN_BATCH_{name.upper()}", sandbox.connection_json(app))
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json(APPS[0]))
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", sandbox.connection_json(PROJECT))
        yield sandbox


@pytest.fixture
def segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of segments; beside it the connection ``warehouse`` to a table of 100 customers."""
    database = tmp_path / "warehouse.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE customers (number INTEGER, customer_id TEXT, spent INTEGER)")
        rows = ((number, f"customer-{number:04d}", 10 * number) for number in range(100))
        connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows)
    connection.close()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(database)}))
    folder = tmp_path / "segments"
    folder.mkdir()
    return folder


def load(path: Path, dag_id: str | None = None) -> Any:
    """Return the one DAG in *path*, or that of several which is called *dag_id*."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dags = [value for value in vars(module).values() if isinstance(value, DAG)]
    (dag,) = (dag for dag in dags if dag_id in (None, dag.dag_id))
    return dag


def run(name: str, dag_id: str | None = None, **conf: str) -> Any:
    """Run the DAG in the file *name* and return its DAG run, which has succeeded."""
    dag_run = load(EXAMPLE_DAGS / f"{name}.py", dag_id).test(run_conf=conf)
    assert str(dag_run.state) == "success", {ti.task_id: ti.state for ti in dag_run.get_task_instances()}
    return dag_run


def activate_assets(name: str) -> None:
    """Let Airflow read the DAG file *name* as its scheduler does, where DAG runs alone leave its assets inactive."""
    if hasattr(DAG, "bulk_write_to_db"):  # Airflow 2
        DAG.bulk_write_to_db([load(EXAMPLE_DAGS / f"{name}.py", name)])
    elif version("apache-airflow").startswith("3.0."):
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.models.dagbag import DagBag

        DagBundlesManager().sync_bundles_to_db()
        bag: Any = DagBag(EXAMPLE_DAGS / f"{name}.py", include_examples=False)
        bag.sync_to_db("dags-folder", None)


def xcom(dag_run: Any, task: str) -> Any:
    """What *task* returned."""
    (ti,) = (ti for ti in dag_run.get_task_instances() if ti.task_id == task)
    return ti.xcom_pull(task_ids=task)


def test_no_example_is_left_out() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_example")}
    assert tested == {path.stem for path in EXAMPLE_DAGS.glob("*.py")}


def test_example_custom_audience_update(sandbox: Sandbox) -> None:
    run("example_custom_audience_update")

    assert sandbox.members("vip", APPS[0]) == {"customer-1001", "customer-1002", "customer-1003"}


def test_example_custom_audience_wait(sandbox: Sandbox) -> None:
    run("example_custom_audience_wait")

    assert sandbox.members("newsletter", APPS[0]) == {"customer-2001", "customer-2002"}


def test_example_custom_audience_apps(sandbox: Sandbox) -> None:
    run("example_custom_audience_apps")

    for app in APPS:
        assert sandbox.members("vip", app) == {"customer-1001", "customer-1002", "customer-1003"}


@pytest.mark.parametrize("key", [APPS[0], PROJECT], ids=["mep", "cep"])
def test_example_custom_audience_lifecycle(key: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same DAG on both platforms: the connection says which."""
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json(key))
    dag_run = run("example_custom_audience_lifecycle")

    listed = xcom(dag_run, "audiences")
    assert [audience["name"] for audience in listed] == ["winners", "newsletter", "vip"]
    winners = listed[0]
    assert (winners["type"], winners["description"], winners["nb_ids"]) == ("custom_ids", "Winners of the week", 3)
    assert xcom(dag_run, "indexed")["nb_ids"] == 3
    with pytest.raises(UnknownAudience):
        sandbox.audience("winners", key)


def test_example_custom_audience_platforms(sandbox: Sandbox) -> None:
    run("example_custom_audience_platforms")

    for key in (APPS[0], PROJECT):
        assert sandbox.members("vip", key) == {"customer-1001", "customer-1002", "customer-1003"}


def test_example_custom_audience_install_ids(sandbox: Sandbox) -> None:
    run("example_custom_audience_install_ids")

    assert sandbox.audience("lapsed-installs", APPS[0]).type == "install_ids"
    assert sandbox.attributes("lapsed-installs", APPS[0]) == {
        "4b1f6f4e-0d3e-4d53-8cb5-6dd3ad3f6a11": {
            "attributes": {"plan": "gold", "visits": 12, "date(last_visit)": "2026-10-31T09:30:00"},
            "tags": ["lapsed", "ios"],
        },
        "9a1f30f0-6f5b-4f8a-9a57-0f6d1c1f7c22": {"attributes": {"plan": "free"}, "tags": []},
    }


def test_example_custom_audience_asset(sandbox: Sandbox) -> None:
    """The counts and the state of each audience arrive in the DAG that follows them."""
    name = "example_custom_audience_asset"
    activate_assets(name)
    run(name, name)
    campaign = run(name, f"{name}_campaign")

    (task,) = campaign.get_task_instances()
    assert task.xcom_pull(task_ids="start_campaign") == 3


def test_example_custom_audience_shards(sandbox: Sandbox, segments: Path) -> None:
    for name in ("europe-1", "europe-2", "asia-1"):
        with gzip.open(segments / f"{name}.csv.gz", "wt") as file:
            file.write(f"customer_id\npartner-{name}\n")
    with closing(sqlite3.connect(segments.parent / "warehouse.sqlite")) as connection, connection:
        rows = [(-number, f"customer-minus-{number}", 101) for number in range(1, 5)]
        connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows)
    dag_run = run("example_custom_audience_shards", folder=str(segments))

    spent_more_than_100 = {f"customer-{number:04d}" for number in range(11, 100)}
    # What a signed hash gives as well: -3 % 4 is -3.
    with_negative_numbers = {f"customer-minus-{number}" for number in range(1, 5)}
    partners = {"partner-europe-1", "partner-europe-2", "partner-asia-1"}
    assert sandbox.members("vip", APPS[0]) == spent_more_than_100 | with_negative_numbers | partners
    assert sum(call.method == "PATCH" for call in sandbox.calls) == 6
    assert xcom(dag_run, "indexed")["nb_ids"] == 96


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The warehouse and the files that `make airflow` has, in a folder of their own."""
    local_airflow.put_sources(tmp_path)
    with Sandbox() as any_sandbox:
        env = local_airflow.environment(tmp_path, EXAMPLE_DAGS, any_sandbox)
    for name in (
        "AIRFLOW_CONN_WAREHOUSE",
        "AIRFLOW_VAR_SEGMENTS",
        "AIRFLOW_VAR_BATCH_SNAPSHOTS",
        "AIRFLOW_VAR_BATCH_RESULTS",
    ):
        monkeypatch.setenv(name, env[name])
    return tmp_path


def test_example_custom_audience_sql_mirror(sandbox: Sandbox, sources: Path) -> None:
    """The second run sends what the warehouse has changed since the first, and nothing else."""
    run("example_custom_audience_sql_mirror")
    assert sandbox.members("vip", APPS[0]) == {f"customer-{number:04d}" for number in range(11, 26)}

    with closing(sqlite3.connect(sources / "warehouse.db")) as warehouse, warehouse:
        warehouse.execute("UPDATE customers SET spent = 0 WHERE customer_id = 'customer-0011'")
        warehouse.execute("UPDATE customers SET spent = 500 WHERE customer_id = 'customer-0001'")
    calls = len(sandbox.calls)
    run("example_custom_audience_sql_mirror")
    members = {"customer-0001", *(f"customer-{number:04d}" for number in range(12, 26))}
    assert sandbox.members("vip", APPS[0]) == members
    assert sum(call.elements for call in sandbox.calls[calls:]) == 2


def test_example_custom_audience_files(sandbox: Sandbox, sources: Path) -> None:
    (sources / "segments" / "part-3.csv.gz").write_bytes(gzip.compress(b'customer_id\n""\n' + b"customer-9999\n" * 200))
    dag_run = run("example_custom_audience_files")

    expected = {"customer-9999", *(f"customer-{number:04d}" for number in range(10, 30))}
    assert sandbox.members("vip", APPS[0]) == expected
    assert len(xcom(dag_run, "push")) == 1
    rejected = (sources / "segments" / "rejected.jsonl").read_text()
    assert "part-3.csv.gz, line 2" in rejected


def test_example_custom_audience_taskflow(sandbox: Sandbox) -> None:
    dag_run = run("example_custom_audience_taskflow")

    assert len(sandbox.members("vip", APPS[0])) == 25
    assert "customer-" not in stored(dag_run, "lottery_winners")


def lines(folder: Path) -> list[dict[str, Any]]:
    """What the files in *folder* have."""
    return [
        json.loads(line)
        for path in sorted(folder.iterdir())
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]


def test_example_profiles_export(sandbox: Sandbox, sources: Path) -> None:
    sandbox.export_records([{"custom_id": "customer-1001"}, {"custom_id": "customer-1002"}], PROJECT)
    dag_run = run("example_profiles_export")

    paths = xcom(dag_run, "export")
    (day,) = (sources / "results" / "profiles").iterdir()
    assert [Path(path.removeprefix("file://")) for path in paths] == [day / "attributes-00001.jsonl.gz"]
    assert lines(day) == [{"custom_id": "customer-1001"}, {"custom_id": "customer-1002"}]
    assert "customer-1001" not in stored(dag_run, "export")


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_example_statistics(
    database: str, sandbox: Sandbox, sources: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A second run replaces the rows of the first."""
    if database == "postgres":
        request.getfixturevalue("postgres").run("DROP TABLE IF EXISTS orchestration_stats")
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", os.environ["AIRFLOW_CONN_POSTGRES_DEFAULT"])
    for _ in range(2):
        dag_run = run("example_statistics")
    warehouse: Any = BaseHook.get_connection("warehouse").get_hook()
    rows = warehouse.get_records("SELECT id, date, version, sent, all_fields FROM orchestration_stats")
    (path,) = (sources / "results" / "statistics").iterdir()
    found = lines(path.parent)
    assert sorted((row["id"], row["date"], str(row["version"]), row["sent"]) for row in found) == sorted(
        (key, date, str(version), sent) for key, date, version, sent, _ in rows
    )
    assert all(json.loads(row[4]) in found for row in rows)
    assert xcom(dag_run, "load") == len(rows) == 7 * (3 + 2)


def test_example_campaign_statistics(sandbox: Sandbox, sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for app in APPS[:2]:
        connection = {**json.loads(sandbox.connection_json(app)), "extra": {"requests_per_second": 100}}
        monkeypatch.setenv(f"AIRFLOW_CONN_BATCH_{app.removeprefix('sandbox-').upper()}", json.dumps(connection))
    run("example_campaign_statistics")

    for app in ("ios", "android"):
        assert len(lines(sources / "results" / "campaigns" / app)) == 3
        assert [row["group_id"] for row in lines(sources / "results" / "transactional" / app)] == ["welcome", "receipt"]


def test_example_profiles_update(sandbox: Sandbox) -> None:
    dag_run = run("example_profiles_update")

    assert sandbox.profiles() == {
        "customer-1001": {"plan": "gold", "date(renewal)": "2026-12-31T00:00:00Z", "interests": ["sport"]},
        "customer-1002": {"plan": "free", "interests": ["sport"]},
    }
    assert xcom(dag_run, "interests")["accepted"] == 2
    assert "customer-1001" not in repr(xcoms(dag_run, "interests")) + rendered(dag_run, "interests")
    assert "2 profiles" in rendered(dag_run, "plans_to_batch")


def test_example_profiles_warehouse(sandbox: Sandbox, segments: Path) -> None:
    activate_assets("example_profiles_warehouse")
    snapshots = segments.parent / "snapshots"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_VAR_BATCH_SNAPSHOTS", str(snapshots))
        first = run("example_profiles_warehouse", "example_profiles_warehouse")
        with closing(sqlite3.connect(segments.parent / "warehouse.sqlite")) as database, database:
            database.execute("UPDATE customers SET spent = 600 WHERE number = 7")
        second = run("example_profiles_warehouse", "example_profiles_warehouse")
        run("example_profiles_warehouse", "example_profiles_warehouse_campaign")

    assert xcom(first, "attributes")["accepted"] == 100
    changed = xcom(second, "attributes")
    assert (changed["accepted"], changed["unchanged"]) == (1, 99)
    assert sandbox.profiles()["customer-0007"] == {"spent_in_euro": 600, "plan": "gold"}
    assert "customer-0007" in sandbox.members("vip", PROJECT)
    assert len(sandbox.members("vip", PROJECT)) == 50
