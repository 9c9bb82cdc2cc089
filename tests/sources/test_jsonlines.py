from __future__ import annotations

import json
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
from airflow_provider_batch.sources.jsonlines import parse_lines
from tests.sources.reading import placed, values

NOT_JSON = BadRow("the line is not valid JSON. Write one JSON value per line.")
NOT_AN_OBJECT = BadRow("the line is not a JSON object. Write one object per line.")


@pytest.fixture
def ids(tmp_path: Path) -> Any:
    """Return a function that writes a file and returns its source."""

    def write(content: str, columns: Columns | None = None, **options: Any) -> FileSource:
        path = tmp_path / "ids.jsonl"
        path.write_text(content, "utf-8")
        return FileSource(path, columns, **options)

    return write


def test_a_key_is_the_id(ids: Any) -> None:
    source = ids('{"x": 1, "ID": "a"}\n{"ID": "b"}\n', Columns("id"))
    assert placed(source) == [("a", "ids.jsonl, line 1"), ("b", "ids.jsonl, line 2")]
    assert values(ids('{"id": 1}\n{"id": 2}')) == ["1", "2"]


def test_a_text_or_a_number_is_the_id_itself(ids: Any) -> None:
    assert values(ids('"a"\n"é"\n')) == ["a", "é"]
    assert values(ids("1\n2\n")) == ["1", "2"]
    assert values(ids('"a"\n1\nnull\n1.5\ntrue\n', Columns("id"))) == ["a", 1, None, 1.5, True]
    assert values(ids('"a"\n{"id": "b"}\n', Columns("id"))) == ["a", "b"]
    assert values(ids('"a"\n{"id": "b"}\n')) == ["a", "b"]


def test_lines_are_counted_with_blank_ones(ids: Any) -> None:
    found = placed(ids('\n{"id": "a"}\r\n\r\n  \n{"id": "b"}', Columns("id")), 2)
    assert found == [("a", "ids.jsonl, line 2"), ("b", "ids.jsonl, line 5")]


def test_an_invalid_line_is_a_bad_row(ids: Any) -> None:
    lines = ['{"id": "a"}', '{"id": "b"', "nonsense", "[1]", '{"x": 1}', '{"id": null}', '{"id": "c"}{}', '{"id": "d"}']
    no_key = BadRow("the object has no key 'id'. Add the id, or drop the line.")
    assert values(ids("\n".join(lines), Columns("id"))) == [
        "a",
        NOT_JSON,
        NOT_JSON,
        NOT_AN_OBJECT,
        no_key,
        None,
        NOT_JSON,
        "d",
    ]


def test_attributes_tags_and_actions(ids: Any) -> None:
    columns = Columns("id", "op", ["points", "seen", "city"], "tags")
    lines: list[object] = [
        {"id": "a", "op": "add", "points": 1.5, "seen": ["x"], "city": None, "tags": ["vip"]},
        {"id": 7, "OP": "add"},
        {"id": "b", "op": "remove", "city": "", "tags": "vip, new"},
        "c",
    ]
    assert values(ids("\n".join(map(json.dumps, lines)), columns)) == [
        Change("add", Member("a", {"points": 1.5, "seen": ["x"]}, ["vip"])),
        BadRow(NO_ACTION),
        Change("remove", Member("b", {"city": ""}, ["vip", "new"])),
        NOT_AN_OBJECT,
    ]


def test_attributes_may_be_missing_and_ids_may_not(ids: Any) -> None:
    assert values(ids('{"id": "a"}', Columns("id", None, ["x"]))) == [Member("a")]
    with pytest.raises(SourceError, match=r"ids.jsonl: there is no column 'user'; it has 2 columns"):
        values(ids('{"id": "a"}\n{"x": 1}', Columns("user")))
    with pytest.raises(SourceError, match=r"ids.jsonl: there is no column 'op'"):
        values(ids('{"id": "a"}', Columns("id", "op")))
    with pytest.raises(SourceError, match=r"ids.jsonl: 2 columns could be the id"):
        values(ids('{"id": "a", "x": 1}'))


