"""
Files of JSON lines that appear whole or not at all.

What is kept true: a file under its final name is complete. It is written to a local disk, then put into its folder
under a hidden name, and gets its final name last; of several files, when all of them are there. An object store shows a
file once it was uploaded as a whole; on a disk a rename is atomic.
"""

from __future__ import annotations

import gzip
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from airflow_provider_batch.exceptions import ResultError

T = TypeVar("T")

_BUFFER: Final = 1 << 17

#: The ending of files that do not have their names yet.
_TEMPORARY: Final = ".tmp"
_HIDDEN: Final = re.compile(r"\..+\.tmp")
_ANY: Final = re.compile(r".*")

_NO_FOLDER: Final = (FileNotFoundError, NotADirectoryError)


class ResultFolder:
    """
    A folder for results; it need not exist.

    :param path: a path of fsspec, such as Airflow's ``ObjectStoragePath``.
    """

    def __init__(self, path: Any) -> None:
        self._path = path
        self._fs = path.fs
        protocols = (self._fs.protocol,) if isinstance(self._fs.protocol, str) else self._fs.protocol
        self._is_local = "file" in protocols

    def path(self, name: str) -> Any:
        """Return the path of a file."""
        return self._path / name

    def find(self, pattern: re.Pattern[str]) -> list[str]:
        """Return the names of the files that match *pattern*, in their order."""
        self._fs.invalidate_cache()
        try:
            listed = self._run(lambda: self._fs.ls(self._path.path, detail=False), *_NO_FOLDER)
        except _NO_FOLDER:
            return []
        names = (str(each).rstrip("/").rpartition("/")[2] for each in listed)
        return sorted(name for name in names if pattern.fullmatch(name))

    def stage(self, name: str, source: Path) -> None:
        """Put a local file into the folder, under a hidden name."""
        target = self.path(hidden(name)).path
        try:
            self._run(lambda: self._fs.put_file(str(source), target), FileNotFoundError)
        except FileNotFoundError:  # a local folder is missing; object stores have none
            self._run(lambda: self._fs.makedirs(self._path.path, exist_ok=True))
            self._run(lambda: self._fs.put_file(str(source), target))

    def staged(self) -> list[str]:
        """Return the names that the staged files are going to have."""
        return [name[1 : -len(_TEMPORARY)] for name in self.find(_HIDDEN)]

    def publish(self, names: Iterable[str], replaced: Iterable[str] = ()) -> None:
        """
        Give staged files their names, and then delete the files of an earlier result that are *replaced*.

        A try before may have begun with it: those that are not staged have their names.
        """
        names = set(names)
        for name in sorted(names.intersection(self.staged())):
            self._move(self.path(hidden(name)).path, self.path(name).path)
        if missing := names.difference(self.find(_ANY)):
            raise ResultError(f"{self._path}: {sorted(missing)[0]} has disappeared. Run the task again.")
        self.delete(set(replaced) - names)

    def delete(self, names: Iterable[str]) -> None:
        """Delete files, if they exist."""
        for name in names:
            with suppress(FileNotFoundError):
                self._run(partial(self._fs.rm_file, self.path(name).path), FileNotFoundError)

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Open a staged file."""
        with self._run(lambda: self._fs.open(self.path(hidden(name)).path, "rb")) as file:
            yield file

    def _move(self, source: str, target: str) -> None:
        if self._is_local:
            self._run(lambda: os.replace(source, target))
        else:
            self._run(lambda: self._fs.cp_file(source, target))
            self._run(lambda: self._fs.rm_file(source))

    def _run(self, operation: Callable[[], T], *expected: type[Exception]) -> T:
        """Return the result of *operation*; an error of the storage becomes a ResultError."""
        try:
            return operation()
        except expected:
            raise
        except Exception as error:  # object storages have errors of their own, of no common class
            reason = getattr(error, "strerror", None) or type(error).__name__
            failure = ResultError(
                f"{self._path}: the result cannot be stored: {reason}. Check the path and its permissions."
            )
            failure.retryable = not isinstance(error, PermissionError | IsADirectoryError | NotADirectoryError)
            raise failure from error


def hidden(name: str) -> str:
    """Return the name of a file that is not complete yet; those that read folders leave such names out."""
    return f".{name}{_TEMPORARY}"


@contextmanager
def local_lines(lines: Iterable[str], compression: str | None) -> Iterator[tuple[Path, int]]:
    """
    Write *lines* to a temporary file, and yield it with their number.

    The same lines always give the same bytes: a gzip file has neither a name nor a time in it.
    """
    with tempfile.TemporaryDirectory(prefix="batch-") as folder:
        path = Path(folder, "lines")
        with path.open("wb") as file:
            if compression is None:
                count = _write(lines, file)
            else:
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                    count = _write(lines, packed)
        yield path, count


def _write(lines: Iterable[str], file: Any) -> int:
    count = size = 0
    held: list[str] = []
    for line in lines:
        held.append(line)
        count, size = count + 1, size + len(line)
        if size >= _BUFFER:
            file.write(_encoded(held))
            held, size = [], 0
    file.write(_encoded(held))
    return count


def _encoded(lines: list[str]) -> bytes:
    # A lone surrogate, which UTF-8 cannot encode, becomes its escape \uXXXX, which JSON decodes.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def suffix(compression: str | None) -> str:
    """Return the ending of a file of JSON lines."""
    return ".jsonl" if compression is None else ".jsonl.gz"
