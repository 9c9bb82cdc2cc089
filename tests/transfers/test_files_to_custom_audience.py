"""From files to audiences, through the operator as a worker runs it."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath
from pyarrow import parquet as pq

from airflow_provider_batch.exceptions import SourceError, SourceUnavailableError
from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Fault, Sandbox
from airflow_provider_batch.transfers.files_to_custom_audience import FilesToCustomAudienceOperator
from tests.worker import Store, next_try

PROJECT = "project_sandbox"


def parquet(**columns: list[Any]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


FORMATS = {
    "ids.txt": b"a\nb\nc\n",
    "ids.csv": b"id\na\nb\nc\n",
    "ids.jsonl": b'{"id": "a"}\n{"id": "b"}\n{"id": "c"}\n',
    "ids.ndjson": b'"a"\n"b"\n"c"\n',
    "ids.parquet": parquet(id=["a", "b", "c"]),
    "ids.txt.gz": gzip.compress(b"a\nb\nc\n"),
    "ids.csv.gz": gzip.compress(b"id\na\nb\nc\n"),
    "ids.jsonl.gz": gzip.compress(b'{"id": "a"}\n{"id": "b"}\n{"id": "c"}\n'),
}


def push(path: Any, **arguments: Any) -> FilesToCustomAudienceOperator:
    return FilesToCustomAudienceOperator(**{"task_id": "push", "path": path, "audience_name": "vip", **arguments})


def failure(operator: FilesToCustomAudienceOperator, context: Any) -> BaseException:
    """Why the task fails for good."""
    with pytest.raises(AirflowFailException) as caught:
        operator.execute(context)
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


def put(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("mode", ["add", "replace", "mirror"])
def test_every_format(mode: str, name: str, batch_sandbox: Sandbox, context: Any, folder: Path, tmp_path: Path) -> None:
    kept = {"snapshot_path": str(tmp_path / "kept"), "poke_interval": 0.1} if mode == "mirror" else {}
    assert len(push(put(folder, name, FORMATS[name]), mode=mode, **kept).execute(context)) == 1
    assert batch_sandbox.members("vip") == {"a", "b", "c"}
    assert context["ti"].pushed["summary"]["added"] == 3


@pytest.mark.parametrize("as_path", [str, Path, lambda path: ObjectStoragePath(f"file://{path}")])
def test_a_folder_and_a_glob(as_path: Any, batch_sandbox: Sandbox, context: Any, folder: Path) -> None:
    for number, name in enumerate(["part-1.csv", "part-2.csv.gz", "_SUCCESS", "other.csv"]):
        content = b"id\n%d\n" % number
        put(folder, name, gzip.compress(content) if name.endswith("gz") else content)
    push(as_path(folder / "part-*.csv*")).execute(context)
    assert batch_sandbox.members("vip") == {"0", "1"}
    push(as_path(folder)).execute(context)
    assert batch_sandbox.members("vip") == {"0", "1", "3"}


def test_a_template_names_the_path(batch_sandbox: Sandbox, context: Any, folder: Path) -> None:
    put(folder, "vip.txt", b"a\n")
    for path in (
        f"{folder}/{{{{ params.segment }}}}.txt",
        ObjectStoragePath(f"file://{folder}/{{{{ params.segment }}}}.txt"),
    ):
        operator = push(path, audience_name="{{ params.segment }}")
        operator.render_template_fields(context)
        assert len(operator.execute(context)) == 1
    assert batch_sandbox.members("vip") == {"a"}


def test_columns_delimiter_encoding_and_no_header(batch_sandbox: Sandbox, context: Any, folder: Path) -> None:
    path = put(folder, "members.csv", "a;Zoë;12\nb;;\n".encode("latin-1"))
    push(
        path,
        batch_conn_id="batch_cep",
        header=False,
        delimiter=";",
        encoding="latin-1",
        id_column="1",
        attribute_columns={"2": "name", "3": "points"},
    ).execute(context)
    assert batch_sandbox.attributes("vip", PROJECT) == {
        "a": {"attributes": {"name": "Zoë", "points": "12"}, "tags": []},
        "b": {"attributes": {}, "tags": []},
    }


def test_actions(batch_sandbox: Sandbox, context: Any, folder: Path) -> None:
    path = put(folder, "changes.csv", b"op,id\nadd,a\nadd,b\nremove,a\n")
    push(path, mode="actions", action_column="op").execute(context)
    assert batch_sandbox.members("vip") == {"b"}


def test_tags_of_install_ids_in_json(context: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install = "4b1f6f4e-0d3e-4d53-8cb5-6dd3ad3f6a11"
    path = put(folder, "members.jsonl", json.dumps({"id": install, "likes": ["ios", "x"], "n": 1}).encode())
    with Sandbox(["phones:install_ids"]) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        arguments = {"audience_name": "phones", "audience_type": "install_ids", "tags_column": "likes"}
        push(path, id_column="id", attribute_columns=["n"], **arguments).execute(context)
        assert sandbox.attributes("phones") == {install: {"attributes": {"n": 1}, "tags": ["ios", "x"]}}


def test_a_number_names_a_column_of_a_file_without_header(batch_sandbox: Sandbox, context: Any, folder: Path) -> None:
    push(
        put(folder, "ids.csv", b"add,auth0|1,x\nadd,c-2,\n"), header=False, id_column=2, mode="actions", action_column=1
    ).execute(context)
    assert batch_sandbox.members("vip") == {"auth0|1", "c-2"}
    error = failure(push(put(folder, "ids.csv", b"c-1,x\n"), header=False, id_column=3), context)
    assert str(error).startswith("ids.csv: there is no column '3'; it has 2 columns.")


def test_no_cell_leaves_the_house_where_the_delimiter_is_another(
    batch_sandbox: Sandbox, context: Any, folder: Path
) -> None:
    for name, header in (("ids.csv", True), ("ids.csv", False), ("ids.txt", True)):
        error = failure(push(put(folder, name, b"c-1;a@x.org\nc-2;b@x.org\n"), header=header), context)
        assert "delimiter=" in str(error)
        assert "c-1" not in str(error)
    assert batch_sandbox.calls == []


def test_texts_that_mean_a_missing_value(batch_sandbox: Sandbox, context: Any, folder: Path) -> None:
    path = put(folder, "ids.csv", b"id,city\na,NULL\n\\N,Paris\nb,Rome\n")
    arguments: dict[str, Any] = {
        "batch_conn_id": "batch_cep",
        "id_column": "id",
        "attribute_columns": ["city"],
        "null_values": ["", r"\N", "NULL"],
    }
    error = failure(push(path, **arguments), context)
    assert "ids.csv, line 3" in str(error)
    push(path, on_invalid_id="skip", **arguments).execute(context)
    assert batch_sandbox.attributes("vip", PROJECT) == {
        "a": {"attributes": {}, "tags": []},
        "b": {"attributes": {"city": "Rome"}, "tags": []},
    }


@pytest.mark.parametrize("missing", [None, "s3fs"])
@pytest.mark.parametrize("argument", ["path", "rejects_path", "snapshot_path"])
def test_a_storage_that_nothing_opens(
    argument: str,
    missing: str | None,
    batch_sandbox: Sandbox,
    context: Any,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    path = put(folder, "ids.txt", b"a\n")
    arguments = {"path": path, argument: "s3://some-bucket/ids.csv" if missing else "foo://some/ids.csv"}
    if argument == "snapshot_path":
        arguments["mode"] = "mirror"
    if argument == "rejects_path":
        arguments["on_invalid_id"] = "skip"
    error = failure(push(**arguments), context)
    assert isinstance(error, SourceError)
    assert str(error).startswith(f"{arguments[argument]}: this storage cannot be opened: ")
    assert "s3fs" in str(error)
    assert batch_sandbox.calls == []


# S3


@pytest.mark.parametrize("mode", ["add", "mirror"])
def test_files_rejects_and_snapshots_in_s3(mode: str, s3: Any, batch_sandbox: Sandbox, context: Any) -> None:
    s3.put_object(Bucket="bucket", Key="segments/1.csv.gz", Body=gzip.compress(b"id\na\n\nb\n"))
    s3.put_object(Bucket="bucket", Key="segments/2.csv.gz", Body=gzip.compress(b'id\n""\nc\n'))
    arguments: dict[str, Any] = {
        "on_invalid_id": "skip",
        "rejects_path": "s3://aws_default@bucket/rejects/{{ params.segment }}",
    }
    if mode == "mirror":
        arguments |= {"mode": mode, "snapshot_path": "s3://aws_default@bucket/kept", "poke_interval": 0.1}
    for _ in range(2):
        operator = push("s3://bucket/segments/*.csv.gz", path_conn_id="aws_default", **arguments)
        operator.render_template_fields(context)
        operator.execute(context)
        assert batch_sandbox.members("vip") == {"a", "b", "c"}
        rejected = json.loads(s3.get_object(Bucket="bucket", Key="rejects/vip")["Body"].read())
        assert "segments/2.csv.gz, line 2" in rejected["where"]
    if mode == "mirror":
        assert context["ti"].pushed["summary"]["unchanged"] == 3
        keys = [found["Key"] for found in s3.list_objects_v2(Bucket="bucket", Prefix="kept")["Contents"]]
        assert {key.rpartition("/")[0] for key in keys} == {"kept/batch_default/vip"}


@pytest.mark.parametrize(
    ("mode", "arguments"),
    [
        ("add", {}),
        ("add", {"on_invalid_id": "skip"}),
        ("remove", {}),
        ("actions", {"action_column": "op"}),
        ("replace", {"poke_interval": 0.1}),
        ("replace", {"poke_interval": 0.1, "max_shrink": 1.0}),
        ("mirror", {"poke_interval": 0.1}),
    ],
)
def test_every_byte_is_downloaded_once(
    mode: str,
    arguments: dict[str, Any],
    s3: Any,
    s3_sent: Counter[str],
    batch_sandbox: Sandbox,
    context: Any,
    store: Store,
    tmp_path: Path,
) -> None:
    header, end = ("id,x,op", ",add\n") if mode == "actions" else ("id,x", "\n")
    others = Random(0)
    rows = "".join(f"customer-{number:011d},{others.randbytes(48).hex()}{end}" for number in range(50_000))
    bodies = {
        f"{tmp_path.name}/1.csv": f"{header}\n{rows * 2}".encode(),  # more than is read ahead
        f"{tmp_path.name}/2.csv.gz": gzip.compress(f"{header}\nfirst,1{end}{rows}".encode(), 1),
    }
    for key, body in bodies.items():
        s3.put_object(Bucket="bucket", Key=key, Body=body)
    if mode == "mirror":
        arguments = {**arguments, "snapshot_path": str(tmp_path / "kept")}
    operator = push(f"s3://aws_default@bucket/{tmp_path.name}/*", id_column="id", mode=mode, **arguments)
    tries: Any = {**context, "task_state_store": store}
    operator.execute(tries)
    assert {key: s3_sent[f"/bucket/{key}"] for key in bodies} == {key: len(body) for key, body in bodies.items()}
    assert ("first" in batch_sandbox.members("vip")) is (mode != "remove")


def test_a_file_that_changes_after_it_was_checked_is_sent_as_it_was(
    batch_sandbox: Sandbox, context: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(folder, "ids.csv", b"id\na\nb\n")
    create = BatchHook.create_custom_audience

    def change(hook: BatchHook, *arguments: Any, **more: Any) -> Any:
        put(folder, "ids.csv", b"id\nc\n")
        return create(hook, *arguments, **more)

    monkeypatch.setattr(BatchHook, "create_custom_audience", change)
    push(path, create_if_missing=True).execute(context)
    assert batch_sandbox.members("vip") == {"a", "b"}


def test_a_bucket_that_is_not_there_is_left_to_the_retries(s3: Any, batch_sandbox: Sandbox, context: Any) -> None:
    with pytest.raises(SourceUnavailableError):
        push("s3://aws_default@nowhere/segments/*.csv").execute(context)
    assert batch_sandbox.calls == []


# Bad rows and bad files


@pytest.mark.parametrize("mode", ["add", "remove", "replace", "mirror"])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.csv", b"id\nsecret-1\nsecret-2\n" + b"x" * 129 + b"\n", "rows.csv, line 4"),
        ("rows.csv", b"id,b\nsecret-1,1\nsecret-2\n", "rows.csv, line 3"),
        ("rows.txt.gz", gzip.compress(b"secret-1\n" + b"x" * 129, mtime=0), "rows.txt.gz, line 2"),
        ("rows.jsonl", b'{"id": "secret-1"}\n{"id": "secret-2"\n', "rows.jsonl, line 2"),
        ("rows.parquet", parquet(id=["secret-1", None]), "rows.parquet, row 2"),
    ],
)
def test_a_bad_row_is_named_before_the_first_call(
    name: str, content: bytes, said: str, mode: str, batch_sandbox: Sandbox, context: Any, folder: Path, tmp_path: Path
) -> None:
    kept = {"snapshot_path": str(tmp_path / "kept")} if mode == "mirror" else {}
    error = failure(
        push(put(folder, name, content), id_column=None if "txt" in name else "id", mode=mode, **kept), context
    )
    assert said in str(error)
    assert "secret" not in repr((error, error.__cause__, error.__context__))
    assert batch_sandbox.calls == []
    assert not (tmp_path / "kept").exists()


CUT = gzip.compress(b"id\n" + b"".join(b"secret-%d\n" % number for number in range(50_000)), mtime=0)[:-20_000]


@pytest.mark.parametrize("mode", ["add", "replace", "mirror"])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("ids.csv.gz", CUT, "the gzip file is truncated"),
        ("ids.csv.gz", b"", "the gzip file has no bytes"),
        ("ids.csv.gz", b"id\nsecret-1\n", "the file is damaged or not gzip"),
        ("ids.csv", b"", "the file is empty"),
        ("ids.txt", b"", "the file is empty"),
        ("ids.csv", b"name\nsecret-1\n", "there is no column 'id'; it has 1 column."),
        ("ids.csv", b"secret-1@example.com\n", "Pass header=False if the first line is not a header, or id_column="),
        ("ids.parquet", parquet(name=["secret-1"]), "there is no column 'id'; it has 1 column."),
        ("ids.parquet", parquet(id=["secret-1"])[:-20], "the file is truncated, damaged or not Parquet"),
        ("ids.csv", "id\nsecrét\n".encode("latin-1"), "is not valid utf-8"),
        ("ids.xlsx", b"PK", "the suffix '.xlsx' is unknown"),
    ],
)
def test_a_bad_file_is_named_and_nothing_is_sent(
    name: str, content: bytes, said: str, mode: str, batch_sandbox: Sandbox, context: Any, folder: Path, tmp_path: Path
) -> None:
    kept = {"snapshot_path": str(tmp_path / "kept")} if mode == "mirror" else {}
    id_column = None if name.endswith("txt") else "id"
    error = failure(push(put(folder, name, content), id_column=id_column, mode=mode, **kept), context)
    assert isinstance(error, SourceError)
    assert said in str(error)
    assert name in str(error)
    assert "secret" not in repr((error, error.__cause__, error.__context__))
    assert batch_sandbox.calls == []
    assert not (tmp_path / "kept").exists()


def test_a_file_of_no_bytes_may_be_allowed(batch_sandbox: Sandbox, context: Any, folder: Path) -> None:
    path = put(folder, "ids.csv", b"")
    assert push(path, id_column="id", allow_empty=True).execute(context) == []
    assert batch_sandbox.calls == []
    push(put(folder, "some.csv", b"id\na\n")).execute(context)
    push(path, id_column="id", mode="replace", allow_empty=True).execute(context)
    assert batch_sandbox.members("vip") == set()


def test_a_file_without_rows_is_no_fault_but_in_a_replace(batch_sandbox: Sandbox, context: Any, folder: Path) -> None:
    path = put(folder, "ids.csv", b"id\n")
    assert push(path).execute(context) == []
    assert "allow_empty=True" in str(failure(push(path, mode="replace"), context))


def test_a_file_that_is_not_there_yet_is_left_to_the_retries(
    batch_sandbox: Sandbox, context: Any, folder: Path
) -> None:
    for path in (folder / "no.csv", folder / "*.csv", folder):
        with pytest.raises(SourceUnavailableError):
            push(str(path)).execute(context)
    assert batch_sandbox.calls == []


def test_skipped_rows_are_written_with_their_reasons(batch_sandbox: Sandbox, context: Any, folder: Path) -> None:
    path = put(folder, "ids.csv", b'id,x\na,1\n"",2\nb\nc,3\n')
    rejects = folder / "deep" / "rejects.jsonl"
    push(path, id_column="id", on_invalid_id="skip", rejects_path=ObjectStoragePath(f"file://{rejects}")).execute(
        context
    )
    assert batch_sandbox.members("vip") == {"a", "c"}
    rows = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(row["where"].partition(" ")[2], row["value"]) for row in rows] == [
        ("(ids.csv, line 3)", ""),
        ("(ids.csv, line 4)", None),
    ]
    assert all(row["reason"] for row in rows)


def test_a_place_for_rejects_that_cannot_be_written_to(batch_sandbox: Sandbox, context: Any, folder: Path) -> None:
    path = put(folder, "ids.txt", b"x" * 129)
    error = failure(push(path, on_invalid_id="skip", rejects_path=str(folder)), context)
    assert "rejected rows cannot be written" in str(error)


def test_a_retry_sends_what_is_left(
    batch_sandbox: Sandbox, context: Any, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = batch_sandbox.connection_json().replace("}", ', "extra": {"max_attempts": 1}}')
    monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", connection)
    path = put(folder, "ids.txt", b"".join(b"id-%d\n" % number for number in range(10)))
    tries: Any = {**context, "task_state_store": store}
    batch_sandbox.faults(None, None, Fault(503))
    with pytest.raises(Exception, match="accepted 2 chunks"):
        push(path, chunk_size=2, max_concurrency=1).execute(tries)
    push(path, chunk_size=2, max_concurrency=1).execute(next_try(tries))
    assert sum(call.elements for call in batch_sandbox.calls if call.status == 201) == 10
    assert len(batch_sandbox.members("vip")) == 10


def test_a_dry_run_reads_all_and_sends_nothing(batch_sandbox: Sandbox, context: Any, folder: Path) -> None:
    path = put(folder, "ids.csv", b'id\na\nb\n""\n')
    rejects = folder / "rejects.jsonl"
    push(path, dry_run=True, on_invalid_id="skip", rejects_path=str(rejects), max_rejected=1).execute(context)
    summary = context["ti"].pushed["summary"]
    assert (summary["added"], summary["rejected"], summary["calls"]) == (2, 1, 1)
    assert batch_sandbox.calls == []
    assert rejects.exists()  # what would be skipped is asked for
