"""The records of a file, in pieces of any size, in both forms."""

from __future__ import annotations

import json
import tracemalloc
from itertools import chain
from typing import Any

import pytest

from airflow_provider_batch.exceptions import BatchProtocolError
from airflow_provider_batch.protocol.exports.records import RecordReader

ROWS: list[dict[str, Any]] = [
    {"custom_id": "a", "attributes": {"name": 'Zoë "the ]best[" \\ {one}, 2'}},
    {},
    {"custom_id": "ü€😀", "list": [1, [2, {"x": None}], "],"], "n": 12345678901234567890.5},
    {"custom_id": "c", "line": "a\nb\u2028c"},
]
FORMS = {
    "array": json.dumps(ROWS),
    "lines": "".join(f"{json.dumps(row)}\n" for row in ROWS),
    "lines without the last line break": "\n".join(map(json.dumps, ROWS)),
    "array over many lines": json.dumps(ROWS, indent=2, ensure_ascii=False).replace("\n", "\r\n"),
    "one after the other": "".join(json.dumps(row, ensure_ascii=False) for row in ROWS),
    "with a mark at the beginning": "\ufeff \n" + json.dumps(ROWS) + "\n ",
}


def read(content: bytes, size: int) -> list[tuple[str, dict[str, Any]]]:
    reader = RecordReader("part 1")
    found = [record for start in range(0, len(content), size) for record in reader.feed(content[start : start + size])]
    found += reader.close()
    assert reader.count == len(found)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_record_is_read_whatever_the_pieces(form: str, size: int) -> None:
    found = read(form.encode(), size)
    assert [value for _, value in found] == ROWS
    assert [json.loads(text) for text, _ in found] == ROWS
    assert not any("\n" in text or "\r" in text for text, _ in found)


def test_the_text_of_a_record_stays_as_it_came() -> None:
    text = '{"n": 1.50, "n": 2e3, "big": 123456789012345678901234567890.10}'
    assert [found for found, _ in read(f"[{text}]".encode(), 5)] == [text]


@pytest.mark.parametrize("content", [b"", b" \n", b"[]", b"[ \n ]\n"], ids=repr)
def test_a_file_may_have_no_records(content: bytes) -> None:
    assert read(content, 1) == []


BROKEN = {
    "an array without its end": ('[{"a": 1}, {"a": 2}', "record 3: it ends in the middle"),
    "an array that ends after a comma": ('[{"a": 1},', "record 2: it ends in the middle"),
    "a record without its end": ('{"a": 1}\n{"a": ', "record 2: it ends in the middle"),
    "half a letter": ('{"a": "é"}'.encode()[:-3], "record 1: it is not text in UTF-8"),
    "another encoding": ('{"a": "é"}'.encode("latin-1"), "record 1: it is not text in UTF-8"),
    "a page of HTML": ("<html></html>", "record 1: it ends in the middle"),
    "a number": ("[1]", "record 1: it is not an object"),
    "a list in the list": ('[{"a": 1}, []]', "record 2: it is not an object"),
    "two commas": ('[{"a": 1},,{"a": 2}]', "record 2: it ends in the middle"),
    "no comma": ('[{"a": 1} {"a": 2}]', "record 2: a comma is missing"),
    "a comma at the end": ('[{"a": 1},]', "record 2: it ends in the middle"),
    "something after the end": ('[{"a": 1}] x', "record 2: something follows the end of the array"),
    "too deep": ("[" + '{"a":' * 100_000, "record 1: it (is nested too deeply|ends in the middle)"),
}


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize(("content", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_broken_is_refused_without_its_text(content: str | bytes, reason: str, size: int) -> None:
    if size == 1 and len(content) > 1000:
        pytest.skip("a piece of one byte each would take long")
    with pytest.raises(BatchProtocolError, match=rf"^part 1, {reason}\. The file may be cut short\.$") as caught:
        read(content.encode() if isinstance(content, str) else content, size)
    assert caught.value.retryable
    assert "html" not in str(caught.value)


def test_a_record_that_has_not_ended_is_looked_at_again_once_there_is_twice_as_much_text() -> None:
    reader = RecordReader("part 1")
    pieces = [b'{"a":', b"1}", b"\n{", b'"']
    assert [[text for text, _ in reader.feed(piece)] for piece in pieces] == [[], [], [], ['{"a":1}']]


def test_a_large_file_is_read_in_little_memory() -> None:
    row = json.dumps({"custom_id": "x" * 100}).encode() + b","
    piece = row * 500
    reader = RecordReader("part 1")
    tracemalloc.start()
    list(reader.feed(b"["))
    for _ in range(100):  # 6 MB
        for _ in reader.feed(piece):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reader.count == 50_000
    assert peak < 2_000_000


def test_a_record_may_be_larger_than_many_pieces() -> None:
    row = {"a": "x" * 3_000_000}
    assert [value for _, value in read(json.dumps(row).encode(), 1 << 12)] == [row]


def test_a_record_has_a_largest_size() -> None:
    reader = RecordReader("part 1")
    pieces = [b'{"a": "', *[b"x" * (1 << 20)] * 200]
    with pytest.raises(BatchProtocolError, match="record 1: it is not JSON"):
        list(chain.from_iterable(map(reader.feed, pieces)))


def test_only_the_record_that_is_not_complete_counts_against_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_batch.protocol.exports.records._LONGEST_RECORD", 10)
    reader = RecordReader("part 1")
    assert len(list(reader.feed(b'{"a": 1}' * 10 + b'{"a": '))) == 10
    assert [text for text, _ in reader.feed(b"1}" + b" " * 20)] == ['{"a": 1}']
    assert list(RecordReader("part 1").feed(b'{"a": "123')) == []
    with pytest.raises(BatchProtocolError, match="it is not JSON"):
        list(reader.feed(b'{"a": "1234'))
