"""Blocks of lines -> lines in ascending order, each id once: checked where the source says so, else sorted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from operator import lt
from pathlib import Path
from typing import Any, Final

from airflow_provider_batch.exceptions import MirrorError
from airflow_provider_batch.mirror.diff import Counts, Stretch
from airflow_provider_batch.mirror.lines import SEPARATOR, id_part, id_parts, marked, sort
from airflow_provider_batch.mirror.spool import LineFile, read_lines
from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.intake import in_blocks

#: How many lines are sorted in memory.
HELD: Final = 1_000_000

#: Characters that are in no line, for DuckDB's delimiter, quote and null.
_DELIMITER, _QUOTE, _NULL = "\x03", "\x04", "\x05"

_REMEDY: Final = (
    "it sorts before the id in front of it, by code points, though the source is said to be sorted; sort it so "
    '(ORDER BY … COLLATE "C" in PostgreSQL, a binary collation elsewhere), or leave off is_sorted=True'
)


def ascending(blocks: Iterable[list[str]], counts: Counts, audience_name: str) -> Iterator[Stretch]:
    """
    Yield the lines of sorted blocks without repetitions; of the lines of one id the first stays.

    :param audience_name: for the error.
    :raises InvalidMemberError: if an id sorts before the one in front of it.
    """
    last, given = "", 0
    for block in filter(None, blocks):
        text = _text(block)
        annotated = SEPARATOR in text
        lines, ids = block, id_parts(block) if annotated else block
        if not (last < ids[0] and all(map(lt, ids, islice(ids, 1, None)))):
            lines = _first_ones(block, last, given, audience_name)
            if not lines:
                counts.duplicates += len(block)
                given += len(block)
                continue
            text = _text(lines)
        given += len(block)
        counts.given += len(lines)
        counts.duplicates += len(block) - len(lines)
        last = id_part(lines[-1])
        if annotated:
            marks = marked(lines)
            yield Stretch(lines, marks, _text(marks))
        else:
            yield Stretch(lines, lines, text)


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _first_ones(block: list[str], last: str, given: int, audience_name: str) -> list[str]:
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
    blocks: Iterable[list[str]], folder: Path, *, memory_limit: str = "512MB", held: int = HELD
) -> Iterator[list[str]]:
    """
    Sort lines of any order; those of one id stay in the order in which they were given.

    Up to *held* lines are sorted in memory. More go through DuckDB, which spills to *folder*.

    :param folder: a local one that exists, for temporary files.
    :param memory_limit: what DuckDB may use, in its own words.
    :raises MirrorError: if DuckDB is needed and missing, or fails.
    """
    blocks = iter(blocks)
    first: list[str] = []
    for block in blocks:
        first += block
        if len(first) > held:
            break
    else:
        sort(first)
        yield from in_blocks(first, 8192)
        return
    numbers = _Numbers()
    path = folder / "unsorted.txt"
    with LineFile(path) as file:
        # Whatever stands first: DuckDB would take the beginning of U+FEFF for a mark of the encoding.
        file.write(["-"])
        for block in chain(in_blocks(first, 8192), blocks):
            file.write(numbers.put(block))
    del first
    sorted_path = folder / "sorted.txt"
    _sort(path, sorted_path, folder, memory_limit)
    path.unlink()
    with sorted_path.open("rb") as content:
        # DuckDB quotes what another reader might take for a comment; no line has that character.
        for lines, text in read_lines(content):
            yield numbers.take(text.replace(_QUOTE, "").split("\n")[:-1] if _QUOTE in text else lines)
    sorted_path.unlink()


class _Numbers:
    """
    Numbers between the id and the rest of a line, for sorting to leave the lines of one id in their order.

    Before the first line that has such a rest no line needs one: those of the same id are equal.
    """

    def __init__(self) -> None:
        self._next: int | None = None

    def put(self, block: list[str]) -> list[str]:
        if self._next is None:
            if SEPARATOR not in "".join(block):
                return block
            self._next = 0
        start = self._next
        self._next += len(block)
        parts = (line.partition(SEPARATOR) for line in block)
        return [f"{id_}\x01{number:012x}{sep}{rest}" for number, (id_, sep, rest) in enumerate(parts, start)]

    def take(self, block: list[str]) -> list[str]:
        if self._next is None:
            return block
        parts = (line.split(SEPARATOR, 2) for line in block)
        return [SEPARATOR.join((id_, *rest[1:])) for id_, *rest in parts]


def _sort(source: Path, target: Path, folder: Path, memory_limit: str) -> None:
    try:
        import duckdb
    except ImportError:
        raise MirrorError(
            f"more than {HELD:,} ids that are not sorted need DuckDB: pip install 'airflow-provider-batch[mirror]', "
            "or sort the source and say is_sorted=True"
        ) from None
    settings: dict[str, Any] = {
        "memory_limit": memory_limit,
        "temp_directory": str(folder),
        "preserve_insertion_order": False,
    }
    columns = (
        "auto_detect=false, header=false, skip=1, columns={'line': 'VARCHAR'}, new_line='\\n', compression='none', "
        f"delim='{_DELIMITER}', quote='', escape='', nullstr='{_NULL}', max_line_size=4194304, buffer_size=8388608"
    )
    form = f"FORMAT csv, HEADER false, DELIMITER '{_DELIMITER}', QUOTE '{_QUOTE}', ESCAPE '{_QUOTE}', NULLSTR '{_NULL}'"
    # VARCHAR without a collation is compared byte by byte, and bytes of UTF-8 sort as code points do.
    query = (
        f"COPY (SELECT line FROM read_csv({_quoted(source)}, {columns}) ORDER BY line) "  # noqa: S608 - paths of ours
        f"TO {_quoted(target)} ({form})"
    )

    def sort(threads: int) -> None:
        with duckdb.connect(":memory:", config={**settings, "threads": threads}) as connection:
            connection.execute(query)

    try:
        try:
            sort(min(4, os.cpu_count() or 1))
        except (duckdb.OutOfMemoryException, duckdb.InternalException):
            # Long lines and several threads: more than it can spill in time, which seldom shows as a fault of its own.
            sort(1)
    except duckdb.Error as error:
        # Its text may quote a line.
        raise MirrorError(
            f"DuckDB could not sort the ids ({type(error).__name__}) with memory_limit={memory_limit!r:.40}; give it "
            "more memory or disk space, or sort the source and say is_sorted=True"
        ) from None


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
