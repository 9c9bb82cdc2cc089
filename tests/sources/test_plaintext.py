from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.sources import plaintext
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.files import FileSource
from airflow_provider_batch.sources.paths import FoundFile
from airflow_provider_batch.sources.plaintext import pieces, split_lines
from tests.sources.reading import placed, values

FOUND = FoundFile(Path("ids.txt"), "ids.txt")


def in_pieces(content: bytes, size: int, encoding: str = "utf-8") -> list[str]:
    return list(pieces(FOUND, io.BytesIO(content), encoding, size))


@given(st.text(alphabet="aé€😀\r\n\u2028 "), st.integers(1, 9), st.sampled_from(["utf-8", "utf-16", "utf-32-le"]))
def test_pieces_are_whole_lines_of_the_same_text(content: str, size: int, encoding: str) -> None:
    found = in_pieces(content.encode(encoding), size, encoding)
    assert "".join(found) == content
    assert all(found)
    assert all(piece[-1] in "\r\n" for piece in found[:-1])
    apart = list(io.StringIO(content, newline=None))
    assert [line for piece in found for line in split_lines(piece)] == [line.removesuffix("\n") for line in apart]


def test_a_byte_order_mark_is_dropped() -> None:
    assert in_pieces(b"\xef\xbb\xbfa\n", 2) == ["a\n"]
    assert in_pieces("\ufeffa\n".encode("utf-16-le"), 3, "utf-16-le") == ["a\n"]
    assert in_pieces("a\ufeffb".encode(), 2) == ["a\ufeffb"]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("content", "encoding", "place"),
    [
        (
            b"good\nline\ncaf\xe9 x\n",
            "utf-8",
            "ids.txt, line 3: byte 14 is not valid utf-8. Pass the file's encoding with encoding=.",
        ),
        (b"good\n\xe2\x82", "utf-8", "ids.txt, line 2: byte 6 is not valid utf-8"),
        ("a\né\n".encode(), "ascii", "ids.txt, line 2: byte 3 is not valid ascii"),
        ("€\r\n".encode() * 3 + b"\xff", "utf-8", "ids.txt, line 4: byte 16 is not valid utf-8"),
    ],
)
def test_an_error_names_the_place_of_invalid_bytes(content: bytes, encoding: str, place: str, size: int) -> None:
    with pytest.raises(SourceError, match=place) as caught:
        in_pieces(content, size, encoding)
    assert caught.value.__context__ is caught.value.__cause__ is None  # it would hold the bytes


def test_a_gzip_file_without_gz_in_its_name_is_recognised() -> None:
    with pytest.raises(SourceError, match=r"Add .gz to the name of this gzip file"):
        in_pieces(gzip.compress(b"ids"), 1000)


def test_a_line_that_never_ends_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plaintext, "_LONGEST_LINE", 100)
    assert in_pieces(b"a" * 99, 10) == ["a" * 99]
    with pytest.raises(SourceError, match=r"ids.txt: a line has more than 100 characters. Check that the file is text"):
        in_pieces(b"a\n" + b"a" * 200, 10)


def test_a_line_is_an_id_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes('\ufeffa\r\n b \n\n \t\nc,d\r"e"\né\u2028f'.encode())
    assert placed(FileSource(tmp_path / "ids.txt")) == [
        ("a", "ids.txt, line 1"),
        (" b ", "ids.txt, line 2"),
        ("c,d", "ids.txt, line 5"),
        ('"e"', "ids.txt, line 6"),
        ("é\u2028f", "ids.txt, line 7"),
    ]


@pytest.mark.parametrize("size", [7, 1000, 100_000])
def test_lines_are_counted_over_blocks_and_pieces(tmp_path: Path, size: int) -> None:
    lines = [f"customer-{number:040}" if number % 3 else "" for number in range(1, 60_001)]
    (tmp_path / "ids.txt").write_text("\n".join(lines))
    found = placed(FileSource(tmp_path / "ids.txt"), size)
    assert found == [(line, f"ids.txt, line {number:,}") for number, line in enumerate(lines, 1) if line]


def test_lines_have_no_other_columns(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a\n")
    assert values(FileSource(tmp_path / "ids.txt", Columns("user_id"))) == ["a"]
    with pytest.raises(SourceError, match=r"ids.txt: a txt file holds ids only"):
        values(FileSource(tmp_path / "ids.txt", Columns(action_column="op")))


@pytest.mark.parametrize(
    "first",
    [
        *("id", " Customer_ID", "id;email", "id|email", "id\temail", "c-1;a@x.org", "c-1,a@x.org"),
        *('"id"', '"id;email"', "sep=;", " SEP=,"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_is_csv_is_refused(tmp_path: Path, first: str, pack: Callable[[bytes], bytes]) -> None:
    name = "ids.txt" if pack is bytes else "ids.txt.gz"
    (tmp_path / name).write_bytes(pack(f"\n{first}\nb\n".encode()))
    with pytest.raises(SourceError) as caught:
        values(FileSource(tmp_path / name))
    assert str(caught.value) == (
        f"{name}: a txt file holds one id per line, but the first line looks like one of a CSV file. Pass "
        "format='csv', and delimiter= or header=False where they apply."
    )


@pytest.mark.parametrize("first", ["david", "c-1;x", "samlp|okta|jane@x.org", "jane@x.org", "android_id_7"])
def test_a_first_id_is_none_of_a_header(tmp_path: Path, first: str) -> None:
    (tmp_path / "ids.txt").write_text(f"{first}\rb,a@x.org\r")
    assert values(FileSource(tmp_path / "ids.txt")) == [first, "b,a@x.org"]


def test_control_characters_are_kept_in_their_lines(tmp_path: Path) -> None:
    lines = ["\ufeffa", "a\0", "\0", "\x1a", "\x07", "\x0c", "\x1f", "\x85", "\u2028", "\ufeffb"]
    (tmp_path / "ids.txt").write_text("\n".join(lines), "utf-8")
    assert placed(FileSource(tmp_path / "ids.txt")) == [
        (line if number > 1 else "a", f"ids.txt, line {number}") for number, line in enumerate(lines, 1)
    ]
    (tmp_path / "ids.txt").write_bytes("a\nb\n".encode("utf-16-le"))
    assert values(FileSource(tmp_path / "ids.txt")) == ["a\0", "\0b\0", "\0"]
