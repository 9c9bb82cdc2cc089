from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from upath import UPath

from airflow_provider_batch.exceptions import SnapshotError
from airflow_provider_batch.mirror.folder import Folder, _check_exclusive, _LocalFolder, _StoreFolder, folder_at
from tests.clock import eventually

from .folders import memory_path
from .gcs import Gcs, running


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Gcs]]:
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # it would ask Google for the kind of the bucket
    pytest.importorskip("gcsfs")  # reads the variable
    with running() as double:
        yield double


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of an Azure of our own: `make azure-test` installs it."""
    pytest.importorskip("adlfs")
    if not (program := shutil.which("azurite-blob")):
        pytest.skip("azurite-blob is not installed")
    options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry"]
    log = tmp_path_factory.mktemp("azurite") / "log"
    with (
        log.open("w") as output,
        subprocess.Popen([program, *options, "--skipApiVersionCheck"], stdout=output) as server,
    ):
        try:
            eventually(lambda: "listens on" in log.read_text(), within=30)
            (url,) = re.findall(r"listens on (\S+)", log.read_text())
            account = f"AccountName=devstoreaccount1;AccountKey={_AZURITE_KEY}"
            yield f"DefaultEndpointsProtocol=http;{account};BlobEndpoint={url}/devstoreaccount1;"
        finally:
            server.terminate()


#: That of every Azurite, from its documentation.
_AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def stored(name: str, server: str) -> Any:
    """An object storage, whose tests share a server."""
    return pytest.param(name, marks=pytest.mark.xdist_group(server))


@pytest.fixture(params=["local", "file", "memory", stored("s3", "s3_server"), stored("gcs", "gcs"), "azure"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "gcs":
        url, _ = request.getfixturevalue("gcs")
        return folder_at(UPath("gs://bucket/a/b", endpoint_url=url, token="anon"))
    if request.param == "azure":
        path = UPath(f"abfs://bucket-{id(request.node)}/a/b", connection_string=request.getfixturevalue("azurite"))
        path.fs.mkdir(path.parts[0].strip("/"))
        return folder_at(path)
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


def test_of_many_who_create_a_file_at_once_one_succeeds(folder: Folder) -> None:
    if "memory" in str(folder):
        pytest.skip("this store looks before it writes, so two may succeed")
    ready = threading.Barrier(8)

    def create(number: int) -> bool:
        ready.wait()
        return folder.create("claim", str(number).encode())

    with ThreadPoolExecutor(8) as threads:
        created = list(threads.map(create, range(8)))
    assert created.count(True) == 1
    assert folder.read("claim") == str(created.index(True)).encode()


def test_a_create_on_gcs_has_a_condition_that_the_store_checks(gcs: tuple[str, Gcs]) -> None:
    url, double = gcs
    folder = folder_at(UPath("gs://bucket/a/b", endpoint_url=url, token="anon"))
    assert folder.create("claim", b"first")
    assert not folder.create("claim", b"second")
    folder.write("alive", b"1")
    assert double.conditions == ["0", "0", None]


@pytest.mark.parametrize("package", ["s3fs", "gcsfs", "adlfs"])
def test_a_package_that_ignores_the_condition_is_refused(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for installed in ("2024.12.0", "2025.2.0.post1", "2025.1.0rc1", "2026.1.0"):
        monkeypatch.setattr("airflow_provider_batch.mirror.folder.version", lambda _, found=installed: found)
        _check_exclusive(package)
    monkeypatch.setattr("airflow_provider_batch.mirror.folder.version", lambda _: "2024.10.0")
    with pytest.raises(SnapshotError) as caught:
        _check_exclusive(package)
    assert str(caught.value) == (
        f"{package} 2024.10.0 cannot create a file exclusively, so two runs could start at once. Install "
        f"{package}>=2024.12."
    )
    _check_exclusive("fsspec")


def test_a_folder_checks_its_package_before_it_creates(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _StoreFolder(memory_path())
    monkeypatch.setattr("airflow_provider_batch.mirror.folder._EXCLUSIVE", ("fsspec",))
    monkeypatch.setattr("airflow_provider_batch.mirror.folder.version", lambda _: "2024.6.1")
    with pytest.raises(SnapshotError, match=r"fsspec 2024\.6\.1 cannot"):
        folder.create("claim", b"first")
    assert folder.list_files() == []


def test_a_path_on_the_disk_is_local_however_it_is_spelt(tmp_path: Path) -> None:
    assert isinstance(folder_at(tmp_path), _LocalFolder)
    assert isinstance(folder_at(UPath(tmp_path)), _LocalFolder)
    assert isinstance(folder_at(UPath(f"file://{tmp_path}")), _LocalFolder)
    assert isinstance(folder_at(memory_path()), _StoreFolder)
    for protocol, kind in (("file", _LocalFolder), (("file", "local"), _LocalFolder), ("filecache", _StoreFolder)):
        path = SimpleNamespace(fs=SimpleNamespace(protocol=protocol), path=str(tmp_path))
        assert isinstance(folder_at(path), kind)
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


def test_a_store_with_real_folders_has_those_made_that_are_missing() -> None:
    class WithFolders(Plainest):
        def pipe_file(self, path: str, content: bytes, **mode: object) -> None:
            if not self._fs.exists(path.rpartition("/")[0]):
                raise FileNotFoundError(path)
            if mode and self._fs.exists(path):
                raise FileExistsError(path)
            self._fs.pipe_file(path, content)

    path = memory_path() / "a" / "b"
    folder = _StoreFolder(path)
    folder._fs = WithFolders(folder._fs, OSError())
    assert folder.create("claim", b"first")
    assert not folder.create("claim", b"second")
    assert folder.read("claim") == b"first"
    assert str(folder) == str(path)


def test_all_folders_above_are_made_in_a_store_that_has_real_ones(tmp_path: Path) -> None:
    folder = _StoreFolder(UPath(f"file://{tmp_path}/a/b/c"))
    assert folder.create("claim", b"first")
    assert not folder.create("claim", b"second")
    assert (tmp_path / "a" / "b" / "c" / "claim").read_bytes() == b"first"


def test_the_folder_may_have_been_made_meanwhile() -> None:
    class MadeMeanwhile(Plainest):
        def pipe_file(self, path: str, content: bytes, **mode: object) -> None:
            if not self._fs.exists(path.rpartition("/")[0]):
                self._fs.makedirs(path.rpartition("/")[0])
                raise FileNotFoundError(path)
            assert mode == {"mode": "create"}
            self._fs.pipe_file(path, content)

    folder = _StoreFolder(memory_path())
    folder._fs = MadeMeanwhile(folder._fs, OSError())
    assert folder.create("claim", b"first")
    assert folder.read("claim") == b"first"


def test_a_file_that_another_run_has_overwritten_was_not_created_by_this_one() -> None:
    class Overwritten(Plainest):
        def pipe_file(self, path: str, content: bytes, **mode: object) -> None:
            if mode:
                raise NotImplementedError
            self._fs.pipe_file(path, b"another's")

    folder = _StoreFolder(memory_path())
    folder._fs = Overwritten(folder._fs, OSError())
    assert not folder.create("claim", b"ours")


def test_nothing_is_read_from_what_a_store_has_cached() -> None:
    class Cached(Plainest):
        forgotten = 0

        def invalidate_cache(self) -> None:
            self.forgotten += 1

    folder = _StoreFolder(memory_path())
    folder._fs = store = Cached(folder._fs, OSError())
    for times, look in enumerate((lambda: folder.read("x"), folder.list_files), 1):
        look()
        assert store.forgotten == times


def test_a_store_that_lets_nobody_in_is_named(tmp_path: Path) -> None:
    class Closed(Plainest):
        def pipe_file(self, path: str, content: bytes, **mode: object) -> None:
            raise self._error

        def put_file(self, source: str, path: str) -> None:
            raise self._error

    path = memory_path()
    folder = _StoreFolder(path)
    folder._fs = Closed(folder._fs, PermissionError(errno.EPERM, ""))
    for attempt in (
        lambda: folder.create("claim", b"first"),
        lambda: folder.write("claim", b"first"),
        lambda: folder.upload("claim", tmp_path),
    ):
        with pytest.raises(SnapshotError) as caught:
            attempt()
        assert str(caught.value) == (
            f"{path}: the folder cannot be used (Operation not permitted). Give the worker's user the right to create "
            "and write it, or pass another snapshot_path."
        )


def test_a_file_that_nobody_may_read_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    path = memory_path()
    folder = _StoreFolder(path)

    def refused(_: str) -> Any:
        raise PermissionError(errno.EACCES, "")

    monkeypatch.setattr(folder, "open", refused)
    with pytest.raises(SnapshotError, match=f"^{path}: the folder cannot be used"):
        folder.read("claim")


def test_an_error_that_no_person_can_mend_stays_what_it_is() -> None:
    class Slow(Plainest):
        def pipe_file(self, path: str, content: bytes, **mode: object) -> None:
            raise TimeoutError(errno.ETIMEDOUT, "")

    folder = _StoreFolder(memory_path())
    folder._fs = Slow(folder._fs, OSError())
    with pytest.raises(TimeoutError):
        folder.write("claim", b"first")


def test_a_file_that_is_overwritten_while_it_is_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _StoreFolder(memory_path())
    folder.write("alive", b"1")
    opened = folder.open
    errors = [OSError(errno.EBUSY, "modified by another process")] * 2

    def expired(name: str) -> Any:
        if errors:
            raise errors.pop()
        return opened(name)

    monkeypatch.setattr(folder, "open", expired)
    assert folder.read("alive") == b"1"
    errors += [OSError(errno.EBUSY, "modified by another process")] * 4
    assert folder.read("alive") == b"1"
    errors += [OSError(errno.EBUSY, "modified by another process")] * 6
    with pytest.raises(OSError, match="modified"):
        folder.read("alive")
    assert len(errors) == 1
    errors[:] = [TimeoutError(errno.ETIMEDOUT, "slow")] * 2
    with pytest.raises(TimeoutError):
        folder.read("alive")
    assert len(errors) == 1


def test_local_files_and_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"3")
    tmp_path.chmod(0o755)
    folder = folder_at(tmp_path / "a" / "b")
    folder.create("one", b"1")
    folder.write("two", b"2")
    folder.upload("three", source)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert modes == {"b": 0o700, "one": 0o600, "two": 0o600, "three": 0o600}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_what_cannot_be_opened_for_writing_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "")

    folder = folder_at(tmp_path)
    monkeypatch.setattr(os, "open", refused)
    for attempt in (lambda: folder.write("one", b"1"), lambda: folder.create("one", b"1")):
        with pytest.raises(SnapshotError) as caught:
            attempt()
        assert str(caught.value) == (
            f"{tmp_path}: the folder cannot be used (Permission denied). Give the worker's user the right to create "
            "and write it, or pass another snapshot_path."
        )


def test_a_folder_that_another_run_makes_at_this_moment_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def made_by_another(path: Path, mode: int) -> None:
        mkdir(path, mode)
        mkdir(path, mode)

    monkeypatch.setattr(Path, "mkdir", made_by_another)
    assert folder_at(tmp_path / "a" / "b").create("one", b"1")
    assert (tmp_path / "a" / "b" / "one").read_bytes() == b"1"


def test_what_is_written_is_on_the_disk_before_its_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, list[str]]] = []

    def fsync(file: int) -> None:
        names = [name.partition(".tmp")[0][:5] for name in sorted(os.listdir(tmp_path))]
        synced.append((stat.S_ISDIR(os.fstat(file).st_mode), names))

    monkeypatch.setattr(os, "fsync", fsync)
    folder = folder_at(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    folder.write("two", b"2")
    assert synced == [(False, [".two."]), (True, ["two"])]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_that_cannot_be_synced_has_the_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "")

    monkeypatch.setattr(os, "fsync", fsync)
    folder_at(tmp_path).write("two", b"2")
    assert os.listdir(tmp_path) == ["two"]


def test_a_folder_that_cannot_be_made_or_listed_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = folder_at(tmp_path / "file" / "vip")
    attempts: list[Callable[[], object]] = [
        *(folder.list_files, lambda: folder.create("one", b"1"), lambda: folder.write("one", b"1")),
        *(lambda: folder.read("one"), lambda: folder.open("one")),
    ]
    for attempt in attempts:
        with pytest.raises(SnapshotError, match=r"file/vip: .*\((Not a dir|File ex).* pass another snapshot_path"):
            attempt()
    with pytest.raises(SnapshotError, match=r"/proc/vip: .*\(Permission denied\)"):
        folder_at(Path("/proc/vip")).create("one", b"1")


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_at(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "fsync", full)
    for attempt in (lambda: folder.write("one", b"1"), lambda: folder.create("one", b"1")):
        with pytest.raises(SnapshotError) as caught:
            attempt()
        assert str(caught.value) == (
            f"{tmp_path}: the folder cannot be used (No space left on device). Free space there, or use a larger disk "
            "(snapshot_path, or TMPDIR for temporary files)."
        )
    assert os.listdir(tmp_path) == []


def test_only_what_was_abandoned_long_ago_is_swept(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    folder.write("head", b"1")
    ages = {".head.1234.tmp": 24 * 3600 + 60, ".head.5678.tmp": 24 * 3600 - 60, "old": 10 * 24 * 3600}
    for name, age in ages.items():
        (tmp_path / name).write_bytes(b"{")
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    (tmp_path / ".gone.tmp").symlink_to(tmp_path / "nowhere")  # as if somebody else had swept it at this moment
    folder.sweep()
    assert sorted(os.listdir(tmp_path)) == [".gone.tmp", ".head.5678.tmp", "head", "old"]
    assert sorted(folder.list_files()) == ["head", "old"]


def test_a_file_is_created_though_its_temporary_one_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def linked(source: Path, target: Path) -> None:
        link(source, target)
        Path(source).unlink()

    monkeypatch.setattr(os, "link", linked)
    assert folder_at(tmp_path).create("claim", b"first")
    assert folder_at(tmp_path).read("claim") == b"first"
