"""Profiles from XComs, queries, files and functions, through the operators as a worker runs them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException
from airflow.utils.types import DagRunType

from airflow_provider_batch.decorators.profiles import ProfilesDecoratedOperator, batch_profiles_task
from airflow_provider_batch.exceptions import (
    BatchConfigurationError,
    BatchServerError,
    EmptySetError,
    GuardError,
    InvalidArgumentError,
    InvalidMemberError,
    SnapshotError,
    SourceError,
    TooManyRejectedError,
)
from airflow_provider_batch.operators.profiles import ProfilesPushOperator, ProfilesUpdateOperator
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.tasks.mapped import check_mapped_profiles
from airflow_provider_batch.transfers.files_to_profiles import FilesToProfilesOperator
from airflow_provider_batch.transfers.sql_to_profiles import SqlToProfilesOperator
from tests.dags.running import rendered, run, xcoms
from tests.transfers.conftest import Fill, folder, warehouse
from tests.worker import Store, TaskInstance, next_try

__all__ = ["folder", "warehouse"]

DOWN = Fault(503, headers={"Retry-After": "0"})


@pytest.fixture(autouse=True)
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(profile_limits=False) as sandbox:
        fields = json.loads(sandbox.connection_json("project_sandbox"))
        fields["extra"] |= {"max_attempts": 1}
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", json.dumps(fields))
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        yield sandbox


def update(profiles: Any, **arguments: Any) -> ProfilesUpdateOperator:
    return ProfilesUpdateOperator(
        **{"task_id": "push", "batch_conn_id": "batch_cep", "profiles": profiles, **arguments}
    )


def from_sql(**arguments: Any) -> SqlToProfilesOperator:
    given = {"sql": "SELECT * FROM t", "conn_id": "warehouse", "batch_conn_id": "batch_cep", **arguments}
    return SqlToProfilesOperator(task_id="push", **given)


def from_files(path: Path, **arguments: Any) -> FilesToProfilesOperator:
    return FilesToProfilesOperator(task_id="push", path=str(path), batch_conn_id="batch_cep", **arguments)


def decorated(function: Callable[..., Any], *op_args: Any, **arguments: Any) -> ProfilesDecoratedOperator:
    with DAG("decorated", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None) as dag:
        batch_profiles_task(task_id="push", batch_conn_id="batch_cep", **arguments)(function)(*op_args)
    (operator,) = dag.tasks
    assert isinstance(operator, ProfilesDecoratedOperator)
    return operator


def failure(operator: ProfilesPushOperator, context: Any) -> BaseException:
    """Why the task fails for good."""
    with pytest.raises(AirflowFailException) as caught:
        operator.execute(context)
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


def row(id_: str, **attributes: object) -> dict[str, object]:
    return {"custom_id": id_, **attributes}


# Sources


def test_profiles_of_an_xcom(sandbox: Sandbox, context: Any, ti: TaskInstance) -> None:
    summary = update([row("a", plan="gold"), {"custom_id": "b", "attributes": {"score": 7}}]).execute(context)
    assert sandbox.profiles() == {"a": {"plan": "gold"}, "b": {"score": 7}}
    assert ti.pushed["summary"] == summary
    assert (summary["accepted"], summary["calls"], summary["route"]) == (2, 1, "update")


def test_the_rows_of_a_query_with_the_names_of_batchs_own_sync(sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    columns = "CUSTOM_ID, plan, score, date__last_order, url__picture, batch__email_address, tags, last_updated_at"
    warehouse(
        columns,
        [
            ("a", "gold", 1.5, "2026-01-31 12:00:00", "https://example.com", "a@example.com", '["x"]', "2026-02-01"),
            ("b", None, 2, None, None, None, None, "2026-02-01"),
        ],
    )
    from_sql().execute(context)
    assert sandbox.profiles() == {
        "a": {
            "plan": "gold",
            "score": 1.5,
            "date(last_order)": "2026-01-31T12:00:00Z",
            "url(picture)": "https://example.com",
            "$email_address": "a@example.com",
            "tags": ["x"],
        },
        "b": {"score": 2},
    }


def test_columns_are_chosen_and_renamed(sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    warehouse("Customer, Plan, Secret", [(7, "gold", "x")])
    from_sql(id_column="customer", attribute_columns={"plan": "tier"}).execute(context)
    assert sandbox.profiles() == {"7": {"tier": "gold"}}
    assert str(failure(from_sql(id_column="customer"), context)).startswith(
        "the query: attribute 'Plan': Batch accepts"
    )


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT plan FROM t", "the query: there is no column 'custom_id'; it has 1 column"),
        ("SELECT custom_id, custom_id FROM t", "the query: 2 columns match 'custom_id', but only one may"),
        ("SELECT custom_id, plan, plan FROM t", "the query: two columns have the same name"),
        ('SELECT custom_id, plan AS x, plan AS "date__x" FROM t', "the query: attribute 'x' is given twice"),
        ('SELECT custom_id, plan AS "Last order" FROM t', "the query: attribute 'Last order': Batch accepts names"),
    ],
)
def test_columns_that_make_no_profiles_fail_before_any_call(
    sql: str, reason: str, sandbox: Sandbox, warehouse: Fill, context: Any
) -> None:
    warehouse("custom_id, plan", [("a", "gold")])
    error = failure(from_sql(sql=sql), context)
    assert (isinstance(error, SourceError), str(error)[: len(reason)]) == (True, reason)
    assert sandbox.calls == []


def test_files_keep_their_types(sandbox: Sandbox, folder: Path, context: Any) -> None:
    lines = [row("a", plan="gold", vip=True, tags=["x"]), {"custom_id": "b", "attributes": {"score": 1.5}}]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    from_files(folder / "a.jsonl").execute(context)
    assert sandbox.profiles() == {"a": {"plan": "gold", "vip": True, "tags": ["x"]}, "b": {"score": 1.5}}
    (folder / "a.csv").write_text("custom_id,plan,score\na,silver,7\nb,,NULL\n")
    from_files(folder / "a.csv", null_values=["", "NULL"], nulls="clear").execute(context)
    assert sandbox.profiles() == {"a": {"plan": "silver", "vip": True, "tags": ["x"], "score": "7"}, "b": {}}


def test_a_bad_line_is_named_by_its_place(sandbox: Sandbox, folder: Path, context: Any) -> None:
    (folder / "a.jsonl").write_text('{"custom_id": "a"}\n\n{"id": "jane"}\n')
    error = failure(from_files(folder / "a.jsonl"), context)
    assert isinstance(error, InvalidMemberError)
    assert "profiles[1] (a.jsonl, line 3): the row has no custom_id" in str(error)
    (folder / "ids.txt").write_text("a\n")
    assert "a txt file holds ids only" in str(failure(from_files(folder / "ids.txt"), context))
    assert sandbox.calls == []


def test_the_same_values_come_out_alike_of_every_source(
    sandbox: Sandbox, warehouse: Fill, folder: Path, context: Any, postgres: Any
) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    moment = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
    update([row("xcom", plan="gold", n=7, price=12.5, round=12.0, last=moment, tags=["x", "y"])]).execute(context)
    columns = "custom_id, plan, n, price, round, date__last, tags"
    warehouse(columns, [("sqlite", "gold", 7, 12.5, 12.0, "2026-01-31T12:30:00", '["x", "y"]')])
    from_sql().execute(context)
    query = (
        "SELECT 'postgres' AS custom_id, 'gold' AS plan, 7 AS n, 12.50::numeric(9,2) AS price, "
        "12::numeric(9,2) AS round, "
        "'2026-01-31 13:30+01'::timestamptz AS last, ARRAY['x', 'y'] AS tags"
    )
    from_sql(sql=query, conn_id="postgres_default").execute(context)
    line = row("json", plan="gold", n=7, price=12.5, round=12.0, date__last="2026-01-31T12:30:00Z", tags=["x", "y"])
    (folder / "a.jsonl").write_text(json.dumps(line))
    from_files(folder / "a.jsonl").execute(context)
    prices = {"price": [Decimal("12.50")], "round": [Decimal("12.00")]}
    table = {"custom_id": ["parquet"], "plan": ["gold"], "n": [7], **prices, "last": [moment], "tags": [["x", "y"]]}
    parquet.write_table(pyarrow.table(table), folder / "a.parquet")
    from_files(folder / "a.parquet").execute(context)
    # As text: in Python, 12 and 12.0 are equal.
    same = {
        "date(last)": "2026-01-31T12:30:00Z",
        "n": 7,
        "plan": "gold",
        "price": 12.5,
        "round": 12.0,
        "tags": ["x", "y"],
    }
    found = {id_: json.dumps(attributes, sort_keys=True) for id_, attributes in sandbox.profiles().items()}
    assert found == dict.fromkeys(["xcom", "sqlite", "postgres", "json", "parquet"], json.dumps(same))


def test_a_function_yields_profiles(sandbox: Sandbox, context: Any) -> None:
    def profiles(plan: str) -> Iterator[dict[str, object]]:
        for id_ in "ab":
            yield row(id_, plan=plan)

    summary = decorated(profiles, "gold").execute(context)
    assert sandbox.profiles() == {"a": {"plan": "gold"}, "b": {"plan": "gold"}}
    assert summary["accepted"] == 2
    assert "Return or yield the profiles; return [] for none" in str(failure(decorated(lambda: None), context))


# What Batch rejects, limits, retries


def test_rejected_rows_go_to_a_file_and_count_for_the_limit(
    sandbox: Sandbox, folder: Path, context: Any, ti: TaskInstance, told: Callable[[], str]
) -> None:
    given = [row("a", plan="gold"), row("jane", plan="secret" * 60), row("", plan="x")]
    path = folder / "rejects.jsonl"
    operator = update(given, on_invalid_id="skip", rejects_path=str(path), max_rejected=1)
    assert isinstance(failure(operator, context), TooManyRejectedError)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"where": "profiles[2]", "reason": "the id is empty. Drop the row.", "value": row("", plan="x")},
        {
            "where": "profiles[1]",
            "reason": "attribute 'plan': INVALID_ATTRIBUTE: a text has 1 to 300 characters",
            "value": {"custom_id": "jane", "attributes": {"plan": "secret" * 60}},
        },
    ]
    assert ti.pushed["summary"]["rejected"] == 2
    text = told() + json.dumps(ti.pushed)
    assert "profiles[1]" in text
    assert not [private for private in ("jane", "secret") if private in text]


def test_a_row_of_a_file_that_batch_refuses_is_named_by_its_line(
    sandbox: Sandbox, folder: Path, context: Any, tmp_path: Path
) -> None:
    (folder / "a.csv").write_text("custom_id,plan\na,gold\nb," + "x" * 301 + "\n")
    for mode in ({}, {"mode": "changed", "snapshot_path": str(tmp_path / "snapshots")}):
        summary = from_files(folder / "a.csv", **mode).execute(context)
        assert summary["rejections"][0].startswith("profiles[1] (a.csv, line 3): attribute 'plan': ")


def test_a_retry_sends_only_what_is_left(sandbox: Sandbox, warehouse: Fill, context: Any, store: Store) -> None:
    warehouse("custom_id, n", [(f"id-{number}", number) for number in range(500)])
    context["task_state_store"] = store
    sandbox.faults(None, DOWN)
    operator = from_sql(max_concurrency=1)
    with pytest.raises(BatchServerError):
        operator.execute(context)
    summary = from_sql(max_concurrency=1).execute(next_try(context))
    assert (summary["accepted"], summary["calls"]) == (500, 3)
    assert [call.adds for call in sandbox.calls] == [200, 200, 200, 100]
    assert "push" not in store.values


def test_nothing_to_send(sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    warehouse("custom_id, n", [])
    assert from_sql().execute(context)["accepted"] == 0
    with pytest.raises(AirflowSkipException):
        from_sql(skip_on_empty=True).execute(context)
    assert sandbox.calls == []


def test_a_dry_run_sends_nothing(sandbox: Sandbox, context: Any) -> None:
    summary = update([row("a", x=1)], dry_run=True).execute(context)
    assert (summary["dry_run"], summary["accepted"], sandbox.calls) == (True, 1, [])


def test_a_connection_to_an_app_fails_without_retries(sandbox: Sandbox, context: Any) -> None:
    error = failure(update([row("a")], batch_conn_id="batch_default"), context)
    assert isinstance(error, BatchConfigurationError)
    assert sandbox.calls == []


# mode="changed"


def test_only_what_differs_is_sent(sandbox: Sandbox, warehouse: Fill, context: Any, tmp_path: Path) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_path": str(tmp_path / "snapshots")}
    warehouse("custom_id, plan", [("a", "gold"), ("b", "free"), ("a", "silver")])
    first = from_sql(**kept).execute(context)
    assert (first["accepted"], first["duplicates"], first["profiles"]) == (2, 1, 2)
    assert sandbox.profiles() == {"a": {"plan": "silver"}, "b": {"plan": "free"}}
    again = from_sql(**kept).execute(context)
    assert (again["accepted"], again["unchanged"], again["calls"]) == (0, 2, 0)
    warehouse("custom_id, plan", [("a", "silver"), ("b", "gold"), ("c", "free")])
    third = from_sql(**kept).execute(context)
    assert (third["accepted"], third["unchanged"]) == (2, 1)
    assert [call.adds for call in sandbox.calls] == [2, 2]
    with pytest.raises(AirflowSkipException):
        from_sql(**kept, skip_on_empty=True).execute(context)
    assert from_sql(**kept, full_refresh="true").execute(context)["accepted"] == 3


def test_the_database_of_the_query_finds_what_differs(sandbox: Sandbox, warehouse: Fill, context: Any) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_schema": "{{ params.schema }}", "on_gone": "clear"}

    def go(task_id: str = "push", **arguments: Any) -> dict[str, Any]:
        given = {"sql": "SELECT * FROM t", "conn_id": "warehouse", "batch_conn_id": "batch_cep", **kept, **arguments}
        operator = SqlToProfilesOperator(task_id=task_id, **given)
        rendering: Any = {**context, "params": {"schema": "main"}}
        operator.render_template_fields(rendering)
        return operator.execute(context)

    warehouse("custom_id, plan", [("a", "gold"), ("b", "free")])
    assert go()["accepted"] == 2
    # Another task has a snapshot of its own.
    assert go("other", sql="SELECT 'c' AS custom_id, 1 AS score")["cleared"] == 0
    warehouse("custom_id, plan", [("a", "silver"), ("c", "free")])
    summary = go()
    assert (summary["accepted"], summary["cleared"], summary["unchanged"]) == (2, 1, 0)
    assert sandbox.profiles() == {"a": {"plan": "silver"}, "b": {}, "c": {"plan": "free", "score": 1}}
    assert go()["calls"] == 0


def test_a_profile_whose_row_has_gone_is_kept_or_cleared(
    sandbox: Sandbox, warehouse: Fill, context: Any, tmp_path: Path
) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_path": str(tmp_path / "snapshots")}
    update([row("b", other="stays")]).execute(context)
    warehouse("custom_id, plan, date__x", [("a", "gold", "2026-01-31"), ("b", "free", None)])
    from_sql(**kept).execute(context)
    warehouse("custom_id, plan, date__x", [("b", "free", None)])
    assert from_sql(**kept).execute(context)["cleared"] == 0
    assert sandbox.profiles()["a"] == {"plan": "gold", "date(x)": "2026-01-31T00:00:00Z"}
    warehouse("custom_id, plan, date__x", [("a", "gold", None)])
    summary = from_sql(**kept, on_gone="clear").execute(context)
    assert (summary["cleared"], summary["accepted"]) == (1, 1)
    assert sandbox.profiles()["b"] == {"other": "stays"}


def test_guards_stop_what_looks_like_a_mistake(sandbox: Sandbox, warehouse: Fill, context: Any, tmp_path: Path) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_path": str(tmp_path / "snapshots")}
    warehouse("custom_id, n", [(f"id-{number}", 1) for number in range(10)])
    from_sql(**kept).execute(context)
    warehouse("custom_id, n", [(f"id-{number}", 2) for number in range(9)])
    assert "max_changes=0.5" in str(failure(from_sql(**kept, max_changes="0.5"), context))
    assert isinstance(failure(from_sql(**kept, max_shrink=0), context), GuardError)
    assert isinstance(failure(from_sql(**kept, max_changes=9, on_gone="clear"), context), GuardError)
    warehouse("custom_id, n", [])
    error = failure(from_sql(**kept, skip_on_empty=True), context)
    assert (type(error), str(error)) == (
        EmptySetError,
        "profiles of batch_cep: there are no rows. If that is intended, pass allow_empty=True.",
    )
    assert len(sandbox.calls) == 1
    assert from_sql(**kept, allow_empty=True).execute(context)["profiles"] == 0


def test_a_run_that_died_is_corrected_by_the_next_one(
    sandbox: Sandbox, warehouse: Fill, context: Any, tmp_path: Path
) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_path": str(tmp_path / "snapshots"), "max_concurrency": 1}
    warehouse("custom_id, n", [(f"id-{number:03}", 1) for number in range(300)])
    from_sql(**kept).execute(context)
    warehouse("custom_id, n", [(f"id-{number:03}", 2) for number in range(300)])
    sandbox.faults(None, Fault(reset=True, after_write=True))
    with pytest.raises(Exception, match="no answer"):
        from_sql(**kept).execute(context)
    warehouse("custom_id, n", [(f"id-{number:03}", 1) for number in range(300)])
    assert from_sql(**kept).execute(context)["accepted"] == 300
    assert {each["n"] for each in sandbox.profiles().values()} == {1}


def test_a_full_refresh_needs_no_readable_snapshot(
    sandbox: Sandbox, warehouse: Fill, context: Any, tmp_path: Path
) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_path": str(tmp_path / "snapshots")}
    warehouse("custom_id, plan", [("a", "gold"), ("b", "free")])
    from_sql(**kept).execute(context)
    for path in (tmp_path / "snapshots").rglob("*.ids.gz"):
        path.write_bytes(b"damaged")
    assert isinstance(failure(from_sql(**kept), context), SnapshotError)
    assert from_sql(**kept, full_refresh=True).execute(context)["accepted"] == 2
    assert from_sql(**kept).execute(context)["unchanged"] == 2


def test_what_another_program_has_set_stays(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_path": str(tmp_path), "on_gone": "clear", "allow_empty": True}
    rows = [row("a", plan="gold"), row("b", attributes={"score": 7}), row("c", tags={"$add": ["x"]}), row("d")]
    update(rows, **kept).execute(context)
    update([row("a", score=1), row("b", plan="x"), row("c", score=1), row("d", plan="x")]).execute(context)
    update([row("a", tags=["y"]), row("b", attributes={"score": None})], **kept).execute(context)
    assert sandbox.profiles() == {
        "a": {"plan": "gold", "score": 1, "tags": ["y"]},
        "b": {"plan": "x", "score": 7},
        "c": {"score": 1},
        "d": {"plan": "x"},
    }
    # One of which nothing is to be deleted is not sent.
    assert sandbox.calls[-1].adds == 3
    summary = update([], **kept).execute(context)
    assert (summary["cleared"], sandbox.profiles()["a"], sandbox.profiles()["b"]) == (2, {"score": 1}, {"plan": "x"})


def test_a_row_that_is_not_valid_has_not_gone(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_path": str(tmp_path), "on_gone": "clear", "max_changes": 1}
    kept |= {"on_invalid_id": "skip", "allow_empty": True}
    update([row("a", plan="gold"), row("b", plan="gold"), row("c", plan="gold")], **kept).execute(context)
    wrong = [row("a", plan={"level": 1}), row("c", plan="gold")]
    for cleared in (1, 0):
        summary = update(wrong, **kept).execute(context)
        assert (summary["cleared"], summary["rejected"], summary["unchanged"]) == (cleared, 1, 1)
    assert sandbox.profiles() == {"a": {"plan": "gold"}, "b": {}, "c": {"plan": "gold"}}
    summary = update([row("c", plan="gold")], **kept).execute(context)
    assert (summary["cleared"], sandbox.profiles()["a"]) == (1, {})


@pytest.mark.parametrize("mode", ["update", "changed"])
def test_an_id_may_have_any_punctuation(mode: str, sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    ids = ['a"},', 'b\\"},', '"},"attributes":{']
    kept = {"mode": mode, "snapshot_path": str(tmp_path)} if mode == "changed" else {}
    assert update([row(id_, n=1) for id_ in ids], **kept).execute(context)["accepted"] == 3
    assert sandbox.profiles() == {id_: {"n": 1} for id_ in ids}


def test_what_batch_refuses_to_delete_is_deleted_again(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_path": str(tmp_path), "on_gone": "clear", "allow_empty": True}
    update([row("a", plan="gold"), row("b", score=1)], **kept).execute(context)
    update([row("a", score=7), row("b", plan="x")]).execute(context)
    errors = [{"bulk_index": 1, "attribute": "score", "reason": "no"}]
    sandbox.faults(Fault(202, body=json.dumps({"code": "SUCCESS_WITH_PARTIAL_ERRORS", "errors": errors}).encode()))
    assert update([], **kept).execute(context)["cleared"] == 1
    assert sandbox.profiles()["b"] == {"score": 1, "plan": "x"}  # nothing of the call was written
    assert update([], **kept).execute(context)["cleared"] == 1
    assert (sandbox.calls[-1].adds, sandbox.profiles()["b"]) == (1, {"plan": "x"})
    assert update([], **kept).execute(context)["calls"] == 0


def damaged(names: Path) -> str:
    names.write_bytes(b"damaged")
    return "flags.gz: the file is truncated or damaged"


def with_a_line_less(flags: Path) -> str:
    flags.write_bytes(gzip.compress(gzip.decompress(flags.read_bytes()).partition(b"\n")[2]))
    return "flags.gz: the content is not what was written"


def without_names(flags: Path) -> str:
    (head,) = flags.parent.glob("*.head.json")
    content = json.loads(head.read_bytes())
    assert content.pop("names") == ["plan"]
    head.write_text(json.dumps(content))
    return "head.json: it does not have which attributes were set"


@pytest.mark.parametrize("damage", [damaged, with_a_line_less, without_names])
def test_it_must_be_known_which_attributes_were_set(
    damage: Callable[[Path], str], sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_path": str(tmp_path), "on_gone": "clear"}
    update([row("a", plan="gold"), row("b", plan="free")], **kept).execute(context)
    (flags,) = tmp_path.rglob("*.flags.gz")
    reason = damage(flags)
    error = failure(update([row("a", plan="gold")], **kept), context)
    assert isinstance(error, SnapshotError)
    assert f"{reason}. Nothing was sent" in str(error)
    assert update([row("a", plan="gold")], **kept, full_refresh=True).execute(context)["accepted"] == 1
    assert sandbox.profiles()["b"] == {"plan": "free"}
    assert update([row("a", plan="gold")], **kept).execute(context)["unchanged"] == 1


def test_files_that_no_head_needs_are_deleted(sandbox: Sandbox, context: Any, tmp_path: Path) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_path": str(tmp_path)}
    for number in range(4):
        update([row("a", n=number)], **kept).execute(context)
    files = sorted(path.name.partition("-")[0] for path in tmp_path.rglob("*.flags.gz"))
    assert files == ["00000003", "00000004"]


def test_all_rows_of_a_call_are_sent_again_if_batch_refuses_a_part_without_a_place(
    sandbox: Sandbox, context: Any, tmp_path: Path
) -> None:
    kept: dict[str, Any] = {"mode": "changed", "snapshot_path": str(tmp_path / "snapshots"), "chunk_size": 2}
    rows = [row(each, n=1) for each in "abcd"]
    sandbox.faults(None, Fault(202, body={"code": "SUCCESS_WITH_PARTIAL_ERRORS", "errors": [{"reason": "no"}]}))
    first = update(rows, **kept, max_concurrency=1).execute(context)
    assert (first["accepted"], first["rejected"]) == (3, 1)
    assert sandbox.profiles() == {"a": {"n": 1}, "b": {"n": 1}}
    second = update(rows, **kept).execute(context)
    assert (second["accepted"], second["unchanged"]) == (2, 2)
    assert sandbox.profiles() == {each: {"n": 1} for each in "abcd"}
    assert update(rows, **kept).execute(context)["calls"] == 0


def test_the_snapshot_has_no_values(sandbox: Sandbox, warehouse: Fill, context: Any, tmp_path: Path) -> None:
    snapshots = tmp_path / "snapshots"
    warehouse("custom_id, plan", [("jane", "secret-plan")])
    from_sql(mode="changed", snapshot_path=str(snapshots)).execute(context)
    files = [path for path in snapshots.rglob("*") if path.is_file()]
    raw = [path.read_bytes() for path in files]
    content = b"".join(gzip.decompress(each) if each.startswith(b"\x1f\x8b") else each for each in raw)
    assert b"jane" in content
    assert b"secret" not in content
    assert {path.stat().st_mode & 0o077 for path in files} == {0}


def test_a_backfill_does_not_undo_todays_attributes(context: Any, tmp_path: Path) -> None:
    backfill: Any = {**context, "dag_run": SimpleNamespace(run_type=DagRunType("backfill"))}
    today: Any = {**context, "dag_run": SimpleNamespace(run_type=DagRunType("scheduled"))}
    changed = update([row("a")], mode="changed", snapshot_path=str(tmp_path))
    with pytest.raises(
        AirflowSkipException, match=r"^profiles of batch_cep: in a backfill, mode='changed' could send the attributes"
    ):
        changed.pre_execute(backfill)
    changed.pre_execute(today)
    update([row("a")]).pre_execute(backfill)


# Parameters


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"mode": "mirror"}, "mode: 'mirror' is not 'update' or 'changed'"),
        ({"mode": "changed"}, "snapshot_path: mode='changed' needs one. Pass snapshot_path."),
        ({"snapshot_path": "/x"}, "snapshot_path: '/x' has no effect with mode='update', only with mode='changed'."),
        ({"on_gone": "clear"}, "on_gone: 'clear' has no effect with mode='update', only with mode='changed'."),
        ({"max_shrink": 0.5}, "max_shrink: 0.5 has no effect with mode='update', only with mode='changed'."),
        ({"route": "bulk"}, "route: 'bulk' is not one of auto, update, mass-update"),
        ({"nulls": "drop"}, "nulls: 'drop' is not 'keep' or 'clear'"),
        ({"chunk_size": 10_001}, "chunk_size: 10001 is not an integer from 1 to 10,000"),
        ({"attribute_columns": "plan"}, "attribute_columns: a single str is not a list of columns"),
        ({"profiles": iter(())}, "profiles: a tuple_iterator can be read only once"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_parameters_are_checked_when_the_dag_file_is_parsed(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        update(**{"profiles": [], **arguments})
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"mode": "changed"}, "snapshot_path: mode='changed' needs one. Pass snapshot_path or snapshot_schema."),
        (
            {"mode": "changed", "snapshot_path": "/x", "snapshot_schema": "main"},
            "snapshot_schema: passed together with snapshot_path. Pass one of them.",
        ),
        (
            {"snapshot_schema": "main"},
            "snapshot_schema: 'main' has no effect with mode='update', only with mode='changed'.",
        ),
    ],
    ids=["none", "both", "update"],
)
def test_a_query_has_its_snapshot_in_one_place(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        from_sql(**arguments)
    assert reason in str(caught.value)


def test_rejects_have_a_use_in_every_mode() -> None:
    assert update([], rejects_path="/x", max_rejected=3).max_rejected == 3


def test_default_args_of_other_operators_leave_the_modes_alone() -> None:
    operator = update([], default_args={"mode": "poke", "snapshot_path": "/x", "retries": 2})
    assert (operator.mode, operator.snapshot_path, operator.retries) == ("update", None, 2)


# On Airflow


def test_profiles_are_in_no_rendered_field_and_no_xcom(airflow_db: None, sandbox: Sandbox) -> None:
    with DAG("profiles_rendered", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None) as dag:
        update([row("jane", plan="secret")])
    finished = run(dag)
    assert sandbox.profiles() == {"jane": {"plan": "secret"}}
    fields, told = rendered(finished, "push"), repr(xcoms(finished, "push"))
    assert "1 profile" in fields
    assert "accepted" in told
    assert not [private for private in ("jane", "secret") if private in fields + told]


# What others see


def test_openlineage_learns_the_profiles_and_how_many(sandbox: Sandbox, context: Any) -> None:
    operator = update([row("a"), row("b"), row("a", x=1)])
    assert operator.get_openlineage_facets_on_complete(None).outputs[0].outputFacets == {}
    operator.execute(context)
    (output,) = operator.get_openlineage_facets_on_complete(None).outputs
    assert (output.namespace, output.name) == ("batch://batch_cep", "profiles/attributes")
    assert output.outputFacets["outputStatistics"].rowCount == 2
    unsent = update([row("a")], dry_run=True)
    unsent.execute(context)
    assert unsent.get_openlineage_facets_on_complete(None).outputs == []


@pytest.mark.parametrize(
    ("mode", "shared"), [("update", True), ("changed", False), ("changed", True)], ids=["update", "own", "shared"]
)
def test_mapped_tasks_may_not_take_each_others_profiles_for_gone(mode: str, shared: bool) -> None:
    given: list[dict[str, Any]] = [{"profiles": []}, {"profiles": []}]
    path = "/snapshots/all" if shared else "/snapshots/{{ ti.map_index }}"
    fixed = {"snapshot_path": path} if mode == "changed" else {}
    with DAG("mapped", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None) as dag:
        ProfilesUpdateOperator.partial(task_id="push", batch_conn_id="batch_cep", mode=mode, **fixed).expand_kwargs(
            given
        )
    operator: Any = dag.get_task("push").unmap(given[0])
    context: Any = {"ti": SimpleNamespace(map_index=0), "dag": dag, "task": operator}
    if mode == "changed" and shared:
        with pytest.raises(InvalidArgumentError, match=r"^snapshot_path: each of these mapped tasks would take"):
            check_mapped_profiles(operator, context)
    else:
        check_mapped_profiles(operator, context)


def test_mapped_tasks_may_not_share_tables() -> None:
    given: list[dict[str, Any]] = [{"sql": "SELECT 1"}, {"sql": "SELECT 2"}]
    fixed: dict[str, Any] = {"conn_id": "warehouse", "mode": "changed", "snapshot_schema": "main"}
    with DAG("mapped", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), schedule=None) as dag:
        SqlToProfilesOperator.partial(task_id="push", batch_conn_id="batch_cep", **fixed).expand_kwargs(given)
    operator: Any = dag.get_task("push").unmap(given[0])
    context: Any = {"ti": SimpleNamespace(map_index=0), "dag": dag, "task": operator}
    with pytest.raises(InvalidArgumentError, match=r"^snapshot_schema: each of these mapped tasks would take"):
        check_mapped_profiles(operator, context)
