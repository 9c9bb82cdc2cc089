"""
Reading and writing of gzip: by ISA-L, which the extra ``mirror`` installs, otherwise by zlib.

The format is the same, so each reads what the other has written. On random ids such as UUIDs, ISA-L compresses in a
third of the time, to a little less, and reads in half of it.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from typing import Any, BinaryIO, Final, Protocol, cast

_gzip: Any = gzip
_zlib: Any = zlib
with suppress(ImportError):
    from isal import igzip, isal_zlib

    _gzip, _zlib = igzip, isal_zlib

#: What reading a truncated or changed file raises.
UNREADABLE: Final[tuple[type[Exception], ...]] = (EOFError, gzip.BadGzipFile, zlib.error, _zlib.error)


class Compressor(Protocol):
    """Compresses a text that comes in parts."""

    def compress(self, data: bytes, /) -> bytes:
        """Return a part of the file."""

    def flush(self) -> bytes:
        """Return the end of the file."""


def compressor() -> Compressor:
    """Return the compressor of one file; the same text gives the same file, without a name and a time in it."""
    # Level 1: on ids, the next levels take up to twice as long for a few percent.
    return cast(Compressor, _zlib.compressobj(1, wbits=31))


def decompressed(file: BinaryIO) -> BinaryIO:
    """Return the content of a file, to be read; a file may have several parts that were compressed apart."""
    return cast(BinaryIO, _gzip.open(file, "rb"))
