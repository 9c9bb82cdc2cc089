"""From queries to audiences, through the operator as a worker runs it."""

from __future__ import annotations

import importlib.abc
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException

from airflow_provider_batch.exceptions import (
    BatchServerError,
    InvalidArgumentError,
    InvalidMemberError,
    SourceError,
    SourceUnavailableError,
    TooManyRejectedError,
)
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.transfers.sql_to_custom_audience import SqlToCustomAudienceOperator
from tests.transfers.conftest import Fill
from tests.worker import Store, TaskInstance, next_try

DOWN = Fault(503, headers={"Retry-After": "0"})
PROJECT = "project_sandbox"


def push(**arguments: Any) -> SqlToCustomAudienceOperator:
    given = {"task_id": "push", "sql": "SELECT id FROM t", "conn_id": "warehouse", "audience_name": "vip", **arguments}
    return SqlToCustomAudienceOperator(**given)


def failure(operator: SqlToCustomAudienceOperator, context: Any) -> BaseException:
    """Why the task fails for good."""
    with pytest.raises(AirflowFailException) as caught:
        operator.execute(context)
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


@pytest.fixture(params=["batch_default", "batch_cep"])
def conn(request: pytest.FixtureRequest, batch_sandbox: Sandbox) -> Any:
    """A connection of each platform, and its key in the sandbox."""
    return request.param, PROJECT if request.param == "batch_cep" else None


# The modes


def test_add_and_remove(conn: Any, batch_sandbox: Sandbox, warehouse: Fill, context: Any, ti: TaskInstance) -> None:
    conn_id, key = conn
    warehouse("id", [("a",), ("b",), ("b",), ("c",)])
    assert len(push(batch_conn_id=conn_id).execute(context)) == 1
    assert batch_sandbox.members("vip", key) == {"a", "b", "c"}
    assert (ti.pushed["summary"]["added"], ti.pushed["summary"]["duplicates"]) == (3, 1)

    push(sql="SELECT id FROM t WHERE id <> 'a'", batch_conn_id=conn_id, mode="remove").execute(context)
    assert batch_sandbox.members("vip", key) == {"a"}


def test_actions(conn: Any, batch_sandbox: Sandbox, warehouse: Fill, context: Any, ti: TaskInstance) -> None:
    conn_id, key = conn
    # The last one of an id counts, however they are spelled.
    warehouse("id, op", [("a", "add"), ("b", "ADD"), ("c", "remove"), ("b", "Remove"), ("c", "add ")])
    push(sql="SELECT * FROM t", batch_conn_id=conn_id, mode="actions", action_column="op").execute(context)
    assert batch_sandbox.members("vip", key) == {"a", "c"}
    summary = ti.pushed["summary"]
    assert (summary["added"], summary["removed"], summary["duplicates"]) == (2, 1, 2)


