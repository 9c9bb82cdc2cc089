"""
The few file operations of a mirror, on a local disk and in an object store.

A file appears as a whole or not at all. Exclusive creation is atomic on local disks, on S3 and wherever else fsspec
passes ``mode="create"`` on to the store. On other stores, the file is looked up before it is written and read again
afterwards: two runs that start at the same moment may then both believe that they were first.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

#: The ending of files that were not moved into place yet.
TEMPORARY: Final = ".tmp"


class Folder(Protocol):
    """A folder without subfolders; it need not exist before :meth:`create` writes the first file."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if it does not exist."""

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading; FileNotFoundError if it does not exist."""

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a small file."""

    def upload(self, name: str, source: Path) -> None:
        """Write or replace a file with the content of a local one."""

    def create(self, name: str, content: bytes) -> bool:
        """Create a file with content that no other run writes; if it exists, change nothing and return False."""

    def list_files(self) -> list[str]:
        """Return the names of all files."""

    def delete(self, name: str) -> None:
        """Delete a file if it exists."""


def folder_at(path: Any) -> Folder:
    """
    Return the folder at *path*.

    :param path: a :class:`pathlib.Path`, or a path of universal_pathlib, such as Airflow's ``ObjectStoragePath``.
    """
    fs = getattr(path, "fs", None)
    if fs is None:
        return _LocalFolder(Path(path))
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return _LocalFolder(Path(path.path)) if "file" in protocols else _StoreFolder(path)


class _LocalFolder:
    """On a local disk or a mounted one: a file is written to the disk under a temporary name and then renamed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def open(self, name: str) -> BinaryIO:
        return (self._path / name).open("rb")

    def write(self, name: str, content: bytes) -> None:
        self._replace(name, BytesIO(content))

    def upload(self, name: str, source: Path) -> None:
        with source.open("rb") as content:
            self._replace(name, content)

    def create(self, name: str, content: bytes) -> bool:
        self._path.mkdir(parents=True, exist_ok=True)
        temporary = self._write_temporary(name, BytesIO(content))
        try:
            os.link(temporary, self._path / name)  # unlike a rename, it fails if the name exists
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            with suppress(FileExistsError), (self._path / name).open("xb") as file:
                file.write(content)
                return True
            return False
        finally:
            temporary.unlink()
        return True

    def list_files(self) -> list[str]:
        try:
            return os.listdir(self._path)
        except FileNotFoundError:
            return []

    def delete(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def _replace(self, name: str, content: BinaryIO) -> None:
        self._write_temporary(name, content).replace(self._path / name)
        with suppress(OSError):  # the new name survives a crash only once its folder is on the disk
            folder = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _write_temporary(self, name: str, content: BinaryIO) -> Path:
        path = self._path / f".{name}.{secrets.token_hex(4)}{TEMPORARY}"
        with path.open("wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        return path


class _StoreFolder:
    """In an object store, through fsspec; nothing that fsspec has cached is relied upon."""

    def __init__(self, path: Any) -> None:
        self._path = path
        self._fs = path.fs

    def __str__(self) -> str:
        return str(self._path)

    def read(self, name: str) -> bytes | None:
        try:
            with self.open(name) as content:
                return content.read()
        except FileNotFoundError:
            return None

    def open(self, name: str) -> BinaryIO:
        self._fs.invalidate_cache()
        return cast(BinaryIO, (self._path / name).open("rb"))

    def write(self, name: str, content: bytes) -> None:
        self._fs.pipe_file((self._path / name).path, content)

    def upload(self, name: str, source: Path) -> None:
        # Not through open(), which would put half of the file in place after an error.
        self._fs.put_file(str(source), (self._path / name).path)

    def create(self, name: str, content: bytes) -> bool:
        target = self._path / name
        try:
            self._create(target, content)
        except (TypeError, ValueError, NotImplementedError):  # fsspec or the store has no exclusive creation
            if target.exists():
                return False
            self.write(name, content)
        except OSError:  # stores differ in the error for a file that exists
            if self.read(name) is None:
                raise
        return self.read(name) == content

    def _create(self, target: Any, content: bytes) -> None:
        try:
            self._fs.pipe_file(target.path, content, mode="create")
        except FileNotFoundError:  # a store that has real folders
            self._path.mkdir(parents=True, exist_ok=True)
            self._fs.pipe_file(target.path, content, mode="create")

    def list_files(self) -> list[str]:
        self._fs.invalidate_cache()
        try:
            return [path.name for path in self._path.iterdir()]
        except (FileNotFoundError, NotADirectoryError):  # in an object store, an empty folder does not exist
            return []

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            (self._path / name).unlink()
