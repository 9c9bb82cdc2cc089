from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.audiences.members import NO_ACTION, Change, Member
from airflow_provider_batch.protocol.rows import BadRow
from airflow_provider_batch.sources.columns import Columns
from airflow_provider_batch.sources.files import FileSource
from tests.sources.reading import placed, values


@pytest.fixture
def ids(tmp_path: Path) -> Any:
    """Return a function that writes a file and returns its source."""

    def write(content: str | bytes, columns: Columns | None = None, **options: Any) -> FileSource:
        path = tmp_path / "ids.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return FileSource(path, columns, **options)

    return write


def test_the_header_names_the_columns(ids: Any) -> None:
    source = ids("name,ID\nJane,a\n,b\n", Columns("id"))
    assert placed(source) == [("a", "ids.csv, line 2"), ("b", "ids.csv, line 3")]
    assert values(ids("id\na\n")) == ["a"]


def test_without_a_header_columns_are_numbered(ids: Any) -> None:
    source = ids("Jane,a\n,b\n", Columns("2"), header=False)
    assert placed(source) == [("a", "ids.csv, line 1"), ("b", "ids.csv, line 2")]
    assert values(ids("a\nb", header=False)) == ["a", "b"]
    with pytest.raises(
        SourceError, match=r"there is no column '3'; it has 2 columns.* the columns are called 1 to 2\."
    ):
        values(ids("Jane,a\n", Columns("3"), header=False))


def test_quotes_delimiter_encoding_and_byte_order_mark(ids: Any) -> None:
    assert values(ids('\ufeff"id";x\n"a;""b""";1\n', Columns("id"), delimiter=";")) == ['a;"b"']
    assert values(ids("x\tid\n1\tcafé\r\n".encode("latin-1"), Columns("id"), delimiter="\t", encoding="latin-1")) == [
        "café"
    ]
    assert values(ids("id\ncafé\n".encode("utf-16"), encoding="utf-16")) == ["café"]


def test_lines_are_counted_with_blank_ones_and_quoted_breaks(ids: Any) -> None:
    source = ids('\nid,x\n\na,"1\n2\r\n3"\nb,1\n\nc\nd,1\n', Columns("id"))
    bad = BadRow("the row has 1 cell, the first row of the file 2. Correct the row.")
    expected = [("a", 4), ("b", 7), (bad, 9), ("d", 10)]
    for size in (1, 2, 10):
        assert placed(source, size) == [(value, f"ids.csv, line {line}") for value, line in expected]
    source = ids('\n"a\nb",1\nc,2\n', Columns("1"), header=False)
    assert placed(source) == [("a\nb", "ids.csv, line 2"), ("c", "ids.csv, line 4")]


def test_a_row_of_another_length_is_bad_unless_its_extra_cells_are_empty(ids: Any) -> None:
    found = values(ids("x,id\n1,a\nDoe, Jane,b\n1,c,\n1,d,,\n2\n", Columns("id")))
    wide = BadRow("the row has 3 cells, the first row of the file 2. Correct the row.")
    short = BadRow("the row has 1 cell, the first row of the file 2. Correct the row.")
    assert found == ["a", wide, "c", "d", short]


def test_text_after_a_closing_quote_makes_a_bad_row(ids: Any) -> None:
    source = ids('id,x\na,1\n"b"c,1\n"d",1\n"e\n"f,1\ng,1\n', Columns("id"))
    bad = BadRow("text follows the closing quote of a cell. Double each quote inside a quoted cell.")
    expected = [("a", 2), (bad, 3), ("d", 4), (bad, 5), ("g", 7)]
    for size in (1, 2, 3, 10):
        assert placed(source, size) == [(value, f"ids.csv, line {line}") for value, line in expected]


def test_a_quote_that_is_never_closed_fails_the_source(ids: Any) -> None:
    source = ids('id,x\na,1\nb,"1\nc,1\n' + "d,1\n" * 10, Columns("id"))
    with pytest.raises(SourceError, match=r"ids.csv, line 3: the rows from here on cannot be separated"):
        values(source)
    with pytest.raises(SourceError, match=r"ids.csv, line 2: the rows from here on .*field larger than field limit"):
        values(ids('id,x\na,"' + "b,1\n" * 100_000, Columns("id")))


def test_an_invalid_header_fails_the_source(ids: Any) -> None:
    with pytest.raises(SourceError, match=r"ids.csv, line 1: text follows the closing quote"):
        values(ids('"id"x,y\na,1\n', Columns("id")))


def test_a_missing_column_is_named(ids: Any) -> None:
    with pytest.raises(SourceError, match=r"ids.csv: there is no column 'user'; it has 2 columns. Pass id_column="):
        values(ids("id,name\na,b\n", Columns("user")))
    with pytest.raises(SourceError, match=r"ids.csv: 2 columns could be the id"):
        values(ids("id,name\na,b\n"))


def test_a_header_alone_has_no_rows(ids: Any) -> None:
    assert values(ids("id\n")) == []
    assert values(ids("id")) == []


def test_an_empty_file_fails_unless_it_is_allowed(ids: Any) -> None:
    for content in ("", "\n\n"):
        with pytest.raises(SourceError, match="the file is empty"):
            values(ids(content))
        assert values(ids(content, allow_empty=True)) == []


