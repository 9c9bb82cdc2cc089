from __future__ import annotations

from collections.abc import Iterable, Iterator


class Metered:
    """A one-pass iterator that knows how far it has been read."""

    def __init__(self, values: Iterable[object]) -> None:
        self.values = iter(values)
        self.read = 0

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        value = next(self.values)
        self.read += 1
        return value
