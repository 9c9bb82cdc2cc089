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
from typing import Final, NamedTuple

from airflow_provider_batch.protocol.audiences.block import Block
from airflow_provider_batch.protocol.ids import AnnotatedId
from airflow_provider_batch.protocol.rows import in_blocks

SEPARATOR: Final = "\x01"
#: Lines in a block.
BLOCK_SIZE: Final = 8192

_ESCAPE: Final = "\x02"
_ESCAPED: Final = "".join(map(chr, range(0x0E)))
_TABLE: Final = str.maketrans({char: _ESCAPE + chr(ord(char) + 0x20) for char in _ESCAPED})
_FORBIDDEN: Final = _ESCAPED.encode()
_PAIR: Final = re.compile(f"{_ESCAPE}(.)", re.DOTALL)


class Lines(NamedTuple):
    """Some lines, as a :class:`Block` if their positions are known, and their text."""

    lines: list[str]
    text: bytes


def lines_with_text(lines: list[str]) -> Lines:
    """Return *lines* with their text."""
    return Lines(lines, text_of(lines).encode())


def with_texts(blocks: Iterable[list[str]]) -> Iterator[Lines]:
    """
    Turn blocks of valid ids into blocks of lines with their text; an empty block is left out.

    Each line keeps its position in the source.
    """
    for block in filter(None, blocks):
        if isinstance(block, Block) and block.plain:  # so none has a character that JSON escapes, or is escaped here
            yield lines_with_text(block)
            continue
        annotated = isinstance(block, Block) and block.annotated
        if annotated or not _are_lines(*(lines := lines_with_text(block))):
            escaped = list(map(line_of, block))
            if isinstance(block, Block):
                escaped = Block(escaped, block.argument, block.positions, block.place)
            lines = lines_with_text(escaped)
        yield lines


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


def ids_from(lines: list[str], text: str) -> Iterable[str]:
    """Return the ids of *lines*; *text* is all of them, in which one look finds whether any needs decoding."""
    return map(id_from, lines) if SEPARATOR in text or _ESCAPE in text else lines


def text_of(lines: list[str]) -> str:
    """Return *lines* as the text of a file."""
    return "\n".join(lines) + "\n" if lines else ""


def lines_in(text: bytes) -> list[str]:
    """Return the lines of a text of whole lines."""
    return text.decode().split("\n")[:-1]


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


def _are_lines(block: list[str], text: bytes) -> bool:
    # A few passes in C over the whole block are faster than a look at each id.
    annotated = block.annotated if isinstance(block, Block) else not set(map(type, block)) <= {str}
    return not annotated and len(text.translate(None, _FORBIDDEN)) == len(text) - len(block)