def test_an_empty_file_fails_unless_it_is_allowed(ids: Any) -> None:
    with pytest.raises(SourceError, match="the file is empty"):
        values(ids(""))
    assert values(ids("", Columns("id"), allow_empty=True)) == []
    assert values(ids("\n")) == []


@pytest.mark.parametrize(
    "lines",
    [
        ["1,2", '{"a": [1', "2]}"],
        ['1,"\\u0000",2', '{"a": [1', "2]}"],
        ["1]", "[2"],
        ['"a', 'b"'],
        ['{"id": "\\u0000"}', "1"],
        ['"\\\\u0000"', "1"],
        ["[" * 100_000, "1"],
        ["9" * 5000, "1"],
        ['"\\ud800"', "NaN"],
        ["", "1"],
        [],
    ],
)
def test_lines_parsed_together_have_the_values_of_lines_parsed_alone(lines: list[str]) -> None:
    alone = [parse_lines([line])[0] for line in lines]
    assert repr(parse_lines(lines)) == repr(alone)
    assert repr([parse_lines(["0", line])[1] for line in lines]) == repr(alone)


pieces_of_json = st.lists(st.sampled_from(['"', ",", "[", "]", "{", "}", ":", "1", "a", "\\u0000", "\\"]), max_size=8)


@given(st.lists(pieces_of_json.map("".join), max_size=6))
def test_no_line_changes_the_value_of_another(lines: list[str]) -> None:
    assert parse_lines(lines) == [parse_lines([line])[0] for line in lines]


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.fixed_dictionaries({"id": st.text(max_size=5)}, optional={"x": plain, "y": st.lists(plain, max_size=2)}),
        min_size=1,
    ),
    size=st.integers(1, 4),
    ascii_only=st.booleans(),
)
def test_what_json_writes_is_read(tmp_path: Path, rows: list[dict[str, Any]], size: int, ascii_only: bool) -> None:
    text = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    (tmp_path / "ids.ndjson").write_bytes(text.encode("utf-8", "surrogatepass"))
    attributes = [{key: row[key] for key in ("x", "y") if row.get(key) is not None} for row in rows]
    assert placed(FileSource(tmp_path / "ids.ndjson", Columns("id", None, ["x", "y"])), size) == [
        (Member(row["id"], has or None), f"ids.ndjson, line {line}")
        for line, (row, has) in enumerate(zip(rows, attributes, strict=True), 1)
    ]


def test_an_object_keyed_by_id_is_refused_and_no_key_is_quoted(ids: Any) -> None:
    for content, columns, message in (
        ('{"c-1": "gold"}', None, "the only key is not called like an id's. Pass id_column= with the id's key."),
        ('{"c-1": {"x": 1}}\n{"c-2": {}}', None, "2 columns could be the id, and id_column is not set."),
        ('{"c-1": {"x": 1}}\n{"c-2": {}}', Columns("id"), "there is no column 'id'; it has 2 columns. Check the name."),
    ):
        with pytest.raises(SourceError, match=f"^ids.jsonl: {message}") as caught:
            values(ids(content, columns))
        assert "c-" not in str(caught.value)
    lines = '{"id": "a"}\n' * 1000 + '{"c-1": "gold"}'
    assert values(ids(lines))[-1] == BadRow("the object has no key with the id. Add the id, or drop the line.")
    assert values(ids('{"c-1": "gold"}', Columns("c-1"))) == ["gold"]
    assert values(ids('{"1": "a"}', Columns(1))) == ["a"]


def test_control_characters_are_kept_in_their_lines(ids: Any) -> None:
    found = placed(ids('{"id": "a\\u0000"}\n"\\ufeffb"\n\x1f\n\x1a\n\ufeff{"id": "c"}\n', Columns("id")))
    assert found == [
        (value, f"ids.jsonl, line {line}")
        for line, value in enumerate(["a\0", "\ufeffb", NOT_JSON, NOT_JSON, NOT_JSON], 1)
    ]
