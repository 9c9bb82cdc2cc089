"""
Ids as lines of text, whose order by code points is that of the ids.

An id is its own line: only characters up to U+000D are escaped, as U+0002 and the character 32 places further on. So
neither a line break nor U+0001 is ever part of an id's line. U+0001 begins what an annotated id has beside itself, JSON
without such characters, and sorts before whatever may follow in a longer id. In a snapshot that rest is a mark: a
digest of it, from which nothing can be read. (NUL would sort as well, but there are readers of text that stop at it.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.audiences.intake import in_blocks
from airflow_provider_batch.protocol.audiences.members import AnnotatedId

SEPARATOR: Final = "\x01"
_ESCAPE: Final = "\x02"
_ESCAPED: Final = "".join(map(chr, range(0x0E)))
_TABLE: Final = str.maketrans({char: _ESCAPE + chr(ord(char) + 0x20) for char in _ESCAPED})
_FORBIDDEN: Final = _ESCAPED.encode()
_PAIR: Final = re.compile(f"{_ESCAPE}(.)", re.DOTALL)


def as_lines(blocks: Iterable[list[str]]) -> Iterator[list[str]]:
    """
    Turn blocks of ids into blocks of lines; where an id stands in its source is kept.

    :param blocks: lists of ids that were checked.
    """
    for block in blocks:
        if _are_lines(block):
            yield block
            continue
        lines = list(map(line_of, block))
        yield Block(lines, block.argument, block.positions, block.place) if isinstance(block, Block) else lines


def line_of(id_: str) -> str:
    """Return the line of an id, with what it has beside itself."""
    line = id_ if id_.isprintable() else id_.translate(_TABLE)
    return f"{line}{SEPARATOR}{id_.extras}" if isinstance(id_, AnnotatedId) else line


def id_from(line: str) -> str:
    """Return the id that the line was made of."""
    id_, separator, extras = line.partition(SEPARATOR)
    if _ESCAPE in id_:
        id_ = _PAIR.sub(lambda pair: chr(ord(pair[1]) - 0x20), id_)
    return AnnotatedId(id_, extras) if separator else id_


def ids_from(lines: list[str], text: str) -> list[str]:
    """Return what each of *lines* was made of; *text* is all of them, to see at once that they are plain ids."""
    if SEPARATOR in text or _ESCAPE in text:
        return list(map(id_from, lines))
    return lines


def id_part(line: str) -> str:
    """Return the line of the id alone."""
    return line.partition(SEPARATOR)[0]


def id_parts(lines: list[str]) -> list[str]:
    """Return the lines of the ids alone."""
    return [line.partition(SEPARATOR)[0] for line in lines]


def sort(lines: list[str]) -> None:
    """Sort *lines*; those of one id stay in their order."""
    annotated = any(SEPARATOR in "".join(block) for block in in_blocks(lines, 8192))
    lines.sort(key=id_part if annotated else None)  # those of one id are equal, if they have nothing else


def marked(lines: list[str]) -> list[str]:
    """Return the lines as a snapshot holds them, with a mark in place of what stands beside an id."""
    parts = (line.partition(SEPARATOR) for line in lines)
    return [f"{id_}{SEPARATOR}{_mark(extras)}" if separator else id_ for id_, separator, extras in parts]


def _mark(extras: str) -> str:
    return blake2b(extras.encode(), digest_size=8).hexdigest()


def _are_lines(block: list[str]) -> bool:
    # A few passes at the speed of C over the whole block instead of a look at each id; False means «look».
    if not set(map(type, block)) <= {str}:
        return False
    text = "".join(block).encode()
    return len(text.translate(None, _FORBIDDEN)) == len(text)
