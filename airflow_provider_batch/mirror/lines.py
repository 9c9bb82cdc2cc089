"""
Ids as lines of text, which sort by code points as their ids do.

What is kept true: one line is one id, and its attributes never change where it sorts.

An id is its own line: only characters up to U+000D are escaped, as U+0002 and the character 32 places further on. So
no line break and no U+0001 is ever part of an id. U+0001 separates the id from its attributes and tags, which are JSON
and contain no such characters; it sorts before any character that may follow in a longer id. (NUL would sort as well,
but some readers of text stop at it.) A snapshot holds a digest instead of the attributes: enough to see that they
changed, and nothing to read.
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
#: Lines in a block.
BLOCK_SIZE: Final = 8192

_ESCAPE: Final = "\x02"
_ESCAPED: Final = "".join(map(chr, range(0x0E)))
_TABLE: Final = str.maketrans({char: _ESCAPE + chr(ord(char) + 0x20) for char in _ESCAPED})
_FORBIDDEN: Final = _ESCAPED.encode()
_PAIR: Final = re.compile(f"{_ESCAPE}(.)", re.DOTALL)


def as_lines(blocks: Iterable[list[str]]) -> Iterator[list[str]]:
    """Turn blocks of valid ids into blocks of lines; each keeps its position in the source."""
    for block in blocks:
        if _are_lines(block):
            yield block
            continue
        lines = list(map(line_of, block))
        yield Block(lines, block.argument, block.positions, block.place) if isinstance(block, Block) else lines


def line_of(id_: str) -> str:
    """Return the line of an id, with its attributes and tags."""
    line = id_ if id_.isprintable() else id_.translate(_TABLE)
    return f"{line}{SEPARATOR}{id_.extras}" if isinstance(id_, AnnotatedId) else line


def id_from(line: str) -> str:
    """Return the id of a line, with its attributes and tags."""
    id_, separator, extras = line.partition(SEPARATOR)
    if _ESCAPE in id_:
        id_ = _PAIR.sub(lambda pair: chr(ord(pair[1]) - 0x20), id_)
    return AnnotatedId(id_, extras) if separator else id_


def ids_from(lines: list[str], text: str) -> list[str]:
    """Return the ids of *lines*; *text* is all of them, in which one look finds whether any needs decoding."""
    return list(map(id_from, lines)) if SEPARATOR in text or _ESCAPE in text else lines


def text_of(lines: list[str]) -> str:
    """Return *lines* as the text of a file."""
    return "\n".join(lines) + "\n"


def id_part(line: str) -> str:
    """Return the line without attributes and tags."""
    return line.partition(SEPARATOR)[0]


def id_parts(lines: list[str]) -> list[str]:
    """Return the lines without attributes and tags."""
    return [line.partition(SEPARATOR)[0] for line in lines]


def sort(lines: list[str]) -> None:
    """Sort *lines*; those of one id keep their order."""
    annotated = any(SEPARATOR in "".join(block) for block in in_blocks(lines, BLOCK_SIZE))
    lines.sort(key=id_part if annotated else None)  # lines of one id are equal if they have nothing else


def with_digests(lines: list[str]) -> list[str]:
    """Return the lines as a snapshot holds them, with a digest in place of attributes and tags."""
    parts = (line.partition(SEPARATOR) for line in lines)
    return [f"{id_}{SEPARATOR}{_digest(extras)}" if separator else id_ for id_, separator, extras in parts]


def _digest(extras: str) -> str:
    return blake2b(extras.encode(), digest_size=8).hexdigest()


def _are_lines(block: list[str]) -> bool:
    # A few passes in C over the whole block are faster than a look at each id.
    if not set(map(type, block)) <= {str}:
        return False
    text = "".join(block).encode()
    return len(text.translate(None, _FORBIDDEN)) == len(text)
