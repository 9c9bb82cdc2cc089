"""
Which attributes a mirror has set on a profile: a text with a flag, ``1`` or ``0``, for each name in a list.

``on_gone="clear"`` rests on them: it deletes from a profile whose row has gone the attributes that this mirror has set
on it, and no others. One list for all profiles would not do, as an app may have set an attribute of the same name on a
profile whose row has never had a value of it. And the names themselves would take more space than all else that a
snapshot has of a profile.

What is kept true: the list only grows, and a name keeps its place; a text that ends before it has 0 there. So texts can
be read after a table has got other columns. A text is read by the list that it was written by, or by one that has grown
from it: whoever keeps texts keeps the list with them, and those of a try whose list has grown in another way are
translated.

A flag stays 1 until Batch has accepted that the attribute is deleted. What a try may have sent counts as sent:
otherwise its value would stay at Batch for good.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Final

from airflow_provider_batch.mirror.diff import Difference
from airflow_provider_batch.mirror.lines import SEPARATOR, id_part, lines_in, text_of
from airflow_provider_batch.mirror.spool import CompressedFile
from airflow_provider_batch.protocol.profiles.names import declared
from airflow_provider_batch.protocol.profiles.table import keys_in

#: Texts that are remembered: most profiles of a table have one of a few.
_REMEMBERED: Final = 4_096


class Names:
    """
    The keys of all attributes that were ever sent, each at the place of its name.

    An attribute has one type at a time, so a name has one key: the one that was sent last.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self.keys = tuple(keys)
        self._places = {declared(key)[1]: place for place, key in enumerate(self.keys)}
        self.flags = lru_cache(_REMEMBERED)(self._flags)

    def including(self, keys: Iterable[str]) -> Names:
        """Return the list with *keys*, too: each at the place of its name, or at the end."""
        found = {declared(key)[1]: key for key in (*self.keys, *sorted(keys))}
        return Names(found.values())

    def with_new(self, keys: Iterable[str]) -> Names:
        """Return the list with those of *keys* that have no place yet, whatever their types."""
        return self.including(key for key in keys if declared(key)[1] not in self._places)

    def keys_of(self, flags: str) -> tuple[str, ...]:
        """Return the keys whose flag is 1."""
        return tuple(key for key, flag in zip(self.keys, flags, strict=False) if flag == "1")

    def _flags(self, keys: Iterable[str]) -> str:
        places = {self._places.get(declared(key)[1], -1) for key in keys}  # one that was never set may be deleted
        return "".join("1" if place in places else "0" for place in range(max(places, default=-1) + 1))


@lru_cache(_REMEMBERED)
def union(*texts: str) -> str:
    """Return the flags that are 1 in any of *texts*."""
    return "".join(map(max, zip_longest(*texts, fillvalue="0")))


@lru_cache(_REMEMBERED)
def without(flags: str, others: str) -> str:
    """Return *flags*, but 0 where *others* are 1."""
    return "".join("0" if other == "1" else flag for flag, other in zip_longest(flags, others, fillvalue="0"))


class FlagFile:
    """
    The flags of all profiles of a new set: those that a run sends get others, all the rest are copied.

    What differs comes in ascending order, as the old flags stand. So one pass over these is enough: what sorts before a
    difference is copied, in parts as they are read, and only the flags of what differs become objects of Python.

    :param old: the text of the flags of the last set, in parts of whole lines.
    :param noted: lines of those that may have been set since, in ascending order.
    :param path: the local file in which the new ones are written.
    """

    def __init__(self, names: Names, old: Iterator[bytes], noted: Iterator[str], path: Path) -> None:
        self.names = names
        self._parts = old
        self._part: list[str] = []
        self._at = 0
        self._noted = noted
        self._next = next(noted, "")
        self._file = CompressedFile(path)

    def add(self, found: Difference) -> tuple[list[str], list[str]]:
        """
        Write the flags of what differs.

        Return a line for each id of *found* with all that may be set on it while it is sent; and those to remove.
        """
        touched, removed, lines = [], [], list[str]()
        for line in sorted([*found.adds, *found.removes], key=id_part) if found.removes else found.adds:
            id_, is_given, attributes = line.partition(SEPARATOR)
            before = union(self._old_flags(id_, lines), *self._noted_flags(id_))
            if is_given:
                given, deleted = map(self.names.flags, keys_in(attributes))
                lines.append(flag_line(id_, union(without(before, deleted), given)))
                touched.append(flag_line(id_, union(before, given)))
            else:
                touched.append(flag_line(id_, before))
                removed.append(touched[-1])
        self._file.write(text_of(lines).encode(), len(lines))
        return touched, removed

    def close(self) -> None:
        """Write what is queued."""
        self._file.close()

    def copy_rest(self) -> None:
        """Copy the flags of all that sort after what differs."""
        rest = self._part[self._at :]
        self._file.write(text_of(rest).encode(), len(rest))
        for part in self._parts:
            self._file.write(part, part.count(b"\n"))

    def _old_flags(self, id_: str, lines: list[str]) -> str:
        """Copy to *lines* what sorts before *id_*, and return its own flags, which are not copied."""
        while True:
            end = bisect_left(self._part, id_, self._at)
            lines += self._part[self._at : end]
            if end < len(self._part):
                found, _, flags = self._part[end].partition(SEPARATOR)
                self._at = end + (found == id_)
                return flags if found == id_ else ""
            self._part, self._at = lines_in(next(self._parts, b"")), 0
            if not self._part:
                return ""

    def _noted_flags(self, id_: str) -> Iterator[str]:
        while id_part(self._next) == id_:
            yield self._next.partition(SEPARATOR)[2]
            self._next = next(self._noted, "")


def flag_line(id_: str, flags: str) -> str:
    """Return the line of an id, as its line is without attributes, with flags."""
    return f"{id_}{SEPARATOR}{flags}"
