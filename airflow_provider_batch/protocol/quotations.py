"""
Whether a text of Batch's may quote a private text of a request, in whatever form.

Batch may quote what it rejects, and that may be an id, an attribute or a tag: as it was sent, in other letters,
escaped, encoded or shortened. To replace what is found would leave what is not: the rest of a shortened id, or the half
of one that was escaped in two ways. So a text with any trace of a private text is not quoted at all.

The text is decoded, and not each id encoded: there are 10,000 ids in a call, and a text has few readings. To leave out
every text would be simpler, but it alone names the field that is wrong. To look for what resembles an id is not enough:
an id may be any text.
"""

from __future__ import annotations

import binascii
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote

from airflow_provider_batch.protocol.answers import one_line

#: How often an escape may be escaped itself.
_ROUNDS: Final = 3
#: A private text up to this length counts as a whole word only: it is a part of many words.
_SHORT: Final = 4
#: A shortened text shows at least that much of its beginning or end, and a mark for the rest.
_SHOWN: Final = 6
_MARKS: Final = ("..", "**")  # an ellipsis is three dots once it is normalised
#: Or it shows at least that much of any part, in quotes or as a word that no language has.
_QUOTED: Final = re.compile(r"(?<=['\"`\u2018\u201c\u00ab<(\[])[^'\"`\u2019\u201d\u00bb>)\]]{6,}")
_WORD: Final = re.compile(r"[^\s\"`<>()\[\]{}=|,;:]{6,}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{2,}")
_URL_SAFE: Final = str.maketrans("-_", "+/")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){3,}")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)


def quotes(text: str, private: Iterable[str]) -> bool:
    """Whether *text* has a trace of one of the *private* texts."""
    raw = set(_readings(text))
    runs = {run.translate(_URL_SAFE) for reading in raw for run in _BASE64.findall(reading)}
    readings = {_plain(reading) for reading in raw}
    words = {word for reading in readings for word in re.findall(r"\w+", reading)}
    ends = [reading.rstrip(" .,;:!?'\")]}>") for reading in readings]
    whole = "\n".join([*readings, *(_plain(part) for reading in raw for part in _decoded(reading))])
    shortened = any(mark in whole for mark in _MARKS)
    parts = {part for reading in readings for part in _parts(reading)}

    def has(one: str) -> bool:
        plain = _plain(one)
        if len(plain) <= _SHORT:
            if plain in words or binascii.b2a_base64(one.encode(errors="replace")).decode().rstrip("=\n") in runs:
                return True
            return bool(plain) and not plain.isalnum() and any(plain in reading for reading in readings)
        if plain in whole:
            return True
        if any(part in plain for part in parts):
            return True
        beginning, end = plain[:_SHOWN], plain[-_SHOWN:]
        if beginning not in whole and end not in whole:
            return False
        return shortened or any(beginning in text and plain.startswith(text[text.rfind(beginning) :]) for text in ends)

    return any(map(has, private))


def _parts(reading: str) -> Iterator[str]:
    """Yield what *reading* has in quotes, and its words with digits or signs."""
    yield from _QUOTED.findall(reading)
    for found in _WORD.findall(reading):
        word = found.strip(".!?…'\u2018\u2019\u201c\u201d\u00ab\u00bb")
        if len(word) >= _SHOWN and not word.isalpha():
            yield word


def _plain(text: str) -> str:
    """Return *text* in one form of its letters, blanks and marks."""
    if not (text.isascii() and text.isprintable()):
        # By way of capitals, as those of a dotless i are the ones of any i.
        parts = unicodedata.normalize("NFKD", one_line(text).upper().casefold())
        text = "".join(part for part in parts if not unicodedata.combining(part))
    return " ".join(text.lower().split())


def _readings(text: str) -> Iterator[str]:
    """Yield *text*, and what is left of it without escapes."""
    yield text
    for _ in range(_ROUNDS):
        for read in (html.unescape, _unescaped, _as_utf8, unquote):
            if (reading := read(text)) != text:
                text = reading
                yield text
        yield text.replace("+", " ")


def _unescaped(text: str) -> str:
    """Return *text* without the escapes of JSON and of most programming languages."""
    text = _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)) if not found[3] else found[3], text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _as_utf8(text: str) -> str:
    """Return *text* as it was before somebody took its bytes for those of another encoding."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _decoded(reading: str) -> Iterator[str]:
    """Yield what parts of *reading* stand for if they are Base64, which may begin anywhere, or hexadecimal digits."""
    for found in _HEX.finditer(reading):
        yield bytes.fromhex(found[0]).decode(errors="ignore")
    for found in _BASE64.finditer(reading):
        run = found[0].translate(_URL_SAFE)
        for start in range(min(4, len(run))):
            part = run[start:]
            yield binascii.a2b_base64(part + "A" * (-len(part) % 4)).decode(errors="ignore")
