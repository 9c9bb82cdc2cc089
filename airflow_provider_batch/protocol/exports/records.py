"""
The records of a file: an array of objects, or one object after the other, as their very text.

Batch documents neither form ("a JSON file"), and both were seen in use. The text of a record is kept as it came: to
parse and write it again would round large numbers and drop repeated keys. A library that reads JSON as a stream yields
parsed values, and numbers as decimals; the decoder of the standard library parses one value at a place of a text, and
returns where it ended. So the reader holds the text of a few records, and hands out a slice of it for each.

A record that ends beyond what has arrived is parsed again when there is more. To keep that cheap, the reader waits for
as much text as it holds already; and a record has a maximum size, so that a damaged file does not fill the memory.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, Final

from airflow_provider_batch.exceptions import BatchProtocolError

#: The most characters of one record.
_LONGEST_RECORD: Final = 32 << 20
_BLANKS: Final = " \t\r\n"


class RecordReader:
    """
    Turns the bytes of a file, piece by piece, into the text and value of each record.

    :param name: the file's name in errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._parse = json.JSONDecoder().raw_decode
        self._text = ""
        self._wanted = 0
        self._is_array: bool | None = None
        self._is_closed = self._needs_value = False
        #: How many records were read.
        self.count = 0

    def feed(self, piece: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """
        Yield the records that are complete with *piece*.

        :raises BatchProtocolError: if the text is not JSON in UTF-8, or something else than objects.
        """
        yield from self._read(piece, is_last=False)

    def close(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """
        Yield the records that are complete with the end of the file.

        :raises BatchProtocolError: if it ends within a record, or within the array.
        """
        yield from self._read(b"", is_last=True)
        if self._is_array and not self._is_closed:
            raise self._fault("it ends in the middle")

    def _read(self, piece: bytes, *, is_last: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            self._text += self._decode(piece, is_last)
        except UnicodeDecodeError:
            raise self._fault("it is not text in UTF-8") from None
        if len(self._text) < self._wanted and not is_last:
            return
        self._wanted = place = 0
        text = self._text
        while (start := self._next(place)) < len(text):
            try:
                value, end = self._parse(text, start)
            except ValueError:
                if is_last or len(text) - start > _LONGEST_RECORD:
                    raise self._fault("it ends in the middle" if is_last else "it is not JSON") from None
                self._wanted = 2 * (len(text) - start)
                place = start
                break
            except RecursionError:
                raise self._fault("it is nested too deeply") from None
            if not isinstance(value, dict):
                raise self._fault("it is not an object")
            self.count += 1
            self._needs_value, place = False, end
            # Within a string of valid JSON a line break is escaped, so one that is not stands between two values.
            yield text[start:end].replace("\r", " ").replace("\n", " "), value
        else:
            place = start
        self._text = text[place:]

    def _next(self, place: int) -> int:
        """Return where the next record begins; the length of the text if it has not arrived."""
        text = self._text
        while place < len(text):
            character = text[place]
            if character not in _BLANKS:
                if self._is_closed:
                    raise self._fault("something follows the end of the array")
                if self._is_array is None and character == "[":
                    self._is_array = True
                elif self._is_array and character == "," and self.count and not self._needs_value:
                    self._needs_value = True
                elif self._is_array and character == "]" and not self._needs_value:
                    self._is_closed = True
                elif self._is_array and self.count and not self._needs_value:
                    raise self._fault("a comma is missing")
                else:
                    self._is_array = bool(self._is_array)
                    return place
            place += 1
        return place

    def _fault(self, reason: str) -> BatchProtocolError:
        return BatchProtocolError(f"{self._name}, record {self.count + 1:,}: {reason}. The file may be cut short.")
