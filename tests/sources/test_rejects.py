from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.audiences.members import Change, Member
from airflow_provider_batch.protocol.profiles.table import Profile
from airflow_provider_batch.protocol.rows import BadRow
from airflow_provider_batch.sources.rejects import Rejects


def write_and_fail(path: Any) -> None:
    with Rejects(path) as rejects:
        rejects.write("line 1", "no id", "a")
        raise ZeroDivisionError


def test_rows_are_written_with_their_reasons(tmp_path: Path) -> None:
    path = tmp_path / "not" / "there" / "rejects.jsonl"
    given: list[tuple[object, object]] = [
        ("Zoë", "Zoë"),
        (None, None),
        (7, 7),
        (b"x", "b'x'"),
        (BadRow("no"), None),
        (Member("a", {"x": 1}, ["t"]), {"id": "a", "attributes": {"x": 1}, "tags": ["t"]}),
        (Change("add", Member("a")), {"action": "add", "value": {"id": "a", "attributes": None, "tags": None}}),
        ({("x", 1): "a"}, "{('x', 1): 'a'}"),
        (Profile("a", {"x": 1}), {"custom_id": "a", "attributes": {"x": 1}}),
        ("half \ud800", "half \ud800"),
    ]
    with Rejects(path) as rejects:
        for number, (value, _) in enumerate(given):
            rejects.write(f"ids.csv, line {number}", "no id", value)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert lines == [
        {"where": f"ids.csv, line {number}", "reason": "no id", "value": value}
        for number, (_, value) in enumerate(given)
    ]
    assert rejects.count == len(given)


def test_without_rows_there_is_no_file(tmp_path: Path) -> None:
    with Rejects(tmp_path / "rejects.jsonl") as rejects:
        assert rejects.count == 0
    assert list(tmp_path.iterdir()) == []


def test_rows_written_before_a_failure_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text("an earlier one\n")
    with pytest.raises(ZeroDivisionError):
        write_and_fail(path)
    assert json.loads(path.read_text()) == {"where": "line 1", "reason": "no id", "value": "a"}


def test_an_error_names_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with Rejects(tmp_path) as rejects, pytest.raises(SourceError, match="rejected rows cannot be written: Is a direc"):
        rejects.write("line 1", "no id", "a")


def test_an_error_names_a_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Rejects(tmp_path / "file" / "x") as rejects, pytest.raises(SourceError, match="written: Not a directory"):
        rejects.write("line 1", "no id", "a")


def test_an_error_names_a_bucket_that_is_missing(s3: Any) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    rejects = Rejects(ObjectStoragePath("s3://aws_default@nowhere/rejects.jsonl"))
    with pytest.raises(SourceError, match=r"nowhere/rejects.jsonl: rejected rows cannot be written: "), rejects:
        rejects.write("line 1", "no id", "a")


class Full:
    """A storage that is full when the file is closed."""

    def open(self, mode: str) -> Any:
        return self

    def write(self, line: bytes) -> None:
        pass

    def close(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_failure_to_close_is_raised_unless_another_error_came_first() -> None:
    rejects = Rejects(Full())
    with pytest.raises(SourceError, match="rejected rows cannot be written: No space left"), rejects:
        rejects.write("line 1", "no id", "a")
    with pytest.raises(ZeroDivisionError):
        write_and_fail(Full())


def test_rows_are_written_to_an_object_storage(s3: Any) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    with Rejects(ObjectStoragePath("s3://aws_default@bucket/deep/rejects.jsonl")) as rejects:
        rejects.write("line 1", "no id", "a")
    body = s3.get_object(Bucket="bucket", Key="deep/rejects.jsonl")["Body"].read()
    assert json.loads(body) == {"where": "line 1", "reason": "no id", "value": "a"}
