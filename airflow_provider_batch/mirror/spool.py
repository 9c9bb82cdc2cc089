"""Blocks of lines to and from files, in constant memory."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from airflow_provider_batch.mirror.lines import ids_from, text_of

#: Bytes that are read at once, and texts that wait to be compressed at most.
_READ_SIZE: Final = 1 << 18
_QUEUE_SIZE: Final = 8


def read_lines(content: BinaryIO) -> Iterator[tuple[list[str], str]]:
    """
    Yield the lines of *content* in blocks, each with its text.

    :raises EOFError: if the last line has no end.
    """
    rest = b""
    while piece := content.read(_READ_SIZE):
        whole, newline, after = piece.rpartition(b"\n")
        if not newline:
            rest += piece
            continue
        text = (rest + whole + newline).decode()
        rest = after
        yield text.split("\n")[:-1], text
    if rest:
        raise EOFError("cut inside a line")


class LineFile:
    """A local file of lines. Once it is closed, every iteration reads it from the start and yields the ids."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self._file = path.open("wb")

    def write(self, lines: list[str]) -> None:
        """Append *lines*."""
        if lines:
            self._file.write(text_of(lines).encode())
            self._count += len(lines)

    def close(self) -> None:
        """Write what is buffered."""
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._blocks())

    def _blocks(self) -> Iterator[list[str]]:
        with self._path.open("rb") as content:
            for lines, text in read_lines(content):
                yield ids_from(lines, text)


class CompressedFile:
    """A local gzip file that is compressed in a thread of its own; the same text gives the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._digest = hashlib.sha256()
        # Level 1: on ids, the next levels take up to twice as long for a few percent. The file holds no name and time.
        self._compressor = zlib.compressobj(1, wbits=31)
        self._file = path.open("wb")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch-mirror")
        self._queue: deque[Future[None]] = deque()

    @property
    def sha256(self) -> str:
        """The digest of the text, once the file is closed."""
        return self._digest.hexdigest()

    def write(self, text: str, count: int) -> None:
        """Append *text*, which has *count* lines."""
        self.count += count
        if len(self._queue) == _QUEUE_SIZE:
            self._queue.popleft().result()
        self._queue.append(self._thread.submit(self._append, text))

    def _append(self, text: str) -> None:
        content = text.encode()
        self._digest.update(content)
        self._file.write(self._compressor.compress(content))

    def close(self) -> None:
        """Write what is queued, and the end of the file."""
        try:
            while self._queue:
                self._queue.popleft().result()
            self._file.write(self._compressor.flush())
        finally:
            self._thread.shutdown(cancel_futures=True)
            self._file.close()
