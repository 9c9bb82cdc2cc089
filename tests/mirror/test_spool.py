from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import io
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import SnapshotError
from airflow_provider_batch.mirror import spool
from airflow_provider_batch.mirror.spool import CompressedFile, LineFile, private_folder, read_lines, read_texts

from .test_lines import told


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"))))
def test_lines_are_read_as_they_were_written(lines: list[str]) -> None:
    content = "".join(line + "\n" for line in lines)
    found = list(read_lines(io.BytesIO(content.encode())))
    assert [line for block, _ in found for line in block] == lines
    assert "".join(text for _, text in found) == content


def test_lines_may_be_longer_than_what_is_read_at_once() -> None:
    lines = ["é" * 400_000, "a", "😀" * 200_000]
    found = read_lines(io.BytesIO("".join(line + "\n" for line in lines).encode()))
    assert [line for block, _ in found for line in block] == lines


def test_as_much_is_read_at_once_as_is_always_there_to_hold() -> None:
    class Sized(io.BytesIO):
        def read(self, size: int | None = None, /) -> bytes:
            sizes.append(size)
            return super().read(size)

    sizes: list[int | None] = []
    assert b"".join(read_texts(Sized(b"a\n" * 500_000))) == b"a\n" * 500_000
    assert sizes == [1 << 18] * 5


def test_a_last_line_without_an_end_is_an_error() -> None:
    lines = read_lines(io.BytesIO(b"a\nb"))
    assert next(lines) == (["a"], "a\n")
    with pytest.raises(EOFError, match=r"^cut inside a line$"):
        next(lines)


def test_a_line_file_counts_and_is_read_again(tmp_path: Path) -> None:
    with closing(LineFile(tmp_path / "lines")) as file:
        file.write(["a", "b\x02*"])
        file.write([])
        file.write(["c\x01{}"])
    assert len(file) == 3
    for _ in range(2):
        assert list(map(told, file)) == [("a", None), ("b\n", None), ("c", "{}")]


def test_a_packed_file_is_the_same_for_the_same_text(tmp_path: Path) -> None:
    for name, size in (("one", 1), ("two", 1)):
        with closing(CompressedFile(tmp_path / name)) as file:
            for start in range(0, 100, size):
                file.write(b"%d\n" % start * size, size)
    text = "".join(f"{number}\n" for number in range(100))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert gzip.decompress((tmp_path / "one").read_bytes()).decode() == text
    assert (file.count, file.sha256) == (100, hashlib.sha256(text.encode()).hexdigest())


def test_a_packed_file_has_all_of_what_was_written_in_pieces(tmp_path: Path) -> None:
    """More of them than may wait at once."""
    part = b"0123456\n" * 50_000
    with closing(CompressedFile(tmp_path / "one")) as file:
        for number in range(20):
            file.write(b"%d\n" % number + part, 50_001)
    text = b"".join(b"%d\n" % number + part for number in range(20))
    assert gzip.decompress((tmp_path / "one").read_bytes()) == text
    assert (file.path, file.count, file.sha256) == (tmp_path / "one", 1_000_020, hashlib.sha256(text).hexdigest())


def test_what_is_packed_is_bounded_and_handed_over_in_large_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    handed: list[int] = []

    class Piece:
        def __init__(self, size: int) -> None:
            self.size = size

        def result(self) -> None:
            waited.append(self.size)

    class Thread:
        def __init__(self, workers: int, **_: object) -> None:
            assert workers == 1

        def submit(self, append: Callable[[bytes], None], text: bytes) -> Piece:
            append(text)
            handed.append(len(text))
            return Piece(len(text))

        def shutdown(self, *, cancel_futures: bool) -> None:
            assert cancel_futures

    monkeypatch.setattr(spool, "ThreadPoolExecutor", Thread)
    file = CompressedFile(tmp_path / "one")
    half = 1 << 19
    file.write(b"\n" * (2 * half - 1), 2 * half - 1)
    assert handed == []
    file.write(b"\n", 1)
    assert handed == [2 * half]
    handed.clear()
    file._queue.clear()
    for number in range(1, 13):
        file.write(b"\n" * (half + number), half + number)
    sizes = [2 * half + 3 + 4 * number for number in range(6)]
    assert handed == sizes
    assert waited == sizes[:2]
    for size in (half, half - 1, 1):
        assert handed == sizes
        file.write(b"\n" * size, size)
    sizes.append(2 * half)
    assert handed == sizes
    file.write(b"\n", 1)
    file.close()
    assert handed == waited == [*sizes, 1]


