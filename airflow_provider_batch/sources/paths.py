"""A file, a folder or a glob -> the files it stands for, each opened as a stream of bytes."""

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

#: Bytes that are asked of a storage at once: S3's own default is 50 MB, and two such pieces are held.
_READ_AHEAD: Final = 8 << 20
_BUFFER: Final = 1 << 17
_GLOB: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file of a source. ``path`` is a pathlib.Path or another of its kind, such as Airflow's ObjectStoragePath."""

    path: Any = field(repr=False)
    #: What messages call it.
    name: str
    gzipped: bool = False

    @property
    def suffix(self) -> str:
        """What its name says about its format, ``.gz`` aside; in lower case."""
        _, dot, suffix = self.path.name.lower().removesuffix(".gz").rpartition(".")
        return dot + suffix if dot else ""

    @contextmanager
    def open(self, read_ahead: int = _READ_AHEAD) -> Iterator[BinaryIO]:
        """
        Open its bytes, unzipped.

        :param read_ahead: how many bytes an object storage should send at once.
        """
        stored = self._asked(lambda: self.path.open("rb", buffering=read_ahead))
        try:
            yield self._unzipped(stored) if self.gzipped else stored
        finally:
            stored.close()

    def read(self, file: BinaryIO, size: int) -> bytes:
        """
        Read up to *size* bytes of what :meth:`open` gave.

        :raises SourceError: if they cannot be read.
        """
        return self._asked(lambda: file.read(size))

    def _unzipped(self, stored: BinaryIO) -> BinaryIO:
        buffered = io.BufferedReader(stored, _BUFFER)  # type: ignore[type-var]  # it reads like a raw one
        if not self._asked(lambda: buffered.peek(1)):
            raise SourceError(f"{self.name}: the file is empty, which no gzip file is; it is cut off")
        return gzip.GzipFile(fileobj=buffered)  # type: ignore[return-value]  # as good as a BinaryIO

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except EOFError as error:
            raise SourceError(f"{self.name}: the gzip file is cut off: its end is missing; upload it again") from error
        except (gzip.BadGzipFile, zlib.error):  # which quotes the first bytes
            pass
        except OSError as error:
            raise unreadable(self.name, error) from error
        raise SourceError(f"{self.name}: the file is no gzip file, or damaged")


def unreadable(name: str, error: OSError, what: str = "the file cannot be read") -> SourceError:
    """Return what the storage says about *name*."""
    kind = SourceError if isinstance(error, PermissionError | IsADirectoryError) else SourceUnavailableError
    return kind(f"{name}: {what}: {error.strerror or type(error).__name__}")


def find_files(path: Any) -> list[FoundFile]:
    """
    Return the files that *path* stands for: itself, those in this folder, or those that match it, by their names.

    In a folder and under a glob, files whose name begins with ``.`` or ``_`` (such as Spark's ``_SUCCESS``) are left
    out; what is in folders of the folder is not looked for: that is what ``folder/**/*.csv`` is for.

    :raises SourceUnavailableError: if there is none.
    """
    try:
        paths = _paths(path)
    except FileNotFoundError as error:
        raise SourceUnavailableError(f"{path}: there is no such file or folder") from error
    except OSError as error:
        raise unreadable(str(path), error) from error
    if not paths:
        raise SourceUnavailableError(f"{path}: no file is there (hidden ones and those in its folders do not count)")
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
        path.stat()  # says why it is neither: object storages answer «no» whatever is wrong
        return []
    start, pattern = _glob(path)
    return _visible(start.glob(pattern))


def _visible(paths: Iterable[Any]) -> list[Any]:
    seen = (path for path in paths if path.name and not path.name.startswith((".", "_")) and path.is_file())
    return sorted(seen, key=str)


def _glob(path: Any) -> tuple[Any, str]:
    """Split *path* where its pattern begins."""
    names: list[str] = []
    while not _GLOB.isdisjoint(str(path)):
        names.insert(0, path.name)
        path = path.parent
    return path, "/".join(names)
