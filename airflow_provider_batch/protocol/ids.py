"""
Ids: one value each, checked.

A raw value becomes one id, or a ValueError with the reason and the remedy. Ids are never folded, and trimmed on request
only: Batch's are case- and whitespace-sensitive (https://doc.batch.com/ios/custom-data/customid/).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from numbers import Integral, Real
from operator import index
from typing import Final
from uuid import UUID

from airflow_provider_batch.protocol.dialect import MemberRules
from airflow_provider_batch.protocol.rows import BadRow

_REMEDIES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (bool, "a bool is not a valid id. Pass the id itself."),
    # A column of integers with a NULL among them is one of floats in pandas.
    (
        Real,
        "a float is not a valid id, as 1e6 and 1000000.0 are different texts. Drop missing values and convert the rest "
        "to int (pandas: s.dropna().astype('int64')).",
    ),
    (Decimal, "a Decimal is not a valid id, as 7 and 7.00 are different texts. Convert it to int."),
    ((bytes, bytearray, memoryview), "bytes are not a valid id. Decode them to str."),
    (Mapping, "the dict has no field id. Name that field, or pass the id alone."),
)

_TEXTS: Final = (str, bytes, bytearray, memoryview)

#: The NULLs of Python, pandas and numpy, by the names of their types: neither need be installed. NaN has no type.
_NULLS: Final = {"NoneType": "None", "NAType": "NA", "NaTType": "NaT", "MaskedConstant": "masked"}

#: Never part of an id: control characters (category Cc), line separators, byte order marks, and lone surrogates.
_FOREIGN: Final = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_ASCII_CONTROLS: Final = (*map(chr, range(0x20)), "\x7f")
#: And the whitespace of Latin-1, which is a blank of its own.
_LATIN_CONTROLS: Final = (*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA1)))
_NAMES: Final = {"\0": "NUL", "\a": "BEL", "\t": "a tab", "\n": "a line break", "\r": "a carriage return", "\x1a": "^Z"}
_KINDS: Final = {"\u2028": "a line separator", "\u2029": "a paragraph separator", "\ufeff": "a byte order mark"}

#: Texts that other programs write for a value that is missing, or that could not be computed.
_NO_VALUES: Final = frozenset(
    ("nan", "NaN", "NAN", "NaT", "<NA>", "NA", "N/A", "#N/A", "None", "NULL", "null", "Null", "(null)", "\\N", "nil")
) | {"undefined", "#REF!", "#NAME?", "#NUM!", "#NULL!", "#VALUE!", "#DIV/0!"}
_LONGEST_NO_VALUE: Final = max(map(len, _NO_VALUES))
#: A number that a spreadsheet or a float has rounded; and a part of it that can be searched for in linear time.
_ROUNDED: Final = re.compile(r"-?\d[\d.,]*[eE]\+\d+")
_EXPONENT: Final = re.compile(r"[\d.,][eE]\+\d")

#: More than any id has, and fewer than Python's limit for printing an int.
_MOST_DIGITS: Final = 1_000


class AnnotatedId(str):
    """
    A checked id with its attributes and tags. It equals the id alone, as an audience has each id once.

    :param extras: the JSON of its attributes and tags, without the braces around it.
    """

    __slots__ = ("extras",)
    extras: str

    def __new__(cls, id_: str, extras: str) -> AnnotatedId:
        self = str.__new__(cls, id_)
        self.extras = extras
        return self

    def __repr__(self) -> str:
        return "AnnotatedId()"


def unwrapped(value: object) -> object:
    """
    Return what is in *value*: the value of a row of one column, anything else as it is.

    :raises ValueError: with the reason, if it is a row of more columns, or one that its source could not read.
    """
    if isinstance(value, BadRow):
        raise ValueError(value.reason)
    if isinstance(value, Sequence) and not isinstance(value, _TEXTS):
        if len(value) != 1:
            raise ValueError(_row_fault(value))
        return value[0]
    return value


def joined_ids(values: list[object], max_length: int) -> str | None:
    """
    Return *values* as one text if :func:`id_of` would certainly return each unchanged, none of them doubtful.

    A few passes at the speed of C over the whole block; a check of each value would take ten times as long. After
    None, each value must be checked: all may still be valid.
    """
    try:
        text = "".join(values)  # type: ignore[arg-type]  # a TypeError is a result, too
    except TypeError:
        return None
    texts: list[str] = values  # type: ignore[assignment]  # all are str by now
    lengths = set(map(len, texts)) or {1}
    if not 0 < min(lengths) <= max(lengths) <= max_length:
        return None
    printable = _is_printable(text)
    if not printable and _FOREIGN.search(text):
        return None
    if (" " in text or not printable) and list(map(str.strip, texts)) != texts:
        return None
    has = text.__contains__
    # Each of them has one of these letters, which are found faster than the words.
    if min(lengths) <= _LONGEST_NO_VALUE and any(map(has, "Nn#")) and not _NO_VALUES.isdisjoint(texts):
        return None
    return None if has("+") and any(map(has, "eE")) and _EXPONENT.search(text) else text


def _is_printable(text: str) -> bool:
    """Whether *text* certainly has no foreign character, and no whitespace but blanks."""
    # In text of one byte a character, searches for 33 or 66 of them take a fraction of the time of isprintable.
    controls = _ASCII_CONTROLS
    if not text.isascii():
        try:
            text.encode("latin-1")
        except UnicodeEncodeError:
            return text.isprintable()
        controls = _LATIN_CONTROLS
    return not any(map(text.__contains__, controls))


def doubt(id_: str) -> str | None:
    """Return which kind of likely mistakes a valid id belongs to; None if it belongs to none."""
    if id_ in _NO_VALUES:
        return "ids that look like missing values, such as nan or NULL (sent as they are)"
    if _ROUNDED.fullmatch(id_):
        return "ids that look like rounded numbers, such as 1.2E+15 (sent as they are)"
    if id_ != id_.strip():
        return "ids with blanks around them (sent as they are; trim_ids=True removes the blanks)"
    return None


def id_of(value: object, rules: MemberRules) -> str:
    """
    Return the id in *value*: text as it is, an integer in decimal, a UUID as text.

    :raises ValueError: for everything else, with the reason and the remedy, but without the value.
    """
    id_ = value if isinstance(value, str) else _text(value, rules.max_id_length)
    if rules.trims:
        id_ = id_.strip()
    if reason := _fault(id_, rules.max_id_length):
        raise ValueError(reason)
    return id_


def _text(value: object, max_length: int) -> str:
    if isinstance(value, UUID):  # databases return them; all drivers agree on the text
        return str(value)
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(_remedy(value))
    try:
        number = index(value)
    except TypeError:  # numpy's durations call themselves integers
        raise ValueError(_remedy(value)) from None
    most = min(max_length, _MOST_DIGITS)
    if number.bit_length() > 4 * most:
        raise ValueError(f"an integer of more than {most} digits is not a valid id. Hash it.")
    return str(number)


def _fault(value: str, max_length: int) -> str | None:
    if not value.strip():
        return f"the id is {'blank' if value else 'empty'}. Drop the row."
    if foreign := _FOREIGN.search(value):
        return _foreign_fault(value, foreign[0])
    if len(value) > max_length:
        return (
            f"the id has {len(value):,} characters, more than the {max_length} that Batch accepts. Shorten or hash it."
        )
    return None


def _foreign_fault(value: str, character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return "the id has a lone surrogate, which UTF-8 cannot encode. Read the source with the right encoding."
    name = _NAMES.get(character, f"U+{ord(character):04X} ({_KINDS.get(character, 'a control character')})")
    if _FOREIGN.search(value.strip()):
        return f"the id contains {name}. Read the source with the right encoding, or remove the character."
    return f"the id begins or ends with {name}. Strip it, or pass trim_ids=True."


def _row_fault(row: Sequence[object]) -> str:
    if not isinstance(row, list):
        return f"a row of {len(row)} columns is not a valid id. Select the id column alone."
    return (
        f"a list of {len(row)} values is not a valid id. If it is a row, select the id column alone. If it is a list "
        "of ids, join the lists, in a template with | sum(start=[]), or push each of them in a task of its own."
    )


def missing(value: object) -> str | None:
    """Return the name of a NULL of Python, pandas or numpy; None for any other value."""
    with suppress(Exception):  # of a comparison that has no bool, such as that of arrays
        return _NULLS.get(type(value).__name__) or ("NaN" if value != value else None)
    return None


def _remedy(value: object) -> str:
    if name := missing(value):
        return f"the id is missing ({name}). Drop the row." + ("" if value is None else " In pandas: s.dropna().")
    for kinds, remedy in _REMEDIES:
        if isinstance(value, kinds):
            return remedy
    kind = type(value).__name__
    if hasattr(value, "__getitem__"):  # such as a database driver's row, whose str is not the id
        return f"a value of type {kind} is not a valid id. Pass the id in it, such as row[0]."
    return f"a value of type {kind} is not a valid id. Convert it to str."