def test_an_error_of_the_thread_that_packs_is_raised(tmp_path: Path) -> None:
    file = CompressedFile(tmp_path / "one")
    file._file.close()
    with pytest.raises(ValueError, match="closed file"):  # noqa: PT012 - at one of the two
        file.write(b"a\n" * 1_000_000, 1)
        file.close()


KILLED = """
from contextlib import closing
from airflow_provider_batch.mirror.spool import LineFile, private_folder
with private_folder() as folder:
    with closing(LineFile(folder / "adds.txt")) as file:
        file.write(["secret"])
    print(folder, flush=True)
    input()
"""


def test_what_a_killed_run_leaves_is_swept_and_what_a_live_one_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    pipe = subprocess.PIPE
    run = subprocess.Popen([sys.executable, "-c", KILLED], env=environment, stdin=pipe, stdout=pipe)
    assert run.stdout is not None
    left = Path(run.stdout.readline().decode().strip())
    with private_folder() as ours:
        assert sorted(tmp_path.iterdir()) == sorted([left, ours])
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        assert (left / "adds.txt").read_text() == "secret\n"
        with private_folder() as next_one:
            assert sorted(tmp_path.iterdir()) == sorted([ours, next_one])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_swept_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdtemp, flock = tempfile.mkdtemp, fcntl.flock
    made: list[Path] = []

    def made_and_swept(*, prefix: str) -> str:
        made.append(Path(mkdtemp(prefix=prefix)))
        if len(made) == 1:
            made[0].rmdir()
        return str(made[-1])

    def swept_and_locked(lock: int, how: int) -> None:
        if len(made) == 2:
            made[1].rmdir()
        flock(lock, how)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "mkdtemp", made_and_swept)
    monkeypatch.setattr(fcntl, "flock", swept_and_locked)
    before = len(os.listdir("/proc/self/fd"))
    with private_folder() as folder:
        assert [folder] == made[2:]
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_disk_that_has_no_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(fcntl, "flock", flock)
    with private_folder() as folder, private_folder() as other:
        assert sorted(tmp_path.iterdir()) == sorted([folder, other])
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_folder_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a pipe for reading waits for a writer."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    os.mkfifo(tmp_path / "batch-mirror-pipe")
    (tmp_path / "batch-mirror-file").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "batch-mirror-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "batch-mirror-left").mkdir()
    before = {*tmp_path.iterdir()} - {tmp_path / "batch-mirror-left"}
    with private_folder() as folder:
        assert {*tmp_path.iterdir()} == before | {folder}
    assert {*tmp_path.iterdir()} == before


def test_temporary_files_are_for_their_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with private_folder() as folder:
        for file in (LineFile(folder / "adds.txt"), CompressedFile(folder / "snapshot.gz")):
            file.close()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is a device of Linux")
def test_a_full_temporary_folder_is_named() -> None:
    file = LineFile(Path("/dev/full"))
    file.write(["a"])
    with pytest.raises(SnapshotError, match=r"^/dev: .*No space left on device\)\. Free space .*TMPDIR"):
        file.close()
    packed = CompressedFile(Path("/dev/full"))
    packed.write(b"a\n", 1)
    with pytest.raises(SnapshotError, match=r"^/dev: .*No space left"):
        packed.close()
    lines = LineFile(Path("/dev/full"))
    with pytest.raises(SnapshotError, match=r"^/dev: .*No space left"):
        lines.write(["a" * 1_000_000])
    packed = CompressedFile(Path("/dev/full"))
    packed.write(random.Random(0).randbytes(3_000_000), 1)
    with pytest.raises(SnapshotError, match=r"^/dev: .*No space left"):
        packed.close()
