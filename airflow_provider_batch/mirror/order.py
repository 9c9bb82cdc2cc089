"""
Blocks of lines -> lines in ascending order, each id once.

What is kept true: the order is that of code points, on both sides of every comparison. A merge that meets one id out of
order takes it for missing, and would remove a member that is in the set. Databases sort by the rules of a language, so
a source that claims to be sorted is checked while it is read. Of several lines of one id, the first counts.

Up to a million lines are sorted in memory. More are sorted by DuckDB, which spills to disk; files that are sorted apart
and merged in Python would take a step of Python for every line. DuckDB compares text byte by byte, and the bytes of
UTF-8 sort as code points do. It reads and writes the lines as CSV of one column, with control characters that no line
contains as delimiter and quote. Its sorting is not stable, so lines with attributes are numbered. It compares the first
bytes of two texts far faster than those that follow, so what all lines begin with is left out while it sorts. It sorts
them in parts: while one is sorted, the one before it is compared already, and each needs less memory than all of them.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import chain, islice, takewhile
from operator import lt
from pathlib import Path
from typing import Any, Final

from airflow_provider_batch.exceptions import MirrorError
from airflow_provider_batch.mirror.diff import Counts, SortedBlock
from airflow_provider_batch.mirror.lines import (
    BLOCK_SIZE,
    SEPARATOR,
    Lines,
    id_part,
    id_parts,
    lines_in,
    lines_with_text,
    sort,
    text_of,
    with_digests,
)
from airflow_provider_batch.mirror.spool import LineFile, read_texts
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.rows import in_blocks

#: Lines that are sorted in memory at most.
IN_MEMORY: Final = 1_000_000

#: Parts of the lines that DuckDB sorts one after the other.
_PARTS: Final = 3

_DELIMITER, _QUOTE, _NULL = "\x03", "\x04", "\x05"
_COLUMNS: Final = (
    "auto_detect=false, header=false, skip=1, columns={'line': 'VARCHAR'}, new_line='\\n', compression='none', "
    f"delim='{_DELIMITER}', quote='', escape='', nullstr='{_NULL}', max_line_size=4194304, buffer_size=8388608"
)
_FORM: Final = (
    f"FORMAT csv, HEADER false, DELIMITER '{_DELIMITER}', QUOTE '{_QUOTE}', ESCAPE '{_QUOTE}', NULLSTR '{_NULL}'"
)

#: What a text has if some of its lines have attributes or tags.
_ANNOTATED: Final = SEPARATOR.encode()

_REMEDY: Final = (
    "it sorts before the previous id by code points, which is_sorted=True rules out. Sort the source by code points "
    '(ORDER BY … COLLATE "C" in PostgreSQL, a binary collation elsewhere), or omit is_sorted=True.'
)


def ascending(blocks: Iterable[Lines], counts: Counts, audience_name: str) -> Iterator[SortedBlock]:
    """
    Check the order of lines, and drop all but the first line of each id.

    :param audience_name: for the error.
    :raises InvalidMemberError: if an id sorts before the previous one.
    """
    last, given = "", 0
    for block, text in blocks:
        annotated = _ANNOTATED in text
        lines, ids = block, id_parts(block) if annotated else block
        if not (last < ids[0] and all(map(lt, ids, islice(ids, 1, None)))):
            lines = _without_duplicates(block, last, given, audience_name)
            text = text_of(lines).encode()
        given += len(block)
        counts.given += len(lines)
        counts.duplicates += len(block) - len(lines)
        if not lines:
            continue
        last = id_part(lines[-1])
        yield SortedBlock(lines, text_of(with_digests(lines)).encode() if annotated else text)


def _without_duplicates(block: list[str], last: str, given: int, audience_name: str) -> list[str]:
    lines = []
    for index, line in enumerate(block):
        if (id_ := id_part(line)) > last:
            lines.append(line)
            last = id_
        elif id_ < last:
            if not isinstance(block, Block):
                block = Block(block, "ids", range(given, given + len(block)))
            raise block.rejection(index, _REMEDY).error(audience_name)
    return lines


def in_order(
    blocks: Iterable[Lines], folder: Path, *, memory_limit: str = "384MB", in_memory: int = IN_MEMORY
) -> Generator[Lines, None, None]:
    """
    Sort lines; those of one id keep their order.

    :param folder: an existing local folder for temporary files.
    :param memory_limit: the memory that DuckDB may use, in its notation. By default, a process grows by 512 MB at most:
        DuckDB does not count all of its buffers, and the first lines are in memory.
    :param in_memory: how many lines are sorted without DuckDB at most.
    :raises MirrorError: if DuckDB is needed and missing, or fails.
    """
    blocks = iter(blocks)
    first: list[str] = []
    for block in blocks:
        first += block.lines
        if len(first) > in_memory:
            break
    else:
        sort(first)
        yield from map(lines_with_text, in_blocks(first, BLOCK_SIZE))
        return
    numbers, prefix, sample = _LineNumbers(), _Prefix(), _Sample()
    source = folder / "unsorted.txt"
    with closing(LineFile(source)) as file:
        # A line that is skipped: DuckDB would take U+FEFF at the start of the file for a byte order mark.
        file.write(["-"])
        for block in chain(map(lines_with_text, in_blocks(first, BLOCK_SIZE)), blocks):
            text = numbers.insert(block)
            prefix.narrow(text, len(block.lines))
            sample.look_at(block.lines)
            file.write_text(text, len(block.lines))
    del first
    sorting = _Sorting(source, folder, memory_limit, len(prefix.text or ""), sample.bounds())
    with closing(sorting.parts()) as parts:
        for part in parts:
            with part.open("rb") as content:
                # DuckDB quotes a line that other readers might take for a comment.
                for text in read_texts(content):
                    yield numbers.remove(prefix.restore(text.replace(_QUOTE.encode(), b"")))
            part.unlink()
    source.unlink()


class _LineNumbers:
    """
    Numbers between the id and the rest of a line, so that sorting keeps the order of lines of one id.

    They start at the first block with attributes: until then, lines of one id are equal.
    """

    def __init__(self) -> None:
        self._next: int | None = None

    def insert(self, block: Lines) -> bytes:
        if self._next is None:
            if _ANNOTATED not in block.text:
                return block.text
            self._next = 0
        start = self._next
        self._next += len(block.lines)
        parts = (line.partition(SEPARATOR) for line in block.lines)
        numbered = [f"{id_}{SEPARATOR}{number:012x}{sep}{rest}" for number, (id_, sep, rest) in enumerate(parts, start)]
        return text_of(numbered).encode()

    def remove(self, text: bytes) -> Lines:
        lines = lines_in(text)
        if self._next is None:
            return Lines(lines, text)
        parts = (line.split(SEPARATOR, 2) for line in lines)
        return lines_with_text([SEPARATOR.join((id_, *rest[1:])) for id_, *rest in parts])


class _Prefix:
    """What all lines begin with."""

    def __init__(self) -> None:
        self.text: str | None = None

    def narrow(self, text: bytes, count: int) -> None:
        """Take a *text* of so many lines into account."""
        if self.text == "":
            return
        if self.text is None or (b"\n" + text).count(b"\n" + self.text.encode()) < count:
            lines = lines_in(text)
            known = [] if self.text is None else [self.text]
            columns = zip(min(lines), max(lines), *known, strict=False)
            self.text = "".join(column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns))

    def restore(self, text: bytes) -> bytes:
        """Return a *text* of lines without what they begin with, with it."""
        if not self.text:
            return text
        prefix = self.text.encode()
        return prefix + text[:-1].replace(b"\n", b"\n" + prefix) + b"\n"


class _Sample:
    """Some ids, by which the lines are divided into parts of about the same size."""

    def __init__(self) -> None:
        self._ids: list[str] = []

    def look_at(self, lines: list[str]) -> None:
        self._ids.append(id_part(lines[0]))

    def bounds(self) -> list[str]:
        """Return where each part begins; the first one with the empty text."""
        ids = sorted(self._ids)
        return ["", *(ids[len(ids) * part // _PARTS] for part in range(1, _PARTS) if ids)]


class _Sorting:
    """DuckDB at work on a file, in a thread of its own: it sorts a part while the one before it is read."""

    def __init__(self, source: Path, folder: Path, memory_limit: str, prefix_length: int, bounds: list[str]) -> None:
        self._source = source
        self._folder = folder
        self._memory_limit = memory_limit
        self._prefix_length = prefix_length
        self._bounds = bounds
        self._connection: Any = None

    def parts(self) -> Generator[Path, None, None]:
        """
        Yield the files with the sorted lines.

        :raises MirrorError: if DuckDB is missing, or fails.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="batch-mirror") as thread:
            try:
                for part in [thread.submit(self._sort, number) for number in range(len(self._bounds))]:
                    yield part.result()
            finally:
                thread.shutdown(wait=False, cancel_futures=True)
                self._stop()

    def _stop(self) -> None:
        with suppress(Exception):  # it has ended
            self._connection.interrupt()

    def _sort(self, number: int) -> Path:
        try:
            import duckdb
        except ImportError:
            raise MirrorError(
                f"more than {IN_MEMORY:,} unsorted ids need DuckDB. Run pip install 'airflow-provider-batch[mirror]', "
                "or sort the source and pass is_sorted=True."
            ) from None
        settings: dict[str, Any] = {
            "memory_limit": self._memory_limit,
            "temp_directory": str(self._folder),
            "preserve_insertion_order": False,
        }
        target = self._folder / f"sorted-{number}.txt"
        query, parameters = self._statement(number, target)

        def sort(threads: int) -> None:
            with duckdb.connect(":memory:", config={**settings, "threads": threads}) as self._connection:
                self._connection.execute(query, parameters)

        try:
            try:
                sort(min(4, os.cpu_count() or 1))
            except (duckdb.OutOfMemoryException, duckdb.InternalException):
                # With long lines, several threads can need more than DuckDB spills in time; it may fail with either.
                sort(1)
        except duckdb.Error as error:
            # The text of the error is left out, because it may quote a line.
            raise MirrorError(
                f"DuckDB could not sort the ids ({type(error).__name__}) with memory_limit={self._memory_limit!r:.40}. "
                "Free memory or disk space for temporary files, or sort the source and pass is_sorted=True."
            ) from None
        return target

    def _statement(self, number: int, target: Path) -> tuple[str, list[Any]]:
        """Return the statement that writes a part, sorted, and its parameters."""
        bounds = self._bounds[number : number + 2]
        condition = "line >= ?" + " AND line < ?" * (len(bounds) - 1)
        query = (
            f"COPY (SELECT substr(line, ?) AS rest FROM read_csv({_quoted(self._source)}, {_COLUMNS}) "  # noqa: S608 - our own paths
            f"WHERE {condition} ORDER BY rest) TO {_quoted(target)} ({_FORM})"
        )
        return query, [self._prefix_length + 1, *bounds]


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
