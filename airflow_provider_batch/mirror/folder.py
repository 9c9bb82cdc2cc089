"""
The few things that a mirror does with files, on a local disk and in an object store.

A file is there as a whole or not at all. Creating one exclusively is atomic on local disks, on S3 and wherever else
fsspec hands ``mode="create"`` to the store. Elsewhere a look comes before the write and another after it: two runs
that begin within the same moment may then both believe that they were first.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

#: How the names of files end that were not put in place.
TEMPORARY: Final = ".tmp"


class Folder(Protocol):
    """One folder, without folders in it; it need not exist before the first file is created."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is none."""

    def open(self, name: str) -> BinaryIO:
        """Open a file to be read; FileNotFoundError if there is none."""

    def put(self, name: str, content: bytes) -> None:
        """Write a small file, in place of the one that may be there."""

    def upload(self, name: str, source: Path) -> None:
        """Copy a local file, in place of the one that may be there."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that nobody else writes the like of; return False, and change nothing, if there is one."""

    def names(self) -> list[str]:
        """Return the names of all files."""

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""


def folder_at(path: Any) -> Folder:
    """
    Return the folder at *path*.

    :param path: a :class:`pathlib.Path`, or a path of universal_pathlib, such as Airflow's ``ObjectStoragePath``.
    """
    fs = getattr(path, "fs", None)
    if fs is None:
        return LocalFolder(Path(path))
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return LocalFolder(Path(path.path)) if "file" in protocols else StoreFolder(path)


class LocalFolder:
    """A folder on a local disk, or one that is mounted like it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is none."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def open(self, name: str) -> BinaryIO:
        """Open a file to be read."""
        return (self._path / name).open("rb")

    def put(self, name: str, content: bytes) -> None:
        """Write a file beside its place, and move it there."""
        temporary = self._temporary(name)
        _write(temporary, content)
        temporary.replace(self._path / name)
        self._settle()

    def upload(self, name: str, source: Path) -> None:
        """Copy a file beside its place, and move it there."""
        temporary = self._temporary(name)
        with source.open("rb") as content, temporary.open("wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
            _settle(file)
        temporary.replace(self._path / name)
        self._settle()

    def create(self, name: str, content: bytes) -> bool:
        """Write a file beside its place, and link it there, which fails where there is one."""
        self._path.mkdir(parents=True, exist_ok=True)
        temporary = self._temporary(name)
        _write(temporary, content)
        try:
            os.link(temporary, self._path / name)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            return self._create_unlinked(name, content)
        finally:
            temporary.unlink()
        return True

    def _create_unlinked(self, name: str, content: bytes) -> bool:
        try:
            with (self._path / name).open("xb") as file:
                file.write(content)
        except FileExistsError:
            return False
        return True

    def names(self) -> list[str]:
        """Return the names of all files."""
        try:
            return os.listdir(self._path)
        except FileNotFoundError:
            return []

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        (self._path / name).unlink(missing_ok=True)

    def _temporary(self, name: str) -> Path:
        return self._path / f".{name}.{secrets.token_hex(4)}{TEMPORARY}"

    def _settle(self) -> None:
        # A name is on the disk when its folder is.
        with suppress(OSError):
            folder = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        _settle(file)


def _settle(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


class StoreFolder:
    """A folder of an object store, through fsspec: what is written appears when all of it has arrived."""

    def __init__(self, path: Any) -> None:
        self._path = path
        self._fs = path.fs

    def __str__(self) -> str:
        return str(self._path)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is none."""
        try:
            with self.open(name) as content:
                return content.read()
        except FileNotFoundError:
            return None

    def open(self, name: str) -> BinaryIO:
        """Open a file to be read, whatever was known of it before."""
        self._fs.invalidate_cache()
        return cast(BinaryIO, (self._path / name).open("rb"))

    def put(self, name: str, content: bytes) -> None:
        """Write a small file with one call."""
        self._fs.pipe_file((self._path / name).path, content)

    def upload(self, name: str, source: Path) -> None:
        """Copy a local file; not through ``open``, which would put half of it in place after an error."""
        self._fs.put_file(str(source), (self._path / name).path)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file with a call that fails where there is one, if the store has such a call."""
        target = self._path / name
        try:
            self._create(target, content)
        except (TypeError, ValueError, NotImplementedError):  # fsspec or the store knows no such call
            if target.exists():
                return False
            self.put(name, content)
        except OSError:  # each store has another error for «there is one»
            if self.read(name) is None:
                raise
        return self.read(name) == content

    def _create(self, target: Any, content: bytes) -> None:
        try:
            self._fs.pipe_file(target.path, content, mode="create")
        except FileNotFoundError:  # not an object store, but one that has folders
            self._path.mkdir(parents=True, exist_ok=True)
            self._fs.pipe_file(target.path, content, mode="create")

    def names(self) -> list[str]:
        """Return the names of all files, whatever was known of them before."""
        self._fs.invalidate_cache()
        try:
            return [path.name for path in self._path.iterdir()]
        except (FileNotFoundError, NotADirectoryError):  # an empty folder of an object store is none
            return []

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        with suppress(FileNotFoundError):
            (self._path / name).unlink()
