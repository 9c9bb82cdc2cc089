"""JSON lines: one object, or one id, per line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from functools import partial
from itertools import chain
from typing import Any, BinaryIO, Final

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.rows import BadRow, Rows, in_blocks
from airflow_provider_batch.sources.columns import ID_NAME, Columns, Selection, find_column, has_column, without
from airflow_provider_batch.sources.paths import READ_AHEAD, FoundFile
from airflow_provider_batch.sources.plaintext import (
    TextOptions,
    blocks_of_lines,
    pieces,
    split_lines,
    without_blank,
)
from airflow_provider_batch.sources.source import FEW

#: Lines from which the keys of the objects are collected.
_SAMPLE: Final = 1_000

#: The string between two lines when a block is parsed, and its form in JSON, which no line may contain.
_SEPARATOR: Final = "\0"
_ESCAPED: Final = r"\u0000"


class JsonLinesFile:
    """The values of one file of JSON lines; the keys of its first objects are read at once."""

    read_ahead = READ_AHEAD

    def __init__(self, found: FoundFile, file: BinaryIO, options: TextOptions, columns: Columns) -> None:
        self._name = found.name
        text = pieces(found, file, options.encoding)
        first = next(text, "")
        #: Whether the file has no text at all.
        self.empty = not first
        self._text = chain([first], text)
        sample = parse_lines(without_blank(split_lines(first)[:_SAMPLE]))
        keys = list(dict.fromkeys(chain.from_iterable(row for row in sample if isinstance(row, dict))))
        self._nulls = options.nulls - {""}
        self._selection = None if columns.whole_rows else _select(columns, keys, self._name, self._nulls)
        # Only a key that the DAG has asked for is quoted: objects may be keyed by ids.
        self._id_key = "with the id" if columns.id_column is None else repr(str(columns.id_column))

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield the values of the lines in blocks of at most *size*; blank lines are left out."""
        for lines, place in blocks_of_lines(self._text, size, self._name):
            values: list[object] = []
            for few in in_blocks(lines, FEW):
                values += self._values(parse_lines(few))
            yield Rows(values, place)

    def _values(self, rows: list[object]) -> list[object]:
        selection = self._selection
        if selection is None:
            return [_without_nulls(row, self._nulls) for row in rows] if self._nulls else rows
        if selection.only_id and set(map(type, rows)) <= {str, int, type(None)}:
            return selection.ids(rows)
        try:
            return selection.values(partial(_cells, rows, selection.id))
        except (LookupError, TypeError):  # at least one row is not an object with the id's key
            return [self._value(row, selection) for row in rows]

    def _value(self, row: object, selection: Selection[str]) -> object:
        if isinstance(row, dict):
            if selection.id not in row:
                return BadRow(f"the object has no key {self._id_key}. Add the id, or drop the line.")
            return selection.values(partial(_cells, [row], selection.id))[0]
        if isinstance(row, BadRow):
            return row
        if isinstance(row, list) or not selection.only_id:
            return BadRow("the line is not a JSON object. Write one object per line.")
        return without([row], selection.nulls)[0]


# A block of lines is parsed as one JSON array, which is four times as fast as a call for each line. The result is the
# same although a line may hold anything, half a value or two: the string "\0" stands between every two lines, and
# lines that contain its escape are never parsed this way. A line that leaves a string open makes the array invalid,
# since the separator's quote closes that string; one that leaves an array or object open hides separators from the top
# level; one that holds two values moves them to other places. Whenever the array is invalid, or the separators are not
# exactly the items at odd places, each line is parsed alone.
def parse_lines(lines: list[str]) -> list[object]:
    """Return the value of each of *lines*; a BadRow for a line that is not valid JSON."""
    text = f',"{_ESCAPED}",'.join(lines)
    if text.count(_ESCAPED) == len(lines) - 1:
        try:
            values = json.loads(f"[{text}]")
        except (ValueError, RecursionError):
            pass
        else:
            if len(values) == 2 * len(lines) - 1 and values[1::2] == [_SEPARATOR] * (len(lines) - 1):
                return values[::2]  # type: ignore[no-any-return]  # a part of a list
    return list(map(_parse_line, lines))


def _parse_line(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return BadRow("the line is not valid JSON. Write one JSON value per line.")


def _without_nulls(row: object, nulls: Set[str]) -> object:
    if not isinstance(row, dict):
        return row
    return dict(zip(row, without(list(row.values()), nulls), strict=True))


def _cells(rows: list[Any], id_key: str, key: str) -> list[object]:
    return [row[key] for row in rows] if key == id_key else [row.get(key) for row in rows]


def _select(columns: Columns, keys: list[str], name: str, nulls: Set[str]) -> Selection[str]:
    if not keys:  # no objects in the sample: the lines are ids
        keys = [str(column) for column in (columns.id_column, columns.action_column) if column is not None] or ["id"]
    action = columns.action_column
    if columns.id_column is None and len(keys) == 1 and not ID_NAME.fullmatch(keys[0]):
        raise SourceError(f"{name}: the only key is not called like an id's. Pass id_column= with the id's key.")

    def key_of(column: str | int) -> str:  # many writers leave out nulls, so a key may be missing from the sample
        return keys[find_column(column, keys, name)] if has_column(column, keys) else str(column)

    return Selection(
        id=keys[columns.id_position(keys, name)],
        action=None if action is None else keys[find_column(action, keys, name)],
        attributes=tuple((key_of(column), attribute) for column, attribute in columns.attributes.items()),
        tags=None if columns.tags_column is None else key_of(columns.tags_column),
        nulls=nulls,
    )
