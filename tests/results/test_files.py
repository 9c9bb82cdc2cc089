"""Files that appear whole or not at all, on a disk and in a store in memory."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from upath import UPath

from airflow_provider_batch.exceptions import ResultError
from airflow_provider_batch.results.files import ResultFolder, hidden
from airflow_provider_batch.results.pieces import Pieces
from airflow_provider_batch.results.statistics import Figures

ANY = re.compile(r".*")


@pytest.fixture(params=["disk", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "disk":
        yield ObjectStoragePath(f"file://{tmp_path}/new/folder")
        return
    path = UPath("memory://results/new/folder")
    yield path
    if path.exists():
        path.fs.rm(path.path, recursive=True)


def test_a_folder_that_does_not_exist_is_empty(path: Any) -> None:
    folder = ResultFolder(path)
    assert folder.find(ANY) == []
    assert folder.staged() == []
    folder.delete(["x"])


def test_a_staged_file_gets_its_name_last(path: Any) -> None:
    folder = ResultFolder(path)
    for name in ("b", "a"):
        folder.stage(name, [name])
    assert folder.find(ANY) == [".a.tmp", ".b.tmp"]
    assert folder.staged() == ["a", "b"]
    folder.publish(["a", "b"])
    assert folder.find(ANY) == ["a", "b"]
    with folder.path("a").open("rb") as file:
        assert file.read() == b"a\n"


def test_what_a_new_result_does_not_have_is_deleted(path: Any) -> None:
    folder = ResultFolder(path)
    for name in ("a", "b", "c"):
        folder.stage(name, ["old"])
    folder.publish(["a", "b", "c"])
    folder.stage("a", ["new"])
    folder.publish(["a"], replaced=["a", "b"])
    assert folder.find(ANY) == ["a", "c"]
    with folder.path("a").open("rb") as file:
        assert file.read() == b"new\n"


def test_lines_are_the_same_bytes_every_time(path: Any) -> None:
    folder = ResultFolder(path)
    found = []
    for name in ("a", "b"):
        assert folder.stage(name, iter(["é", "\ud800", "x" * 200_000]), "gzip") == 3
        with folder.opened(name) as file:
            found.append(file.read())
    assert found[0] == found[1]
    assert gzip.decompress(found[0]) == "é\n\\ud800\n".encode() + b"x" * 200_000 + b"\n"


@pytest.mark.parametrize(
    ("error", "retryable"),
    [(PermissionError(13, "Permission denied"), False), (OSError(28, "No space left on device"), True)],
    ids=["permission", "space"],
)
def test_a_storage_that_fails_is_an_error_with_its_reason(
    error: OSError, retryable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ResultFolder(ObjectStoragePath(f"file://{tmp_path}"))

    def fail(*arguments: Any, **others: Any) -> None:
        raise error

    monkeypatch.setattr(type(folder._fs), "open", fail)
    with pytest.raises(ResultError, match=f"the result cannot be stored: {error.strerror}") as caught:
        folder.stage("a", ["a"])
    assert caught.value.retryable is retryable


def test_a_path_below_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = ResultFolder(ObjectStoragePath(f"file://{tmp_path}/file/folder"))
    assert folder.find(ANY) == []
    with pytest.raises(ResultError, match="the result cannot be stored"):
        folder.stage("a", ["a"])


def figures(*numbers: int) -> Iterator[Figures]:
    for number in numbers:
        yield Figures(f"k{number}", ({"n": number}, {"n": -number}) if number else ())


def test_pieces_become_one_file(path: Any) -> None:
    folder = ResultFolder(path)
    pieces = Pieces(folder, "out.jsonl")
    completed = [pieces.add(each) for each in figures(*range(60))]
    assert [number for number, done in enumerate(completed) if done] == [24, 49]
    assert pieces.count == 2
    assert folder.find(ANY) == [hidden("out.jsonl.000000"), hidden("out.jsonl.000001")]

    again = Pieces(folder, "out.jsonl", 2)
    assert (len(again.keys), again.rows) == (50, 98)
    for each in figures(*range(50, 60)):
        again.add(each)
    again.finish(None)
    assert folder.find(ANY) == ["out.jsonl"]
    with folder.path("out.jsonl").open("rb") as file:
        assert file.read() == b"".join(b'{"n": %d}\n{"n": %d}\n' % (n, -n) for n in range(1, 60))
    assert again.rows == 118


def test_pieces_of_another_reading_are_deleted(path: Any) -> None:
    folder = ResultFolder(path)
    first = Pieces(folder, "out.jsonl")
    first.add(Figures("k"))
    first.flush()
    folder.stage("other.jsonl", ["x"])
    Pieces(folder, "out.jsonl")
    assert folder.find(ANY) == [hidden("other.jsonl")]
