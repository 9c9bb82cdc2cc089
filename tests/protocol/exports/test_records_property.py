"""Any records in either form, cut into pieces at any places, come back as they were."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import BatchProtocolError
from airflow_provider_batch.protocol.exports.records import RecordReader

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=6)


def read(pieces: list[bytes]) -> list[dict[str, Any]]:
    reader = RecordReader("part 1")
    found = [record for piece in pieces for record in reader.feed(piece)]
    found += reader.close()
    assert [json.loads(text) for text, _ in found] == [value for _, value in found]
    assert not any("\n" in text for text, _ in found)
    return [value for _, value in found]


def encode(rows: list[dict[str, Any]], form: str, is_ascii: bool) -> bytes:
    if form == "lines":
        text = "".join(f"{json.dumps(row, ensure_ascii=is_ascii)}\n" for row in rows)
    else:
        text = json.dumps(rows, ensure_ascii=is_ascii, indent=1 if form == "indented" else None)
    return text.encode("utf-8", "backslashreplace")


def cut(content: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(content) + 1) for place in places)
    return [content[start:end] for start, end in zip([0, *ends], [*ends, len(content)], strict=True)]


@given(
    ROWS, st.sampled_from(["array", "indented", "lines"]), st.booleans(), st.lists(st.integers(0, 10_000), max_size=8)
)
def test_what_was_written_is_read(rows: list[dict[str, Any]], form: str, is_ascii: bool, places: list[int]) -> None:
    content = encode(rows, form, is_ascii)
    assert read(cut(content, places)) == json.loads(encode(rows, "array", is_ascii))


@given(
    ROWS.filter(bool), st.sampled_from(["array", "indented"]), st.integers(1, 10_000), st.lists(st.integers(0, 10_000))
)
def test_an_array_that_is_cut_short_is_never_taken_for_whole(
    rows: list[dict[str, Any]], form: str, lost: int, places: list[int]
) -> None:
    content = encode(rows, form, True)
    short = content[: -1 - lost % len(content)]
    if not short.strip():
        return
    try:
        read(cut(short, places))
    except BatchProtocolError:
        return
    raise AssertionError("it was taken for whole")
