"""
Encoded records between their source and their calls: all are read before the first is sent, and each key goes once.

What is kept true: of several records with one key, the last counts, and no other is sent. Batch promises no order
between calls, so that a later call could not correct an earlier one. Which record is the last is known at the end of
the source, so the records wait in a temporary file, which has no name and goes with its process.

Memory holds 8 bytes for each record, the hash of its key. Hashes that occur once, nearly all, need no further look;
of the others, the keys themselves are compared. Of a source that is sorted by its keys, not even the hashes are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, takewhile
from operator import lt
from tempfile import SpooledTemporaryFile
from typing import Final, Self

#: Bytes up to which the records stay in memory.
_IN_MEMORY: Final = 8 << 20

#: Hashes that are compared at once.
_PART: Final = 500_000


class Spool:
    """
    Records as lines of text, in the order of their source. They are written first, then settled, then read.

    :param key: returns the key in a line.
    """

    def __init__(self, key: Callable[[bytes], object]) -> None:
        self._key = key
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - it is closed with the spool
        self._hashes = array("q")
        self._ascends, self._last = True, ""
        self._order = array("q")  # the numbers of the records in the order of their hashes, once that is needed
        self._replaced: frozenset[int] = frozenset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    @property
    def written(self) -> int:
        """How many records were written."""
        return len(self._hashes)

    @property
    def duplicates(self) -> int:
        """How many of them were replaced by a later one of the same key."""
        return len(self._replaced)

    def __len__(self) -> int:
        return self.written - self.duplicates

    def write(self, keys: Sequence[str], text: bytes) -> None:
        """Append records: the key of each, and a line for each in *text*."""
        if self._ascends and keys:
            self._ascends = self._last < keys[0] and all(map(lt, keys, islice(keys, 1, None)))
            self._last = keys[-1]
        self._hashes.extend(map(hash, keys))
        self._file.write(text)

    def settle(self) -> None:
        """Find the records that a later one of the same key replaces."""
        if self._ascends or not (repeated := _repeated(self._hashes)):
            return
        last: dict[object, int] = {}
        replaced = []
        for number, line in enumerate(self._lines()):
            if self._hashes[number] in repeated:
                key = self._key(line)
                if key in last:
                    replaced.append(last[key])
                last[key] = number
        self._replaced = frozenset(replaced)

    def blocks(self, size: int) -> Iterator[tuple[Sequence[int], list[bytes]]]:
        """Yield the records from the first on, *size* at once, with their numbers among all that were written."""
        lines = self._lines()
        if not self._replaced:
            for start in range(0, self.written, size):
                yield range(start, min(start + size, self.written)), list(islice(lines, size))
            return
        kept = ((number, line) for number, line in enumerate(lines) if number not in self._replaced)
        while block := list(islice(kept, size)):
            numbers, texts = zip(*block, strict=True)
            yield numbers, list(texts)

    def number_of(self, key: str) -> int | None:
        """Return the number of the record with *key*, or of one whose key has the same hash; None if there is none."""
        at = self._hashes.__getitem__
        if not self._order:
            self._order = array("q", sorted(range(self.written), key=at))
        first = bisect_left(self._order, hash(key), key=at)
        found = takewhile(lambda number: at(number) == hash(key), islice(self._order, first, None))
        return next((number for number in found if number not in self._replaced), None)

    def _lines(self) -> Iterator[bytes]:
        self._file.seek(0)
        return iter(self._file)


def _repeated(hashes: array[int]) -> set[int]:
    """Return the hashes that occur more than once; a part of them at a time, for the sake of memory."""
    parts = len(hashes) // _PART + 1
    found: set[int] = set()
    for part in range(parts):
        ours = [each for each in hashes if each % parts == part] if parts > 1 else hashes
        if len(set(ours)) < len(ours):
            found.update(each for each, times in Counter(ours).items() if times > 1)
    return found
