from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from airflow_provider_batch.exceptions import SourceError, SourceUnavailableError
from airflow_provider_batch.sources.paths import FoundFile, find_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.csv.gz", "c", "_SUCCESS", ".hidden.txt", "_temporary/x.txt", "day=1/z.txt", "day=2/y.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_file_is_found(folder: Path) -> None:
    assert find_files(folder / "b.txt") == [FoundFile(folder / "b.txt", "b.txt")]
    assert find_files(folder / "_SUCCESS") == [FoundFile(folder / "_SUCCESS", "_SUCCESS")]
    assert find_files(folder / "a.csv.gz")[0].gzipped


def test_a_folder_gives_its_files_in_order_of_their_names(folder: Path) -> None:
    assert [found.name for found in find_files(folder)] == [f"{folder.name}/{n}" for n in ("a.csv.gz", "b.txt", "c")]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.txt", ["b.txt"]),
        ("[ab].*", ["a.csv.gz", "b.txt"]),
        ("?", ["c"]),
        ("day=*/*.txt", ["z.txt", "y.txt"]),
        ("day=?/*", ["z.txt", "y.txt"]),
        ("**/y.txt", ["y.txt"]),
        ("day=*/y.txt", ["y.txt"]),
    ],
)
def test_a_glob_gives_the_files_that_match(folder: Path, pattern: str, names: list[str]) -> None:
    assert [found.path.name for found in find_files(folder / pattern)] == names


def test_a_file_whose_name_looks_like_a_glob_is_found(tmp_path: Path) -> None:
    (tmp_path / "ids[1].txt").touch()
    assert [found.path.name for found in find_files(tmp_path / "ids[1].txt")] == ["ids[1].txt"]


def test_folders_that_hold_no_data_are_left_out_below_the_start_of_a_glob(tmp_path: Path) -> None:
    start = tmp_path / "_work"
    for name in (
        "a.csv",
        "day=1/b.csv",
        "_day=1/c.csv",
        "in/_side/x.csv",
        *(
            f"{hidden}/x.csv"
            for hidden in ("_temporary", "_temporary/0", "_delta_log", "_change_data", ".ipynb_checkpoints")
        ),
        ".day=1/x.csv",
        "in/_x.csv",
    ):
        (start / name).parent.mkdir(parents=True, exist_ok=True)
        (start / name).touch()
    assert [found.path.name for found in find_files(start / "**/*.csv")] == ["c.csv", "a.csv", "b.csv"]
    assert [found.path.name for found in find_files(start / "*/*.csv")] == ["c.csv", "b.csv"]
    assert [found.path.name for found in find_files(start / "_temporary/*.csv")] == ["x.csv"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.txt", "none.txt: there is no such file or folder"),
        ("none*.txt", r"none\*.txt: no file is there"),
        ("none/*.txt", r"none/\*.txt: no file is there"),
        ("_temporary/.*", "no file is there"),
        ("empty", "no file is there; hidden files and subfolders are not read. Check the path."),
    ],
)
def test_a_missing_file_is_a_transient_error(folder: Path, path: str, message: str) -> None:
    (folder / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(SourceUnavailableError, match=message):
        find_files(folder / path)


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.csv", ".csv"), ("a.CSV.GZ", ".csv"), ("a.b.txt", ".txt"), ("a.gz", ""), ("a", "")]
)
def test_the_suffix_is_the_part_before_gz(name: str, suffix: str) -> None:
    assert FoundFile(Path(name), name).suffix == suffix


def content_of(path: Path) -> bytes:
    (found,) = find_files(path)
    with found.open() as file:
        return found.read(file, 1 << 20) + found.read(file, 1 << 20)


def test_all_members_of_a_gzip_file_are_decompressed(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(b"two"))
    assert content_of(tmp_path / "a.gz") == b"onetwo"


def test_an_error_names_a_truncated_gzip_file(tmp_path: Path) -> None:
    whole = gzip.compress(os.urandom(1000))
    for length in (2, 5, 10, 500, len(whole) - 1):
        (tmp_path / "a.gz").write_bytes(whole[:length])
        with pytest.raises(SourceError, match=r"a.gz: the gzip file is truncated") as caught:
            content_of(tmp_path / "a.gz")
        assert not caught.value.retryable


@pytest.mark.parametrize("content", [b"plain text", gzip.compress(b"x" * 1000, mtime=0)[:-8] + b"12345678"])
def test_an_error_names_a_file_that_is_damaged_or_not_gzip(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(SourceError, match=r"a.gz: the file is damaged or not gzip") as caught:
        content_of(tmp_path / "a.gz")
    assert caught.value.__context__ is caught.value.__cause__ is None  # it would quote the first bytes


def test_an_empty_gzip_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.gz").touch()
    with pytest.raises(SourceError, match=r"a.gz: the gzip file has no bytes"):
        content_of(tmp_path / "a.gz")


class Failing:
    """A file of a storage that fails."""

    name = "a.txt"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def open(self, mode: str, buffering: int) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (FileNotFoundError(2, "No such file"), SourceUnavailableError, "a.txt: the file cannot be read: No such file"),
        (OSError("something with a secret"), SourceUnavailableError, "a.txt: the file cannot be read: OSError"),
        (TimeoutError(), SourceUnavailableError, "a.txt: the file cannot be read: TimeoutError"),
        (PermissionError(13, "Forbidden"), SourceError, "a.txt: the file cannot be read: Forbidden"),
        (RuntimeError("of a cloud"), SourceUnavailableError, "a.txt: the file cannot be read: RuntimeError"),
    ],
)
def test_an_error_gives_the_reason_of_the_storage(error: Exception, kind: type[SourceError], message: str) -> None:
    with (
        pytest.raises(SourceError, match=f"^{message}. Check the path and its permissions.$") as caught,
        FoundFile(Failing(error), "a.txt").open(),
    ):
        pass
    assert type(caught.value) is kind
