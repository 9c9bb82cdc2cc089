"""
Blocks of lines to and from files, in constant memory.

The files hold ids. They are for their owner alone, in a folder whose lock lasts as long as its process: what a killed
one has left, the next run of the same user deletes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BufferedWriter
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, cast

from airflow_provider_batch.mirror.folder import explained, open_private
from airflow_provider_batch.mirror.gzip_files import compressor
from airflow_provider_batch.mirror.lines import ids_from, text_of

#: Bytes that are read at once, and those that are written at once.
_READ_SIZE: Final = 1 << 18
_BUFFER_SIZE: Final = 1 << 18

#: Bytes that are compressed at once, and such pieces that wait for it at most. Each handover between two threads takes
#: time, which small pieces would spend more often.
_PIECE_SIZE: Final = 1 << 20
_QUEUE_SIZE: Final = 4

#: How the names of temporary folders begin.
_PREFIX: Final = "batch-mirror-"


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a temporary folder; those that killed processes of the same user left are deleted before."""
    with explained(tempfile.gettempdir()):
        _sweep(Path(tempfile.gettempdir()))
        path, lock = _locked_folder()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _locked_folder() -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):  # somebody swept it before it was locked
            lock = os.open(path, os.O_RDONLY)
            with suppress(OSError):  # a disk without locks on folders, where nobody sweeps
                fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)


def _sweep(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # of another user, or locked: its process is alive
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def read_lines(content: BinaryIO) -> Iterator[tuple[list[str], str]]:
    """
    Yield the lines of *content* in blocks, each with its text.

    :raises EOFError: if the last line has no end.
    """
    for part in read_texts(content):
        text = part.decode()
        yield text.split("\n")[:-1], text


def read_texts(content: BinaryIO) -> Iterator[bytes]:
    """
    Yield *content* in parts of whole lines.

    :raises EOFError: if the last line has no end.
    """
    rest = b""
    while piece := content.read(_READ_SIZE):
        whole, newline, after = piece.rpartition(b"\n")
        if not newline:
            rest += piece
            continue
        yield rest + whole + newline
        rest = after
    if rest:
        raise EOFError("cut inside a line")


def _buffered(path: Path) -> BufferedWriter:
    return BufferedWriter(cast(BufferedWriter, open_private(path)).detach(), _BUFFER_SIZE)


class LineFile:
    """A local file of lines. Once it is closed, every iteration reads it from the start and yields the ids."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self._file = _buffered(path)

    def write(self, lines: list[str]) -> None:
        """Append *lines*."""
        if lines:
            self.write_text(text_of(lines).encode(), len(lines))

    def write_text(self, text: bytes, count: int) -> None:
        """Append the *text* of so many lines."""
        with explained(self._path.parent):
            self._file.write(text)
        self._count += count

    def close(self) -> None:
        """Write what is buffered."""
        with explained(self._path.parent):
            self._file.close()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._blocks())

    def _blocks(self) -> Iterator[Iterable[str]]:
        with self._path.open("rb") as content:
            for lines, text in read_lines(content):
                yield ids_from(lines, text)


class CompressedFile:
    """A local gzip file that is compressed in a thread of its own; the same text gives the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._digest = hashlib.sha256()
        self._compressor = compressor()
        self._file = open_private(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch-mirror")
        self._queue: deque[Future[None]] = deque()
        self._piece: list[bytes] = []
        self._piece_size = 0

    @property
    def sha256(self) -> str:
        """The digest of the text, once the file is closed."""
        return self._digest.hexdigest()

    def write(self, text: bytes, count: int) -> None:
        """Append *text*, which has *count* lines."""
        self.count += count
        self._piece.append(text)
        self._piece_size += len(text)
        if self._piece_size >= _PIECE_SIZE:
            self._hand_over()

    def _hand_over(self) -> None:
        if len(self._queue) == _QUEUE_SIZE:
            self._queue.popleft().result()
        self._queue.append(self._thread.submit(self._append, b"".join(self._piece)))
        self._piece.clear()
        self._piece_size = 0

    def _append(self, text: bytes) -> None:
        self._digest.update(text)
        with explained(self.path.parent):
            self._file.write(self._compressor.compress(text))

    def close(self) -> None:
        """Write what is queued, and the end of the file."""
        with explained(self.path.parent):
            try:
                self._hand_over()
                while self._queue:
                    self._queue.popleft().result()
                self._file.write(self._compressor.flush())
            finally:
                self._thread.shutdown(cancel_futures=True)
                self._file.close()
