from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from upath import UPath

from airflow_provider_batch.mirror.folder import Folder, _LocalFolder, _StoreFolder, folder_at

from .folders import memory_path


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["local", "file", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "s3":
        options = {"key": "none", "secret": "none", "endpoint_url": request.getfixturevalue("s3")}
        path = UPath(f"s3://bucket-{os.getpid()}-{id(request.node)}/a/b", **options)
        path.fs.mkdir(path.parts[0].strip("/") if path.parts else "bucket")
        return folder_at(path)
    paths: dict[str, Any] = {
        "local": tmp_path / "a" / "b",
        "file": UPath(f"file://{tmp_path}/a/b"),
        "memory": memory_path(),
    }
    return folder_at(paths[request.param])


def test_a_folder_is_empty_before_the_first_file(folder: Folder) -> None:
    assert folder.list_files() == []
    assert folder.read("x") is None
    folder.delete("x")
    with pytest.raises(FileNotFoundError):
        folder.open("x")


def test_what_is_written_is_read(folder: Folder, tmp_path: Path) -> None:
    assert folder.create("one", b"1")
    folder.write("two", b"2")
    folder.write("two", b"22")
    source = tmp_path / "source"
    source.write_bytes(b"3" * 3_000_000)
    folder.upload("three", source)
    folder.upload("one", source)
    assert sorted(folder.list_files()) == ["one", "three", "two"]
    assert folder.read("two") == b"22"
    assert folder.read("one") == folder.read("three") == source.read_bytes()
    with folder.open("three") as content:
        assert content.read(2) == b"33"
    folder.delete("one")
    assert sorted(folder.list_files()) == ["three", "two"]


def test_a_file_is_created_once(folder: Folder) -> None:
    assert folder.create("claim", b"first")
    assert not folder.create("claim", b"second")
    assert folder.read("claim") == b"first"
    assert folder.list_files() == ["claim"]
    folder.delete("claim")
    assert folder.create("claim", b"second")


def test_a_path_on_the_disk_is_local_however_it_is_spelt(tmp_path: Path) -> None:
    assert isinstance(folder_at(tmp_path), _LocalFolder)
    assert isinstance(folder_at(UPath(tmp_path)), _LocalFolder)
    assert isinstance(folder_at(UPath(f"file://{tmp_path}")), _LocalFolder)
    assert isinstance(folder_at(memory_path()), _StoreFolder)
    assert str(folder_at(tmp_path)) == str(tmp_path)


def test_where_links_are_unknown_a_file_is_still_created_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refused)
    folder = folder_at(tmp_path)
    assert folder.create("claim", b"first")
    assert not folder.create("claim", b"second")
    assert (folder.read("claim"), folder.list_files()) == (b"first", ["claim"])


class Plainest:
    """A store whose ``pipe_file`` knows no modes, or has an error of its own for a file that is there."""

    def __init__(self, fs: Any, error: Exception) -> None:
        self._fs = fs
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fs, name)

    def pipe_file(self, path: str, content: bytes, **mode: object) -> None:
        if mode and (self._fs.exists(path) or not isinstance(self._error, OSError)):
            raise self._error
        self._fs.pipe_file(path, content)


@pytest.mark.parametrize("error", [TypeError(), NotImplementedError(), OSError(22, "precondition failed")])
def test_a_store_may_say_otherwise_that_there_is_a_file(error: Exception) -> None:
    folder = _StoreFolder(memory_path())
    folder._fs = Plainest(folder._fs, error)
    assert folder.create("claim", b"first")
    assert not folder.create("claim", b"second")
    assert folder.read("claim") == b"first"


def test_an_error_that_is_none_of_a_file_that_is_there_is_raised() -> None:
    class Broken(Plainest):
        def pipe_file(self, path: str, content: bytes, **mode: object) -> None:
            raise self._error

    folder = _StoreFolder(memory_path())
    folder._fs = Broken(folder._fs, PermissionError())
    with pytest.raises(PermissionError):
        folder.create("claim", b"first")
