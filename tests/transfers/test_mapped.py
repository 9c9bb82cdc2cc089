"""Mapped transfers: shards of one audience, and one audience each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, task_group

from airflow_provider_batch.operators.custom_audience import CustomAudienceMirrorOperator
from airflow_provider_batch.sandbox import Sandbox
from airflow_provider_batch.transfers.files_to_custom_audience import FilesToCustomAudienceOperator
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator
from tests.dags.running import rendered, run, stored, xcoms
from tests.transfers.conftest import Fill


@pytest.mark.usefixtures("airflow_db")
def test_transfers_can_be_mapped(
    warehouse: Fill, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse("id, shard, op", [(f"id-{number}", number % 2, "add") for number in range(10)])
    for name in ("a", "b"):
        (folder / f"{name}.txt").write_text(f"id-{name}\n")
    mirrored = {"mode": "mirror", "snapshot_path": str(tmp_path / "kept"), "poke_interval": 0.1}
    query = "SELECT id{0} FROM t WHERE shard = {1}"
    with Sandbox(["sharded", "changed", "filed", "one", "two", "first", "second"]) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        with DAG("mapped_transfers", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None) as dag:
            SqlToCustomAudienceOperator.partial(task_id="shards", conn_id="warehouse", audience_name="sharded").expand(
                sql=[query.format("", shard) for shard in (0, 1)]
            )
            SqlToCustomAudienceOperator.partial(
                task_id="changes",
                conn_id="warehouse",
                audience_name="changed",
                mode="actions",
                action_column="op",
                mapped_by="id",
            ).expand(sql=[query.format(", op", shard) for shard in (0, 1)])
            # What belongs together may come from either side.
            SqlToCustomAudienceOperator.partial(task_id="mirrors", conn_id="warehouse").expand_kwargs(
                [
                    {"sql": query.format("", shard), "audience_name": name, **mirrored}
                    for shard, name in enumerate(("one", "two"))
                ]
            )
            FilesToCustomAudienceOperator.partial(task_id="files", audience_name="filed").expand(
                path=[str(folder / "a.txt"), "{{ '" + str(folder) + "' }}/b.txt"]
            )
            CustomAudienceMirrorOperator.partial(
                task_id="lists", snapshot_path=str(tmp_path / "kept"), poke_interval=0.1
            ).expand_kwargs(
                [{"audience_name": "first", "ids": ["x-1"]}, {"audience_name": "second", "ids": ["x-2", "x-3"]}]
            )
        dag_run = run(dag)

        assert len(sandbox.members("sharded")) == len(sandbox.members("changed")) == 10
        assert [len(sandbox.members(name)) for name in ("one", "two", "first", "second", "filed")] == [5, 5, 1, 2, 2]
    assert len(xcoms(dag_run, "shards")["return_value"]) == 1
    everything = stored(dag_run, "shards", "changes", "mirrors", "files", "lists")
    assert "2 ids" in rendered(dag_run, "lists")
    for private in ("id-", "x-2"):
        assert private not in everything


@pytest.mark.usefixtures("airflow_db")
def test_each_shard_writes_its_own_rejected_rows(
    warehouse: Fill, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse("id, shard", [("id-1", 0), (None, 0), ("id-2", 1), (None, 1)])
    with Sandbox(["vip"]) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        with DAG("mapped_rejects", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None) as dag:
            common: dict[str, Any] = {"conn_id": "warehouse", "audience_name": "vip", "on_invalid_id": "skip"}
            SqlToCustomAudienceOperator.partial(
                task_id="own", rejects_path=f"{folder}/own-{{{{ ti.map_index }}}}.jsonl", **common
            ).expand(sql=[f"SELECT id FROM t WHERE shard = {shard}" for shard in (0, 1)])

            @task_group
            def shard(sql: str) -> None:
                path = f"{folder}/group-{{{{ ti.map_index }}}}.jsonl"
                SqlToCustomAudienceOperator(task_id="push", sql=sql, rejects_path=path, **common)

            shard.expand(sql=[f"SELECT id FROM t WHERE shard = {shard}" for shard in (0, 1)])
        run(dag)
        assert sandbox.members("vip") == {"id-1", "id-2"}
    written = sorted(path.name for path in folder.iterdir())
    assert written == ["group-0.jsonl", "group-1.jsonl", "own-0.jsonl", "own-1.jsonl"]
