"""The files at a path, in a folder or under a glob, each opened as a stream of bytes."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, TypeVar

from airflow_provider_batch.exceptions import SourceError, SourceUnavailableError

T = TypeVar("T")

#: Bytes to request from a storage at once. The default for S3 is 50 MB, and two such pieces are held in memory.
READ_AHEAD: Final = 8 << 20
_BUFFER: Final = 1 << 17
_GLOB: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file of a source; ``path`` is a pathlib.Path or Airflow's ObjectStoragePath."""

    path: Any = field(repr=False)
    #: The name that messages use.
    name: str
    gzipped: bool = False

    @property
    def suffix(self) -> str:
        """The suffix that names the format, without ``.gz``, in lower case; empty if there is none."""
        _, dot, suffix = self.path.name.lower().removesuffix(".gz").rpartition(".")
        return dot + suffix if dot else ""

    @contextmanager
    def open(self, read_ahead: int = READ_AHEAD) -> Iterator[BinaryIO]:
        """
        Open the file for reading; gzip is decompressed.

        :param read_ahead: bytes to request from an object storage beyond what is read.
        :raises SourceError: if the file cannot be opened.
        """
        stored = self._run(lambda: self.path.open("rb", buffering=read_ahead))
        try:
            yield self._decompressed(stored) if self.gzipped else stored
        finally:
            stored.close()

    def read(self, file: BinaryIO, size: int) -> bytes:
        """
        Read up to *size* bytes of *file*, which :meth:`open` opened.

        :raises SourceError: if the storage fails, or the gzip file is damaged.
        """
        return self._run(lambda: file.read(size))

    def _decompressed(self, stored: BinaryIO) -> BinaryIO:
        buffered = io.BufferedReader(stored, _BUFFER)  # type: ignore[type-var]  # stored has all methods that are called
        if not self._run(lambda: buffered.peek(1)):
            raise SourceError(f"{self.name}: the gzip file has no bytes. Upload it again.")
        return gzip.GzipFile(fileobj=buffered)  # type: ignore[return-value]  # it has the methods of a BinaryIO

    def _run(self, operation: Callable[[], T]) -> T:
        """Return the result of *operation*; errors of the storage and of gzip become a SourceError."""
        try:
            return operation()
        except EOFError as error:
            raise SourceError(f"{self.name}: the gzip file is truncated. Upload it again.") from error
        except (gzip.BadGzipFile, zlib.error):  # their messages quote bytes of the file: not to be a cause
            pass
        except Exception as error:  # object storages have errors of their own, of no common class
            raise unreadable(self.name, error) from error
        raise SourceError(f"{self.name}: the file is damaged or not gzip. Upload it again, or without .gz in its name.")


def unreadable(name: str, error: Exception, what: str = "the file cannot be read") -> SourceError:
    """Return the error for *name*: permanent if a permission is missing or *name* is a folder, else transient."""
    kind = SourceError if isinstance(error, PermissionError | IsADirectoryError) else SourceUnavailableError
    reason = getattr(error, "strerror", None) or type(error).__name__
    return kind(f"{name}: {what}: {reason}. Check the path and its permissions.")


def find_files(path: Any) -> list[FoundFile]:
    """
    Return the file at *path*, the files in that folder, or those that match the glob, in order of their names.

    In a folder and under a glob, files whose name begins with ``.`` or ``_`` (such as Spark's ``_SUCCESS``) are left
    out. Subfolders are not read. ``folder/**/*.csv`` includes them, except for those whose name begins so, too
    (``_temporary``).

    :raises SourceUnavailableError: if there is no file.
    """
    try:
        paths = _paths(path)
    except FileNotFoundError as error:
        raise SourceUnavailableError(f"{path}: there is no such file or folder. Check the path.") from error
    except Exception as error:  # as above
        raise unreadable(str(path), error) from error
    if not paths:
        raise SourceUnavailableError(
            f"{path}: no file is there; hidden files and subfolders are not read. Check the path."
        )
    several = len(paths) > 1
    return [
        FoundFile(one, f"{one.parent.name}/{one.name}" if several else one.name, one.name.lower().endswith(".gz"))
        for one in paths
    ]


def _paths(path: Any) -> list[Any]:
    if path.is_file():
        return [path]
    if path.is_dir():
        return _visible(path.iterdir())
    if _GLOB.isdisjoint(str(path)):
        path.stat()  # raises the reason: is_file and is_dir of object storages return False on any error
        return []
    folder, pattern = _split_glob(path)
    depth = len(folder.parts)
    return _visible(one for one in folder.glob(pattern) if not any(map(_is_hidden, one.parts[depth:-1])))


def _is_hidden(folder: str) -> bool:
    """Return whether this folder holds no data, but what a writer keeps beside it; ``_day=1`` is hive's partition."""
    return folder.startswith(".") or (folder.startswith("_") and "=" not in folder)


def _visible(paths: Iterable[Any]) -> list[Any]:
    visible = (path for path in paths if path.name and not path.name.startswith((".", "_")) and path.is_file())
    return sorted(visible, key=str)


def _split_glob(path: Any) -> tuple[Any, str]:
    """Split *path* into the folder before its first pattern, and the rest."""
    names: list[str] = []
    while not _GLOB.isdisjoint(str(path)):
        names.insert(0, path.name)
        path = path.parent
    return path, "/".join(names)
