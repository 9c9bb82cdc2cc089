"""JSON lines: an object a line, or an id alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any, BinaryIO, Final

from airflow_provider_batch.protocol.rows import BadRow, Rows
from airflow_provider_batch.sources.columns import Columns, Picks, as_text, find, name_is_among
from airflow_provider_batch.sources.paths import FoundFile
from airflow_provider_batch.sources.text import PIECE, Writing, blocks_of_lines, lines_of, pieces, without_blank

#: Lines from which the keys of the objects are learned.
_LOOKED_AT: Final = 1_000

#: What stands between the lines when many are parsed at once, and the same in JSON: no line may hold it.
_SEPARATOR: Final = "\0"
_ESCAPED: Final = r"\u0000"


class JsonLinesFile:
    """The values of one file of JSON lines, whose first objects are looked at at once."""

    def __init__(
        self, found: FoundFile, file: BinaryIO, writing: Writing, columns: Columns, piece: int = PIECE
    ) -> None:
        self._name = found.name
        text = pieces(found, file, writing.encoding, piece)
        first = next(text, "")
        #: Whether there is nothing in the file.
        self.empty = not first
        self._text = chain([first], text)
        looked_at = parsed(without_blank(lines_of(first)[:_LOOKED_AT]))
        names = list(dict.fromkeys(chain.from_iterable(row for row in looked_at if isinstance(row, dict))))
        self._picks = _pick(columns, names, self._name)

    def blocks(self, size: int) -> Iterator[Rows]:
        """Yield what the lines stand for; blank ones are left out."""
        for lines, where in blocks_of_lines(self._text, size, self._name):
            yield Rows(self._values(parsed(lines)), where)

    def _values(self, rows: list[object]) -> list[object]:
        if self._picks.only_id and set(map(type, rows)) <= {str, int, type(None)}:
            return as_text(rows)
        try:
            return self._picks.values(partial(_cells, rows, self._picks.id))
        except (LookupError, TypeError):  # one of them is no such object
            return [self._value(row) for row in rows]

    def _value(self, row: object) -> object:
        if isinstance(row, dict):
            if self._picks.id not in row:
                return BadRow(f"the object has no key {self._picks.id!r}")
            return self._picks.values(partial(_cells, [row], self._picks.id))[0]
        if isinstance(row, BadRow):
            return row
        if isinstance(row, list) or not self._picks.only_id:
            return BadRow("the line is no JSON object")
        return row


def parsed(lines: list[str]) -> list[object]:
    """Return what each of *lines* stands for, a BadRow where that is nothing."""
    # As one array: four times as fast as line by line. With something between the lines that cannot be part of one,
    # so that two halves of a value, or two values in a line, are not taken for what they are not.
    text = f',"{_ESCAPED}",'.join(lines)
    if text.count(_ESCAPED) == len(lines) - 1:
        try:
            values = json.loads(f"[{text}]")
        except (ValueError, RecursionError):
            pass
        else:
            if len(values) == 2 * len(lines) - 1 and values[1::2] == [_SEPARATOR] * (len(lines) - 1):
                return values[::2]  # type: ignore[no-any-return]  # a part of a list
    return list(map(_parsed, lines))


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return BadRow("the line is no valid JSON")


def _cells(rows: list[Any], id_key: str, key: str) -> list[object]:
    return [row[key] for row in rows] if key == id_key else [row.get(key) for row in rows]


def _pick(columns: Columns, names: list[str], where: str) -> Picks[str]:
    if not names:  # ids without objects, as far as one can see
        names = [column for column in (columns.id_column, columns.action_column) if column is not None] or [""]
    action = columns.action_column

    def known(column: str) -> str:  # many writers leave out what is null, so that it need not be missing
        return names[find(column, names, where)] if name_is_among(column, names) else column

    return Picks(
        id=names[columns.id_among(names, where)],
        action=None if action is None else names[find(action, names, where)],
        attributes=tuple((known(column), name) for column, name in columns.attributes.items()),
        tags=None if columns.tags_column is None else known(columns.tags_column),
    )
