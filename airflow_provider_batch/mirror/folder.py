"""
The few file operations of a mirror, on a local disk and in an object store.

A file appears as a whole or not at all. Exclusive creation is atomic on local disks, and in S3, GCS and Azure, whose
fsspec packages turn ``mode="create"`` into a condition that the store itself checks: ``If-None-Match: *``, or
``ifGenerationMatch=0``. Older versions of these packages ignore the mode without an error, so they are refused. On
other stores, the file is looked up before it is written and read again afterwards: two runs that start at the same
moment may then both believe that they were first.

Local files and folders are for their owner alone, as they hold ids.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

from airflow_provider_batch.exceptions import SnapshotError

#: The ending of files that were not moved into place yet, and seconds after which nobody is writing them any more.
_TEMPORARY: Final = ".tmp"
_ABANDONED: Final = 24 * 3600.0

#: How often a file that was overwritten while it was read is read again.
_READS: Final = 5

#: The packages that create files exclusively, and the first version of all of them that does.
_EXCLUSIVE: Final = ("s3fs", "gcsfs", "adlfs")
_EXCLUSIVE_SINCE: Final = (2024, 12)

_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT}
_NO_FOLDER: Final = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG)
}


@contextmanager
def explained(place: object) -> Iterator[None]:
    """Turn an error of the disk or the store that a person must mend into a SnapshotError with the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            remedy = "Free space there, or use a larger disk (snapshot_path, or TMPDIR for temporary files)."
        elif error.errno in _NO_FOLDER:
            remedy = "Give the worker's user the right to create and write it, or pass another snapshot_path."
        else:
            raise
        reason = os.strerror(error.errno)
        raise SnapshotError(f"{place}: the folder cannot be used ({reason}). {remedy}") from None


def open_private(path: Path, mode: str = "wb") -> BinaryIO:
    """Open a local file that nobody else can read."""
    return cast(BinaryIO, open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600)))


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

    def sweep(self) -> None:
        """Delete what killed runs left of files that they were writing."""


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
        with explained(self):
            try:
                return (self._path / name).read_bytes()
            except FileNotFoundError:
                return None

    def open(self, name: str) -> BinaryIO:
        with explained(self):
            return (self._path / name).open("rb")

    def write(self, name: str, content: bytes) -> None:
        self._replace(name, BytesIO(content))

    def upload(self, name: str, source: Path) -> None:
        with source.open("rb") as content:
            self._replace(name, content)

    def create(self, name: str, content: bytes) -> bool:
        with explained(self):
            _make(self._path)
            temporary = self._write_temporary(name, BytesIO(content))
            try:
                os.link(temporary, self._path / name)  # unlike a rename, it fails if the name exists
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links
                with suppress(FileExistsError), open_private(self._path / name, "xb") as file:
                    file.write(content)
                    return True
                return False
            finally:
                temporary.unlink(missing_ok=True)
            return True

    def list_files(self) -> list[str]:
        with explained(self):
            try:
                return [name for name in os.listdir(self._path) if not name.endswith(_TEMPORARY)]
            except FileNotFoundError:
                return []

    def delete(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        for path in self._path.glob(f".*{_TEMPORARY}"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()

    def _replace(self, name: str, content: BinaryIO) -> None:
        with explained(self):
            self._write_temporary(name, content).replace(self._path / name)
        with suppress(OSError):  # the new name survives a crash only once its folder is on the disk
            folder = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _write_temporary(self, name: str, content: BinaryIO) -> Path:
        path = self._path / f".{name}.{secrets.token_hex(4)}{_TEMPORARY}"
        try:
            with open_private(path, "xb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path


def _make(folder: Path) -> None:
    """Make a folder, and all that are missing above it, for their owner alone; one that exists stays as it is."""
    if not folder.is_dir():
        _make(folder.parent)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if not folder.is_dir():
                raise
        except FileNotFoundError as error:  # /proc, or a folder that was deleted at this moment
            raise PermissionError(errno.EACCES, "") from error


class _StoreFolder:
    """In an object store, through fsspec; nothing that fsspec has cached is relied upon."""

    def __init__(self, path: Any) -> None:
        self._path = path
        self._fs = path.fs

    def __str__(self) -> str:
        return str(self._path)

    def read(self, name: str) -> bytes | None:
        for left in reversed(range(_READS)):
            try:
                with explained(self), self.open(name) as content:
                    return content.read()
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno != errno.EBUSY or not left:  # FileExpired: overwritten since its head was read
                    raise
        raise AssertionError

    def open(self, name: str) -> BinaryIO:
        self._fs.invalidate_cache()
        return cast(BinaryIO, (self._path / name).open("rb"))

    def write(self, name: str, content: bytes) -> None:
        with explained(self):
            self._fs.pipe_file((self._path / name).path, content)

    def upload(self, name: str, source: Path) -> None:
        # Not through open(), which would put half of the file in place after an error.
        with explained(self):
            self._fs.put_file(str(source), (self._path / name).path)

    def create(self, name: str, content: bytes) -> bool:
        _check_exclusive(type(self._fs).__module__.partition(".")[0])
        with explained(self):
            return self._create_once(name, content)

    def _create_once(self, name: str, content: bytes) -> bool:
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

    def sweep(self) -> None:
        """Nothing is left in a store, where a file appears as a whole."""


def _check_exclusive(package: str) -> None:
    """
    Check that *package*, if it is one of those, can create a file exclusively.

    :raises SnapshotError: otherwise.
    """
    if package not in _EXCLUSIVE:
        return
    installed = version(package)
    if tuple(map(int, installed.split(".")[:2])) < _EXCLUSIVE_SINCE:
        since = ".".join(map(str, _EXCLUSIVE_SINCE))
        raise SnapshotError(
            f"{package} {installed} cannot create a file exclusively, so two runs could start at once. Install "
            f"{package}>={since}."
        )