def test_attributes_tags_and_actions(ids: Any) -> None:
    columns = Columns("id", "op", {"pts": "points", "city": "city"}, "tags")
    content = 'id,op,pts,city,tags\na,add,3,Paris,"vip,new"\nb,remove,,,\nc,,,,\n"",add,,,"[""x""]"\n'
    assert values(ids(content, columns)) == [
        Change("add", Member("a", {"points": "3", "city": "Paris"}, ["vip", "new"])),
        Change("remove", Member("b")),
        BadRow(NO_ACTION),
        Change("add", Member("", None, ["x"])),
    ]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1),
    size=st.integers(1, 4),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_csv_writes_is_read(
    tmp_path: Path, rows: list[tuple[str, ...]], size: int, delimiter: str, quoting: Any, end: str
) -> None:
    # With QUOTE_MINIMAL, Python 3.11 writes a lone \r without quotes.
    quoting = csv.QUOTE_ALL if "\r" in "".join(itertools.chain(*rows)) else quoting
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(["x", "id", "y"])
    lines = []
    for row in rows:
        lines.append(len(list(io.StringIO(text.getvalue(), newline=None))) + 1)
        writer.writerow(row)
    (tmp_path / "ids.csv").write_bytes(text.getvalue().encode())
    found = placed(FileSource(tmp_path / "ids.csv", Columns("id"), delimiter=delimiter), size)
    assert found == [(row[1], f"ids.csv, line {line:,}") for row, line in zip(rows, lines, strict=True)]


NAME = "id_column= with the name of the id's column"
NOT_AN_ID = "the only cell of the first line is not the name of an id's column"
NO_DELIMITER = "the only cell of the first line holds a delimiter"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("id;email\nc-1;a@x.org\n", {}, f"{NOT_AN_ID}. Pass delimiter=';', and {NAME}."),
        ("id\temail\nc-1\ta@x.org\n", {}, rf"{NOT_AN_ID}. Pass delimiter='\t', and {NAME}."),
        ("email|id\na@x.org|c-1\n", {}, f"{NOT_AN_ID}. Pass delimiter='|', and {NAME}."),
        ("id,email\nc-1,a@x.org\n", {"delimiter": ";"}, f"{NOT_AN_ID}. Pass delimiter=',', and {NAME}."),
        ("c-1;a@x.org\n", {}, f"{NOT_AN_ID}. Pass delimiter=';', and header=False with id_column=1, 2, …."),
        ("c-1\nc-2\n", {}, f"{NOT_AN_ID}. Pass header=False if the first line is not a header, or {NAME}."),
        ("a@x.org\n", {}, f"{NOT_AN_ID}. Pass header=False if the first line is not a header, or {NAME}."),
        ("email\na@x.org\n", {}, f"{NOT_AN_ID}. Pass {NAME}, or header=False if the first line is not a header."),
        (
            "sep=;\nid;email\nc-1;a@x.org\n",
            {},
            "the first line is neither a header nor an id. Delete Excel's line sep= from the file, and pass "
            "delimiter=';'.",
        ),
        (
            "sep=;\nc-1\n",
            {"header": False},
            "the first line is neither a header nor an id. Delete Excel's line sep= from the file, and pass "
            "delimiter=';'.",
        ),
        (
            "sep=;\nid;x\nc-1;1\n",
            {"delimiter": ";", "columns": Columns("id")},
            "there is no column 'id'; it has 2 columns. Delete Excel's line sep= from the file, and pass "
            "delimiter=';'.",
        ),
        ("id\nc-1\n", {"header": False}, "the first line is a header. Leave out header=False."),
        (
            "c-1;a@x.org\n",
            {"header": False},
            f"{NO_DELIMITER}. Pass delimiter=';', or id_column=1 if it is part of the ids.",
        ),
        (
            "id;email\nc-1;a@x.org\n",
            {"columns": Columns("id")},
            f"there is no column 'id'; it has 1 column. Pass delimiter=';', and {NAME}.",
        ),
        (
            "alice_dupont,Paris\n",
            {"columns": Columns("id")},
            f"there is no column 'id'; it has 2 columns. Pass {NAME}, or header=False if the first line is not a "
            "header.",
        ),
        (
            "c-1,Paris\n",
            {},
            "2 columns could be the id, and id_column is not set. Pass header=False if the first line is not a header, "
            f"or {NAME}.",
        ),
        ("id\n".encode("utf-16-le"), {}, f"{NOT_AN_ID}. Pass encoding=: the text looks like UTF-16."),
    ],
)
def test_a_first_line_that_is_no_header_is_refused_with_what_fits_it(
    ids: Any, content: str | bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceError) as caught:
        values(ids(content, **options))
    assert str(caught.value) == f"ids.csv: {message}"


def test_what_looks_wrong_is_read_if_the_column_is_named(ids: Any) -> None:
    assert values(ids("email\nx\n", Columns("email"))) == ["x"]
    assert values(ids("id;email\nc-1\n", Columns("id;email"))) == ["c-1"]
    assert values(ids("auth0|1\nauth0|2\n", Columns(1), header=False)) == ["auth0|1", "auth0|2"]
    assert values(ids("Customer ID\nauth0|1\n")) == ["auth0|1"]
    assert values(ids("a;x\n", Columns(2), header=False, delimiter=";")) == ["x"]


def test_control_characters_are_kept_in_their_lines(ids: Any) -> None:
    source = ids("\ufeffid\na\0\n\ufeffb\n\x07\n\x1a\n\x1f\n", Columns("id"))
    expected = ["a\0", "\ufeffb", "\x07", "\x1a", "\x1f"]
    assert placed(source) == [(value, f"ids.csv, line {line}") for line, value in enumerate(expected, 2)]
