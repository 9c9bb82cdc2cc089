"""
Files of JSON lines that appear whole or not at all.

What is kept true: a file under its final name is complete. It is written under a hidden name, and gets its final one
last; of several files, when all of them are there. On a disk a rename is atomic; an object store copies as a whole.
Whether a hidden file is complete, its name does not show: the writer has to remember it.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, Any, Final, TypeVar

from airflow_provider_batch.exceptions import ResultError

T = TypeVar("T")

#: Characters that are written at once, and bytes that an object store gets at once: its default may be far more.
_BUFFER: Final = 1 << 17
_BLOCK: Final = 8 << 20

#: The ending of files that do not have their names yet.
_TEMPORARY: Final = ".tmp"
_HIDDEN: Final = re.compile(r"\..+\.tmp")

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

    def stage(self, name: str, lines: Iterable[str], compression: str | None = None) -> int:
        """
        Write *lines* into the folder, under a hidden name, and return how many they were.

        The same lines always give the same bytes: a gzip file has neither a name nor a time in it.
        """
        with self._created(hidden(name)) as file:
            if compression is None:
                count = self._write(lines, file)
            else:
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                    count = self._write(lines, packed)
            if self._is_local:  # the name must not survive a crash that the content does not
                self._run(file.flush)
                self._run(lambda: os.fsync(file.fileno()))
        return count

    def staged(self) -> list[str]:
        """Return the names that the staged files are going to have."""
        return [name[1 : -len(_TEMPORARY)] for name in self.find(_HIDDEN)]

    def publish(self, names: Iterable[str], replaced: Iterable[str] = ()) -> None:
        """Give staged files their names, and then delete the files of an earlier result that are *replaced*."""
        names = list(names)
        for name in names:
            self._move(self.path(hidden(name)).path, self.path(name).path)
        self.delete(set(replaced).difference(names))

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

    @contextmanager
    def _created(self, name: str) -> Iterator[IO[bytes]]:
        target = self.path(name).path

        def create() -> IO[bytes]:
            file: IO[bytes] = self._fs.open(target, "wb", block_size=_BLOCK)
            return file

        try:
            file = self._run(create, FileNotFoundError)
        except FileNotFoundError:  # a local folder is missing; object stores have none
            self._run(lambda: self._fs.makedirs(self._path.path, exist_ok=True))
            file = self._run(create)
        try:
            yield file
        finally:
            self._run(file.close)  # where a store makes it visible

    def _write(self, lines: Iterable[str], file: Any) -> int:
        count = size = 0
        held: list[str] = []
        for line in lines:
            held.append(line)
            count, size = count + 1, size + len(line)
            if size >= _BUFFER:
                self._run(partial(file.write, _encoded(held)))
                held, size = [], 0
        self._run(partial(file.write, _encoded(held)))
        return count

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


def _encoded(lines: list[str]) -> bytes:
    # A lone surrogate, which UTF-8 cannot encode, becomes its escape \uXXXX, which JSON decodes.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def suffix(compression: str | None) -> str:
    """Return the ending of a file of JSON lines."""
    return ".jsonl" if compression is None else ".jsonl.gz"
