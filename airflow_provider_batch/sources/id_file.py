"""
Checked ids in a temporary file, so that a source that can be read again need not be.

Up to a megabyte stays in memory. A larger file is for its owner alone, and has no name: where the system allows it, it
never had one, and otherwise it loses it as soon as it is open. So nobody else can open it, and nothing is left of it
after its process, however that ends.

A block is written as it is: its ids as one text, whose lines they are, and their attributes and tags as another one.
(No id contains a control character, and JSON escapes it.) With them go their positions and places, so that an error
names the line of an id without looking at the source again.
"""

from __future__ import annotations

import os
import pickle
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile, gettempdir
from typing import Final

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.intake import PutAside

#: Bytes that stay in memory.
_IN_MEMORY: Final = 1 << 20


@contextmanager
def id_files() -> Iterator[PutAside]:
    """Yield a function that puts blocks aside in a file of their own, until the end of the ``with`` block."""
    files: list[IdFile] = []

    def put_aside(blocks: Iterable[Block]) -> IdFile:
        files.append(file := IdFile())
        for block in blocks:
            file.write(block)
        return file

    try:
        yield put_aside
    finally:
        for file in files:
            file.close()


class IdFile:
    """Blocks of checked ids, which each iteration reads from the first one on."""

    def __init__(self, in_memory: int = _IN_MEMORY) -> None:
        self._file = SpooledTemporaryFile(in_memory)  # noqa: SIM115  # it lasts as long as this object
        self._size = 0
        self._starts = array("Q")

    def write(self, block: Block) -> None:
        """
        Append *block*.

        :raises SourceError: if the disk has no room for it.
        """
        if not block:
            return
        ids, annotations = "\n".join(block.texts()), block.annotations and "\n".join(block.annotations)
        content = pickle.dumps((ids, annotations, block.argument, block.positions, block.place, block.plain))
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from None
        self._starts.append(self._size)
        self._size += len(content)

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def __iter__(self) -> Iterator[Block]:
        for start in self._starts:
            self._file.seek(start)
            # Nobody but this process has ever had access to the file.
            ids, annotations, argument, positions, place, plain = pickle.load(self._file)  # noqa: S301
            annotations = annotations and annotations.split("\n")
            yield Block(ids.split("\n"), argument, positions, place, annotations=annotations, plain=plain)


def _no_room(error: OSError) -> SourceError:
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return SourceError(
        f"{gettempdir()}: the ids, which are checked before the first call, cannot be put aside there: {reason}. Free "
        "space on that disk, or set TMPDIR to a folder on a larger one."
    )
