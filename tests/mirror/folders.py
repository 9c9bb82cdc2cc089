"""Folders to test with: on the disk, in a store of fsspec, and one whose writer dies at a given moment."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from upath import UPath

from airflow_provider_batch.mirror.folder import Folder

T = TypeVar("T")


#: The paths in memory that were handed out last. fsspec looks through all files for one of them, so earlier ones go.
_LATEST: deque[Any] = deque()
_KEPT = 50


def memory_path() -> Any:
    """A path of its own in fsspec's store in memory, for as long as a test may need it."""
    _LATEST.append(UPath(f"memory:///bucket/{secrets.token_hex(8)}"))
    if len(_LATEST) > _KEPT and (oldest := _LATEST.popleft()).exists():
        oldest.fs.rm(oldest.path, recursive=True)
    return _LATEST[-1]


class Killed(BaseException):
    """What kill -9 looks like from inside."""


class Mortal:
    """
    A folder whose user dies before or after one of its operations; whatever it tries then, nothing happens any more.

    :param lives: how many moments there are left: two for each operation, and one for each :meth:`breathe`.
    """

    def __init__(self, folder: Folder, lives: int | None) -> None:
        self._folder = folder
        self.lives = lives

    def __str__(self) -> str:
        return str(self._folder)

    def breathe(self) -> None:
        """Live through one more moment."""
        if self.lives is not None:
            self.lives -= 1
            if self.lives < 0:
                raise Killed

    def _do(self, operation: Callable[..., T], *arguments: Any) -> T:
        self.breathe()
        result = operation(*arguments)
        self.breathe()
        return result

    def read(self, name: str) -> bytes | None:
        return self._do(self._folder.read, name)

    def open(self, name: str) -> BinaryIO:
        return self._do(self._folder.open, name)

    def write(self, name: str, content: bytes) -> None:
        self._do(self._folder.write, name, content)

    def upload(self, name: str, source: Path) -> None:
        self._do(self._folder.upload, name, source)

    def create(self, name: str, content: bytes) -> bool:
        return self._do(self._folder.create, name, content)

    def list_files(self) -> list[str]:
        return self._do(self._folder.list_files)

    def delete(self, name: str) -> None:
        self._do(self._folder.delete, name)

    def sweep(self) -> None:
        self._do(self._folder.sweep)
