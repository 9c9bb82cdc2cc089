from __future__ import annotations

import gzip
import hashlib
import io
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.mirror.spool import CompressedFile, LineFile, read_lines

from .test_lines import told


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"))))
def test_lines_are_read_as_they_were_written(lines: list[str]) -> None:
    content = "".join(line + "\n" for line in lines)
    found = list(read_lines(io.BytesIO(content.encode())))
    assert [line for block, _ in found for line in block] == lines
    assert "".join(text for _, text in found) == content


def test_lines_may_be_longer_than_what_is_read_at_once() -> None:
    lines = ["é" * 400_000, "a", "😀" * 200_000]
    found = read_lines(io.BytesIO("".join(line + "\n" for line in lines).encode()))
    assert [line for block, _ in found for line in block] == lines


def test_a_last_line_without_an_end_is_an_error() -> None:
    with pytest.raises(EOFError):
        list(read_lines(io.BytesIO(b"a\nb")))


def test_a_line_file_counts_and_is_read_again(tmp_path: Path) -> None:
    with closing(LineFile(tmp_path / "lines")) as file:
        file.write(["a", "b\x02*"])
        file.write([])
        file.write(["c\x01{}"])
    assert len(file) == 3
    for _ in range(2):
        assert list(map(told, file)) == [("a", None), ("b\n", None), ("c", "{}")]


def test_a_packed_file_is_the_same_for_the_same_text(tmp_path: Path) -> None:
    for name, size in (("one", 1), ("two", 1)):
        with closing(CompressedFile(tmp_path / name)) as file:
            for start in range(0, 100, size):
                file.write(f"{start}\n" * size, size)
    text = "".join(f"{number}\n" for number in range(100))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert gzip.decompress((tmp_path / "one").read_bytes()).decode() == text
    assert (file.count, file.sha256) == (100, hashlib.sha256(text.encode()).hexdigest())


def test_an_error_of_the_thread_that_packs_is_raised(tmp_path: Path) -> None:
    file = CompressedFile(tmp_path / "one")
    file._file.close()
    with pytest.raises(ValueError, match="closed file"):  # noqa: PT012 - at one of the two
        file.write("a\n" * 1_000_000, 1)
        file.close()