def test_an_action_that_is_none_is_named_by_its_row(batch_sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    warehouse("id, op", [("a", "add"), ("secret-1", "delete")])
    error = failure(push(sql="SELECT * FROM t", mode="actions", action_column="op"), context)
    assert str(error).startswith("vip: changes[1] (row 2 of the query): the action is neither 'add' nor 'remove'.")
    assert batch_sandbox.calls == []


def test_replace(conn: Any, batch_sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    conn_id, key = conn
    warehouse("id", [(f"old-{number}",) for number in range(4)])
    push(batch_conn_id=conn_id).execute(context)
    warehouse("id", [("a",), ("b",), ("c",)])
    tokens = push(batch_conn_id=conn_id, mode="replace", chunk_size=2, max_shrink=0.5).execute(context)
    assert len(tokens) == 2
    assert batch_sandbox.members("vip", key) == {"a", "b", "c"}


@pytest.fixture(params=["folder", "tables"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Where a mirror keeps its snapshot: in a folder, or in the query's database."""
    kept = {"snapshot_path": str(tmp_path / "kept")} if request.param == "folder" else {"snapshot_schema": "main"}
    return {"mode": "mirror", "poke_interval": 0.1, **kept}


def test_mirror(
    conn: Any, batch_sandbox: Sandbox, warehouse: Fill, context: Any, place: dict[str, Any], told: Callable[[], str]
) -> None:
    conn_id, key = conn
    sent = []
    for members in ("ac", "abc", "bcd", "bcd"):
        warehouse("id", members)
        mirror = push(batch_conn_id=conn_id, on_drift="fail", **place)
        mirror.execute(context)
        assert batch_sandbox.members("vip", key) == set(members)
        summary = context["ti"].pushed["summary"]
        sent.append((summary["added"], summary["removed"], summary["unchanged"], summary["members"]))
    assert sent == [(2, 0, 0, 2), (1, 0, 2, 3), (1, 1, 2, 3), (0, 0, 3, 3)]
    assert sum(call.elements for call in batch_sandbox.calls) == 5
    # Each run has noted that its writes are indexed, so that the next one does not wait for them.
    assert "waiting until the writes of the last run" not in told()


def test_a_mirror_of_a_sorted_query(batch_sandbox: Sandbox, warehouse: Fill, context: Any, tmp_path: Path) -> None:
    warehouse("id", [("b",), ("a",)])
    arguments = {"mode": "mirror", "snapshot_path": str(tmp_path / "kept"), "is_sorted": True, "poke_interval": 0.1}
    error = failure(push(**arguments), context)
    assert isinstance(error, InvalidMemberError)
    assert "ids[1] (row 2 of the query): it sorts before" in str(error)
    assert batch_sandbox.calls == []
    push(sql="SELECT id FROM t ORDER BY id", **arguments).execute(context)
    assert batch_sandbox.members("vip") == {"a", "b"}


# Columns


def test_attributes_and_tags_of_install_ids(warehouse: Fill, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install = "4b1f6f4e-0d3e-4d53-8cb5-6dd3ad3f6a11"
    warehouse("id, plan, visits, tags", [(install, "gold", 12, '["ios", "lapsed"]'), (install[::-1], None, 0, None)])
    with Sandbox(["phones:install_ids"]) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        push(
            sql="SELECT * FROM t",
            audience_name="phones",
            audience_type="install_ids",
            attribute_columns=["plan", "visits"],
            tags_column="tags",
        ).execute(context)
        assert sandbox.attributes("phones") == {
            install: {"attributes": {"plan": "gold", "visits": 12}, "tags": ["ios", "lapsed"]},
            install[::-1]: {"attributes": {"visits": 0}, "tags": []},
        }


def test_attributes_under_other_names_on_the_newer_platform(
    batch_sandbox: Sandbox, warehouse: Fill, context: Any, place: dict[str, Any]
) -> None:
    warehouse("id, plan, spent", [("a", "gold", 1.5), ("b", None, 2)])
    arguments = {
        "sql": "SELECT * FROM t",
        "batch_conn_id": "batch_cep",
        "id_column": "ID",
        "attribute_columns": {"plan": "tier", "spent": "total"},
    }
    push(**arguments).execute(context)
    expected: dict[str, Any] = {
        "a": {"attributes": {"tier": "gold", "total": 1.5}, "tags": []},
        "b": {"attributes": {"total": 2}, "tags": []},
    }
    assert batch_sandbox.attributes("vip", PROJECT) == expected
    # A mirror sends who has changed, with all that belongs to them.
    mirrored = {**arguments, **place}
    push(**mirrored).execute(context)
    warehouse("id, plan, spent", [("a", "gold", 1.5), ("b", "silver", 2)])
    push(**mirrored).execute(context)
    assert batch_sandbox.calls[-2].adds == 1
    expected["b"]["attributes"]["tier"] = "silver"
    assert batch_sandbox.attributes("vip", PROJECT) == expected


def test_a_schema_without_a_name_is_none(batch_sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    warehouse("id", [("a",)])
    operator = push(sql="SELECT * FROM t", mode="mirror", snapshot_schema="{{ var.value.schema }}")
    operator.snapshot_schema = ""  # as it is rendered
    error = failure(operator, context)
    assert "a mirror keeps its snapshot in a folder or in a schema. Pass one of them." in str(error)
    assert batch_sandbox.calls == []


def test_a_platform_without_attributes_says_so(batch_sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    warehouse("id, plan", [("a", "gold")])
    error = failure(push(sql="SELECT * FROM t", attribute_columns=["plan"]), context)
    assert "API 1.0 takes no attributes" in str(error)
    assert batch_sandbox.calls == []


def test_decimals_and_times_of_postgres(
    postgres: Any, batch_sandbox: Sandbox, context: Any, place: dict[str, Any]
) -> None:
    place = {**place, **({"snapshot_schema": "public"} if "snapshot_schema" in place else {})}
    query = (
        "SELECT * FROM (VALUES ('a', 12.50, TIMESTAMP '2026-10-31 09:30:00', DATE '2026-01-02', ARRAY['x']), "
        "('b', NULL, NULL, NULL, NULL)) AS t (id, spent, seen, born, likes)"
    )
    arguments = {
        "sql": query,
        "conn_id": "postgres_default",
        "batch_conn_id": "batch_cep",
        "attribute_columns": ["spent", "seen", "born"],
        "id_column": "id",
        **place,
    }
    push(**arguments).execute(context)
    assert batch_sandbox.attributes("vip", PROJECT) == {
        "a": {
            "attributes": {"spent": 12.5, "date(seen)": "2026-10-31T09:30:00Z", "date(born)": "2026-01-02T00:00:00Z"},
            "tags": [],
        },
        "b": {"attributes": {}, "tags": []},
    }
    push(**arguments).execute(context)
    assert context["ti"].pushed["summary"]["unchanged"] == 2


def test_many_rows_of_postgres_in_chunks(postgres: Any, batch_sandbox: Sandbox, context: Any) -> None:
    query = "SELECT 'customer-' || n FROM generate_series(1, %(most)s) AS n"
    tokens = push(sql=query, conn_id="postgres_default", parameters={"most": 2_500}, chunk_size=1_000).execute(context)
    assert len(tokens) == 3
    assert len(batch_sandbox.members("vip")) == 2_500


# Query and connection


@pytest.mark.parametrize("parameters", [["b"], ("b",), {"1": "b"}])
def test_parameters(parameters: Any, batch_sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    warehouse("id", "abc")
    placeholder = ":1" if isinstance(parameters, dict) else "?"
    push(sql=f"SELECT id FROM t WHERE id >= {placeholder}", parameters=parameters).execute(context)
    assert batch_sandbox.members("vip") == {"b", "c"}


def test_templates_and_a_file_with_the_query(
    batch_sandbox: Sandbox, warehouse: Fill, context: Any, folder: Path
) -> None:
    warehouse("id, segment", [("a", "vip"), ("b", "other")])
    (folder / "members.sql").write_text("SELECT id FROM t WHERE segment = :segment -- of {{ params.segment }}\n")
    with DAG("d", schedule=None, template_searchpath=str(folder)):
        operator = push(
            sql="members.sql",
            parameters={"segment": "{{ params.segment }}"},
            audience_name="{{ params.segment }}",
            conn_id="ware{{ 'house' }}",
        )
    operator.resolve_template_files()
    operator.render_template_fields(context)
    assert operator.sql == "SELECT id FROM t WHERE segment = :segment -- of vip"
    operator.execute(context)
    assert batch_sandbox.members("vip") == {"a"}


@pytest.mark.parametrize(
    "parameters", [["a.sql"], ("a.sql",), {"segment": "{{ 'a' }}.sql"}], ids=["list", "tuple", "dict"]
)
def test_a_parameter_that_ends_like_a_file_is_a_value(
    parameters: Any, batch_sandbox: Sandbox, warehouse: Fill, context: Any, folder: Path
) -> None:
    warehouse("id, segment", [("a", "a.sql"), ("b", "other")])
    placeholder = ":segment" if isinstance(parameters, dict) else "?"
    (folder / "members.sql").write_text(f"SELECT id FROM t WHERE segment = {placeholder}")
    with DAG("d", schedule=None, template_searchpath=str(folder)):
        operator = push(sql="members.sql", parameters=parameters)
    operator.resolve_template_files()
    operator.render_template_fields(context)
    operator.execute(context)
    assert batch_sandbox.members("vip") == {"a"}


def test_a_connection_to_no_database(batch_sandbox: Sandbox, context: Any) -> None:
    error = failure(push(conn_id="batch_default"), context)
    assert isinstance(error, InvalidArgumentError)
    assert str(error) == "conn_id: 'batch_default' is of type 'batch', which has no DB-API hook. Pass another."


class Hidden(importlib.abc.MetaPathFinder):
    """Makes packages as good as not installed."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if any(name == hidden or name.startswith(hidden + ".") for hidden in self._names):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture
def without_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [Hidden("airflow.providers.common.sql"), *sys.meta_path])
    for name in [name for name in sys.modules if name.startswith("airflow.providers.common.sql")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("without_sql")
def test_a_missing_extra(batch_sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    warehouse("id", "a")
    error = failure(push(), context)
    assert str(error) == "queries need an extra: pip install 'airflow-provider-batch[sql]'"


@pytest.mark.parametrize("mode", ["add", "remove", "replace", "mirror"])
def test_a_missing_column(mode: str, batch_sandbox: Sandbox, warehouse: Fill, context: Any, tmp_path: Path) -> None:
    warehouse("id, name", [("secret-1", "x")])
    kept = {"snapshot_path": str(tmp_path / "kept")} if mode == "mirror" else {}
    error = failure(push(sql="SELECT * FROM t", id_column="customer", mode=mode, **kept), context)
    assert isinstance(error, SourceError)
    assert str(error).startswith("the query: there is no column 'customer'; it has 2 columns.")
    error = failure(push(sql="SELECT * FROM t", mode=mode, **kept), context)
    assert "2 columns could be the id" in str(error)
    assert batch_sandbox.calls == []
    assert not (tmp_path / "kept").exists()


def test_null_ids_are_named_by_their_row(batch_sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    warehouse("id", [("secret-1",), (None,), ("secret-2",)])
    error = failure(push(), context)
    assert str(error).startswith("vip: add_ids[1] (row 2 of the query): the id is missing (None). Drop the row.")
    assert "secret" not in repr(error)
    assert batch_sandbox.calls == []


def test_mixed_types(batch_sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    warehouse("id", [("a",), (7,), (8.5,)])
    assert "add_ids[2] (row 3 of the query)" in str(failure(push(), context))
    push(on_invalid_id="skip").execute(context)
    assert batch_sandbox.members("vip") == {"a", "7"}


def test_a_failing_query_fails_at_once_and_tells_no_row(
    batch_sandbox: Sandbox, warehouse: Fill, context: Any, told: Callable[[], str]
) -> None:
    warehouse("id", [("secret-1",)])
    error = failure(push(sql="SELECT absent FROM t"), context)
    assert isinstance(error, SourceError)
    assert "no such column" in str(error)
    push().execute(context)
    logged = told()
    assert "1 added" in logged
    assert "secret-" not in logged


def test_a_query_that_fails_by_its_rows_does_not_quote_them(
    postgres: Any, batch_sandbox: Sandbox, context: Any
) -> None:
    error = failure(push(sql="SELECT CAST('secret-' || 1 AS integer)", conn_id="postgres_default"), context)
    assert "may quote a row" in str(error)
    assert "secret" not in repr((error, error.__context__, error.__cause__))
    assert batch_sandbox.calls == []


def test_a_database_that_is_not_there_is_left_to_the_retries(
    batch_sandbox: Sandbox, context: Any, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(folder / "no" / "db")}))
    with pytest.raises(SourceUnavailableError):
        push().execute(context)


# What was not sent


def test_skipped_rows_are_counted_and_written(
    batch_sandbox: Sandbox, warehouse: Fill, context: Any, folder: Path
) -> None:
    warehouse("id", [("a",), (None,), (" ",), ("b",)])
    arguments = {"on_invalid_id": "skip", "rejects_path": str(folder / "{{ params.segment }}.jsonl")}
    operator = push(max_rejected=2, **arguments)
    operator.render_template_fields(context)
    operator.execute(context)
    assert batch_sandbox.members("vip") == {"a", "b"}
    assert context["ti"].pushed["summary"]["rejected"] == 2
    rows = [json.loads(line) for line in (folder / "vip.jsonl").read_text().splitlines()]
    assert [(row["where"], row["value"]) for row in rows] == [
        ("add_ids[1] (row 2 of the query)", None),
        ("add_ids[2] (row 3 of the query)", " "),
    ]
    error = failure(push(max_rejected=0.25, **arguments), context)
    assert isinstance(error, TooManyRejectedError)


@pytest.mark.parametrize("mode", ["add", "remove", "replace", "mirror"])
def test_refused_ids_are_found_and_written(
    mode: str, batch_sandbox: Sandbox, warehouse: Fill, context: Any, folder: Path
) -> None:
    warehouse("id", "ab")
    kept = {"snapshot_path": str(folder / "kept"), "poke_interval": 0.1} if mode == "mirror" else {}
    batch_sandbox.faults(Fault(400), None, Fault(400))  # both; a look at the list; the first alone
    rejects = folder / "rejects.jsonl"
    push(mode=mode, on_rejected_chunk="bisect", rejects_path=str(rejects), **kept).execute(context)
    (row,) = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert row["value"] == "a"
    assert "answered 400" in row["reason"]
    if mode != "remove":
        assert batch_sandbox.members("vip") == {"b"}


def test_nothing_to_send_may_skip_the_task(batch_sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    warehouse("id", [])
    for mode in ("add", "remove", "replace"):
        with pytest.raises(AirflowSkipException):
            push(mode=mode, skip_on_empty=True).execute(context)
    assert push().execute(context) == []
    assert batch_sandbox.calls == []


def test_a_mirror_with_nothing_to_send_may_skip_the_task(
    batch_sandbox: Sandbox, warehouse: Fill, context: Any, tmp_path: Path
) -> None:
    arguments = {"mode": "mirror", "snapshot_path": str(tmp_path / "kept"), "poke_interval": 0.1}
    warehouse("id", "a")
    push(skip_on_empty=True, **arguments).execute(context)
    with pytest.raises(AirflowSkipException):
        push(skip_on_empty=True, **arguments).execute(context)


@pytest.mark.parametrize("mode", ["replace", "mirror"])
def test_an_empty_query_does_not_empty_an_audience(
    mode: str, batch_sandbox: Sandbox, warehouse: Fill, context: Any, tmp_path: Path
) -> None:
    kept = {"snapshot_path": str(tmp_path / "kept"), "poke_interval": 0.1} if mode == "mirror" else {}
    warehouse("id", "ab")
    push(mode=mode, **kept).execute(context)
    calls = len(batch_sandbox.calls)
    warehouse("id", [])
    assert "allow_empty=True" in str(failure(push(mode=mode, **kept), context))
    assert len(batch_sandbox.calls) == calls
    push(mode=mode, allow_empty=True, **kept).execute(context)
    assert batch_sandbox.members("vip") == set()


# Dry runs


@pytest.mark.parametrize(
    ("mode", "added", "removed"),
    [("add", 5, 0), ("remove", 0, 5), ("actions", 3, 2), ("replace", 5, 0), ("mirror", 5, 0)],
)
def test_a_dry_run_counts_and_sends_nothing(
    mode: str, added: int, removed: int, batch_sandbox: Sandbox, warehouse: Fill, context: Any, folder: Path
) -> None:
    warehouse("id, op", [("a", "add"), ("b", "add"), ("c", "remove"), ("d", "remove"), ("e", "add"), (None, "add")])
    arguments: dict[str, Any] = {
        "mode": mode,
        "sql": "SELECT * FROM t" if mode == "actions" else "SELECT id FROM t",
        "chunk_size": 2,
        "on_invalid_id": "skip",
        "create_if_missing": True,
        "audience_name": "nowhere",
        "wait_for_indexing": True,
    }
    arguments |= {"action_column": "op"} if mode == "actions" else {}
    arguments |= {"snapshot_path": str(folder / "kept")} if mode == "mirror" else {}
    assert push(dry_run=True, **arguments).execute(context) == []
    summary = context["ti"].pushed["summary"]
    assert summary["dry_run"] is True
    assert (summary["added"], summary["removed"], summary["rejected"], summary["calls"]) == (added, removed, 1, 3)
    assert batch_sandbox.calls == []
    assert list(folder.iterdir()) == []


def test_a_dry_run_of_a_mirror_counts_the_difference(
    batch_sandbox: Sandbox, warehouse: Fill, context: Any, tmp_path: Path
) -> None:
    arguments = {"mode": "mirror", "snapshot_path": str(tmp_path / "kept"), "poke_interval": 0.1}
    warehouse("id", "abc")
    push(**arguments).execute(context)
    calls = len(batch_sandbox.calls)
    before = sorted(path.name for path in (tmp_path / "kept").rglob("*"))
    warehouse("id", "bcd")
    push(dry_run=True, **arguments).execute(context)
    summary = context["ti"].pushed["summary"]
    assert (summary["added"], summary["removed"], summary["unchanged"], summary["calls"]) == (1, 1, 2, 1)
    assert len(batch_sandbox.calls) == calls
    assert sorted(path.name for path in (tmp_path / "kept").rglob("*")) == before
    # Nothing was noted as sent: the run itself sends it.
    push(**arguments).execute(context)
    assert batch_sandbox.members("vip") == {"b", "c", "d"}


def test_a_dry_run_of_a_replace_that_would_create_its_audience(
    batch_sandbox: Sandbox, warehouse: Fill, context: Any
) -> None:
    warehouse("id", "ab")
    arguments = {"audience_name": "new", "mode": "replace", "create_if_missing": True, "max_shrink": 0.1}
    push(dry_run=True, **arguments).execute(context)
    assert context["ti"].pushed["summary"]["added"] == 2
    assert {call.method for call in batch_sandbox.calls} <= {"GET"}
    push(**arguments).execute(context)
    assert batch_sandbox.members("new") == {"a", "b"}


# Retries


@pytest.fixture
def two_attempts(batch_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = batch_sandbox.connection_json().replace("}", ', "extra": {"max_attempts": 2}}')
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", connection)


def written(batch_sandbox: Sandbox) -> int:
    return sum(call.elements for call in batch_sandbox.calls if call.status == 201)


@pytest.mark.usefixtures("two_attempts")
@pytest.mark.parametrize("mode", ["add", "mirror"])
def test_a_retry_sends_what_is_left_if_the_rows_come_in_the_same_order(
    mode: str, batch_sandbox: Sandbox, warehouse: Fill, context: Any, store: Store, tmp_path: Path
) -> None:
    warehouse("id", [(f"id-{number}",) for number in range(10)])
    tries: Any = {**context, "task_state_store": store}
    arguments: dict[str, Any] = {"mode": mode, "chunk_size": 2, "max_concurrency": 1}
    arguments |= {"snapshot_path": str(tmp_path / "kept")} if mode == "mirror" else {}
    batch_sandbox.faults(None, None, DOWN, DOWN)
    with pytest.raises(BatchServerError, match="accepted 2 chunks"):
        push(**arguments).execute(tries)
    tokens = push(**arguments).execute(next_try(tries))
    assert len(set(tokens)) == 5
    assert written(batch_sandbox) == 10
    assert len(batch_sandbox.members("vip")) == 10
    assert store.values == {}


@pytest.mark.usefixtures("two_attempts")
def test_a_retry_of_a_replace_begins_with_the_replace(
    batch_sandbox: Sandbox, warehouse: Fill, context: Any, store: Store
) -> None:
    """Rows may be others by now, and what an earlier try has added behind its replace must not stay."""
    warehouse("id", "abcd")
    tries: Any = {**context, "task_state_store": store}
    arguments: dict[str, Any] = {"mode": "replace", "chunk_size": 2, "max_concurrency": 1, "poke_interval": 0.1}
    batch_sandbox.faults(None, None, Fault(503, after_write=True), DOWN)
    with pytest.raises(BatchServerError):
        push(**arguments).execute(tries)
    warehouse("id", "abe")
    push(**arguments).execute(next_try(tries))
    assert batch_sandbox.members("vip") == {"a", "b", "e"}


@pytest.mark.usefixtures("two_attempts")
@pytest.mark.parametrize("mode", ["add", "remove", "replace", "mirror"])
def test_a_query_is_closed_though_its_error_is_kept(
    mode: str, batch_sandbox: Sandbox, warehouse: Fill, context: Any, folder: Path
) -> None:
    """As a failure callback has it, which may write to the same database."""
    warehouse("id", [(f"id-{number}",) for number in range(600)])
    whole: dict[str, Any] = {"snapshot_path": str(folder)} if mode == "mirror" else {}
    batch_sandbox.faults(*[DOWN] * 9)
    with pytest.raises(BatchServerError) as kept:
        push(mode=mode, chunk_size=2, **whole).execute(context)
    warehouse("id", ["a"])
    assert kept.value.accepted_chunks == 0


@pytest.mark.usefixtures("two_attempts")
def test_a_retry_sends_everything_if_they_do_not(
    batch_sandbox: Sandbox, warehouse: Fill, context: Any, store: Store, folder: Path
) -> None:
    rows = [*((f"id-{number}",) for number in range(6)), (None,)]
    warehouse("id", rows)
    tries: Any = {**context, "task_state_store": store}
    arguments = {
        "chunk_size": 2,
        "max_concurrency": 1,
        "on_invalid_id": "skip",
        "rejects_path": str(folder / "rejects.jsonl"),
    }
    batch_sandbox.faults(None, None, DOWN, DOWN)
    with pytest.raises(BatchServerError, match="accepted 2 chunks"):
        push(**arguments).execute(tries)
    warehouse("id", [rows[2], rows[-1], *rows[:2], *rows[3:-1]])
    push(**arguments).execute(next_try(tries))
    assert written(batch_sandbox) == 4 + 6
    assert len(batch_sandbox.members("vip")) == 6
    # It was read twice; each row is told once.
    assert context["ti"].pushed["summary"]["rejected"] == 1
    assert len((folder / "rejects.jsonl").read_text().splitlines()) == 1


def test_a_query_is_not_held(postgres: Any, batch_sandbox: Sandbox, context: Any, told: Callable[[], str]) -> None:
    """Chunks are on their way before the last row is read, which here is none."""
    query = "SELECT CASE WHEN n < 3000 THEN 'id-' || n END FROM generate_series(1, 3000) AS n"
    error = failure(push(sql=query, conn_id="postgres_default", chunk_size=1_000), context)
    assert "row 3,000" in str(error)
    assert "accepted 2 chunks" in str(error)
    assert len(batch_sandbox.members("vip")) == 2_000
    logged = told()
    assert "custom-audience/vip" in logged
    assert "id-" not in logged
