"""A path of a store whose user is killed at a given moment."""

from __future__ import annotations

from typing import Any

from tests.mirror.folders import Killed


class Lives:
    """How many moments are left: one before and one after every operation; None for as many as it takes."""

    def __init__(self, left: int | None) -> None:
        self.left = left

    def take(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


class MortalPath:
    """What is asked of a path of universal_pathlib, until the last life is taken; nothing happens from then on."""

    def __init__(self, path: Any, lives: Lives) -> None:
        self._path = path
        self._lives = lives

    def __str__(self) -> str:
        return str(self._path)

    def __truediv__(self, name: str) -> MortalPath:
        return MortalPath(self._path / name, self._lives)

    @property
    def fs(self) -> MortalStore:
        return MortalStore(self._path.fs, self._lives)

    @property
    def path(self) -> str:
        return str(self._path.path)

    @property
    def name(self) -> str:
        return str(self._path.name)

    def __getattr__(self, name: str) -> Any:
        return mortal(getattr(self._path, name), self._lives)


class MortalStore:
    """The same of a file system of fsspec."""

    def __init__(self, fs: Any, lives: Lives) -> None:
        self._fs = fs
        self._lives = lives
        self.protocol = fs.protocol

    def invalidate_cache(self) -> None:
        self._fs.invalidate_cache()

    def __getattr__(self, name: str) -> Any:
        return mortal(getattr(self._fs, name), self._lives)


def mortal(operation: Any, lives: Lives) -> Any:
    """The operation, before and after which a life is taken."""

    def called(*arguments: Any, **named: Any) -> Any:
        lives.take()
        result = operation(*arguments, **named)
        lives.take()
        return result

    return called
