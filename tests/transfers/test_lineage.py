"""What a transfer tells OpenLineage of its source; tests/dags/test_lineage.py has whole events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_batch.transfers.files_to_custom_audience import FilesToCustomAudienceOperator
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator


def query(sql: str, parameters: Any = None, conn_id: str = "postgres_default") -> SqlToCustomAudienceOperator:
    return SqlToCustomAudienceOperator(
        task_id="push", audience_name="vip", conn_id=conn_id, sql=sql, parameters=parameters
    )


def inputs(operator: Any) -> list[tuple[str, str]]:
    told = operator.get_openlineage_facets_on_complete(None)
    assert [(output.namespace, output.name) for output in told.outputs] == [("batch://batch_default", "vip")]
    return [(dataset.namespace, dataset.name) for dataset in told.inputs]


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT id FROM customers", None),
        ("SELECT id FROM customers WHERE number % 4 = 1", None),
        ("SELECT id FROM customers WHERE name LIKE '100%s'", None),
        ("SELECT id FROM customers WHERE number %% 4 = %(shard)s", {"shard": 1}),
        ("SELECT id FROM customers WHERE day >= %(day)s::date AND name LIKE 'a%%'", {"day": "2026-01-01"}),
        ("SELECT id FROM customers WHERE number IN (%s, %s)", [1, 2]),
    ],
)
def test_the_tables_of_a_query_are_told_whatever_its_parameters(postgres: Any, sql: str, parameters: Any) -> None:
    ((_, name),) = inputs(query(sql, parameters))
    assert name == "postgres.public.customers"


def test_a_question_mark_is_a_parameter_where_the_driver_takes_it_for_one(
    postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(postgres), "placeholder", "?")
    ((_, name),) = inputs(query("SELECT id FROM customers WHERE number = ?", [1]))
    assert name == "postgres.public.customers"


def test_a_database_that_knows_no_lineage_has_none(sqlite: Any) -> None:
    assert inputs(query("SELECT id FROM customers", conn_id="sqlite_default")) == []


def test_a_database_that_does_not_answer_leaves_the_audience(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    nowhere = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "crm", "password": "pg-secret"}
    monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", json.dumps(nowhere))
    assert inputs(query("SELECT id FROM customers", conn_id="nowhere")) == []
    assert inputs(query("SELECT id FROM customers", conn_id="not_there")) == []
    logged = told()
    assert "lineage: the source of the ids is unknown" in logged
    assert "pg-secret" not in logged


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/segments/*.csv", ("file", "/data/segments/*.csv")),
        ("file:///data/vip.txt", ("file", "/data/vip.txt")),
        ("s3://crm/segments/part-*.csv.gz", ("s3://crm", "segments/part-*.csv.gz")),
        ("s3://my_conn@crm/vip.txt", ("s3://crm", "vip.txt")),
        ("s3://crm", ("s3://crm", "/")),
    ],
)
def test_a_path_is_told_as_it_was_given(path: str, expected: tuple[str, str]) -> None:
    operator = FilesToCustomAudienceOperator(task_id="push", audience_name="vip", path=path, format="txt")
    assert inputs(operator) == [expected]
